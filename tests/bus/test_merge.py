from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bus.merge import (
    Dispute,
    Entity,
    Incoming,
    Manual,
    Merged,
    Newest,
    Outcome,
    Owner,
    Policy,
    Priority,
    Record,
    Said,
    StateMachine,
    decide,
    due,
    merge,
    settle,
    unite,
)

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
MACHINE = StateMachine(
    moves={
        "new": frozenset({"accepted", "paid", "cancelled"}),
        "accepted": frozenset({"paid", "cancelled"}),
        "paid": frozenset({"completed"}),
        "completed": frozenset(),
        "cancelled": frozenset(),
    },
    reopen=frozenset({"crm"}),
    priority=("shop", "crm"),
    refund_moves={"paid": frozenset({"new"})},
)
RULES: dict[str, Policy] = {
    "comment": Newest(("crm", "shop")),
    "number": Owner(("shop",)),
    "total": Priority(("onec", "shop", "crm")),
    "status": MACHINE,
    "customer.name": Manual(timedelta(hours=24), Newest(("crm",))),
}


def at(minutes: int = 0) -> datetime:
    return NOON + timedelta(minutes=minutes)


def entity(said_by: str = "shop", minutes: int = 0, frozen: Collection[str] = (), **fields: object) -> Entity:
    named = {name.replace("_name", ".name"): value for name, value in fields.items()}
    return Entity(
        "order", named, {name: Said(at(minutes), said_by, "e0") for name in named}, {name: {} for name in frozen}
    )


def says(source: str, minutes: int = 0, version: int | None = None, **more: object) -> Incoming:
    route = {name: more.pop(name) for name in ("creates", "updates") if name in more}
    fields = {name.replace("_name", ".name"): value for name, value in more.items()}
    return Incoming(source, f"{source} {minutes}", at(minutes), fields, version, **route)


# --- each policy, by a table: who said ours and when, who says theirs and when, alone or both -> accepted? ---


@pytest.mark.parametrize(
    ("policy", "ours", "theirs", "alone", "accept"),
    [
        (Owner(("shop",)), ("crm", 0), ("shop", -5), False, True),
        (Owner(("shop",)), ("shop", 0), ("crm", 5), False, False),
        (Owner(("shop",)), ("shop", 0), ("crm", 5), True, False),
        (Owner(("shop",)), ("shop", 0), ("shop", 5), True, True),
        (Newest(), ("shop", 0), ("crm", 1), False, True),
        (Newest(), ("shop", 0), ("crm", -1), False, False),
        (Newest(("crm", "shop")), ("shop", 0), ("crm", 0), False, True),
        (Newest(("shop", "crm")), ("shop", 0), ("crm", 0), False, False),
        (Newest(()), ("shop", 0), ("crm", 0), False, False),
        (Newest(("crm",)), ("onec", 0), ("shop", 0), False, False),
        (Newest(("shop",)), ("shop", 0), ("shop", 0), False, True),
        (Newest(("shop", "crm")), ("shop", 0), ("crm", -1), True, True),
        (Priority(("onec", "crm", "shop")), ("crm", 9), ("onec", 0), False, True),
        (Priority(("onec", "crm", "shop")), ("onec", 0), ("crm", 9), False, False),
        (Priority(("onec", "crm", "shop")), ("onec", 0), ("crm", 9), True, True),
        (Priority(("onec",)), ("crm", 0), ("bank", 9), False, False),
        (Priority(("onec",)), ("bank", 0), ("onec", -9), False, True),
        (Priority(("onec",)), ("crm", 0), ("crm", 1), False, True),
        (Priority(("onec",)), ("crm", 0), ("crm", -1), False, False),
        (Manual(timedelta(1), Newest()), ("crm", 0), ("shop", 9), False, None),
        (Manual(timedelta(1), Newest()), ("crm", 0), ("shop", 9), True, True),
    ],
)
def test_a_policy_decides(
    policy: Policy, ours: tuple[str, int], theirs: tuple[str, int], alone: bool, accept: bool | None
) -> None:
    words = Said(at(ours[1]), ours[0], "a"), Said(at(theirs[1]), theirs[0], "b")
    verdict = decide(policy, "ours", "theirs", *words, alone)
    assert verdict.accept is accept
    assert verdict.rule


