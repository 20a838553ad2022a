"""Three-way merge: what one system changed, against what all agreed on, field by field.

For each field that a system says, `base` is what that system held when we last knew, `ours` the entity's value and
`theirs` the incoming one:

    theirs == base          nothing happened there                      -> skip
    theirs == ours          both came to the same                       -> new base
    it may not write it     it edited what it does not own              -> keep ours; its record becomes due
    base means ours         it changed what all agreed on               -> accept
    otherwise               both changed the field since they agreed    -> the field's policy decides

Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import combinations

from bus import requisites
from bus.model import DERIVED, UNITED, Fields, Json, Kind, OrderStatus, PaymentState, PaymentStatus, money


class Outcome(StrEnum):
    """How an event ended."""

    APPLIED = "APPLIED"
    UNCHANGED = "UNCHANGED"
    ECHO = "ECHO"
    STALE = "STALE"
    OVERRULED = "OVERRULED"
    DUPLICATE = "DUPLICATE"
    WAITING = "WAITING"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class Owner:
    """The word of these systems counts; nobody else may write the field once one of them, or a person, has said it.

    Until then, and where nobody plays that part, the later modification wins.
    """

    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Newest:
    """The later modification at its source wins; ties go by `priority`, then to what stands."""

    priority: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Priority:
    """The system that stands first in `order` wins, whatever the time."""

    order: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateMachine:
    """Only named moves are made. `reopen` names systems that may leave a closed state; ties go by `priority`.

    A state without moves is closed. `refund_moves` are open too once the order's money was given back: a paid order
    never becomes unpaid without a refund.
    """

    moves: Mapping[str, frozenset[str]]
    reopen: frozenset[str] = frozenset()
    priority: tuple[str, ...] = ()
    refund_moves: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manual:
    """A person decides. Neither value is written over the other until `sla` has passed; then `default` decides.

    At once between two records of one system: a person is asked of two systems' words.
    """

    sla: timedelta
    default: Policy


Policy = Owner | Newest | Priority | StateMachine | Manual
Rules = Mapping[str, Policy]


@dataclass(frozen=True, slots=True)
class Said:
    """When and by whom a value was said: the version of one field."""

    at: datetime
    source: str
    event: str


@dataclass(slots=True)
class Entity:
    """The agreed state, as the merge sees and changes it."""

    kind: Kind
    fields: Fields
    said: dict[str, Said]
    frozen: dict[str, Fields] = field(default_factory=dict)
    """Fields with an open conflict, and what each source says of them: left as they are, and out of deliveries, until
    a person decides."""


@dataclass(slots=True)
class Record:
    """One system's record: what it held when we last knew."""

    base: Fields
    version: int | None = None
    ours: bool = False
    """The base came of our own write: the next event that says the same is its echo."""
    promised: Fields = field(default_factory=dict)
    """What a creation of ours was to say whose answer was lost: what arrived of it is our own word, not news.

    What the record says instead somebody changed who saw that word there."""
    telling: Fields = field(default_factory=dict)
    """What an update of ours was to say whose answer is not in: the same."""
    superseded: Sequence[Fields] = ()
    """What updates of ours before that were to say of which no answer is in either: some of it may have stood there."""
    made: bool = False
    """A call of ours made it: it was told of its entity then, and never meets it as a stranger."""

    def held(self, name: str) -> Json:
        """The field as it stood there when we last knew: as it last said, or as our creation of it was to say."""
        return self.base[name] if name in self.base else self.promised.get(name)


