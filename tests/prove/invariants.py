"""Ten sentences that are true of every history once it has come to rest, judged from the systems and the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from bus.ledger import journal
from tests.prove import chronicle, seen
from tests.prove.chronicle import Line, Place
from tests.prove.evening import READERS, Broken, Evening, look
from tests.prove.house import House
from tests.prove.oracle_money import beside_marks
from tests.prove.people import Edit, People
from tests.prove.play import Play
from tests.prove.shares import verdict
from tests.prove.tally import Tally

Row = dict[str, Any]

_ENDS = frozenset({"APPLIED", "UNCHANGED", "ECHO", "STALE", "OVERRULED", "DUPLICATE"})
_WRITES_PER_CHANGE, _WRITES_AT_LEAST = 12, 12
_SUFFIX = 25
"""Events of the journal's end that are replayed."""


def every_accepted_event_has_an_explained_end(evening: Evening) -> None:
    """1. Nothing is pending, claimed or only noted; what is dead has a letter; what waits has a name and a deadline.

    And no money waits for an order that is there under the number that it names.
    """
    letters = {row["event_seq"] for row in evening.house.rows("SELECT event_seq FROM dead_letter")}
    numbers = _numbers_of_the_shop(evening)
    rows = evening.house.rows("SELECT * FROM event ORDER BY seq")
    for row in rows:
        evening.tally.met("outcome", row["outcome"] or row["state"].upper())
        ended = row["state"] == "done" and row["outcome"] in _ENDS
        explained = row["state"] == "dead" and row["seq"] in letters
        waits = row["state"] == "waiting" and row["waits_for"] and row["deadline"]
        if not (ended or explained or waits):
            raise Broken(f"event {row['seq']} of {row['source']}, {row['subject']}: {row['state']}, {row['outcome']}")
        named = row["source"] == "bank" and row["data"]["order"]["number"] in numbers
        if named and row["state"] != "done":
            raise Broken(f"event {row['seq']}: the bank's money is {row['state']}, and its order is there")
        if row["outcome"] == "OVERRULED" and not _named(evening, row):
            raise Broken(f"event {row['seq']} was overruled, and no rule is named")
    known = {(row["source"], row["id"]) for row in rows}
    for told in evening.people.bank:
        if told.get("accepted") and ("bank", told["id"]) not in known:
            raise Broken(f"the bank was answered that event {told['id']} is taken, and it is not in the journal")


def _numbers_of_the_shop(evening: Evening) -> set[str]:
    """Of its orders that the ledger knows."""
    orders = evening.house.shop.orders.table.rows
    found = (one for some in evening.records.values() for one in some)
    linked = {one["external_id"] for one in found if (one["system"], one["type"], one["state"]) == _SHOPS_ORDER}
    return {str(row["accountNumber"]) for key, row in orders.items() if str(key) in linked}


_SHOPS_ORDER = ("shop", "order", "linked")


def _named(evening: Evening, row: Row) -> bool:
    """An overruled event says why itself, or the history does."""
    lines = "SELECT 1 FROM history WHERE event_seq = %s AND what = 'overruled' AND rule IS NOT NULL"
    return bool(row["error"]) or bool(evening.house.rows(lines, row["seq"]))


_MADE_AGAIN = """
    SELECT gone.entity_id, gone.system FROM history gone JOIN history made USING (entity_id, system)
    WHERE gone.field = 'record' AND starts_with(gone.rule, 'deleted there')
      AND made.what = 'created' AND made.id > gone.id
"""