@pytest.mark.parametrize(
    ("old", "new", "source", "alone", "refunded", "accept"),
    [
        ("new", "accepted", "crm", True, False, True),
        ("accepted", "new", "crm", True, False, False),
        ("new", "completed", "crm", True, False, False),
        ("paid", "new", "crm", True, False, False),
        ("paid", "new", "crm", True, True, True),
        ("paid", "accepted", "crm", True, True, False),
        ("completed", "new", "crm", True, False, True),
        ("completed", "new", "shop", True, False, False),
        ("cancelled", "accepted", "crm", True, False, True),
        ("cancelled", "accepted", "shop", True, True, False),
        ("accepted", "paid", "crm", False, False, True),
        ("paid", "accepted", "shop", False, False, False),
        ("completed", "cancelled", "shop", False, False, False),
        ("somewhere", "new", "shop", True, False, False),
    ],
)
def test_a_state_machine_makes_only_named_moves(
    old: str, new: str, source: str, alone: bool, refunded: bool, accept: bool
) -> None:
    verdict = decide(MACHINE, old, new, Said(at(9), "onec", "a"), Said(at(), source, "b"), alone, refunded)
    assert verdict.accept is accept


def test_of_two_changes_that_both_may_follow_the_other_the_priority_decides() -> None:
    both = StateMachine(moves={"a": frozenset("b"), "b": frozenset("a")}, priority=("shop", "crm"))
    shop, crm = Said(at(), "shop", "1"), Said(at(), "crm", "2")
    assert decide(both, "a", "b", crm, shop, alone=False).accept is True
    assert decide(both, "a", "b", shop, crm, alone=False).accept is False


def test_a_status_is_never_cleared_not_even_by_who_may_reopen() -> None:
    assert (
        decide(MACHINE, "completed", None, Said(at(), "shop", "1"), Said(at(1), "crm", "2"), alone=True).accept is False
    )


# --- the merge ---


def test_the_first_word_is_taken_from_anyone() -> None:
    order, record = entity(), Record({})
    merged = merge(order, record, says("crm", number="1001", comment="hello"), RULES)
    assert merged.outcome is Outcome.APPLIED
    assert order.fields == {"number": "1001", "comment": "hello"}
    assert order.said["number"] == Said(at(), "crm", "crm 0")
    assert {change.rule for change in merged.changes} == {"first word"}


def test_the_first_empty_word_says_nothing_about_what_others_said() -> None:
    order, record = entity(comment="from the shop"), Record({})
    assert merge(order, record, says("crm", comment=None), RULES).outcome is Outcome.UNCHANGED
    assert order.fields["comment"] == "from the shop"
    assert due(order, record.base, frozenset({"comment"})) == {"comment": "from the shop"}


@pytest.mark.parametrize("promised", [{}, {"lines": [{"name": "Kettle"}]}], ids=["a record we meet", "one we made"])
def test_goods_that_a_record_never_had_are_not_taken_away_by_it(promised: dict) -> None:
    goods = [{"name": "Kettle"}]
    order, record = entity(said_by="onec", lines=goods), Record({}, promised=promised, made=bool(promised))
    rules = {"lines": Owner(("shop",))}
    assert merge(order, record, says("crm", 5, lines=[]), rules).outcome is Outcome.UNCHANGED
    assert (order.fields, record.base) == ({"lines": goods}, {"lines": []})
    assert due(order, record.base, frozenset({"lines"})) == {"lines": goods}
    record.base["lines"] = goods
    assert merge(order, record, says("crm", 6, lines=[]), rules).outcome is Outcome.APPLIED, "had, and gone"


def test_a_cleared_field_is_a_change_and_an_absent_one_is_not() -> None:
    order, record = entity(comment="x", number="1"), Record({"comment": "x", "number": "1"})
    merged = merge(order, record, says("shop", 5, comment=None), RULES)
    assert [change.field for change in merged.changes] == ["comment"]
    assert order.fields == {"comment": None, "number": "1"}