@dataclass(frozen=True, slots=True)
class Incoming:
    """What one event says of one record."""

    source: str
    event: str
    at: datetime
    fields: Fields
    version: int | None = None
    former: Mapping[str, Json] = field(default_factory=dict)
    """What of it the record had said, by its system's own account, until a write of ours."""
    former_at: datetime | None = None
    """When that was said."""
    final: bool = False
    """The record was read when no write of ours that has no answer could take effect there any more."""
    creates: bool = True
    updates: bool = True
    """Whether the route lets this system's word create and change (bus.config.Mode)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field's story in one merge, for the history: accepted or overruled, from what to what, by which rule."""

    field: str
    old: Json
    new: Json
    rule: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class Dispute:
    """Two values for one field that a manual policy leaves to a person."""

    field: str
    ours: Json
    theirs: Json
    policy: Manual


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of one event."""

    outcome: Outcome
    changes: tuple[Change, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    agreed: tuple[str, ...] = ()
    """Frozen fields of which all say what stands now, this system the last: nothing is left to ask."""
    owned: tuple[str, ...] = ()
    """Fields that stay as they are, and are their owner's word now."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A policy's answer: take theirs, keep ours, or (None) ask a person."""

    accept: bool | None
    rule: str


Means = Callable[[str, Json, Json], bool]
"""Of a field: whether a record that says the first value means the second (a stage, rows that keep no product)."""


def same(field: str, said: Json, wanted: Json) -> bool:
    """Whether a record's word is the wanted one, where it has no words of its own."""
    del field
    return bool(said == wanted)


def merge(entity: Entity, record: Record, incoming: Incoming, rules: Rules, means: Means = same) -> Merged:
    """Merge one event into `entity` and `record`, which are changed in place.

    `means`: what the record's own words mean. Rows of goods called by 1C's keys are no change of the shop's rows.
    An event that says nothing newer than what its own system said already is STALE and changes nothing.
    """
    late = record.version is not None and incoming.version is not None and incoming.version < record.version
    news = {name: value for name, value in incoming.fields.items() if not _stale(entity, record, name, incoming, late)}
    if not news and (late or incoming.fields):
        return Merged(Outcome.STALE)
    changes: list[Change] = []
    disputes: list[Dispute] = []
    agreed: list[str] = []
    owned: dict[str, Said] = {}
    allowed = incoming.updates if entity.said else incoming.creates
    word = Said(incoming.at, incoming.source, incoming.event)
    for name in sorted(news.keys() - DERIVED[entity.kind]):
        one = _news(record, name, incoming, word, means)
        if one is None:
            continue
        ours = entity.fields.get(name)
        met = one.unknown and not record.made and bool(ours and one.value) and name in UNITED[entity.kind]
        theirs = together(ours, one.value) if met else one.value
        if theirs == ours or (one.first and _is_nothing(theirs, over=ours)):
            if name in entity.frozen and theirs == ours:
                asked = _is_asked(entity, name, incoming.source)
                agreed += [] if asked else [name]
                disputes += [Dispute(name, ours, theirs, _manual(rules[name]))] if asked else []
            owned |= {name: one.said} if theirs == ours and _owns(rules[name], entity, name, one.said) else {}
            continue
        alone = not one.unknown and means(name, one.base, ours)
        verdict = _heard(entity, name, ours, theirs, one.said, rules[name], alone, met, allowed)
        if verdict.accept is None:
            disputes.append(Dispute(name, ours, theirs, _manual(rules[name])))
            continue
        if verdict.accept:
            entity.fields[name] = theirs
            entity.said[name] = one.said
        changes.append(Change(name, ours, theirs, verdict.rule + one.note, verdict.accept))
    entity.said |= owned
    if incoming.version is not None:
        record.version = max(incoming.version, record.version or 0)
    outcome = _outcome(changes, disputes, echo=record.ours)
    if outcome is not Outcome.ECHO:
        record.ours = False
    return Merged(outcome, tuple(changes), tuple(disputes), tuple(agreed), tuple(owned))


@dataclass(frozen=True, slots=True)
class _News:
    """One field of an event that is news: what was said, when, and over what."""

    value: Json
    said: Said
    base: Json
    first: bool
    """Its record had not said the field."""
    unknown: bool
    """Nor had a creation of ours."""
    note: str = ""