def one_link_never_has_two_records(evening: Evening) -> None:
    """2. Nothing that the bus made is there twice: by its own key, by an entity's records, by an order's deals.

    Nor is it made again where somebody deleted it (README: deletions are noted, not followed).
    """
    for row in evening.house.rows(_MADE_AGAIN):
        raise Broken(f"entity {row['entity_id']} was deleted in {row['system']}, and made there again")
    for entity, records in evening.records.items():
        if evening.entities.get(entity, {}).get("kind") == "counterparty":
            continue  # a system may have one twice: people enter them (README, Counterparties)
        linked = Counter((one["system"], one["type"]) for one in records if one["state"] == "linked")
        for (system, kind), times in linked.items():
            evening.tally.met("case", "2 linked record")
            if times > 1 and not _made_by_people(evening, system, records):
                raise Broken(f"entity {entity} has {times} records {kind} in {system}")
    for what, keys in _origins(evening):
        for key, times in Counter(keys).items():
            if times > 1:
                raise Broken(f"{times} {what} bear the key {key}")
            evening.tally.met("case", f"2 made {what}")


def _made_by_people(evening: Evening, system: str, records: list[Row]) -> bool:
    """Two records that people made, and then united by naming one order in both."""
    del evening
    return sum(one["system"] == system and bool(one["written_at"]) for one in records) < 2


def _origins(evening: Evening) -> Iterator[tuple[str, list[str]]]:
    """By what the bus's own creations are known in each system.

    Contacts by our key, and as namesakes of one phone: two people may share a phone.
    """
    state = evening.house.portal.state({})
    orders = evening.house.shop.orders.table.rows.values()
    yield "deals", [row["originId"] for row in state["deals"] if row["originId"]]
    yield "companies", [row["originId"] for row in state["companies"] if row["originId"]]
    yield (
        "payments",
        [one["xmlId"] for order in orders for one in order["payments"] if not str(one["xmlId"]).startswith("bx_")],
    )
    ours = [row for row in state["contacts"] if row["createdBy"] == evening.house.portal.user]
    yield "contacts", [row["originId"] for row in ours if row["originId"]]
    yield (
        "namesakes",
        [
            f"{seen.digits(one['value'])} {row['name']} {row['lastName'] or ''}".strip()
            for row in ours
            for one in row.get("fm") or ()
            if one["typeId"] == "PHONE"
        ],
    )


def all_fields_agree_or_something_says_why(evening: Evening) -> None:
    """3. What two systems both hold of one thing is the same in both, or the ledger tells a person why it is not."""
    for entity, records in evening.records.items():
        if entity not in evening.entities:
            continue
        told = [(one, said) for one in _written_to(records) if (said := evening.said(one))]
        excuses = evening.excused.get(entity, set())
        if len({one["system"] for one, _ in told}) > 1:
            _share(evening, 3, entity, whole=not excuses - {"deleted"}, excused="*" in excuses)
        for at, (first, here) in enumerate(told):
            for second, there in told[at + 1 :]:
                if first["system"] != second["system"]:
                    _compare(evening, first, here, second, there, excuses)


def _share(evening: Evening, sentence: int, entity: UUID, *, whole: bool = False, excused: bool = False) -> None:
    """Whether the sentence was asked of this order or counterparty (see tests.prove.shares)."""
    evening.tally.met("share", f"{sentence} {evening.entities[entity]['kind']} {verdict(whole=whole, excused=excused)}")


def _written_to(records: list[Row]) -> list[Row]:
    """Of several records of one thing in one system the first is written to (README, Counterparties)."""
    first: dict[tuple[str, str], Row] = {}
    for one in records:
        if one["state"] == "linked":
            first.setdefault((one["system"], one["type"]), one)
    return list(first.values())


def _compare(evening: Evening, first: Row, here: Row, second: Row, there: Row, excuses: set[str]) -> None:
    pair = f"{first['system']} {second['system']}"
    left_alone = _left_alone(first, here, second, there)
    for name in sorted(here.keys() & there.keys()):
        if _same(name, here[name], there[name], {first["system"], second["system"]}):
            evening.tally.met("share", "3 field judged")
            evening.tally.met("case", f"3 agree {pair} {name}")
        elif name in excuses | left_alone or "*" in excuses:
            evening.tally.met("share", "3 field excused")
            evening.tally.met("case", f"3 excused {name}")
        else:
            say = f"{first['type']} {first['external_id']} says {here[name]!r}"
            also = f"{second['type']} {second['external_id']} says {there[name]!r}"
            raise Broken(f"{name} differs between {pair}: {say}, {also}; entity {first['entity_id']}")