def test_what_is_as_it_was_is_unchanged() -> None:
    order, record = entity(comment="x"), Record({"comment": "x"})
    assert merge(order, record, says("crm", 5, comment="x"), RULES) == Merged(Outcome.UNCHANGED)


def test_our_own_write_coming_back_is_an_echo_every_time_and_a_change_ends_that() -> None:
    order, record = entity(comment="x"), Record({"comment": "x"}, ours=True)
    assert merge(order, record, says("crm", 5, comment="x"), RULES).outcome is Outcome.ECHO
    assert merge(order, record, says("crm", 5, comment="x"), RULES).outcome is Outcome.ECHO
    merge(order, record, says("crm", 6, comment="y"), RULES)
    assert merge(order, record, says("crm", 6, comment="y"), RULES).outcome is Outcome.UNCHANGED


def test_both_coming_to_the_same_is_a_new_base_and_no_change() -> None:
    order, record = entity(comment="y"), Record({"comment": "x"})
    assert merge(order, record, says("crm", 5, comment="y"), RULES).outcome is Outcome.UNCHANGED
    assert record.base == {"comment": "y"}


def test_an_old_value_still_standing_there_is_no_change_of_theirs() -> None:
    order, record = entity(comment="newer"), Record({"comment": "old"})
    assert merge(order, record, says("crm", 99, comment="old"), RULES).outcome is Outcome.UNCHANGED
    assert order.fields["comment"] == "newer"


def test_who_does_not_own_a_field_is_overruled_and_its_record_becomes_due() -> None:
    order, record = entity(number="1"), Record({"number": "1"})
    merged = merge(order, record, says("crm", 5, number="2"), RULES)
    assert merged.outcome is Outcome.OVERRULED
    assert [(one.new, one.accepted, one.rule) for one in merged.changes] == [("2", False, "owner shop")]
    assert due(order, record.base, frozenset({"number"})) == {"number": "1"}


@pytest.mark.parametrize(
    ("version", "outcome"), [(3, Outcome.STALE), (4, Outcome.APPLIED), (5, Outcome.APPLIED), (None, Outcome.APPLIED)]
)
def test_what_is_behind_the_records_version_is_stale(version: int | None, outcome: Outcome) -> None:
    order, record = entity(comment="x"), Record({"comment": "x"}, version=4)
    assert merge(order, record, says("crm", 5, version, comment="y"), RULES).outcome is outcome
    assert record.version == max(version or 4, 4)
    if outcome is Outcome.STALE:
        assert (order.fields, record.base) == ({"comment": "x"}, {"comment": "x"})


def test_without_a_version_a_late_word_of_the_same_system_does_not_undo_its_later_one() -> None:
    order, record = entity(), Record({})
    merge(order, record, says("onec", 5, comment="new"), RULES)
    merge(order, record, says("onec", 0, comment="old"), RULES)
    assert order.fields["comment"] == "new"
    assert due(order, record.base, frozenset({"comment"})) == {}


def test_another_record_of_the_same_system_speaks_for_itself_however_old_its_word() -> None:
    order, copied = entity("crm", 5, comment="new"), Record({})
    assert merge(order, copied, says("crm", 0, comment="old"), RULES).outcome is Outcome.OVERRULED
    assert copied.base == {"comment": "old"}
    assert due(order, copied.base, frozenset({"comment"})) == {"comment": "new"}


def test_a_late_partial_event_still_says_what_no_later_one_said() -> None:
    order, record = entity(status="new"), Record({})
    merge(order, record, says("onec", 6, 3, comment="x"), RULES)
    merge(order, record, says("onec", 5, 2, status="accepted"), RULES)
    assert order.fields == {"status": "accepted", "comment": "x"}


def test_derived_fields_are_never_accepted() -> None:
    order, record = entity(), Record({})
    assert merge(order, record, says("crm", payment_status="paid"), RULES).outcome is Outcome.UNCHANGED
    assert order.fields == {}


def test_a_manual_field_changed_on_both_sides_is_a_dispute_and_neither_is_written_over() -> None:
    order, record = entity(customer_name="Ann"), Record({"customer.name": "Old"})
    merged = merge(order, record, says("crm", 5, customer_name="Bea"), RULES)
    assert merged.outcome is Outcome.APPLIED
    assert [(one.field, one.ours, one.theirs) for one in merged.disputes] == [("customer.name", "Ann", "Bea")]
    assert order.fields["customer.name"] == "Ann"