def _news(record: Record, name: str, incoming: Incoming, word: Said, means: Means) -> _News | None:
    """Note what the record says of the field now; None where that is no news."""
    theirs, base, first = incoming.fields[name], record.held(name), name not in record.base
    unknown = first and name not in record.promised
    record.base[name] = theirs
    if _over(record, name, theirs, base, incoming, means):
        del record.telling[name]
    if not _no_news(record, name, theirs, base, first, means):
        return _News(theirs, word, base, first, unknown)
    if not _written_over(record, name, theirs, base, incoming):
        return None
    said = replace(word, at=incoming.former_at or word.at)
    return _News(incoming.former[name], said, base, first, unknown, "; our own write had replaced it")


def _is_nothing(value: Json, *, over: Json) -> bool:
    """Of a first word: a record that never had anything of it takes nothing away. Goods may just not be there yet."""
    return value is None or bool(over and value == [])


def _is_asked(entity: Entity, name: str, source: str) -> bool:
    """Does anybody but `source` say of a frozen field what does not stand? Its question is open then, as before."""
    stands = entity.fields.get(name)
    return any(said != stands for other, said in entity.frozen.get(name, {}).items() if other != source)


def _owns(policy: Policy, entity: Entity, name: str, word: Said) -> bool:
    """Does the field's owner say for the first time what others have said? It is his word from now on."""
    said = entity.said.get(name)
    if not isinstance(policy, Owner) or said is None:
        return False
    return word.source in policy.systems and said.source not in policy.systems


def _heard(
    entity: Entity,
    name: str,
    ours: Json,
    theirs: Json,
    word: Said,
    policy: Policy,
    alone: bool,
    met: bool,
    allowed: bool,
) -> Verdict:
    """The verdict on one field. `met`: two lists meet for the first time, and both are kept."""
    if not allowed:
        return Verdict(accept=False, rule="route: this direction is switched off")
    if met:
        return Verdict(accept=True, rule="both, as they first met")
    return _verdict(entity, name, ours, theirs, word, policy, alone)


def together(ours: Json, theirs: Json) -> list[Json]:
    """Both lists, ours first, each item once."""
    return [*ours, *(one for one in theirs if one not in ours)]


def _no_news(record: Record, name: str, theirs: Json, base: Json, first_word: bool, means: Means) -> bool:
    """Nothing happened there: it says what it said before, or our own word whose answer is not in, be it in its own."""
    if name in record.telling and means(name, theirs, record.telling[name]):
        return True
    if first_word:
        return name in record.promised and means(name, theirs, base)
    return bool(theirs == base)


def _over(record: Record, name: str, theirs: Json, base: Json, incoming: Incoming, means: Means) -> bool:
    """Is what we told without an answer over? Said by the record from now on, it is news.

    It stood there and somebody changed it; or it does not stand there, and cannot arrive any more.
    """
    if name not in record.telling or means(name, theirs, record.telling[name]):
        return False
    later = incoming.version is None or record.version is None or incoming.version > record.version
    return later and (incoming.final or means(name, base, record.telling[name]))


def _written_over(record: Record, name: str, theirs: Json, base: Json, incoming: Incoming) -> bool:
    """Did a write of ours whose answer was lost replace what a person had said since we last knew?

    It is heard as if it had been read in between, once: from now on our word is what we know of the record.
    """
    if name not in record.telling or name not in incoming.former or theirs == base:
        return False
    before = incoming.former[name]
    ours = any(name in one and one[name] == before for one in record.superseded)
    return before not in (base, theirs) and not ours


def _stale(entity: Entity, record: Record, name: str, incoming: Incoming, late: bool) -> bool:
    """Is this field old news?

    By its version: a late event may still say what its record never said (partial events may overtake each other).
    Without a version, by its time: the record's own later word on the field stands.
    """
    if late:
        return name in record.base
    word = entity.said.get(name)
    ours = word is not None and word.source == incoming.source and name in record.base
    return incoming.version is None and ours and word is not None and incoming.at < word.at


