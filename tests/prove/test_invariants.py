"""Each of the ten sentences can be untrue, and is then told: a quiet day, and one thing in it broken by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import pytest

from bus.envelope import parse
from bus.ports import Accepted, Entry, Notification
from bus.publisher import Publisher
from tests.prove import invariants, seen
from tests.prove.evening import Broken, Evening, look
from tests.prove.house import House
from tests.prove.people import BASKETS, FULL_NAMES, People
from tests.prove.play import Play, WrittenOver
from tests.prove.shares import VERDICTS
from tests.prove.tally import Tally


class Day:
    """An order of a company, half paid, known everywhere; then it is evening."""

    def __init__(self, house: House) -> None:
        house.begin()
        self.house, self.people = house, People(house)
        self.play = Play(house, Tally())
        self.people.order(0, 0, 0)
        self.people.counterparty(0)
        self.play.work()
        self.people.edit_order(0, "lines", 1)
        self.people.pay(0, "0.5")
        self.play.rest(reconciles=True)

    def evening(self) -> Evening:
        return look(self.house, self.people, self.play, self.play.tally, reconciles=True)

    def deal(self) -> int:
        return int(self.people.deals()[0]["id"])


@pytest.fixture
def day(house: House) -> Day:
    return Day(house)


def test_of_a_quiet_day_all_ten_are_true(day: Day) -> None:
    invariants.judge(day.house, day.people, day.play, day.play.tally, reconciles=True)
    assert len(day.play.tally.of("sentence")) == len(invariants.SENTENCES) == 10


@pytest.mark.parametrize(
    "broken",
    [
        "UPDATE event SET state = 'pending', outcome = NULL WHERE seq = 1",
        "UPDATE event SET state = 'notified' WHERE seq = 1",
        "UPDATE event SET outcome = NULL WHERE seq = 1",
        "UPDATE event SET state = 'dead', outcome = 'DEAD' WHERE seq = 1",
        "UPDATE event SET state = 'waiting', waits_for = 'crm/deal/1' WHERE seq = 1",
        "UPDATE event SET outcome = 'OVERRULED' WHERE seq = 1",
    ],
)
def test_an_event_without_an_explained_end_is_told(day: Day, broken: str) -> None:
    day.house.rows(f"{broken} RETURNING seq")
    with pytest.raises(Broken, match="event 1 "):
        invariants.every_accepted_event_has_an_explained_end(day.evening())


@pytest.mark.parametrize(("number", "told"), [("1001", True), ("1009", False)])
def test_money_that_waits_for_an_order_that_is_there_is_told(day: Day, number: str, told: bool) -> None:
    money = {"order": {"number": number}, "amount": {"amount": "10.00", "currency": "RUB"}, "status": "paid"}
    event = parse({**_MONEY, "time": day.house.bus.ledger.now().isoformat(), "data": money})
    day.house.bus.pipeline.process([event])
    day.house.rows(
        """UPDATE event SET state = 'waiting', outcome = NULL, waits_for = 'number/shop/1001', deadline = now()
           WHERE source = 'bank' RETURNING seq"""
    )
    with pytest.raises(Broken, match="its order is there") if told else nullcontext():
        invariants.every_accepted_event_has_an_explained_end(day.evening())


_MONEY = {"source": "bank", "type": "payment.changed", "subject": "payment/1"}


def test_an_event_that_was_accepted_and_is_nowhere_is_told(day: Day) -> None:
    day.people.bank.append({"id": "17", "accepted": True, "order": "1001"})
    with pytest.raises(Broken, match="not in the journal"):
        invariants.every_accepted_event_has_an_explained_end(day.evening())


def test_a_second_deal_of_our_making_is_told(day: Day) -> None:
    origin = day.people.deals()[0]["originId"]
    fields = {"title": "again", "originatorId": "integration-bus", "originId": origin}
    day.house.portal.call("crm.item.add", {"entityTypeId": 2, "fields": fields})
    with pytest.raises(Broken, match="2 deals bear the key"):
        invariants.one_link_never_has_two_records(day.evening())


def test_a_second_contact_of_our_making_is_told(day: Day) -> None:
    first = day.house.portal.state({"of": "contacts"})["contacts"][0]
    phone = [{"typeId": "PHONE", "valueType": "WORK", "value": "8 901 000-00-00"}]
    fields = {"name": first["name"], "lastName": first["lastName"], "fm": phone}
    day.house.portal.call("crm.item.add", {"entityTypeId": 3, "fields": fields})
    with pytest.raises(Broken, match="2 namesakes bear the key"):
        invariants.one_link_never_has_two_records(day.evening())


@pytest.mark.parametrize(("deleted", "told"), [(True, True), (False, False)])
def test_a_deal_that_is_made_again_after_its_deletion_is_told(day: Day, deleted: bool, told: bool) -> None:
    if deleted:
        day.people.delete_deal(0)
        day.play.rest(reconciles=True)
    day.house.rows(
        """INSERT INTO history (entity_id, actor, what, system, field)
           SELECT id, 'bus', 'created', 'crm', 'comment' FROM entity WHERE kind = 'order' RETURNING id"""
    )
    with pytest.raises(Broken, match="made there again") if told else nullcontext():
        invariants.one_link_never_has_two_records(day.evening())


def test_fields_that_differ_are_told(day: Day) -> None:
    day.house.portal.act({"do": "edit_deal", "id": day.deal(), "fields": {"COMMENTS": "unheard"}}, quiet=True)
    with pytest.raises(Broken, match="comment differs between"):
        invariants.all_fields_agree_or_something_says_why(day.evening())


def test_fields_that_differ_are_excused_by_an_open_conflict_of_theirs_alone(day: Day) -> None:
    day.house.portal.act({"do": "edit_deal", "id": day.deal(), "fields": {"COMMENTS": "unheard"}}, quiet=True)
    ask = """INSERT INTO conflict (entity_id, field, options, policy, deadline)
             SELECT entity_id, %s, '{}', 'Newest', now() FROM record WHERE type = 'deal' RETURNING id"""
    day.house.rows(ask, "delivery.address")
    with pytest.raises(Broken):
        invariants.all_fields_agree_or_something_says_why(day.evening())
    day.house.rows(ask, "comment")
    invariants.all_fields_agree_or_something_says_why(day.evening())


def test_what_is_excused_is_counted(day: Day) -> None:
    """Of one day's order: judged whole; then with an open conflict; then with a dead letter."""
    evenings = (None, _ASKED, _DEAD)
    for excuse in evenings:
        if excuse:
            day.house.rows(excuse)
        evening = day.evening()
        invariants.all_fields_agree_or_something_says_why(evening)
        invariants.the_sum_of_payments_is_the_same_everywhere(evening)
        invariants.all_agree_on_what_the_rules_say(evening)
    met = {name: times for name, times in day.play.tally.of("share").items() if " order " in name or " money " in name}
    assert met == {
        **{f"3 order {verdict}": 1 for verdict in VERDICTS},
        "7 order judged": 1,
        "7 order excused": 2,
        **{f"10 order {verdict}": 1 for verdict in VERDICTS},
        "10 money judged": 2,
        "10 money excused": 1,
    }