def test_a_frozen_field_is_left_out_of_deliveries_and_asks_again() -> None:
    order = entity(customer_name="Ann", comment="x", frozen=frozenset({"customer.name"}))
    assert due(order, {}, frozenset({"customer.name", "comment"})) == {"comment": "x"}
    merged = merge(order, Record({"customer.name": "Ann"}), says("crm", 9, customer_name="Bea"), RULES)
    assert len(merged.disputes) == 1
    assert order.fields["customer.name"] == "Ann"


# --- what the routes let through ---


@pytest.mark.parametrize(
    ("creates", "updates", "first", "later"),
    [(True, True, True, True), (True, False, True, False), (False, True, True, True), (False, False, False, False)],
)
def test_a_route_decides_by_the_record_whether_its_word_counts(
    creates: bool, updates: bool, first: bool, later: bool
) -> None:
    """Where the entity is known `updates` counts, also for a field nobody has spoken of; on a new one `creates`."""
    order = entity(comment="x")
    known = Record({"comment": "x"})
    route = {"creates": creates, "updates": updates}
    assert merge(order, known, says("crm", 5, comment="y", **route), RULES).changes[0].accepted is later
    assert merge(order, known, says("crm", 5, total="1", **route), RULES).changes[0].accepted is updates
    assert merge(entity(), Record({}), says("crm", 5, comment="y", **route), RULES).changes[0].accepted is (
        creates and first
    )


# --- settle ---


def payment(amount: int | str, status: str = "paid", currency: str = "RUB") -> dict[str, object]:
    return {"amount": {"amount": f"{amount}", "currency": currency}, "status": status}


def rub(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "RUB"}


@pytest.mark.parametrize(
    ("total", "payments", "status", "paid"),
    [
        ("100.00", [], "unpaid", "0.00"),
        ("100.00", [payment(100, "pending")], "unpaid", "0.00"),
        ("100.00", [payment("99.99")], "partial", "99.99"),
        ("100.00", [payment(40), payment(60)], "paid", "100.00"),
        ("100.00", [payment(150)], "paid", "150.00"),
        ("100.00", [payment(100, "refunded")], "refunded", "0.00"),
        ("100.00", [payment(100, "refunded"), payment(40)], "partial", "40.00"),
        ("100.00", [payment(100, "refunded"), payment(100)], "paid", "100.00"),
        (None, [payment(100)], "partial", "100.00"),
        ("0.00", [], "unpaid", "0.00"),
        ("100.00", [{"status": "paid"}], "unpaid", "0.00"),
    ],
)
def test_what_the_payments_come_to(total: str | None, payments: list[dict], status: str, paid: str) -> None:
    order = entity(total=rub(total)) if total else entity()
    settle(order, payments, event="1", at=at())
    assert order.fields["payment_status"] == status
    assert order.fields["paid_total"] == rub(paid)


def test_an_order_without_money_in_it_says_no_sum() -> None:
    order = entity()
    settle(order, [], event="1", at=at())
    assert order.fields == {"payment_status": "unpaid"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("new", "paid"),
        ("accepted", "paid"),
        ("paid", "paid"),
        ("shipped", "shipped"),
        ("completed", "completed"),
        ("cancelled", "cancelled"),
        (None, None),
    ],
)
def test_paid_in_full_moves_only_a_young_order(before: str | None, after: str | None) -> None:
    order = entity(total=rub("100.00"), status=before)
    settle(order, [payment(100)], event="1", at=at())
    assert order.fields["status"] == after


def test_partly_paid_moves_nothing() -> None:
    order = entity(total=rub("100.00"), status="new")
    settle(order, [payment(50)], event="1", at=at())
    assert order.fields["status"] == "new"


def test_settling_again_finds_nothing_to_do() -> None:
    order = entity(total=rub("100.00"), status="new")
    assert settle(order, [payment(100)], event="1", at=at())
    assert settle(order, [payment(100)], event="2", at=at(1)) == []