def _left_alone(first: Row, here: Row, second: Row, there: Row) -> set[str]:
    """A cancelled order of the books keeps the rows that it had: what would it be worth? (mappings/onec/order.py)."""
    cancelled = any(
        one["system"] == "onec" and said.get("status") == "cancelled" for one, said in ((first, here), (second, there))
    )
    return {"lines", "total"} if cancelled else set()


_LIKE = {"paid": "accepted", "shipped": "accepted"}
"""What the books' orders can say of these (README, Known limits): there they are other documents."""


def _same(name: str, here: Any, there: Any, systems: set[str]) -> bool:
    if name == "status" and "onec" in systems:
        return bool(_LIKE.get(here, here) == _LIKE.get(there, there))
    return bool(here == there)


def writes_are_bounded_and_a_quiet_system_stays_quiet(evening: Evening) -> None:
    """4. So many writes for so many changes; and once all is said, looking at everything again writes nothing.

    The first night's full run may still find what a record shows of another one (the company of an order, renamed in
    1C): that no save of its own tells of. The second night finds nothing.
    """
    house, play = evening.house, evening.play
    most = _WRITES_AT_LEAST + _WRITES_PER_CHANGE * (evening.people.acts + play.kills + len(evening.people.bank))
    if house.writes() > most:
        raise Broken(f"{house.writes()} writes for {evening.people.acts} acts of people")
    for _ in range(2):
        before = house.writes()
        play.reconcile(full=True)
        play.rest(reconciles=False)
    if house.writes() != before:
        raise Broken(f"{house.writes() - before} writes although nothing happened: {_last_writes(house)}")
    evening.tally.met("case", "4 quiet")


def _last_writes(house: House) -> list[str]:
    """The last writing calls, for a person."""
    sites = {"crm": house.portal, "shop": house.shop, "onec": house.base}
    return [
        f"{name} {[c['method'] for c in site.calls.since(0, 10_000) if c['write']][-2:]}"
        for name, site in sites.items()
    ]


_OWNED = {
    ("shop", "order"): ("number", "total", "lines", "delivery.method"),
    ("onec", "counterparty"): ("legal_name", "inn", "kpp"),
}
"""Fields whose owner alone may change them, by his records (README, Conflicts)."""


def an_owned_field_is_as_its_owner_left_it(evening: Evening) -> None:
    """5. In the owner's own record stands what he wrote there last: nobody's word was written over it.

    Where he has the thing twice, and a person said that the two are one, both records are his: the later word counts.
    """
    last: dict[tuple[str, str, str], Edit] = {}
    for edit in evening.people.edits:
        if edit.field in _OWNED.get((edit.system, edit.record.partition("/")[0]), ()):
            last[edit.system, edit.record, edit.field] = edit
    for (system, record, name), edit in last.items():
        kind, _, key = record.partition("/")
        said = READERS[system, kind](evening, key)
        if said is None:
            continue
        evening.tally.met("case", f"5 owned {name}")
        if said[name] != edit.value and said[name] not in _said_beside(evening, (system, kind, key), name):
            raise Broken(f"{system} {record}: {name} was {edit.value!r} by its owner, and now is {said[name]!r}")


def _said_beside(evening: Evening, place: Place, name: str) -> list[Any]:
    """What people said last in the owner's other records of the thing, unless it was read before this one's last word.

    1C tells no times: of two words that are read after both were said, either may be the later one.
    """
    found = (some for some in evening.records.values() if place in map(_place, some))
    others = [other for some in found for other in map(_place, some) if other[:2] == place[:2] and other != place]
    here, beside = _last_said(evening, place, name), [_last_said(evening, other, name) for other in others]
    return [one.value for one in beside if here and one and _is_read_after(evening, one, here.at)]


def _place(record: Row) -> Place:
    return record["system"], record["type"], str(record["external_id"])