_ASKED = """INSERT INTO conflict (entity_id, field, options, policy, deadline)
            SELECT id, 'comment', '{}', 'Newest', now() FROM entity WHERE kind = 'order' RETURNING id"""
_DEAD = """INSERT INTO dead_letter (entity_id, system, class, cause, reason)
           SELECT id, 'crm', 'Permanent', 'refused', 'refused' FROM entity WHERE kind = 'order' RETURNING id"""


def test_more_writes_than_changes_are_told(day: Day) -> None:
    day.people.acts = -100
    with pytest.raises(Broken, match="writes for"):
        invariants.writes_are_bounded_and_a_quiet_system_stays_quiet(day.evening())


class Meddled(Play):
    """Somebody changes what is agreed on, whenever the bus reconciles."""

    def reconcile(self, *, full: bool) -> None:
        self.house.rows(
            """UPDATE entity SET fields = fields || jsonb_build_object('comment', 'made up ' || clock_timestamp())
               WHERE kind = 'order' RETURNING id"""
        )
        super().reconcile(full=full)


def test_a_write_although_nothing_happened_is_told(day: Day) -> None:
    day.play = Meddled(day.house, Tally())
    with pytest.raises(Broken, match="although nothing happened"):
        invariants.writes_are_bounded_and_a_quiet_system_stays_quiet(day.evening())


def test_an_owned_field_that_somebody_else_wrote_is_told(day: Day) -> None:
    day.house.shop.act({"do": "edit_order", "id": 1, "lines": [*BASKETS[2]]}, quiet=True)
    with pytest.raises(Broken, match=r"shop order/1: (lines|total) was"):
        invariants.an_owned_field_is_as_its_owner_left_it(day.evening())