def test_an_order_without_a_total_counts_in_one_currency_whichever_payment_is_looked_at_first() -> None:
    two = [payment(500, currency="RUB"), payment(10, currency="EUR")]
    for payments in (two, two[::-1]):
        order = entity(status="new")
        settle(order, payments, event="1", at=at())
        assert order.fields["paid_total"] == {"amount": "10.00", "currency": "EUR"}


def test_a_payment_in_another_currency_does_not_pay_an_order() -> None:
    order = entity(total={"amount": "100.00", "currency": "USD"}, status="new")
    settle(order, [payment(100)], event="1", at=at())
    assert order.fields["payment_status"] != "paid"
    assert order.fields["status"] == "new"


# --- two entities that are one ---


def test_uniting_keeps_what_only_one_said() -> None:
    kept, lost = entity(number="1"), entity("crm", comment="x")
    changes = unite(kept, lost, RULES).changes
    assert kept.fields == {"number": "1", "comment": "x"}
    assert kept.said["comment"].source == "crm"
    assert [(one.field, one.accepted, one.rule) for one in changes] == [("comment", True, "one entity: first word")]


@pytest.mark.parametrize(
    ("field", "kept", "lost", "stands"),
    [
        ("comment", ("shop", 0, "a"), ("crm", 5, "b"), "b"),
        ("comment", ("shop", 5, "a"), ("crm", 0, "b"), "a"),
        ("number", ("crm", 5, "a"), ("shop", 0, "b"), "b"),
        ("total", ("crm", 5, "a"), ("onec", 0, "b"), "b"),
        ("status", ("crm", 5, "paid"), ("shop", 9, "new"), "paid"),
        ("status", ("crm", 5, "new"), ("shop", 0, "paid"), "paid"),
        ("customer.name", ("crm", 0, "a"), ("shop", 9, "b"), "a"),
        ("comment", ("shop", 0, "a"), ("crm", 5, None), None),
        ("comment", ("shop", 5, None), ("crm", 0, "b"), None),
        ("comment", ("shop", 0, None), ("crm", 5, "b"), "b"),
    ],
)
def test_where_both_spoke_the_policy_decides(field: str, kept: tuple, lost: tuple, stands: str | None) -> None:
    ours = Entity("order", {field: kept[2]}, {field: Said(at(kept[1]), kept[0], "1")})
    theirs = Entity("order", {field: lost[2]}, {field: Said(at(lost[1]), lost[0], "2")})
    unite(ours, theirs, RULES)
    assert ours.fields[field] == stands


@pytest.mark.parametrize(
    ("kept", "lost", "frozen", "stands", "asked"),
    [
        (("crm", 0, "a"), ("shop", 9, "b"), (), "a", True),
        (("crm", 9, "a"), ("shop", 0, "b"), (), "a", True),
        (("crm", 0, "a"), ("crm", 9, "b"), (), "b", False),
        (("crm", 9, "a"), ("crm", 0, "b"), (), "a", False),
        (("crm", 0, "a"), ("crm", 9, "b"), ("kept",), "a", True),
        (("crm", 0, "a"), ("crm", 9, "b"), ("lost",), "a", True),
        (("crm", 0, "a"), ("shop", 9, "a"), ("lost",), "a", False),
        (("crm", 0, "a"), ("shop", 9, None), (), "a", False),
        (("crm", 0, "a"), ("shop", 9, None), ("kept",), "a", False),
        (("crm", 9, None), ("shop", 0, "b"), (), "b", False),
        (("crm", 9, None), ("shop", 0, "b"), ("kept",), None, True),
    ],
)
def test_where_a_person_decides_he_is_asked_of_two_that_are_one(
    kept: tuple, lost: tuple, frozen: tuple, stands: str | None, asked: bool
) -> None:
    name = "customer.name"
    ours, theirs = (
        Entity("order", {name: value}, {name: Said(at(when), who, "1")}, {name: {}} if side in frozen else {})
        for side, (who, when, value) in (("kept", kept), ("lost", lost))
    )
    united = unite(ours, theirs, RULES)
    assert ours.fields[name] == stands
    dispute = Dispute(name, kept[2], lost[2], RULES[name])
    assert united.disputes == ((dispute,) if asked else ())