def _last_said(evening: Evening, place: Place, name: str) -> Line | None:
    """The last line of the chronicle in which a person gave the field its value there."""
    for line in reversed(evening.people.chronicle.lines):
        if line.place == place and (line.what, line.name) == ("said", name):
            return line
        if line.place == place and line.what == "made":
            return replace(line, name=name, value=line.value.get(name))
    return None


def _is_read_after(evening: Evening, line: Line, at: datetime) -> bool:
    """Was what the line says first read after that time? What was never read is nobody's word."""
    read = evening.house.rows(
        """SELECT min(observed_at) AS at FROM event
           WHERE source = %s AND subject = %s AND data IS NOT NULL AND observed_at >= %s""",
        line.place[0],
        "/".join(line.place[1:]),
        line.at,
    )[0]["at"]
    return read is not None and bool(read >= at)


def what_is_paid_is_never_less_without_a_refund(evening: Evening) -> None:
    """6. No deal shows less money than before, no order steps back from paid, unless somebody took money back."""
    if evening.people.refunds:
        evening.tally.met("case", "6 with refunds")
        return
    shown: dict[int, Decimal] = {}
    for change in evening.house.portal.changes.since(0, 100_000, ["UF_CRM_PAID_TOTAL"]):
        key, amount = int(change["id"]), seen.money(change["fields"].get("UF_CRM_PAID_TOTAL"))
        if str(key) in evening.people.tainted or change["of"] != "deals":
            continue
        if amount < shown.get(key, Decimal(0)):
            raise Broken(f"deal {key} showed {shown[key]} as paid, and then {amount}")
        shown[key] = amount
        evening.tally.met("case", "6 more paid")
    for row in evening.house.rows(
        """SELECT * FROM history WHERE field = 'payment_status' AND what = 'changed' AND old = '"paid"'
           AND new IN ('"unpaid"', '"refunded"')"""
    ):
        raise Broken(f"entity {row['entity_id']} was paid, and now is {row['new']}; nobody took money back")


def the_sum_of_payments_is_the_same_everywhere(evening: Evening) -> None:
    """7. The deal shows what the shop has received, less what the books gave back by documents of their own.

    And the word beside it follows from that sum and the order's total (README, The promise). What the shop expected and
    others have received is not booked beside what is expected.
    """
    for entity, records in evening.records.items():
        row = evening.entities.get(entity)
        if row is None or row["kind"] != "order":
            continue
        in_shop = next((one for one in records if (one["system"], one["state"]) == ("shop", "linked")), None)
        in_crm = next((one for one in records if (one["system"], one["state"]) == ("crm", "linked")), None)
        if evening.excused.get(entity):
            _share(evening, 7, entity, excused=True)
            continue
        if in_shop:
            _booked_where_expected(evening, in_shop)
        if in_crm is None:
            _share(evening, 7, entity)
            continue
        received = _received(evening, in_shop) if in_shop else _in_the_books(evening, entity, records)
        deal = _row_of_deal(evening, in_crm["external_id"])
        given = _given_back(evening, entity, in_shop)
        if deal is None or received is None or in_crm["external_id"] in evening.people.tainted:
            _share(evening, 7, entity)
            continue
        shown, word = seen.shown_payment(deal)
        _share(evening, 7, entity, whole=True)
        evening.tally.met("case", "7 with money" if received else "7 without money")
        if shown not in {max(received - one, Decimal(0)) for one in given}:
            raise Broken(
                f"deal {in_crm['external_id']} shows {shown} {word}; the shop has {received}, back {sorted(given)}"
            )


def _received(evening: Evening, record: Row) -> Decimal | None:
    row = evening.house.shop.orders.table.rows.get(int(record["external_id"]))
    if row is None:
        return None
    return sum((seen.money(one["sum"]) for one in row["payments"] if one["paid"] == "Y"), Decimal(0))


