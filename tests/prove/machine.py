"""The machine: what may happen in a history, and when it is over, whether the ten sentences are true of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from bus.envelope import parse
from bus.points import POINTS
from tests.prove import invariants
from tests.prove.house import House, chance
from tests.prove.network import CREATIONS
from tests.prove.people import MEETING, OF_A_CONTACT, SHARES, SHOP_CODES, STAGES, Edit, People
from tests.prove.play import Play
from tests.prove.tally import Tally

SYSTEMS = ("crm", "shop", "onec")
LAST = 2
WHICH = st.sampled_from((0, 0, 0, 1, 2))
"""Mostly the same, so that acts meet."""
VALUE = st.integers(0, 2)
MAYBE = st.one_of(st.none(), st.integers(0, 1))
RARELY = st.integers(0, 5)

_ELSEWHERE = {"import.translated", "import.journaled", "offer.told", "offer.agreed", "task.added", "statement.taken"}
"""Crash points of parts that these histories do without; tests/stories/test_dying.py arms them."""
DEATHS = tuple(sorted(POINTS.keys() - _ELSEWHERE))
FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("crm", {"kind": "burst_503"}),
    ("crm", {"kind": "method_429", "method": "crm.item.*"}),
    ("crm", {"kind": "error_before"}),
    ("crm", {"kind": "error_after"}),
    ("crm", {"kind": "error_after", "method": "crm.item.add"}),
    ("crm", {"kind": "drop_before"}),
    ("crm", {"kind": "drop_after"}),
    ("crm", {"kind": "drop_after", "method": "crm.item.add"}),
    ("crm", {"kind": "drop_before", "method": "crm.item.productrow.set"}),
    ("crm", {"kind": "refuse", "status": 503, "error": "OVERLOAD_LIMIT", "text": "overload"}),
    ("shop", {"kind": "error_before"}),
    ("shop", {"kind": "error_after"}),
    ("shop", {"kind": "drop_before"}),
    ("shop", {"kind": "drop_after"}),
    ("shop", {"kind": "drop_after", "method": "sale.payment.add"}),
    ("shop", {"kind": "refuse", "status": 503, "error": "QUERY_LIMIT_EXCEEDED", "text": "too many"}),
    ("onec", {"kind": "error_before"}),
    ("onec", {"kind": "error_after"}),
    ("onec", {"kind": "drop_before"}),
    ("onec", {"kind": "drop_after"}),
    ("onec", {"kind": "drop_after", "method": "post *"}),
    ("onec", {"kind": "html_page"}),
    ("onec", {"kind": "maintenance"}),
    ("onec", {"kind": "no_licence"}),
    ("onec", {"kind": "session_lost"}),
)

ON_ITS_WAY = "on its way"
UNANSWERED = ("drop_after", "error_after", ON_ITS_WAY)
"""How a creation comes to have no answer: it was done, or it arrives only later."""


@st.composite
def _drawn(draw: st.DrawFn, machine: Machine) -> tuple[Any, dict[str, Any]]:
    """The next rule with its arguments, likely ones more often; no swarms of hypothesis's, which leave most out."""
    one = draw(st.sampled_from(machine.likely))
    return one, draw(st.fixed_dictionaries(one.arguments))


_WEIGHTS = {
    "everybody_works": 8,
    "everything_settles": 4,
    "lane_has_its_turn": 6,
    "bells_are_heard": 5,
    "post_comes": 6,
    "time_passes": 3,
    "something_fails": 4,
    "process_is_doomed": 4,
    "something_comes_between": 6,
    "order_in_the_shop": 3,
    "edit_in_the_shop": 6,
    "edit_in_the_crm": 7,
    "edit_in_the_books": 4,
    "status_in_the_shop": 5,
    "move_in_the_crm": 6,
    "two_people_at_once": 6,
    "payment_in_the_shop": 4,
    "money_in_the_books": 4,
    "refund_in_the_shop": 3,
    "bells_are_lost": 1,
    "deadlines_pass": 1,
    "bus_starts_anew": 1,
    "line_is_added": 1,
    "creation_has_no_answer": 6,
    "messages_overtake": 4,
    "cards_are_disputed": 4,
    "money_is_marked_in_the_books": 2,
    "money_at_the_bank": 4,
}
"""How likely a rule is; the others: 2."""