@pytest.mark.parametrize(
    ("field", "lost", "whose"), [("number", "shop", "shop"), ("number", "bank", "crm"), ("comment", "shop", "crm")]
)
def test_what_both_say_is_its_owners_word_from_then_on(field: str, lost: str, whose: str) -> None:
    ours = Entity("order", {field: "a"}, {field: Said(at(5), "crm", "1")})
    unite(ours, Entity("order", {field: "a"}, {field: Said(at(0), lost, "2")}), RULES)
    assert (ours.fields[field], ours.said[field].source) == ("a", whose)


def test_uniting_leaves_the_derived_fields_to_the_payments() -> None:
    kept, lost = entity(), entity(payment_status="paid", paid_total=rub("5.00"))
    assert unite(kept, lost, RULES) == Merged(Outcome.UNCHANGED)
    assert kept.fields == {}


# --- due ---


@pytest.mark.parametrize(
    ("fields", "base", "carried", "wanted"),
    [
        ({"comment": "x"}, {}, {"comment"}, {"comment": "x"}),
        ({"comment": "x"}, {"comment": "x"}, {"comment"}, {}),
        ({"comment": "x"}, {"comment": "y"}, {"comment"}, {"comment": "x"}),
        ({"comment": None}, {}, {"comment"}, {}),
        ({"comment": None}, {"comment": "y"}, {"comment"}, {"comment": None}),
        ({}, {"comment": "y"}, {"comment"}, {}),
        ({"comment": "x", "number": "1"}, {}, {"number"}, {"number": "1"}),
    ],
)
def test_what_is_due(fields: dict, base: dict, carried: set[str], wanted: dict) -> None:
    assert due(entity(**fields), base, frozenset(carried)) == wanted


def test_our_own_word_read_before_its_answer_is_in_is_no_news() -> None:
    """Else it would pass for a person's newer word, and undo what another system said meanwhile."""
    known = Entity("order", {"comment": "C"}, {"comment": Said(at(10), "shop", "e1")})
    record = Record({"comment": "A"}, telling={"comment": "B"})
    merged = merge(known, record, Incoming("crm", "e2", at(12), {"comment": "B"}, version=2), {"comment": Newest()})
    assert known.fields["comment"] == "C"
    assert record.base["comment"] == "B"
    assert merged.changes == ()


@pytest.mark.parametrize("base", [{"status": "new"}, {}])
def test_our_own_word_is_no_news_either_when_the_system_says_it_in_its_own(base: dict) -> None:
    """A 1C that we tell "paid" says "to be carried out", which is "accepted" too: nobody took the payment back."""
    known = Entity("order", {"status": "paid"}, {"status": Said(at(10), "shop", "e1")})
    record = Record(dict(base), promised={} if base else {"status": "paid"}, telling={"status": "paid"} if base else {})
    moves = {"paid": frozenset({"accepted"}), "accepted": frozenset({"paid"})}
    rules = {"status": StateMachine(moves=moves, priority=("onec", "shop"))}

    def means(field: str, said: str, wanted: str) -> bool:
        return said == wanted or (field, said, wanted) == ("status", "accepted", "paid")

    merged = merge(known, record, Incoming("onec", "e2", at(12), {"status": "accepted"}), rules, means)
    assert known.fields["status"] == "paid"
    assert merged.changes == ()


@pytest.mark.parametrize(
    ("field", "created", "stands", "there", "becomes"),
    [
        ("comment", "A", "A", "B", "B"),
        ("status", "cancelled", "cancelled", "accepted", "accepted"),
        ("phones", ["+71", "+72"], ["+71", "+72"], ["+72"], ["+72"]),
        ("comment", "A", "C", "B", "C"),
        ("comment", "A", "A", None, "A"),
    ],
    ids=["changed", "reopened", "taken away", "changed in both", "perhaps not there yet"],
)
def test_what_was_changed_in_a_record_of_ours_whose_answer_was_lost_is_a_change_there(
    field: str, created: object, stands: object, there: object, becomes: object
) -> None:
    """Who changed it saw our word, as slow as his clock is."""
    kind = "counterparty" if field == "phones" else "order"
    kind = "counterparty" if field == "phones" else "order"
    known = Entity(kind, {field: stands}, {field: Said(at(10), "shop", "e1")})
    rules = {field: MACHINE if field == "status" else Newest(("shop", "crm"))}
    merge(known, Record({}, promised={field: created}), Incoming("crm", "e2", at(8), {field: there}), rules)
    assert known.fields[field] == becomes