@pytest.mark.parametrize("edit_first", [True, False], ids=["second card", "edit"])
def test_of_two_cards_that_are_one_the_owners_later_word_stands(day: Day, edit_first: bool) -> None:
    (first,) = seen.people(day.house.base.state({})["Catalog_Контрагенты"])
    acts = (lambda: day.people.edit_counterparty(0, "full_name", 1), lambda: day.people.counterparty(0))
    for act in acts if edit_first else acts[::-1]:
        assert act()
        day.play.rest(reconciles=True)
    (question,) = day.house.bus.questions.listing()
    day.house.bus.questions.same(question["id"], str(question["candidates"][0]["entity"]), "anna")
    day.play.rest(reconciles=True)
    invariants.an_owned_field_is_as_its_owner_left_it(day.evening())
    other = FULL_NAMES[0] if not edit_first else FULL_NAMES[2]
    day.house.base.act({"do": "edit_counterparty", "id": first["Ref_Key"], "full_name": other}, quiet=True)
    with pytest.raises(Broken, match=r"onec counterparty/.*: legal_name was"):
        invariants.an_owned_field_is_as_its_owner_left_it(day.evening())


def test_a_deal_that_shows_less_than_before_is_told(day: Day) -> None:
    day.house.portal.act({"do": "edit_deal", "id": day.deal(), "fields": {"UF_CRM_PAID_TOTAL": 1}})
    with pytest.raises(Broken, match=r"and then 1.00"):
        invariants.what_is_paid_is_never_less_without_a_refund(day.evening())


def test_an_order_that_is_unpaid_again_is_told(day: Day) -> None:
    day.house.rows(
        """INSERT INTO history (entity_id, actor, what, field, old, new)
           SELECT id, 'bus', 'changed', 'payment_status', '"paid"', '"unpaid"' FROM entity WHERE kind = 'order'
           RETURNING id"""
    )
    with pytest.raises(Broken, match="nobody took money back"):
        invariants.what_is_paid_is_never_less_without_a_refund(day.evening())


def test_another_sum_of_payments_is_told(day: Day) -> None:
    day.house.portal.act({"do": "edit_deal", "id": day.deal(), "fields": {"UF_CRM_PAID_TOTAL": 5000}}, quiet=True)
    with pytest.raises(Broken, match=r"shows 5000\.00"):
        invariants.the_sum_of_payments_is_the_same_everywhere(day.evening())


def test_money_that_was_booked_beside_what_was_expected_is_told(day: Day) -> None:
    expected = {"orderId": 1, "paySystemId": 3, "sum": day.people.open_sum("1001"), "paid": "Y", "xmlId": "ours"}
    day.house.shop.call("sale.payment.add", {"fields": expected})
    with pytest.raises(Broken, match="booked beside what was expected"):
        invariants.the_sum_of_payments_is_the_same_everywhere(day.evening())


@pytest.mark.parametrize(("since", "told"), [("1 day", True), ("-1 day", False)], ids=["before", "after"])
def test_what_the_shop_expects_only_since_then_may_stand_beside_it(day: Day, since: str, told: bool) -> None:
    booked = {"orderId": 1, "paySystemId": 3, "sum": day.people.open_sum("1001"), "paid": "Y", "xmlId": "ours"}
    day.house.shop.call("sale.payment.add", {"fields": booked})
    day.play.rest(reconciles=True)
    day.house.rows(
        """UPDATE entity SET created_at = created_at + interval '3 hours' WHERE id IN (
             SELECT entity_id FROM record WHERE system = 'shop' AND type = 'payment' ORDER BY id DESC LIMIT 1)
           RETURNING id"""
    )
    day.house.rows(
        """UPDATE entity SET created_at = created_at + interval '3 hours' - %s::interval
           WHERE fields ->> 'status' = 'pending' RETURNING id""",
        since,
    )
    with pytest.raises(Broken, match="booked beside what was expected") if told else nullcontext():
        invariants.the_sum_of_payments_is_the_same_everywhere(day.evening())


def test_a_return_that_the_shop_marked_and_the_books_wrote_a_document_of_counts_once(day: Day) -> None:
    day.people.pay(0, "1")
    day.people.refund(0)
    day.people.books_payment(0, "0.5", back=True)
    day.play.rest(reconciles=True)
    invariants.the_sum_of_payments_is_the_same_everywhere(day.evening())
    assert day.play.tally.of("case")["7 with money"]


def test_another_sum_than_the_books_have_of_an_order_of_their_own_is_told(day: Day) -> None:
    day.people.books_order(1, 0)
    day.play.work()
    document = day.people.money_of_the_books(0, "0.5")
    day.play.rest(reconciles=True)
    invariants.the_sum_of_payments_is_the_same_everywhere(day.evening())
    day.house.base.act({"do": "delete_payment", "id": document}, quiet=True)
    with pytest.raises(Broken, match=r"shows 300\.00 .* has 0"):
        invariants.the_sum_of_payments_is_the_same_everywhere(day.evening())


