"""The chronicle: what people said and what we wrote, field by field, as the systems showed it; and the tenth sentence.

Before and after each act of a person all systems are looked at. What the act changed are his words; what changed since
the act before are ours. In the evening, when it is known which records were of one thing, the words are told to the
oracle, with the moments at which the journal shows that a record was read, and the oracle says what all should show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from tests.prove import seen
from tests.prove.oracle import OPEN, Admissible, FromNowhere, Oracle
from tests.prove.oracle_rules import RULES, UNITED
from tests.prove.shares import verdict

if TYPE_CHECKING:
    from tests.prove.evening import Evening
    from tests.prove.house import House

Row = dict[str, Any]
Place = tuple[str, str, str]
"""System, type and id of a record, as the ledger calls it."""

PARTS = {"shop": "shop", "crm": "crm", "onec": "onec", "bank": "bank", "bankfile": "bank"}
KINDS = {
    ("shop", "order"): "order",
    ("crm", "deal"): "order",
    ("onec", "order"): "order",
    ("crm", "party"): "counterparty",
    ("onec", "counterparty"): "counterparty",
}
_OWN = frozenset({"total", "legal_name", "customer.name", "customer.phone", "customer.email"}) | UNITED
"""What may stand at a system by itself after a write of ours: a sum worked out of the goods, the contact of another
deal, two lists that met, the name of a requisite that was made for an address. It is that system's own word, where
nobody else said it."""


_TAKEN_BACK = {"unpost_payment": "unposted", "delete_payment": "marked"}
"""What accountants do to a receipt of money."""


@dataclass(frozen=True)
class Shown:
    """One record as it stands: its fields, and the time that the system noted (None: it notes none)."""

    fields: Row
    stamp: datetime | None
    money: Mapping[str, tuple[Decimal, str]] = field(default_factory=dict)
    """Its payments: what each comes to and how it stands."""


@dataclass(frozen=True)
class Line:
    """Something happened to one record: when, by whom, and what it said before and after."""

    at: datetime
    what: Literal["made", "said", "saved", "gone", "ours", "ours made", "paid", "ours paid", "unposted", "marked"]
    place: Place
    stamp: datetime
    name: str = ""
    before: Any = None
    value: Any = None


@dataclass
class Chronicle:
    """All lines of one history. `before` and `after` stand around each act of a person."""

    house: House
    lines: list[Line] = field(default_factory=list)
    _last: dict[Place, Shown] = field(default_factory=dict)
    _at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When all systems were looked at last: all that is noted then bears that time."""
    _receipts: dict[str, Place] = field(default_factory=dict)
    """Money in the books, and the order that it was entered for."""
    _booked: set[str] = field(default_factory=set)
    """Payments of the shop that we booked there: nobody has told of them there."""

    def before(self) -> None:
        """What has changed since the last act was done by us."""
        now = self._look()
        for place, shown in now.items():
            old = self._last.get(place)
            if old is None:
                self._note("ours made", place, shown, value=shown.fields)
            if old != shown:
                for name, value in shown.fields.items():
                    if old is None or old.fields.get(name) != value:
                        self._note("ours", place, shown, name, old.fields.get(name) if old else None, value)
                self._note("ours", place, shown)
                self._booked |= shown.money.keys() - (old.money.keys() if old else set())
        self._last = now

    def after(self, act: Row, answer: Row) -> None:
        """What has changed was done by a person, or follows from it at his system."""
        now = self._look()
        self._receipt(act, answer)
        for place in self._last.keys() - now.keys():
            self._note("gone", place, self._last[place])
        for place, shown in now.items():
            old = self._last.get(place)
            if old is None:
                self._note("made", place, shown, value=shown.fields)
            elif old != shown:
                for name, value in shown.fields.items():
                    if old.fields.get(name) != value:
                        self._note("said", place, shown, name, old.fields.get(name), value)
                if old.stamp != shown.stamp:  # by money too, which says nothing of the order's own fields
                    self._note("saved", place, shown)
            self._moved(place, shown, old.money if old else {})
        self._last = now

    def _moved(self, place: Place, shown: Shown, before: Mapping[str, tuple[Decimal, str]]) -> None:
        """Payments of the shop that came in, or changed."""
        for payment, money in shown.money.items():
            if before.get(payment) != money:
                what = "ours paid" if payment in self._booked else "paid"
                self._note(what, place, shown, payment, before.get(payment), money)

    def _receipt(self, act: Row, answer: Row) -> None:
        """Money that was entered in the books for an order, or taken back there."""
        if act["do"] in ("create_payment", "create_refund"):
            order = ("onec", "order", str(act["order"]))
            stands = "refund" if act["do"] == "create_refund" else "paid"
            self._note("paid", order, self._last[order], str(answer["id"]), None, (Decimal(act["amount"]), stands))
            self._receipts[str(answer["id"])] = order
        elif act["do"] in _TAKEN_BACK and str(act["id"]) in self._receipts:
            order = self._receipts[str(act["id"])]
            if order in self._last:
                self._note(_TAKEN_BACK[act["do"]], order, self._last[order], str(act["id"]))

    def _note(
        self, what: Any, place: Place, shown: Shown, name: str = "", before: Any = None, value: Any = None
    ) -> None:
        wall = datetime.fromtimestamp(self.house.walls[place[0]](), UTC)
        stamp = shown.stamp if what in ("ours", "saved") and shown.stamp else wall
        self.lines.append(Line(self._at, what, place, stamp, name, before, value))

    # ---- what the systems show

    def _look(self) -> dict[Place, Shown]:
        """1C first: what an order brings along there is its own word, wherever it is shown afterwards."""
        self._at = datetime.now(UTC)
        return dict(self._books()) | dict(self._shop()) | dict(self._crm())

    def _shop(self) -> Iterator[tuple[Place, Shown]]:
        for row in self.house.shop.orders.table.rows.values():
            money = {str(one["id"]): (seen.money(one["sum"]), _stands(one)) for one in row["payments"]}
            yield ("shop", "order", str(row["id"])), Shown(seen.shop_order(row), _time(row["dateUpdate"]), money)

    def _crm(self) -> Iterator[tuple[Place, Shown]]:
        from tests.prove.people import addresses_of

        state = self.house.portal.state({})
        contacts = {row["id"]: row for row in state["contacts"]}
        for row in state["deals"]:
            said = seen.deal(row, contacts.get(row.get("contactId")))
            yield ("crm", "deal", str(row["id"])), Shown(said, _time(row["updatedTime"]))
        for row in state["companies"]:
            requisite = seen.requisite_of(state, int(row["id"]))
            said = seen.company(row, requisite, addresses_of(state, requisite))
            yield ("crm", "party", f"company:{row['id']}"), Shown(said, _time(row["updatedTime"]))

    def _books(self) -> Iterator[tuple[Place, Shown]]:
        names = ("Document_ЗаказКлиента", "Catalog_Номенклатура", "Catalog_Контрагенты")
        orders, items, parties = (self.house.base.state({"of": name})[name] for name in names)
        goods = {one["Ref_Key"]: one for one in items}
        for row in orders:
            if not row["DeletionMark"]:
                yield ("onec", "order", str(row["Ref_Key"])), Shown(seen.books_order(row, goods), None)
        for row in seen.people(parties):
            yield ("onec", "counterparty", str(row["Ref_Key"])), Shown(seen.books_party(row), None)