def test_lists_of_phones_that_meet_for_the_first_time_are_both_kept() -> None:
    entity = Entity("counterparty", {"phones": ["+71"]}, {"phones": Said(NOON, "crm", "1")})
    record = Record({})
    merged = merge(entity, record, Incoming("onec", "2", NOON, {"phones": ["+72", "+71"]}), {"phones": Newest()})
    assert (entity.fields["phones"], merged.outcome) == (["+71", "+72"], Outcome.APPLIED)
    assert record.base["phones"] == ["+72", "+71"], "so that both are due to it"
    later = Incoming("onec", "3", NOON + timedelta(minutes=1), {"phones": ["+72"]})
    merge(entity, record, later, {"phones": Newest()})
    assert entity.fields["phones"] == ["+72"], "from then on a phone that is taken away is gone"


@pytest.mark.parametrize("promised", [{}, {"name": "A"}], ids=["answered", "answer lost"])
def test_a_record_that_we_made_without_phones_is_no_stranger_when_it_says_some(promised: dict) -> None:
    """It was told of its entity when it was made: what it says since is decided by the rules."""
    said = Said(NOON, "onec", "1")
    for minutes, phones in [(1, ["+72"]), (-1, ["+71"])]:
        entity = Entity("counterparty", {"phones": ["+71"]}, {"phones": said})
        record = Record({}, promised=promised, made=True)
        merge(entity, record, Incoming("crm", "2", at(minutes), {"phones": ["+72"]}), {"phones": Newest()})
        assert entity.fields["phones"] == phones


def replaced(record: Record, **incoming: object) -> Entity:
    """The CRM shows our unanswered "accepted"; it had said "paid" before."""
    entity = Entity("order", {"status": "accepted"}, {"status": Said(NOON, "shop", "1")})
    former = {"former": {"status": "paid"}, "former_at": at(1)}
    merge(entity, record, Incoming("crm", "2", at(2), {"status": "accepted"}, **(former | incoming)), RULES)
    return entity


@pytest.mark.parametrize(
    ("record", "incoming", "status"),
    [
        (Record({"status": "new"}, telling={"status": "accepted"}), {}, "paid"),
        (Record({"status": "new"}, telling={"status": "accepted"}), {"former": {}}, "accepted"),
        (Record({"status": "new"}), {}, "accepted"),
        (Record({"status": "accepted"}, telling={"status": "accepted"}), {}, "accepted"),
        (Record({"status": "paid"}, telling={"status": "accepted"}), {}, "accepted"),
        (Record({}, promised={"status": "new"}, telling={"status": "accepted"}), {}, "paid"),
        (Record({"status": "new"}, telling={"status": "accepted"}, superseded=[{"status": "paid"}]), {}, "accepted"),
    ],
    ids=["replaced", "nothing between", "its own", "heard before", "known before", "since made", "ours too"],
)
def test_what_our_unanswered_word_replaced_is_heard_once(record: Record, incoming: dict, status: str) -> None:
    entity = replaced(record, **incoming)
    assert entity.fields["status"] == status
    assert record.base["status"] == "accepted", "what it says now"
    assert entity.said["status"].at == (at(1) if status == "paid" else NOON)


@pytest.mark.parametrize(
    ("base", "theirs", "incoming", "left"),
    [
        ("ours", "theirs", {"version": 3}, {}),
        ("ours", "theirs", {"version": 2}, {"comment": "ours"}),
        ("before", "theirs", {"version": 3}, {"comment": "ours"}),
        ("before", "theirs", {"version": 3, "final": True}, {}),
        ("theirs", "theirs", {"version": 3, "final": True}, {}),
        ("before", "ours", {"version": 3, "final": True}, {"comment": "ours"}),
    ],
    ids=["changed there", "same second", "may still come", "never came", "overtaken", "came"],
)
def test_our_unanswered_word_is_ours_until_it_is_over(base: str, theirs: str, incoming: dict, left: dict) -> None:
    record = Record({"comment": base}, version=2, telling={"comment": "ours"})
    entity = Entity("order", {"comment": "ours"}, {"comment": Said(NOON, "shop", "1")})
    merge(entity, record, Incoming("crm", "2", at(1), {"comment": theirs}, **incoming), {"comment": Newest()})
    assert record.telling == left