def _in_the_books(evening: Evening, order: UUID, records: list[Row]) -> Decimal | None:
    """What the books have of an order that the shop does not know; None where others tell of its money, too.

    A receipt that is not posted is one that is expected, or one that was heard of and is counted still.
    """
    keys = {str(one["external_id"]) for one in records if (one["system"], one["state"]) == ("onec", "linked")}
    told = evening.house.rows(
        """SELECT system FROM record JOIN entity ON entity.id = record.entity_id
           WHERE parent_id = %s AND kind = 'payment' AND record.state <> 'creating'""",
        order,
    )
    if len(keys) != 1 or {row["system"] for row in told} - {"onec"}:
        return None
    standing = [one for one in evening.people.receipts(keys.pop()) if not one["DeletionMark"]]
    if not all(one["Posted"] for one in standing):
        return None
    evening.tally.met("case", "7 in the books alone")
    return sum((seen.money(one["СуммаДокумента"]) for one in standing), Decimal(0))


def _booked_where_expected(evening: Evening, record: Row) -> None:
    """No payment of ours stands beside one that the shop still waits for, and that it was when it was first told of.

    That is when it is asked (README, Known limits). Only what was expected then, of the very sum, and is not told of by
    whoever told of ours, could be it: what the shop expects since then is other money.
    """
    payments = evening.house.shop.orders.table.rows.get(int(record["external_id"]), {}).get("payments", ())
    ours = [one for one in payments if one["paid"] == "Y" and not str(one["xmlId"]).startswith("bx_")]
    expected = [one for one in payments if one not in ours and one["paid"] != "Y" and one["isReturn"] != "Y"]
    for one in ours:
        evening.tally.met("case", "7 booked by us")
        if any(other["sum"] == one["sum"] and _could_be(evening, other, one) for other in expected):
            raise Broken(f"shop order {record['external_id']}: {one['sum']} was booked beside what was expected")


_THEN = """
    SELECT DISTINCT ON (field) field, new FROM history
    WHERE entity_id = %s AND field IN ('amount', 'status') AND what = 'changed' AND at <= %s ORDER BY field, id DESC
"""


def _could_be(evening: Evening, expected: Row, ours: Row) -> bool:
    """Was this what the ledger expected, of that sum, when the payment was begun that we booked?

    What stands in the shop and not in the ledger was never asked about: it could.
    """
    there, here = _payment_of(evening, expected), _payment_of(evening, ours)
    if there is None or here is None:
        return True
    at, told = here["created_at"], {one["system"] for one in evening.records[here["id"]]} - {"shop"}
    was, is_now = (
        {row["field"]: row["new"] for row in evening.house.rows(_THEN, one["id"], at)} for one in (there, here)
    )
    known = there["created_at"] <= at and was.get("status") == "pending" and was.get("amount") == is_now.get("amount")
    return known and not told & {one["system"] for one in evening.records[there["id"]]}


def _payment_of(evening: Evening, payment: Row) -> Row | None:
    """What the ledger has under this payment of the shop."""
    place = ("shop", "payment", str(payment["id"]))
    for entity, records in evening.records.items():
        if any((one["system"], one["type"], one["external_id"]) == place for one in records):
            return evening.entities.get(entity)
    return None


def _given_back(evening: Evening, order: UUID, in_shop: Row | None) -> set[Decimal]:
    """What documents that give money back may come to, of which the shop has no record.

    One of a sum that the shop has marked as returned, or of the sum of several marks, is that return (README: the books
    hold all money once).
    """
    found = evening.house.rows(
        "SELECT fields FROM entity WHERE parent_id = %s AND kind = 'payment' AND merged_into IS NULL"
        " AND fields ->> 'status' = 'refund'",
        order,
    )
    row = evening.house.shop.orders.table.rows.get(int(in_shop["external_id"]), {}) if in_shop else {}
    marked = [seen.money(one["sum"]) for one in row.get("payments", ()) if one["isReturn"] == "Y"]
    return beside_marks(marked, [Decimal(row["fields"]["amount"]["amount"]) for row in found])


def _row_of_deal(evening: Evening, key: str) -> Row | None:
    """None: it was deleted, and what told of that was lost (README: no list tells of a deletion)."""
    return next((one for one in evening.people.deals() if str(one["id"]) == key), None)


