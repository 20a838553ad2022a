"""Laws of the merge: repeats cost nothing, order does not matter where nothing conflicts, and quiet means the same."""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bus.merge import (
    Entity,
    Incoming,
    Newest,
    Outcome,
    Owner,
    Policy,
    Priority,
    Record,
    Rules,
    Said,
    StateMachine,
    due,
    merge,
    settle,
)
from bus.observe import differences

NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
SYSTEMS = ("shop", "crm", "onec")
MOVES = {
    "new": ("accepted", "paid", "completed", "cancelled"),
    "accepted": ("paid", "completed", "cancelled"),
    "paid": ("completed", "cancelled"),
    "completed": (),
    "cancelled": (),
}
RULES: dict[str, Policy] = {
    "comment": Newest(("crm", "shop")),
    "delivery.address": Newest(),
    "number": Owner(("shop",)),
    "total": Priority(("onec", "shop")),
    "status": StateMachine(
        {old: frozenset(new) for old, new in MOVES.items()},
        reopen=frozenset({"crm"}),
        priority=("shop", "crm", "onec"),
        refund_moves={"paid": frozenset({"new", "accepted"})},
    ),
}
VALUES = {name: st.sampled_from(["a", "b", "c", None]) for name in RULES} | {"status": st.sampled_from(sorted(MOVES))}
FIELDS = st.fixed_dictionaries({}, optional=VALUES)
law = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def incoming(source: str, minute: int, fields: dict, version: int | None = None) -> Incoming:
    return Incoming(source, f"{source}-{minute}", NOON + timedelta(minutes=minute), fields, version)


@st.composite
def states(draw: st.DrawFn) -> Entity:
    fields = draw(FIELDS)
    said = {name: Said(NOON, draw(st.sampled_from(SYSTEMS)), "e") for name in fields}
    return Entity("order", fields, said)


events = st.builds(incoming, st.sampled_from(SYSTEMS), st.integers(-5, 5), FIELDS, st.none() | st.integers(1, 9))


@law
@given(states(), FIELDS, st.none() | st.integers(1, 9), events)
def test_merging_the_same_event_twice_is_merging_it_once(
    entity: Entity, base: dict, version: int | None, event: Incoming
) -> None:
    record = Record(base, version)
    merge(entity, record, event, RULES)
    once = deepcopy((entity, record))
    again = merge(entity, record, event, RULES)
    assert (entity, record) == once
    assert again.outcome in (Outcome.UNCHANGED, Outcome.STALE)
    assert again.changes == ()


@law
@given(states(), FIELDS, events)
def test_an_event_touches_nothing_that_it_does_not_say(entity: Entity, base: dict, event: Incoming) -> None:
    before, record = deepcopy(entity), Record(dict(base))
    merge(entity, record, event, RULES)
    for name in RULES.keys() - event.fields.keys():
        assert entity.fields.get(name) == before.fields.get(name)
        assert record.base.get(name) == base.get(name)


@law
@given(states(), FIELDS, events)
def test_what_a_record_does_not_say_afterwards_is_due_to_it(entity: Entity, base: dict, event: Incoming) -> None:
    record = Record({name: value for name, value in base.items() if name in entity.fields})
    merge(entity, record, event, RULES)
    wanted = due(entity, record.base, frozenset(RULES))
    for name, value in event.fields.items():
        stands = entity.fields.get(name)
        assert stands in (value, wanted.get(name)) or record.base.get(name) == stands


@law
@given(states(), st.permutations(range(3)), st.tuples(FIELDS, FIELDS, FIELDS))
def test_the_order_of_events_does_not_matter_where_they_do_not_conflict(
    entity: Entity, order: list[int], said: tuple[dict, dict, dict]
) -> None:
    """Each system speaks of fields of its own."""
    names = sorted(RULES)
    parts = [{name: one[name] for name in names[at::3] if name in one} for at, one in enumerate(said)]
    some = [incoming(SYSTEMS[at], at, part, 2) for at, part in enumerate(parts)]
    results = []
    for sequence in (range(3), order):
        copy = deepcopy(entity)
        records = [Record(dict(entity.fields), 1) for _ in SYSTEMS]
        for at in sequence:
            merge(copy, records[at], some[at], RULES)
        results.append((copy, records))
    assert results[0] == results[1]