def _stands(payment: Row) -> str:
    if payment["isReturn"] == "Y":
        return "refunded"
    return "paid" if payment["paid"] == "Y" else "pending"


def _time(text: Any) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(str(text))


# ---- the evening


@dataclass
class _Replay:
    """One history's lines, told to the oracle in the order in which they happened."""

    evening: Evening
    oracle: Oracle = field(default_factory=lambda: Oracle(PARTS))
    owners: dict[Place, UUID] = field(default_factory=dict)
    parted: list[tuple[UUID, Decimal]] = field(default_factory=list)
    """Payments that were expected whole and came in part: who tells of the whole sum may have meant them."""
    first_read: dict[Place, datetime] = field(default_factory=dict)
    """When the bus first read each record."""
    unsure: set[UUID] = field(default_factory=set)
    """Orders of which people changed a payment that we had booked: whose telling it was only the bus can say."""

    def play(self) -> Oracle:
        for entity, records in self.evening.records.items():
            self.owners |= {(one["system"], one["type"], str(one["external_id"])): entity for one in records}
        readings = list(self._readings())
        lines = sorted([*self._acts(), *readings, *self._decisions(), *self._bank()], key=lambda one: one[0])
        for _, tell in lines:
            tell()
        self.unsure |= {order for order, whole in self.parted if self.oracle.knows_money(str(order), whole, but="shop")}
        return self.oracle

    def _was_heard(self, line: Line) -> bool:
        """What the books took back before anybody heard of it was never received, for us."""
        heard = self.evening.house.rows(
            """SELECT 1 FROM event WHERE source = 'onec' AND starts_with(subject, %s) AND data ->> 'status' = 'paid'
               AND state = 'done' AND received_at < %s""",
            f"payment/{line.name}",
            line.at,
        )
        return bool(heard)

    def _acts(self) -> Iterator[tuple[datetime, Callable[[], None]]]:
        lines = self.evening.people.chronicle.lines
        made = {(line.place, line.at) for line in lines if line.what == "ours made"}
        for line in lines:
            if line.place in self.owners:
                at = self._there(line) if (line.place, line.at) in made else line.at
                yield at, partial(self._told, line, str(self.owners[line.place]))

    def _there(self, line: Line) -> datetime:
        """A record that we made is looked at before the next act of a person, be it hours later; we read it before.

        Nobody but us did anything in between, so what stands in it had been said before that; and from that reading on
        1C's own word in it counts.
        """
        return min(line.at, self.first_read.get(line.place, line.at))

    def _told(self, line: Line, key: str) -> None:
        system, kind = line.place[0], KINDS[line.place[:2]]
        match line.what:
            case "ours made" if kind == "counterparty":
                self._brought_along(line, key)
            case "made":
                self.oracle.created(system, kind, key, line.value, line.stamp)
            case "said":
                self.oracle.edited(system, kind, key, line.name, line.before, line.value, line.stamp)
            case "gone":
                self.oracle.deleted(system, kind, key)
            case "ours" if line.name:
                self._ours(line, kind, key)
            case "ours" | "saved":
                self.oracle.touched(system, kind, key, line.stamp)
            case "paid":
                self._paid(line, key)
            case "ours paid":
                self.unsure.add(self.owners[line.place])
            case "unposted" | "marked":
                self._taken_back(line, key)

    def _taken_back(self, line: Line, key: str) -> None:
        """What is unposted stays counted; what is marked, too, where a person is told that a system shows it still."""
        if not self._was_heard(line):
            self.unsure.add(self.owners[line.place])
        elif line.what == "marked" and not self._is_asked_about(line):
            self.oracle.withdrawn(line.place[0], key, line.name)

    def _is_asked_about(self, line: Line) -> bool:
        found = self.evening.house.rows(
            """SELECT 1 FROM dead_letter JOIN event ON event.seq = event_seq
               WHERE cause = 'payment taken back by the books' AND starts_with(subject, %s)""",
            f"payment/{line.name}",
        )
        return bool(found)

    def _brought_along(self, line: Line, key: str) -> None:
        """An order brings its counterparty into 1C, as the order calls it: what nobody said of it is 1C's word.

        So is what 1C owns, even where the CRM has said just that: it came there with the order, nobody told 1C what the
        CRM says, and from then on 1C alone may change it.
        """
        system, by_order = line.place[0], not self._made_for_itself(line.place)
        for name, value in line.value.items():
            try:
                self.oracle.shown(system, "counterparty", key, name, value)
                own = by_order and RULES["counterparty"][name].owner == PARTS[system]
            except FromNowhere:
                own = True
            if own:
                self.oracle.created(system, "counterparty", key, {name: value}, line.stamp)

    def _made_for_itself(self, place: Place) -> bool:
        """What we make for a counterparty bears its key; what an order brings along, one made of its requisites."""
        return bool(self.evening.house.rows("SELECT 1 FROM entity WHERE id::text = %s", place[2]))

    def _ours(self, line: Line, kind: str, key: str) -> None:
        """What we wrote somebody must have said, but for what stands there by itself."""
        try:
            self.oracle.shown(line.place[0], kind, key, line.name, line.value)
        except FromNowhere:
            if line.name not in _OWN:
                raise
            self.oracle.created(line.place[0], kind, key, {line.name: line.value}, line.stamp)

    def _paid(self, line: Line, key: str) -> None:
        system, (amount, stands) = line.place[0], line.value
        if line.before is None:
            self.oracle.paid(system, key, line.name, amount, line.stamp, stands)
            return
        if line.before[0] != amount:  # paid in part: the rest is expected in a payment of its own
            self.parted.append((self.owners[line.place], line.before[0]))
            self.oracle.paid(system, key, line.name, amount, line.stamp, "pending")
        if line.before[1] != stands:
            self.oracle.turned(system, key, line.name, stands, line.stamp)

    def _bank(self) -> Iterator[tuple[datetime, Callable[[], None]]]:
        """Payments that the bank told of, and that were taken for an order's."""
        for row in self.evening.house.rows(
            """SELECT event.*, parent_id FROM event JOIN entity ON entity.id = entity_id
               WHERE source IN ('bank', 'bankfile') AND state = 'done' AND parent_id IS NOT NULL ORDER BY seq"""
        ):
            order, amount = str(row["parent_id"]), Decimal(row["data"]["amount"]["amount"])
            number, at = row["data"].get("external_number"), row["received_at"]
            tell = partial(
                self.oracle.paid, row["source"], order, row["subject"], amount, at, row["data"]["status"], number
            )
            yield at, tell

    def _readings(self) -> Iterator[tuple[datetime, Callable[[], None]]]:
        """When a record was read as it stood: of 1C nothing else tells since when a word counts."""
        for row in self.evening.house.rows(
            """SELECT * FROM event WHERE data IS NOT NULL
               AND outcome IN ('APPLIED', 'UNCHANGED', 'ECHO', 'OVERRULED') ORDER BY seq"""
        ):
            kind_there, _, key_there = row["subject"].partition("/")
            place = (row["source"], kind_there, key_there)
            if place in self.owners and place[:2] in KINDS:
                key, at = str(self.owners[place]), row["occurred_at"]
                kind, read_at = KINDS[place[:2]], row["observed_at"]
                tell = self.oracle.read if read_at else self.oracle.heard
                moment = read_at or row["received_at"]
                self.first_read.setdefault(place, moment)
                yield moment, partial(tell, place[0], kind, key, at)

    def _decisions(self) -> Iterator[tuple[datetime, Callable[[], None]]]:
        for row in self.evening.house.rows(
            """SELECT conflict.*, entity.kind, occurred_at FROM conflict JOIN entity ON entity.id = conflict.entity_id
               JOIN event ON causationid = 'conflict ' || conflict.id
               WHERE conflict.state IN ('decided', 'expired') ORDER BY conflict.id"""
        ):
            key, kind, at = str(row["entity_id"]), row["kind"], row["decided_at"]
            if row["state"] == "decided":  # an event like any other: it counts as of its own time
                tell = partial(self.oracle.decided, kind, key, row["field"], row["decision"], row["occurred_at"])
                yield at, tell
            else:
                yield at, partial(self.oracle.lapsed, kind, key, row["field"])