BETWEEN: dict[str, Callable[[Machine, int, int], object]] = {
    "comment in the crm": lambda m, which, value: m.people.edit_deal(which, "comment", value),
    "address in the crm": lambda m, which, value: m.people.edit_deal(which, "address", value),
    "move in the crm": lambda m, which, value: m.people.move_deal(which, STAGES[value + 1]),
    "comment in the shop": lambda m, which, value: m.people.edit_order(which, "comment", value),
    "address in the shop": lambda m, which, value: m.people.edit_order(which, "address", value),
    "lines in the shop": lambda m, which, value: m.people.edit_order(which, "lines", value),
    "status in the shop": lambda m, which, value: m.people.order_status(which, SHOP_CODES[value + 1]),
    "payment in the shop": lambda m, which, _: m.people.pay(which, "1"),
    "comment in the books": lambda m, which, value: m.people.edit_books_order(which, "comment", value),
    "status in the books": lambda m, which, value: m.people.edit_books_order(which, "status", value),
    "counterparty in the books": lambda m, which, value: m.people.edit_counterparty(which, "phones", value),
    "company in the crm": lambda m, which, value: m.people.edit_company(which, "emails", value),
    "post": lambda m, *_: m.play.deliver_all(),
    "fellow takes the events": lambda m, *_: m.play.fellow_publishes(),
    "fellow drains": lambda m, which, value: m.play.fellow_drains(SYSTEMS[which], urgent=value == 0),
    "fellow hears of the crm": lambda m, which, value: m.fellow_hears(
        "crm", lambda: m.people.edit_deal(which, "comment", value)
    ),
    "fellow hears of the shop": lambda m, which, value: m.fellow_hears(
        "shop", lambda: m.people.edit_order(which, "address", value)
    ),
    "time": lambda m, *_: m.house.let_pass(130.0),
}
"""What may happen while the bus is between two statements."""
_FELLOWS = {name for name in BETWEEN if name.startswith("fellow ")}
_FREE = {name for name in DEATHS if name.startswith(("lookup.", "lane.", "reconcile."))} - {"lane.settling"}
"""Crash points that hold no transaction open, on which another process would have to wait."""