def _outcome(changes: list[Change], disputes: list[Dispute], *, echo: bool) -> Outcome:
    if disputes or any(change.accepted for change in changes):
        return Outcome.APPLIED
    if changes:
        return Outcome.OVERRULED
    return Outcome.ECHO if echo else Outcome.UNCHANGED


def _manual(policy: Policy) -> Manual:
    return policy if isinstance(policy, Manual) else Manual(timedelta(0), policy)


def _verdict(
    entity: Entity, name: str, ours: Json, theirs: Json, their_word: Said, policy: Policy, alone: bool
) -> Verdict:
    """`alone`: only this system changed the field since all agreed."""
    if name in entity.frozen:
        return Verdict(accept=None, rule="manual")
    if name not in entity.said:
        return Verdict(accept=True, rule="first word")
    refunded = entity.fields.get("payment_status") == PaymentStatus.REFUNDED
    return decide(policy, ours, theirs, entity.said[name], their_word, alone, refunded)


def decide(  # noqa: PLR0911 - one answer per policy
    policy: Policy, ours: Json, theirs: Json, our_word: Said, their_word: Said, alone: bool, refunded: bool = False
) -> Verdict:
    """Apply one policy to one field."""
    match policy:
        case Owner(systems) if systems and (our_word.source in (*systems, "bus") or their_word.source in systems):
            return _owned(systems, our_word, their_word)
        case StateMachine():
            return _move(policy, str(ours), str(theirs), our_word, their_word, alone, refunded)
        case _ if alone:
            return Verdict(accept=True, rule="changed there only")
        case Newest(priority):
            return _newest(priority, our_word, their_word)
        case Owner():
            return _newest((), our_word, their_word)
        case Priority(order):
            return Verdict(accept=_before(their_word, our_word, order), rule=f"priority {' > '.join(order)}")
        case Manual(default=default) if our_word.source == their_word.source:
            return decide(default, ours, theirs, our_word, their_word, alone, refunded)
        case Manual():
            return Verdict(accept=None, rule="manual")


def _owned(systems: tuple[str, ...], our_word: Said, their_word: Said) -> Verdict:
    """Between two owners the later word counts."""
    both = our_word.source in systems and their_word.source in systems
    accept = their_word.at >= our_word.at if both else their_word.source in systems
    return Verdict(accept=accept, rule=f"owner {', '.join(systems)}")


def _newest(priority: tuple[str, ...], our_word: Said, their_word: Said) -> Verdict:
    if their_word.at != our_word.at:
        return Verdict(accept=their_word.at > our_word.at, rule="newest")
    return Verdict(accept=_before(their_word, our_word, priority), rule="newest: same time, by priority")


def _before(their_word: Said, our_word: Said, order: tuple[str, ...]) -> bool:
    """The same system's later word replaces its own; otherwise the one that stands earlier in `order`."""
    if their_word.source == our_word.source:
        return their_word.at >= our_word.at
    rank = {system: at for at, system in enumerate(order)}
    last = len(order)
    return rank.get(their_word.source, last) < rank.get(our_word.source, last)


def _move(
    machine: StateMachine, ours: str, theirs: str, our_word: Said, their_word: Said, alone: bool, refunded: bool
) -> Verdict:
    forth = _allowed(machine, ours, theirs, their_word.source, refunded)
    if alone:
        return Verdict(accept=forth, rule=f"state machine: {ours} to {theirs}" + ("" if forth else " is not allowed"))
    back = _allowed(machine, theirs, ours, our_word.source, refunded)
    if forth != back:
        return Verdict(accept=forth, rule=f"state machine: both changed, {theirs if forth else ours} is further")
    first = _before(their_word, our_word, machine.priority)
    return Verdict(accept=first and forth, rule="state machine: both changed, by priority")