_LIKE = {"paid": "accepted", "shipped": "accepted"}
"""What the books' orders can say of these (README, Known limits): there they are other documents."""
_SHOWN = frozenset({"paid_total", "payment_status"})
_MONEY = _SHOWN | {"status"}


def findings(evening: Evening) -> Iterator[str]:
    """What stands in a system and is not what the README lets a customer expect."""
    evening.people.chronicle.before()  # what we wrote since the last act
    replay = _Replay(evening)
    try:
        oracle = replay.play()
    except FromNowhere as finding:
        yield str(finding)
        return
    for entity, records in evening.records.items():
        if entity not in evening.entities:
            continue
        excuses = evening.excused.get(entity, set())
        excused = bool(excuses & {"*", "deleted"}) or _twice_there(records)
        unsure = _MONEY if entity in replay.unsure else set()
        left_out = excuses | _left_out(evening, records) | unsure
        _count(evening, entity, left_out, excused=excused)
        for record in records:
            if record["state"] == "linked":
                yield from _differing(evening, oracle, record, None if excused else left_out)
    single, asked = oracle.sharpness()
    evening.tally.met("oracle", "asked", asked)
    evening.tally.met("oracle", "one value", single)


def _count(evening: Evening, entity: UUID, left_out: set[str], *, excused: bool) -> None:
    """Of how much the sentence is asked (see tests.prove.shares)."""
    kind = evening.entities[entity]["kind"]
    if kind in KINDS.values():
        whole = not left_out & {*RULES[kind], *_MONEY}
        evening.tally.met("share", f"10 {kind} {verdict(whole=whole, excused=excused)}")
    if kind == "order":
        evening.tally.met("share", f"10 money {verdict(whole=True, excused=excused or left_out >= _SHOWN)}")