def replaying_the_journal_changes_nothing(evening: Evening) -> None:
    """8. What was said is said again, the same events: the ledger, the systems and the journal stay as they are."""
    house = evening.house
    rows = house.rows(
        "SELECT * FROM event WHERE state = 'done' AND data IS NOT NULL ORDER BY seq DESC LIMIT %s", _SUFFIX
    )
    events = [journal.event_of(row) for row in reversed(rows) if row["kind"] != "notification"]
    before, writes = _standing(house), house.writes()
    if events:
        house.bus.publisher.publish(events)
        house.bus.pipeline.process(events)
        evening.tally.met("case", "8 replayed", len(events))
    evening.play.rest(reconciles=False)
    found = [f"{what}: {row}" for what, some in _standing(house).items() for row in some if row not in before[what]]
    if found or house.writes() != writes:
        say = f"{house.writes() - writes} writes; {'; '.join(found[:2])}"
        raise Broken(f"the last {len(events)} events, said again, have changed something: {say}")


_STANDS = {
    "journal": "SELECT seq, subject, outcome, finished_at FROM event WHERE state IN ('done', 'dead') ORDER BY 1",
    "entity": "SELECT id, fields, revision, merged_into FROM entity ORDER BY 1",
    "record": "SELECT id, entity_id, external_id, base, version, state FROM record ORDER BY 1",
    "conflict": "SELECT id, options, state FROM conflict ORDER BY 1",
    "history": "SELECT max(id) AS last FROM history",
}
"""What a replay must leave as it is: when an event ended, too, for one that ends again was merged again."""


def _standing(house: House) -> dict[str, list[Row]]:
    return {what: house.rows(query) for what, query in _STANDS.items()}


def no_conflict_is_closed_without_a_decision(evening: Evening) -> None:
    """9. A closed conflict has a value and who decided it, an expired one a deadline that was over."""
    for row in evening.house.rows("SELECT * FROM conflict ORDER BY id"):
        evening.tally.met("case", f"9 conflict {row['state']}")
        told = evening.house.rows("SELECT * FROM event WHERE causationid = %s", f"conflict {row['id']}")
        if row["state"] in ("decided", "expired"):
            if not row["decided_by"] or row["decided_at"] is None or len(told) != 1:
                raise Broken(f"conflict {row['id']} is {row['state']} by {row['decided_by']!r}, {len(told)} events")
            if row["state"] == "expired" and row["decided_at"] < row["deadline"]:
                raise Broken(f"conflict {row['id']} expired before its deadline")
            if told[0]["outcome"] != "APPLIED":
                raise Broken(f"the decision of conflict {row['id']} ended {told[0]['outcome']}")
        elif told:
            raise Broken(f"conflict {row['id']} is {row['state']}, and a decision of it is in the journal")


def all_agree_on_what_the_rules_say(evening: Evening) -> None:
    """10. What everything shows is what an independent model expects that has only read the README."""
    for finding in chronicle.findings(evening):
        raise Broken(finding)


SENTENCES: tuple[Callable[[Evening], None], ...] = (
    every_accepted_event_has_an_explained_end,
    one_link_never_has_two_records,
    all_fields_agree_or_something_says_why,
    an_owned_field_is_as_its_owner_left_it,
    what_is_paid_is_never_less_without_a_refund,
    the_sum_of_payments_is_the_same_everywhere,
    no_conflict_is_closed_without_a_decision,
    writes_are_bounded_and_a_quiet_system_stays_quiet,
    replaying_the_journal_changes_nothing,
    all_agree_on_what_the_rules_say,
)
"""In the order in which they are judged: those that look first, those that do something last."""


def judge(house: House, people: People, play: Play, tally: Tally, *, reconciles: bool) -> None:
    """Judge one history. Raises Broken with the sentence that is not true, and what shows it."""
    for sentence in SENTENCES:
        evening = look(house, people, play, tally, reconciles=reconciles)
        try:
            sentence(evening)
        except Broken as broken:
            raise Broken(str(broken), sentence.__name__) from None
        tally.met("sentence", sentence.__name__)