def _allowed(machine: StateMachine, old: str, new: str, system: str, refunded: bool) -> bool:
    moves = machine.moves.get(old, frozenset())
    if refunded:
        moves |= machine.refund_moves.get(old, frozenset())
    return new in moves or (not moves and system in machine.reopen and new in machine.moves)


def settle(entity: Entity, payments: Iterable[Fields], *, event: str, at: datetime) -> list[Change]:
    """Derive an order's paid total and payment status from its payments; paid in full moves a young order to paid.

    Level-triggered: the same payments always give the same answer, whenever it is asked. Money in another currency than
    the order's does not count: nobody told us a rate; an order without a total has the first of theirs, by its code.
    That the books call the order settled counts as its total, by whatever payments they know; what was given back
    counts against it.
    """
    all_of_them = list(payments)
    paid_ones, marked = _amounts(all_of_them, PaymentState.PAID), _amounts(all_of_them, PaymentState.REFUNDED)
    given = _given_back(marked, _amounts(all_of_them, PaymentState.REFUND))
    total = entity.fields.get("total")
    known = [total] if total else [amount for amount in [*paid_ones, *marked] if amount]
    currency = min((amount["currency"] for amount in known), default=None)
    received = _sum([*paid_ones, *marked], currency)
    if entity.fields.get("settled"):
        received = max(received, money(total))
    paid, returned = max(received - _sum(given, currency), Decimal(0)), bool(given)
    derived: Fields = {"payment_status": _payment_status(paid, money(total), returned).value}
    if currency:
        derived["paid_total"] = {"amount": f"{paid:.2f}", "currency": currency}
    word = Said(at, "bus", event)
    changes = [_derive(entity, name, value, "sum of payments", word) for name, value in sorted(derived.items())]
    young = entity.fields.get("status") in _YOUNG and "status" not in entity.frozen
    if derived["payment_status"] == PaymentStatus.PAID and young:
        changes.append(_derive(entity, "status", OrderStatus.PAID.value, "paid in full", word))
    return [change for change in changes if change]


def doubt(entity: Entity, *, event: str) -> list[Change]:
    """Derive what speaks against a counterparty's requisites: they are kept as they were written, and told of."""
    doubts = requisites.doubts(entity.fields) or None
    if doubts is None and "doubts" not in entity.fields:
        return []
    at = max((word.at for word in entity.said.values()), default=_NEVER)
    change = _derive(entity, "doubts", doubts, "checks of requisites", Said(at, "bus", event))
    return [change] if change else []


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def _amounts(payments: Iterable[Fields], state: PaymentState) -> list[Json]:
    return [one["amount"] for one in payments if one.get("status") == state and one.get("amount")]


def _given_back(marked: Sequence[Json], refunds: Sequence[Json]) -> list[Json]:
    """What went back: what a shop marked as returned, and what the books gave back by documents of their own.

    Of the same sum both tell of one return, and of several returns one document that comes to their sum: all money
    stands in the books once, the shop's among it. In whatever order they are told, the answer is the same.
    """
    told, alone = list(marked), []
    for amount in refunds:
        if amount in told:
            told.remove(amount)
        else:
            alone.append(amount)
    for amount in sorted(alone, key=money, reverse=True):
        for part in _making_up(amount, told):
            told.remove(part)
    return [*told, *refunds]


def _making_up(whole: Json, parts: Iterable[Json]) -> tuple[Json, ...]:
    """Those of `parts` that together come to `whole`, as few as do; nothing where none do."""
    currency = whole["currency"]
    known = sorted((one for one in parts if one["currency"] == currency), key=money, reverse=True)[:_PARTS]
    some = (few for size in range(2, len(known) + 1) for few in combinations(known, size))
    return next((few for few in some if _sum(few, currency) == money(whole)), ())


_PARTS = 12
"""Of so many, the largest, it is asked which come to a sum: there are as many ways as two to the power of that."""