def _twice_there(records: list[Row]) -> bool:
    """A person said that two of one system are one, or made both: only the first is written to (Counterparties)."""
    there = Counter((one["system"], one["type"]) for one in records)
    return any(times > 1 for (_, type_), times in there.items() if type_ != "payment")


def _left_out(evening: Evening, records: list[Row]) -> set[str]:
    """Fields that more than one entity has a say in, or of which the README tells no end."""
    left_out = set(UNITED) if _met(evening, records) else set()
    if not any(one["system"] == "shop" for one in records):
        left_out.add("total")  # each system works it out of the goods in its own way, and nobody owns it yet
    if any(one["type"] == "deal" and str(one["external_id"]) in evening.people.tainted for one in records):
        left_out |= _SHOWN  # a manager has written over what the deal shows
    contacts = Counter(row.get("contactId") for row in evening.people.deals())
    own = {str(row["id"]): row.get("contactId") for row in evening.people.deals()}
    if any(one["type"] == "deal" and contacts[own.get(str(one["external_id"]))] > 1 for one in records):
        left_out |= {"customer.name", "customer.phone", "customer.email"}
    return left_out


def _met(evening: Evening, records: list[Row]) -> bool:
    """Did two records meet that were made of their own, be it one in the books that an order of ours brought along?"""
    lines = [line for line in evening.people.chronicle.lines if line.place in _places(records)]
    made = {line.place: line.at for line in lines if line.what == "made"}
    brought = {line.place: line.at for line in lines if line.what == "ours made"}
    return len(made) > 1 or any(before < at for before in brought.values() for at in made.values())