@law
@given(states(), FIELDS, st.lists(events, max_size=6), st.integers(0, 5))
def test_what_is_stale_changes_nothing_when_it_is_played_again(
    entity: Entity, base: dict, some: list[Incoming], back: int
) -> None:
    record = Record(dict(base))
    one_system = [
        Incoming("crm", f"e{at}", NOON + timedelta(minutes=at), event.fields, at + 1) for at, event in enumerate(some)
    ]
    for event in one_system:
        merge(entity, record, event, RULES)
    before = deepcopy(entity)
    for event in one_system[:-1][-back:]:
        assert merge(entity, record, event, RULES).outcome is Outcome.STALE
    assert entity == before


#: settle comes after every merge, as the pipeline does it
STEPS = st.lists(
    st.tuples(st.sampled_from(SYSTEMS), st.sampled_from(sorted(MOVES))) | st.sampled_from(["pay", "part"]),
    max_size=12,
)


@law
@given(STEPS)
def test_a_paid_order_is_never_new_or_accepted_again_without_a_refund(steps: list) -> None:
    rub = {"amount": "100.00", "currency": "RUB"}
    entity = Entity("order", {"total": rub, "status": "new"}, {"status": Said(NOON, "shop", "0")})
    records = {system: Record({"status": "new"}) for system in SYSTEMS}
    payments: list[dict] = []
    was_paid = False
    for at, step in enumerate(steps):
        if isinstance(step, str):
            payments.append({"amount": rub if step == "pay" else rub | {"amount": "1.00"}, "status": "paid"})
        else:
            merge(entity, records[step[0]], incoming(step[0], at, {"status": step[1]}), RULES)
        settle(entity, payments, event=str(at), at=NOON)
        was_paid |= entity.fields["payment_status"] == "paid"
        assert not (was_paid and entity.fields["status"] in ("new", "accepted"))


def test_a_refund_opens_the_way_back() -> None:
    rub = {"amount": "100.00", "currency": "RUB"}
    entity = Entity("order", {"total": rub, "status": "new"}, {"status": Said(NOON, "shop", "0")})
    settle(entity, [{"amount": rub, "status": "paid"}], event="1", at=NOON)
    record = Record({"status": "paid"})
    settle(entity, [{"amount": rub, "status": "refunded"}], event="2", at=NOON)
    merge(entity, record, incoming("crm", 9, {"status": "accepted"}), RULES)
    assert entity.fields["status"] == "accepted"


# --- a small world: systems with records, people who edit, messages that are late, doubled or lost, and a lane each ---


@dataclass
class Side:
    """One system with its record, and what the bus last knew of it."""

    name: str
    carried: frozenset[str]
    fields: dict
    version: int = 1
    at: int = 0
    known: Record = field(default_factory=lambda: Record({}))
    counts: bool = True
    """It counts its changes and dates them; 1C does neither: its time is when we looked."""

    def tells(self, now: int) -> Incoming:
        said = dict(self.fields)
        return incoming(self.name, self.at, said, self.version) if self.counts else incoming(self.name, now, said)


@dataclass
class Bus:
    """The agreed state, the messages on their way, and every one there ever was."""

    sides: list[Side]
    reads: bool
    entity: Entity = field(default_factory=lambda: Entity("order", {}, {}))
    rules: Rules = field(default_factory=lambda: RULES)
    on_their_way: list[Incoming] = field(default_factory=list)
    ever: list[Incoming] = field(default_factory=list)
    clock: int = 0
    writes: int = 0

    def tell(self, side: Side) -> None:
        self.on_their_way.append(side.tells(self.clock))
        self.ever.append(side.tells(self.clock))

    def edit(self, side: Side, name: str, value: object) -> None:
        self.clock += 1
        if name in side.carried and side.fields.get(name) != value:
            side.fields[name], side.version, side.at = value, side.version + 1, self.clock
            self.tell(side)

    def hear(self, event: Incoming) -> None:
        record = next(side.known for side in self.sides if side.name == event.source)
        merge(self.entity, record, event, self.rules)

    def lane(self, side: Side) -> bool:
        """As bus.sending does it: read (or not), a surprise becomes an event first, then the difference is written."""
        surprised = self.reads and bool(differences(side.fields, side.known.base))
        if surprised:
            self.hear(side.tells(self.clock))
        wanted = due(self.entity, side.known.base, side.carried)
        if not wanted:
            return surprised
        self.writes += 1
        self.clock += 1
        side.fields |= wanted
        side.version, side.at = side.version + 1, self.clock
        side.known.base |= wanted
        side.known.version, side.known.ours = side.version, True
        self.tell(side)
        return True

    def rest(self, rng: Random) -> None:
        """Until nothing is on its way and nothing due; what was lost is found by reconciling."""
        for _ in range(60):
            while self.on_their_way:
                self.hear(self.on_their_way.pop(rng.randrange(len(self.on_their_way))))
            moved = [self.lane(side) for side in self.sides]
            if not any(moved):
                for side in self.sides:
                    if differences(side.fields, side.known.base):
                        self.tell(side)
                if not self.on_their_way:
                    return
        raise AssertionError("no rest: they keep answering each other")