class Forgetful(Publisher):
    """A door whose journal has forgotten what it is told again: it is news, and is merged again."""

    def __init__(self, house: House) -> None:
        super().__init__(house.bus.ledger, house.bus.bells)
        self._house = house

    def accept(self, entries: Sequence[Entry], notifications: Sequence[Notification] = ()) -> Accepted:
        known = [entry.event.id for entry in entries]
        self._house.rows("DELETE FROM event WHERE id = ANY(%s) RETURNING seq", known)
        return super().accept(entries, notifications)


def test_a_replay_that_is_merged_again_is_told(day: Day) -> None:
    evening = day.evening()
    day.house.bus.__dict__["publisher"] = Forgetful(day.house)
    with pytest.raises(Broken, match=r"said again, have changed something: 0 writes; journal: "):
        invariants.replaying_the_journal_changes_nothing(evening)


def test_a_write_that_follows_a_replay_is_told(day: Day) -> None:
    day.house.rows("UPDATE entity SET fields = fields || '{\"comment\": \"x\"}' WHERE kind = 'order' RETURNING id")
    day.house.rows("UPDATE delivery SET state = 'due', due_at = now() RETURNING system")
    with pytest.raises(Broken, match=r"said again, have changed something: [1-9]\d* writes"):
        invariants.replaying_the_journal_changes_nothing(day.evening())


@pytest.mark.parametrize("state", ["decided", "expired"])
def test_a_conflict_that_nobody_decided_and_is_closed_is_told(day: Day, state: str) -> None:
    day.house.rows(
        """INSERT INTO conflict (entity_id, field, options, policy, deadline, state)
           SELECT id, 'comment', '{}', 'Newest', now(), %s FROM entity WHERE kind = 'order' RETURNING id""",
        state,
    )
    with pytest.raises(Broken, match=f"is {state} by None, 0 events"):
        invariants.no_conflict_is_closed_without_a_decision(day.evening())


class Hasty(Play):
    """Whatever a lane does, the history says that it wrote a comment."""

    def step(self, work: Callable[[], object]) -> None:
        super().step(work)
        self.house.rows(
            """INSERT INTO history (entity_id, actor, what, system, field)
               SELECT id, 'bus', 'written', 'crm', 'comment' FROM entity WHERE kind = 'order' RETURNING id"""
        )


def test_a_value_that_is_written_over_while_a_person_is_asked_is_told(day: Day) -> None:
    hasty = Hasty(day.house, Tally())
    hasty.drain("crm", urgent=False)
    day.house.rows(
        """INSERT INTO conflict (entity_id, field, options, policy, deadline)
           SELECT id, 'comment', '{}', 'Newest', now() FROM entity WHERE kind = 'order' RETURNING id"""
    )
    with pytest.raises(WrittenOver, match=r"comment of .* was written to crm"):
        hasty.drain("crm", urgent=False)


def test_two_values_of_which_nobody_is_asked_are_told(day: Day) -> None:
    assert day.people.both(0, "firm address", 0, 1, shop_first=True)
    day.play.rest(reconciles=True)
    invariants.all_agree_on_what_the_rules_say(day.evening())
    assert day.house.rows("UPDATE conflict SET state = 'agreed' WHERE field = 'address' RETURNING id")
    with pytest.raises(Broken, match=r"says address .*, not \(OPEN,\)"):
        invariants.all_agree_on_what_the_rules_say(day.evening())


def test_an_edit_that_is_heard_with_the_payment_made_after_it_may_count_as_of_the_payment(day: Day) -> None:
    """An order of the shop has one time for all that it says, money saves it, and its letter overtakes the edit's."""
    assert day.people.both(0, "address", 0, 1, shop_first=True)
    assert day.house.posts["crm"].deliver(0)
    day.play.drain("crm", urgent=False)
    day.house.let_pass(2.0)
    assert day.people.pay(0, "0.1")
    assert day.house.posts["shop"].deliver(1)
    day.play.publish(len(day.house.bells.published))
    day.play.rest(reconciles=True)
    invariants.all_agree_on_what_the_rules_say(day.evening())


def test_a_value_that_nobody_ever_said_is_told_though_all_agree_on_it(day: Day) -> None:
    day.house.shop.act({"do": "edit_order", "id": 1, "fields": {"comments": "from nowhere"}}, quiet=True)
    day.house.portal.act({"do": "edit_deal", "id": day.deal(), "fields": {"COMMENTS": "from nowhere"}}, quiet=True)
    for row in day.people.books_orders():
        day.house.base.act({"do": "edit_order", "id": row["Ref_Key"], "comment": "from nowhere"}, quiet=True)
    invariants.all_fields_agree_or_something_says_why(day.evening())
    with pytest.raises(Broken):
        invariants.all_agree_on_what_the_rules_say(day.evening())