def _sum(amounts: Iterable[Json], currency: str | None) -> Decimal:
    return sum((money(amount) for amount in amounts if amount and amount["currency"] == currency), Decimal(0))


_YOUNG = (OrderStatus.NEW.value, OrderStatus.ACCEPTED.value)


def _payment_status(paid: Decimal, total: Decimal, returned: bool) -> PaymentStatus:
    if paid > 0:
        return PaymentStatus.PAID if 0 < total <= paid else PaymentStatus.PARTIAL
    return PaymentStatus.REFUNDED if returned else PaymentStatus.UNPAID


def _derive(entity: Entity, name: str, value: Json, rule: str, word: Said) -> Change | None:
    old = entity.fields.get(name)
    if old == value:
        return None
    entity.fields[name] = value
    entity.said[name] = word
    return Change(name, old, value, rule, accepted=True)


def unite(kept: Entity, lost: Entity, rules: Rules) -> Merged:
    """Fold one entity into another that turned out to be the same; the policies decide where both spoke.

    No base is shared, so every difference counts as changed on both sides. A person decides as when they meet.
    """
    changes: list[Change] = []
    disputes: list[Dispute] = []
    for name, theirs in sorted(lost.fields.items()):
        ours, word = kept.fields.get(name), lost.said.get(name)
        if name in DERIVED[kept.kind] or word is None:
            continue
        if theirs == ours:
            kept.said |= {name: word} if _owns(rules[name], kept, name, word) else {}
            continue
        if ours and theirs and name in UNITED[kept.kind]:
            theirs = together(ours, theirs)  # noqa: PLW2901 - as in `merge`
            verdict = Verdict(accept=theirs != ours, rule="both, as they first met")
        elif name in kept.said:
            verdict = _one_of(kept, lost, name, rules[name])
        else:
            verdict = Verdict(accept=theirs is not None, rule="first word")
        if verdict.accept is None:
            disputes.append(Dispute(name, ours, theirs, _manual(rules[name])))
            continue
        if verdict.accept:
            kept.fields[name], kept.said[name] = theirs, word
        changes.append(Change(name, ours, theirs, f"one entity: {verdict.rule}", verdict.accept))
    return Merged(_outcome(changes, disputes, echo=False), tuple(changes), tuple(disputes))


def _one_of(kept: Entity, lost: Entity, name: str, policy: Policy) -> Verdict:
    """Which of two values stands that two entities have which are one. What a person is asked already he decides.

    A person is asked of two systems' words: of one system's the default takes one, and an empty value is no word.
    """
    ours, theirs = kept.said[name], lost.said[name]
    asked = name in kept.frozen or name in lost.frozen
    if isinstance(policy, Manual) or asked:
        if lost.fields[name] is None or (kept.fields.get(name) is None and not asked):
            return Verdict(accept=lost.fields[name] is not None, rule="only one says it")
        if asked or ours.source != theirs.source:
            return Verdict(accept=None, rule="manual")
    default = policy.default if isinstance(policy, Manual) else policy
    return decide(default, kept.fields.get(name), lost.fields[name], ours, theirs, alone=False)


def due(entity: Entity, base: Fields, carried: frozenset[str], means: Means = same) -> Fields:
    """What a record should say and does not: the difference that a delivery writes; empty when nothing is due.

    A frozen field is left out; "never said" and "empty" are the same to a record that has neither.
    """
    return {name: entity.fields[name] for name in sorted(carried) if _due(entity, base, name, means)}


def differs(entity: Entity, base: Fields, carried: frozenset[str], means: Means = same) -> bool:
    """Would `due` answer anything? Asked of every system after every event."""
    return any(_due(entity, base, name, means) for name in carried)


def _due(entity: Entity, base: Fields, name: str, means: Means) -> bool:
    if name not in entity.fields:
        return False
    wanted, said = entity.fields[name], base.get(name)
    return bool(wanted != said and name not in entity.frozen and not (name in base and means(name, said, wanted)))