SIDES = st.tuples(
    st.just(frozenset(RULES)),
    st.sampled_from([frozenset(RULES), frozenset({"status", "comment", "total"})]),
    st.sampled_from([frozenset(RULES), frozenset({"status", "number"}), frozenset({"comment", "total"})]),
)
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.integers(0, 2), st.sampled_from(sorted(RULES)), st.integers(0, 3)),
        st.tuples(st.just("hear"), st.integers(0, 99), st.booleans(), st.just(0)),
        st.tuples(st.just("lose"), st.integers(0, 99), st.just(""), st.just(0)),
        st.tuples(st.just("lane"), st.integers(0, 2), st.just(""), st.just(0)),
        st.tuples(st.just("repeat"), st.integers(0, 99), st.just(""), st.just(0)),
    ),
    max_size=30,
)


def value(name: str, at: int) -> str | None:
    return sorted(MOVES)[at] if name == "status" else ["a", "b", "c", None][at]


def play(bus: Bus, acts: list) -> int:
    edits = 0
    for what, which, name, at in acts:
        if what == "edit":
            bus.edit(bus.sides[which], name, value(name, at))
            edits += 1
        elif what == "lane":
            bus.lane(bus.sides[which])
        elif what == "repeat" and bus.ever:
            bus.hear(bus.ever[which % len(bus.ever)])
        elif what == "lose" and bus.on_their_way:
            bus.on_their_way.pop(which % len(bus.on_their_way))
        elif what == "hear" and bus.on_their_way:
            event = bus.on_their_way.pop(which % len(bus.on_their_way))
            bus.hear(event)
            if name:
                bus.hear(event)
    return edits


def started(carried: tuple, reads: bool) -> Bus:
    first = {"status": "new", "comment": "a", "number": "1", "total": "a"}
    sides = [
        Side(name, fields, {key: item for key, item in first.items() if key in fields}, counts=name != "onec")
        for name, fields in zip(SYSTEMS, carried, strict=True)
    ]
    bus = Bus(sides, reads)
    for side in bus.sides:
        bus.tell(side)
    return bus


@law
@given(SIDES, ACTS, st.booleans(), st.integers(0, 9))
def test_when_all_is_quiet_all_say_the_same(carried: tuple, acts: list, reads: bool, seed: int) -> None:
    bus = started(carried, reads)
    edits = play(bus, acts)
    bus.rest(Random(seed))
    for side in bus.sides:
        for name in side.carried:
            assert side.fields.get(name) == bus.entity.fields.get(name), f"{side.name} {name}"
    assert bus.writes <= (edits + len(bus.sides)) * len(bus.sides)


@law
@given(SIDES, ACTS, st.integers(0, 9))
def test_what_is_quiet_stays_quiet_however_much_is_said_again(carried: tuple, acts: list, seed: int) -> None:
    bus = started(carried, reads=True)
    play(bus, acts)
    bus.rest(Random(seed))
    before, writes = deepcopy(bus.entity), bus.writes
    again = [event for event in bus.ever if event.version is not None]  # without one, the journal knows it by its id
    for event in Random(seed).sample(again, len(again)):
        bus.hear(event)
    assert not any(bus.lane(side) for side in bus.sides)
    assert (bus.entity, bus.writes) == (before, writes)


@law
@given(SIDES, ACTS, st.integers(0, 9))
def test_a_frozen_field_is_left_as_it_is_on_every_side(carried: tuple, acts: list, seed: int) -> None:
    bus = started(carried, reads=True)
    bus.rest(Random(seed))
    bus.entity.frozen = {"comment": {}}
    own = [side for side in bus.sides if "comment" in side.carried]
    for at, side in enumerate(own):
        bus.edit(side, "comment", f"own {at}")
    play(bus, [act for act in acts if act[2] != "comment"])
    bus.rest(Random(seed))
    assert [side.fields["comment"] for side in own] == [f"own {at}" for at in range(len(own))]
    assert bus.entity.fields["comment"] == "a"