class Machine(RuleBasedStateMachine):
    """One history. `house`, `tally` and `seed` are set by whoever runs it."""

    house: ClassVar[House]
    tally: ClassVar[Tally]
    seed: ClassVar[int] = 0
    last: ClassVar[Machine | None] = None

    def __init__(self) -> None:
        super().__init__()
        Machine.last = self
        self.rich = self.broken = self.over = False
        self.reconciles = True
        self.steps = self.faults = self.conflicts = 0
        self.length = 0
        self.likely = [one for one in self.rules for _ in range(_WEIGHTS.get(one.function.__name__, 2))]
        self._rules_strategy = _drawn(self)
        self._chance = chance(self.seed)
        self._chance.__enter__()
        self.play = Play(self.house, self.tally)
        self.people = People(self.house)

    # ---- the morning

    @initialize(
        kind=st.integers(0, 2**31),
        reconciles=st.integers(0, 3),
        skews=st.tuples(*[st.sampled_from((0.0, 0.0, 240.0, -240.0, 30.0))] * 3),
        deadlines=st.booleans(),
        length=st.integers(25, 60),
        orders=st.integers(0, 2),
    )
    def morning(
        self,
        kind: int,
        reconciles: int,
        skews: tuple[float, ...],
        deadlines: bool,
        length: int,
        orders: int,
    ) -> None:
        """Which sort of day it is. Hypothesis's first try, of zeros only, is none."""
        self.rich = kind > 0
        self.length = length
        if not self.rich:
            return
        self.house.begin()
        self.reconciles, self.lets_deadlines_pass = reconciles > 0, deadlines
        for system, skew in zip(SYSTEMS, skews, strict=True):
            self.house.walls[system].skew_s = skew
        self._say("morning", reconciles=self.reconciles, skews=skews, deadlines=deadlines, orders=orders)
        for number in range(orders):
            self.people.order(number, number, number if kind % 2 else None)
        if kind % 3:
            self.play.work()

    # ---- people

    @rule(name=VALUE, basket=VALUE, firm=MAYBE)
    def order_in_the_shop(self, name: int, basket: int, firm: int | None) -> None:
        self._do(lambda: self.people.order(name, basket, firm), name=name, basket=basket, firm=firm)

    @rule(
        which=WHICH,
        what=st.sampled_from(("comment", "name", "email", "phone", "address", "lines", "method")),
        value=VALUE,
    )
    def edit_in_the_shop(self, which: int, what: str, value: int) -> None:
        self._do(lambda: self.people.edit_order(which, what, value), which=which, what=what, value=value)

    @rule(which=WHICH, code=st.sampled_from((*SHOP_CODES, "cancel", "undo")))
    def status_in_the_shop(self, which: int, code: str) -> None:
        self._do(lambda: self.people.order_status(which, code), which=which, code=code)

    @rule(which=WHICH, share=st.sampled_from(SHARES))
    def payment_in_the_shop(self, which: int, share: str) -> None:
        self._do(lambda: self.people.pay(which, share), which=which, share=share)

    @rule(which=WHICH, rarely=RARELY)
    def refund_in_the_shop(self, which: int, rarely: int) -> None:
        self._do(lambda: rarely < 2 and self.people.refund(which), which=which)

    @rule(which=WHICH, rarely=RARELY)
    def deletion_in_the_shop(self, which: int, rarely: int) -> None:
        self._do(lambda: rarely == 1 and self.people.delete_order(which), which=which)

    @rule(name=VALUE, basket=VALUE, stage=st.sampled_from(STAGES))
    def deal_in_the_crm(self, name: int, basket: int, stage: str) -> None:
        self._do(lambda: self.people.deal(name, basket, stage), name=name, basket=basket, stage=stage)

    @rule(
        which=WHICH,
        what=st.sampled_from(("comment", "address", "method", "number", "total", "paid", "lines")),
        value=VALUE,
    )
    def edit_in_the_crm(self, which: int, what: str, value: int) -> None:
        self._do(lambda: self.people.edit_deal(which, what, value), which=which, what=what, value=value)

    @rule(which=WHICH, stage=st.sampled_from(STAGES))
    def move_in_the_crm(self, which: int, stage: str) -> None:
        self._do(lambda: self.people.move_deal(which, stage), which=which, stage=stage)

    @rule(which=WHICH, what=st.sampled_from(MEETING), value=VALUE, other=VALUE, first=st.booleans())
    def two_people_at_once(self, which: int, what: str, value: int, other: int, first: bool) -> None:
        """The same field at both ends, neither knowing of the other; of a contact only where somebody reconciles."""
        seen = self.reconciles or what not in OF_A_CONTACT
        self._do(
            lambda: seen and self.people.both(which, what, value, other, shop_first=first),
            which=which,
            what=what,
            value=value,
            other=other,
            first=first,
        )

    @rule(which=WHICH, what=st.sampled_from(OF_A_CONTACT), value=VALUE)
    def edit_of_a_contact(self, which: int, what: str, value: int) -> None:
        """A deal is not saved by it, so that only who reconciles sees it."""
        self._do(
            lambda: self.reconciles and self.people.edit_contact(which, what, value),
            which=which,
            what=what,
            value=value,
        )

    @rule(which=WHICH, rarely=RARELY)
    def deletion_in_the_crm(self, which: int, rarely: int) -> None:
        self._do(lambda: rarely == 1 and self.people.delete_deal(which), which=which)

    @rule(firm=st.integers(0, 1), card=st.booleans())
    def company_in_the_crm(self, firm: int, card: bool) -> None:
        self._do(lambda: self.people.company(firm, card=card), firm=firm, card=card)

    @rule(which=WHICH, what=st.sampled_from(("title", "phones", "emails", "full_name", "address")), value=VALUE)
    def edit_of_a_company(self, which: int, what: str, value: int) -> None:
        self._do(lambda: self.people.edit_company(which, what, value), which=which, what=what, value=value)

    @rule(rarely=RARELY)
    def merger_in_the_crm(self, rarely: int) -> None:
        self._do(lambda: rarely == 1 and self.people.merge_companies())

    @rule(basket=VALUE, firm=st.integers(0, 1))
    def order_in_the_books(self, basket: int, firm: int) -> None:
        self._do(lambda: self.people.books_order(basket, firm), basket=basket, firm=firm)

    @rule(which=WHICH, what=st.sampled_from(("comment", "address", "number", "status", "lines")), value=VALUE)
    def edit_in_the_books(self, which: int, what: str, value: int) -> None:
        self._do(lambda: self.people.edit_books_order(which, what, value), which=which, what=what, value=value)

    @rule(which=WHICH, rarely=RARELY)
    def mark_in_the_books(self, which: int, rarely: int) -> None:
        self._do(lambda: rarely == 1 and self.people.mark_books_order(which), which=which)

    @rule(which=WHICH, share=st.sampled_from(SHARES), rarely=RARELY)
    def money_in_the_books(self, which: int, share: str, rarely: int) -> None:
        back = rarely == 1
        self._do(lambda: self.people.books_payment(which, share, back=back), which=which, share=share, back=back)

    @rule(which=WHICH, rarely=RARELY)
    def unposted_in_the_books(self, which: int, rarely: int) -> None:
        self._do(lambda: rarely == 1 and self.people.unpost(which), which=which)

    @rule(which=WHICH, share=st.sampled_from(SHARES), shown=st.booleans())
    def money_is_marked_in_the_books(self, which: int, share: str, shown: bool) -> None:
        """Money for an order of the books is entered, heard of, perhaps shown, and then marked for deletion."""

        def happen() -> None:
            if self.people.books_order(which, which % 2):
                self._all_is_heard()
            key = self.people.money_of_the_books(which, share)
            if key is None:
                return
            self._all_is_heard()
            if shown:
                self.play.drain("crm", urgent=True)
            self.people.mark_money(key)
            self._all_is_heard()

        self._bus(happen, which=which, share=share, shown=shown)

    @rule(firm=st.integers(0, 1))
    def counterparty_in_the_books(self, firm: int) -> None:
        self._do(lambda: self.people.counterparty(firm), firm=firm)

    @rule(which=WHICH, what=st.sampled_from(("title", "phones", "emails", "full_name", "address")), value=VALUE)
    def edit_of_a_counterparty(self, which: int, what: str, value: int) -> None:
        self._do(lambda: self.people.edit_counterparty(which, what, value), which=which, what=what, value=value)

    @rule(rarely=RARELY)
    def merger_in_the_books(self, rarely: int) -> None:
        self._do(lambda: rarely == 1 and self.people.merge_counterparties())

    @rule(which=WHICH, amount=st.sampled_from(("open", "open", "1480.00", "500.00", "100.00")))
    def money_at_the_bank(self, which: int, amount: str) -> None:
        """The bank tells of money by an event, of an order that may not be known yet, or not exist; `open`: of all."""
        self._dies_of_it("publish.journaled", amount == "100.00")
        number = len(self.people.bank) + 1
        if amount == "open":
            amount = self.people.open_sum(str(1001 + which)) or "1480.00"
        event = parse(
            {
                "source": "bank",
                "type": "payment.changed",
                "subject": f"payment/{number}",
                "time": self._now(),
                "data": {
                    "order": {"number": str(1001 + which)},
                    "amount": {"amount": amount, "currency": "RUB"},
                    "status": "paid",
                    "external_number": f"B{number}",
                },
            }
        )
        told = {"order": str(1001 + which), "id": event.id, "accepted": False, "event": event, "at": self._now()}
        self.people.bank.append(told)

        def tell() -> None:
            self.house.bus.publisher.publish([event])
            told["accepted"] = True

        self._bus(lambda: self.play.step(tell), order=1001 + which, amount=amount)

    @rule(which=WHICH, amount=st.sampled_from(("1480.00", "600.00", "100.00")), named=st.booleans(), rarely=RARELY)
    def statement_of_the_bank(self, which: int, amount: str, named: bool, rarely: int) -> None:
        """A bank's file tells of money, with the order's number or only the payer's; or of money given back."""
        self._dies_of_it("statement.assigned", which == LAST and amount == "600.00")
        back = rarely == 1
        said = {"which": which, "amount": amount, "named": named, "back": back}
        self._bus(lambda: self.play.take(self.people.statement(which, amount, named=named, back=back)), **said)

    # ---- the post

    @rule(system=st.sampled_from(("crm", "shop")), at=st.integers(0, 9), twice=st.booleans())
    def post_comes(self, system: str, at: int, twice: bool) -> None:
        """One message, perhaps not the oldest, perhaps to come once more."""
        held = self.house.posts[system]
        if self._goes_on and held.letters:
            held.deliver(at % len(held.letters), keep=twice)
            self.tally.met("post", "doubled" if twice else "delivered" if at == 0 else "out of order")
            self._say("post_comes", system=system, at=at, twice=twice)

    @rule(at=st.integers(0, 9))
    def post_is_lost(self, at: int) -> None:
        """A webhook of the portal never comes; only who reconciles can know."""
        held = self.house.posts["crm"]
        if self._goes_on and held.letters and self.reconciles and held.lose(at % len(held.letters)):
            self.tally.met("post", "lost")
            self._say("post_is_lost")

    @rule(which=WHICH, what=st.sampled_from(("comment", "address", "name")), value=VALUE, other=VALUE)
    def messages_overtake(self, which: int, what: str, value: int, other: int) -> None:
        """The shop tells of two edits; the later message comes first and is merged before the other is there."""

        def happen() -> None:
            if not self.people.edit_order(which, what, value):
                return
            self.house.let_pass(2.0)
            self.people.edit_order(which, what, other)
            held = self.house.posts["shop"]
            while held.letters:
                before = len(held.letters)
                held.deliver(before - 1)
                self.play.publish(len(self.house.bells.published))
                if len(held.letters) == before:  # it was refused, and its sender has it still
                    break

        self._bus(happen, which=which, what=what, value=value, other=other)

    # ---- the bus

    @rule(count=st.integers(1, 4), backwards=st.booleans())
    def bells_are_heard(self, count: int, backwards: bool) -> None:
        self._bus(lambda: self.play.publish(count, backwards=backwards), count=count, backwards=backwards)

    @rule()
    def bells_are_lost(self) -> None:
        """Redis was emptied."""
        self._bus(self._empty_redis)

    @rule(system=st.sampled_from(SYSTEMS), urgent=st.booleans())
    def lane_has_its_turn(self, system: str, urgent: bool) -> None:
        self._bus(lambda: self.play.drain(system, urgent=urgent), system=system, urgent=urgent)

    @rule()
    def everybody_works(self) -> None:
        self._bus(self.play.work)

    @rule()
    def everything_settles(self) -> None:
        self._bus(lambda: [self.play.work() for _ in range(3)])

    @rule()
    def books_are_polled(self) -> None:
        self._bus(self.play.poll)

    @rule(full=RARELY)
    def bus_reconciles(self, full: int) -> None:
        if self.reconciles:
            self._bus(lambda: self.play.reconcile(full=full == 1), full=full == 1)

    @rule()
    def bus_sweeps(self) -> None:
        self._dies_of_it("sweep.claimed", self.steps % 20 == 0)
        self._bus(self.play.sweep)

    @rule()
    def deadlines_pass(self) -> None:
        self._bus(self.play.deadlines)

    @rule()
    def bus_starts_anew(self) -> None:
        self._bus(self.house.restart)

    @rule(seconds=st.sampled_from((1.0, 5.0, 61.0, 130.0, 700.0, 4000.0)))
    def time_passes(self, seconds: float) -> None:
        self._bus(lambda: self.house.let_pass(seconds), seconds=seconds)

    @rule(which=st.integers(0, len(FAULTS) - 1), after=st.integers(0, 3), count=st.integers(1, 3))
    def something_fails(self, which: int, after: int, count: int) -> None:
        if not self._goes_on:
            return
        system, fault = FAULTS[which]
        self._site(system).faults.add({**fault, "after": after, "count": count})
        self._dies_of_it("lane.linking", after == 0 and fault.get("method") == "crm.item.add")
        self.faults += 1
        self.tally.met("fault", f"{system} {fault['kind']} {fault.get('method', '')}".strip())
        self._say("something_fails", system=system, **fault, after=after, count=count)

    @rule(
        system=st.sampled_from(SYSTEMS),
        how=st.sampled_from((*UNANSWERED, ON_ITS_WAY)),
        pause=st.sampled_from((5.0, 30.0, 61.0, 130.0, 700.0)),
        name=VALUE,
        again=VALUE,
    )
    def creation_has_no_answer(self, system: str, how: str, pause: float, name: int, again: int) -> None:
        """A record is made, or is about to be, and we are not told; after a pause the lane is at it again."""
        self._dies_of_it("lane.linking", again == 1)
        self._bus(
            lambda: self._unanswered(system, how, pause, name, again),
            system=system,
            how=how,
            pause=pause,
            name=name,
            again=again,
        )

    def _unanswered(self, system: str, how: str, pause: float, name: int, again: int) -> None:
        if not self._to_create(system):
            self._something_new(system, name)
            self.play.deliver_all()
            self.play.poll()
            self.play.publish(len(self.house.bells.published))
        if how == ON_ITS_WAY:
            self.house.networks[system].delay(min(pause, 45.0))
        else:
            self._site(system).faults.add({"kind": how, "method": CREATIONS[system], "after": 0, "count": 1})
        self.faults += 1
        for turn in range(again + 1):
            if turn:
                self.house.let_pass(pause)
            self.play.drain(system, urgent=True)
            self.play.drain(system, urgent=False)
        struck = (
            self.house.networks[system].idle if how == ON_ITS_WAY else self._site(system).faults.list()[-1]["fired"]
        )
        self.tally.met("creation", f"{system} {how}", int(struck))

    def _to_create(self, system: str) -> bool:
        """Is anything due there that is not there yet?"""
        return bool(
            self.house.rows(
                """SELECT 1 FROM delivery WHERE system = %s AND state = 'due' AND NOT EXISTS (SELECT 1 FROM record
                   WHERE record.entity_id = delivery.entity_id AND record.system = delivery.system)""",
                system,
            )
        )

    def _something_new(self, system: str, name: int) -> None:
        if system == "shop":
            self.people.books_payment(name, "0.5", back=False)
        else:
            self.people.order(name, name, name if name < 2 else None)

    def _site(self, system: str) -> Any:
        return {"crm": self.house.portal, "shop": self.house.shop, "onec": self.house.base}[system]

    def fellow_hears(self, system: str, act: Callable[[], object]) -> None:
        """A person's edit comes in and is merged by the other process, in the midst of a step of the first."""
        self.house.let_pass(2.0)
        act()
        self.play.deliver_all()
        self.play.fellow_publishes()
        self.play.fellow_drains(system, urgent=False)

    @rule(point=st.sampled_from(DEATHS), times=st.integers(0, 2))
    def process_is_doomed(self, point: str, times: int) -> None:
        """The next process that comes there dies."""
        if self._goes_on:
            self.house.doom = (point, times)
            self._say("process_is_doomed", point=point, times=times)

    @rule(
        point=st.sampled_from(DEATHS),
        times=st.integers(0, 2),
        what=st.sampled_from(sorted(BETWEEN)),
        which=WHICH,
        value=VALUE,
    )
    def something_comes_between(self, point: str, times: int, what: str, which: int, value: int) -> None:
        """While the bus is there, between two statements, a person acts, or its other process has a turn."""
        if not self._goes_on or (what in _FELLOWS and point not in _FREE):
            return

        def happen() -> None:
            self.play.told.append(f"    between, at {point}: {what}({which}, {value})")
            self.tally.met("between", what)
            BETWEEN[what](self, which, value)

        self.house.between = (point, times, happen)
        self._say("something_comes_between", point=point, times=times, what=what, which=which, value=value)

    @rule()
    def line_is_added(self) -> None:
        """Somebody maps the new stage, and the workers are started anew."""
        if self._goes_on and not self.house.mapped:
            self.house.mapped = True
            self.house.restart()
            self._say("line_is_added")

    @rule(which=WHICH)
    def letter_is_retried(self, which: int) -> None:
        found = self.house.rows("SELECT id FROM dead_letter WHERE state = 'open' ORDER BY id")
        if found:
            self._dies_of_it("letter.revived", which > 0)
            one = found[which % len(found)]["id"]
            self._bus(lambda: self.play.step(lambda: self.house.bus.dead_letters.retry([one], "anna")), letter=one)

    @rule(which=WHICH, option=st.integers(0, 1))
    def conflict_is_decided(self, which: int, option: int) -> None:
        found = self._open_conflicts()
        if found:
            self._dies_of_it("conflict.closed", which > 0)
            self._bus(lambda: self._decide(found[which % len(found)], option), which=which, option=option)

    def _open_conflicts(self) -> list[dict[str, Any]]:
        return self.house.rows("SELECT id, options FROM conflict WHERE state = 'open' ORDER BY id")

    def _decide(self, row: dict[str, Any], option: int) -> None:
        take = sorted(row["options"])[option % len(row["options"])]
        self.play.step(lambda: self.house.bus.conflicts.decide(row["id"], take, "anna"))

    @rule(
        firm=st.integers(0, 1),
        value=VALUE,
        other=VALUE,
        first=st.booleans(),
        turns=st.booleans(),
        option=st.integers(-1, 1),
        again=st.sampled_from((None, "crm", "onec")),
    )
    def cards_are_disputed(
        self, firm: int, value: int, other: int, first: bool, turns: bool, option: int, again: str | None
    ) -> None:
        """Two people write a firm's address, a third decides (or not: -1), and one of the two writes it once more."""
        said = {"firm": firm, "value": value, "other": other, "first": first, "turns": turns}
        self._bus(
            lambda: self._disputed(firm, value, other, first=first, turns=turns, option=option, again=again),
            **said,
            option=option,
            again=again,
        )

    def _disputed(
        self, firm: int, value: int, other: int, *, first: bool, turns: bool, option: int, again: str | None
    ) -> None:
        if not self.people.both(0, "firm address", value, other, shop_first=first):
            self.people.company(firm, card=True)
            self.people.counterparty(firm)
            self.play.work()
            self.play.work()
            if not self.people.both(0, "firm address", value, other, shop_first=first):
                return
        self._all_is_heard()
        if turns:
            self.play.drain("crm", urgent=False)
            self.play.drain("onec", urgent=False)
        found = self._open_conflicts()
        if option >= 0 and found:
            self._dies_of_it("conflict.closed", value == LAST)
            self._decide(found[-1], option)
        if again:
            self.people.edit_disputed(again, other)
            self._all_is_heard()

    def _all_is_heard(self) -> None:
        """What the systems tell is merged; the CRM's needs a turn of its lane, which looks first and then writes."""
        self.play.deliver_all()
        self.play.poll()
        self.play.publish(len(self.house.bells.published))
        self.play.drain("crm", urgent=False)

    @rule(which=WHICH, same=st.booleans())
    def question_is_answered(self, which: int, same: bool) -> None:
        self._dies_of_it("question.answered", which == LAST)
        found = self.house.rows("SELECT * FROM question WHERE state = 'open' ORDER BY id")
        if found and (self._numbers() or found[which % len(found)]["asks"] != "order"):
            row = found[which % len(found)]
            said = {"question": row["id"], "asks": row["asks"], "same": same}
            self._bus(lambda: self.play.step(lambda: self._answer(row, same=same)), **said)

    def _dies_of_it(self, point: str, whether: bool) -> None:
        """At these points a history comes by seldom; where it does, its process is doomed every so often."""
        if whether and self._goes_on:
            self.house.doom = (point, 0)

    def _empty_redis(self) -> None:
        self.house.bells.published.clear()
        self.house.redis.flushdb()

    def _answer(self, row: dict[str, Any], *, same: bool) -> None:
        """As `bus matches decide` does."""
        asked, choices = self.house.bus.questions, row["candidates"]
        if same and row["asks"] == "order":
            asked.of_order(row["id"], next(iter(self._numbers()), "1001"), "anna")
        elif same and choices:
            asked.same(row["id"], str(choices[0].get("record") or choices[0]["entity"]), "anna")
        else:
            asked.new(row["id"], "anna")

    def _numbers(self) -> list[str]:
        """Orders that the bus knows by their numbers."""
        found = self.house.rows(
            "SELECT key FROM identity WHERE kind = 'order' AND key LIKE 'number/shop/1%%' ORDER BY key"
        )
        return [row["key"].rpartition("/")[2] for row in found]

    # ---- how it is done

    def _do(self, act: Callable[[], object], **said: object) -> None:
        if not self._goes_on:
            return
        self.broken = True  # until it has come to its end
        if act():
            self._say(_caller(), **said)
        self.broken = False

    def _bus(self, work: Callable[[], object], **said: object) -> None:
        if self._goes_on:
            self._say(_caller(), **said)
            self.broken = True
            work()
            self.broken = False

    @property
    def _goes_on(self) -> bool:
        return self.rich and self.steps < self.length

    def _say(self, rule_: str, /, **said: object) -> None:
        self.steps += 1
        self.tally.met("rule", rule_)
        at = f"{self.house.clock.passed_s:9.1f} s"
        self.play.told.append(f"{at}  {rule_}({', '.join(f'{key}={value!r}' for key, value in said.items())})")

    def _now(self) -> str:
        return self.house.bus.ledger.now().isoformat()

    # ---- the evening

    def teardown(self) -> None:
        """Everything comes to rest, and is judged."""
        try:
            if self.rich and not self.broken:
                self._evening()
        finally:
            self._chance.__exit__(None, None, None)

    def _fired(self) -> None:
        """Which of the armed faults have struck."""
        sites = {"crm": self.house.portal, "shop": self.house.shop, "onec": self.house.base}
        for system, site in sites.items():
            for fault in site.faults.list():
                self.tally.met("struck", f"{system} {fault['kind']} {fault['method'] or ''}".strip(), fault["fired"])

    def _evening(self) -> None:
        self._fired()
        self.play.rest(reconciles=self.reconciles)
        if self.lets_deadlines_pass:
            self.house.let_pass(2 * 86_400)
            if self.play.deadlines():
                self.play.rest(reconciles=self.reconciles)
        self.over = True
        for name, times in self.house.reached.items():
            if not name.startswith("killed "):
                self.tally.met("point", name, times)
        invariants.judge(self.house, self.people, self.play, self.tally, reconciles=self.reconciles)

    @property
    def edits(self) -> list[Edit]:
        """What people changed."""
        return self.people.edits


def _caller() -> str:
    import sys

    return sys._getframe(2).f_code.co_name