def _places(records: list[Row]) -> set[Place]:
    return {(one["system"], one["type"], str(one["external_id"])) for one in records}


def _differing(evening: Evening, oracle: Oracle, record: Row, left_out: set[str] | None) -> Iterator[str]:
    """What of this record is not as it may be, but for the fields that are left out; None: all of them are."""
    place, key = (record["system"], record["type"]), str(record["entity_id"])
    said = evening.said(record) if place in KINDS else None
    if said is None:
        return
    shown = {**said, **(_shown_money(evening, record) if place == ("crm", "deal") else {})}
    for name, value in shown.items():
        if left_out is None or name in left_out or _is_left_alone(place, said, name):
            evening.tally.met("share", "10 field excused")
            continue
        may = oracle.admissible(KINDS[place], key, name)
        evening.tally.met("share", f"10 field {verdict(whole=may.single)}")
        evening.tally.met("case", f"10 {'one' if may.single else 'several'} {name}")
        if not _is_one(may, value, record["system"], name):
            who = f"{record['system']} {record['type']} {record['external_id']}"
            yield f"{who} says {name} {value!r}, not {may.values!r}"


def _is_left_alone(place: tuple[str, str], said: Row, name: str) -> bool:
    """A cancelled order of the books keeps the rows that it had: what would it be worth?"""
    return place == ("onec", "order") and said["status"] == "cancelled" and name in ("lines", "total")


def _is_one(may: Admissible, value: Any, system: str, name: str) -> bool:
    if OPEN in may:
        return not may.single  # that somebody is asked is the only end, and nobody is (see `left_out`)
    if system == "onec" and name == "status":
        return any(_LIKE.get(one, one) == _LIKE.get(value, value) for one in may.values)
    return value in may or (not value and None in may)


def _shown_money(evening: Evening, record: Row) -> Row:
    """What the deal shows of its payments."""
    row = next(one for one in evening.people.deals() if str(one["id"]) == str(record["external_id"]))
    paid, word = seen.shown_payment(row)
    return {"paid_total": paid, **({"payment_status": word} if word else {})}