def test_an_owner_rules_once_it_has_spoken_and_not_before() -> None:
    rules = {"number": Owner(("shop",))}
    entity = Entity("order", {"number": "1"}, {"number": Said(NOON, "crm", "1")})
    merge(entity, Record({"number": "1"}), Incoming("crm", "2", NOON, {"number": "2"}), rules)
    assert entity.fields["number"] == "2"
    merge(entity, Record({}), Incoming("shop", "3", NOON, {"number": "3"}), rules)
    merge(entity, Record({"number": "3"}), Incoming("crm", "4", NOON + timedelta(minutes=5), {"number": "4"}), rules)
    assert entity.fields["number"] == "3"


@pytest.mark.parametrize(
    ("payments", "settled", "paid", "status"),
    [
        ([("60.00", "paid"), ("40.00", "refund")], None, "20.00", "partial"),
        ([("100.00", "paid"), ("100.00", "refund")], None, "0.00", "refunded"),
        ([("30.00", "refund")], None, "0.00", "refunded"),
        ([], True, "100.00", "paid"),
        ([("60.00", "paid")], True, "100.00", "paid"),
        ([("60.00", "paid")], False, "60.00", "partial"),
    ],
)
def test_refunds_count_against_what_was_received_and_the_books_may_call_it_settled(
    payments: list, settled: bool | None, paid: str, status: str
) -> None:
    rub = {"currency": "RUB"}
    fields = {"total": {"amount": "100.00", **rub}} | ({} if settled is None else {"settled": settled})
    entity = Entity("order", fields, {})
    settle(entity, [{"amount": {"amount": sum_, **rub}, "status": how} for sum_, how in payments], event="1", at=NOON)
    assert (entity.fields["paid_total"]["amount"], entity.fields["payment_status"]) == (paid, status)


@pytest.mark.parametrize(
    ("marked", "refunds", "given"),
    [
        ([500, 500], [1000], 1000),
        ([500, 500, 300], [1000], 1300),
        ([500, 500, 1000], [1000], 2000),
        ([500, 500, 1000], [1000, 1000], 2000),
        ([100, 200, 400, 800], [600, 900], 1500),
        ([200, 300, 500], [500, 500], 1000),
        ([500, 500], [900], 1900),
        ([500, 500], [500, 1000], 2000),
        ([700], [500, 500], 1700),
        ([10] * 30, [300], 600),
    ],
)
def test_one_document_gives_back_several_marked_returns_in_whatever_order_they_are_told(
    marked: list[int], refunds: list[int], given: int
) -> None:
    for turn in (1, -1):
        order = entity(total=rub("9000.00"))
        returned = [payment(one, "refunded") for one in marked[::turn]]
        settle(
            order, [payment(9000), *returned, *(payment(one, "refund") for one in refunds[::turn])], event="1", at=at()
        )
        assert Decimal(order.fields["paid_total"]["amount"]) == 9000 + sum(marked) - given


def test_returns_in_another_currency_make_up_no_refund() -> None:
    order = entity(total=rub("2000.00"))
    told = [payment(2000), payment(500, "refunded"), payment(500, "refunded", "USD"), payment(1000, "refund")]
    settle(order, told, event="1", at=at())
    assert order.fields["paid_total"] == rub("1000.00")


def test_a_change_there_only_is_taken_though_the_record_has_words_of_its_own() -> None:
    e = entity(said_by="crm", minutes=5, comment="Gift")
    record = Record({"comment": "GIFT"})
    merged = merge(e, record, says("shop", comment="Ring twice"), RULES, lambda _, said, wanted: said == wanted.upper())
    assert (merged.outcome, e.fields["comment"]) == (Outcome.APPLIED, "Ring twice")
    assert [change.rule for change in merged.changes] == ["changed there only"]
