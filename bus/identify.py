"""Identify: which entity each event of a batch speaks of, by record, explicit reference or natural key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from bus.adopting import Adopting
from bus.config import Config
from bus.errors import BusError, Permanent
from bus.ledger import entities, questions
from bus.ledger.database import Connection, LostRace, Row
from bus.ledger.questions import NEW, Question
from bus.model import Fields, Kind, flatten
from bus.recognising import Recogniser


@dataclass(slots=True)
class Identified:
    """The answer for a batch: entities, orders that payments belong to, and what could not be identified."""

    entity: dict[int, UUID] = field(default_factory=dict)
    parent: dict[int, UUID] = field(default_factory=dict)
    waits_for: dict[int, str] = field(default_factory=dict)
    refused: dict[int, BusError] = field(default_factory=dict)
    unwanted: dict[int, str] = field(default_factory=dict)
    unite: list[set[UUID]] = field(default_factory=list)
    learnt: set[str] = field(default_factory=set)
    new: dict[UUID, Kind] = field(default_factory=dict)
    """Entities to be made: their keys are known from here on, they themselves when the path saves them."""
    asks: dict[int, Question] = field(default_factory=dict)
    """What a person is to be asked, by the event that waits for the answer."""
    heard: dict[tuple[str, str], str] = field(default_factory=dict)
    """What people had answered, by whom it was asked about."""

    def ask(self, seq: int, question: Question) -> None:
        """The event waits until somebody has answered."""
        self.asks[seq] = question
        self.waits_for[seq] = questions.key(question.system, question.subject)


def identify(connection: Connection, pending: list[Row], config: Config) -> Identified:
    """Find or make the entity of each event; several entities that one event names are to be united.

    Orders go first, so that a payment in the same batch finds its order. Raises LostRace when another transaction
    made the same thing known in the meantime.
    """
    answer = Identified()
    for kind in ("order", "counterparty", "payment"):
        batch = [row for row in pending if row["kind"] == kind]
        if batch:
            _identify_kind(connection, kind, batch, config, answer)
    if answer.waits_for:
        _look_again(connection, answer)
    return answer


def _look_again(connection: Connection, answer: Identified) -> None:
    """What is to be waited for may have become known while we looked, by one who could not see us waiting.

    Under the keys' locks either he comes later, and sees us, or he came before, and we see what he made known.
    Raises LostRace in that case.
    """
    keys = set(answer.waits_for.values())
    entities.key_locks(connection, keys)
    answered = questions.answers(connection, {(one.system, one.subject) for one in answer.asks.values()})
    if entities.find(connection, "order", keys) or not answered.items() <= answer.heard.items():
        raise LostRace


def _identify_kind(connection: Connection, kind: Kind, batch: list[Row], config: Config, answer: Identified) -> None:
    keys = _readable(batch, config, answer)
    batch = [row for row in batch if row["seq"] in keys]
    known = entities.find(connection, kind, {key for some in keys.values() for key in some})
    batch = _without_gone(batch, keys, known, answer)
    forgotten = _forgotten(connection, kind, batch, keys, known)
    parties = _recogniser(connection, batch, keys, known, forgotten, answer) if kind == "counterparty" else None
    waiting = _find_parents(connection, batch, known, keys, config, answer) if kind == "payment" else set()
    money = _adopting(connection, batch, known, keys, config, answer) if kind == "payment" else None
    groups = _Groups(known)
    questioned = _in_question(keys, known)
    names = entities.keys_of(connection, questioned) if questioned else {}
    new: set[UUID] = set()
    for row in batch:
        if row["seq"] in waiting:
            continue
        found = groups.of(keys[row["seq"]])
        if _news(keys[row["seq"]], known) and (clash := _clash(keys[row["seq"]], found, names)):
            answer.refused[row["seq"]] = _tied(row, clash)
            waiting.add(row["seq"])
            continue
        if parties is not None and _speaks(row):
            found, question = _recognised(parties, row, found, is_known=any(key in known for key in keys[row["seq"]]))
            if question is not None:
                answer.ask(row["seq"], question)
                waiting.add(row["seq"])
                continue
        order = answer.parent.get(row["seq"])
        if not found and money is not None and order is not None:
            adopted = money.adopted(order, row["source"], _said(row), forgotten=row["seq"] in forgotten)
            found = {adopted} if adopted else found
        found = found or _begun(row, config, answer, new)
        if found and money is not None and order is not None:
            money.met(order, row["source"], _said(row), min(found), forgotten=row["seq"] in forgotten)
        _join(row, keys[row["seq"]], found, groups, names, parties)
    chosen = _chosen(connection, kind, groups, new, answer)
    for row in batch:
        if row["seq"] not in answer.unwanted and row["seq"] not in waiting:
            answer.entity[row["seq"]] = chosen[groups.root(keys[row["seq"]][0])]
    fresh = {key: chosen[groups.root(key)] for key in groups.known_keys() if key not in known}
    fresh |= {entities.own_key(kind, entity): entity for entity in answer.new if answer.new[entity] == kind}
    answer.learnt |= entities.learn(connection, kind, fresh)


def _forgotten(
    connection: Connection, kind: Kind, batch: list[Row], keys: dict[int, list[str]], known: dict[str, UUID]
) -> set[int]:
    """Events of records that bear a key of ours of an entity which is not there: the ledger was restored since.

    That we made them is learnt with their keys: whoever told of them then, and comes again, is known by that.
    """
    if kind == "order":
        return set()
    bearing = [row for row in batch if row["source"] != "bus"]
    own = {row["seq"]: [key for key in keys[row["seq"]] if key.startswith(f"bus/{kind}/")] for row in bearing}
    meant = {known[key]: key for some in own.values() for key in some if key in known}
    aliased = {entity for entity, key in meant.items() if key != entities.own_key(kind, entity)}
    names = entities.keys_of(connection, aliased) if aliased else {}
    found = set()
    for row in bearing:
        told = [known[key] for key in own[row["seq"]] if key in known]
        made = any(name.startswith(_MADE) for entity in told for name in names.get(entity, ()))
        if own[row["seq"]] and (made or not told):
            found.add(row["seq"])
            keys[row["seq"]].append(f"{_MADE}{row['source']}/{row['subject']}")
    return found


_MADE = "bus/made/"
"""What the keys of records begin with that we made for entities which the ledger, restored since, does not know."""


def _join(
    row: Row,
    keys: list[str],
    found: set[UUID],
    groups: _Groups,
    names: dict[UUID, set[str]],
    parties: Recogniser | None,
) -> None:
    """These keys mean this entity from here on, for the rest of the batch too."""
    if not found:
        return
    groups.join(keys, found)
    if parties is not None and _speaks(row):
        parties.met(row, min(found))
    for entity in found:
        names.setdefault(entity, set()).update(keys)


def _tied(row: Row, clash: str) -> Permanent:
    return Permanent(
        f"{row['subject']} of {row['source']} ties together {clash}; correct what it refers to, then retry",
        cause="two orders tied together",
    )


def _adopting(
    connection: Connection,
    batch: list[Row],
    known: dict[str, UUID],
    keys: dict[int, list[str]],
    config: Config,
    answer: Identified,
) -> Adopting:
    """The payments of every order that one is told of whom no key names."""
    strange = [row["seq"] for row in batch if not any(key in known for key in keys[row["seq"]])]
    orders = {answer.parent[seq] for seq in strange if seq in answer.parent}
    return Adopting(connection, orders - answer.new.keys(), config.books)


def _said(row: Row) -> Fields:
    return flatten("payment", row["data"] or {})


def _without_gone(
    batch: list[Row], keys: dict[int, list[str]], known: dict[str, UUID], answer: Identified
) -> list[Row]:
    """All but what strange records say of which the last word is that they are deleted."""
    last = {(row["source"], row["subject"]): row["type"] for row in batch}
    gone = {record for record, type_ in last.items() if type_.endswith(".deleted")}
    left = []
    for row in batch:
        if (row["source"], row["subject"]) in gone and not any(key in known for key in keys[row["seq"]]):
            answer.unwanted[row["seq"]] = "deleted there before it was ever known here"
        else:
            left.append(row)
    return left


def _speaks(row: Row) -> bool:
    """It comes from a system and says what its record is now."""
    return row["source"] != "bus" and not row["type"].endswith(".deleted")


def _recogniser(
    connection: Connection,
    batch: list[Row],
    keys: dict[int, list[str]],
    known: dict[str, UUID],
    forgotten: set[int],
    answer: Identified,
) -> Recogniser:
    """What may tell who these counterparties are."""
    speaking = [row for row in batch if _speaks(row)]
    named = {row["seq"]: {known[key] for key in keys[row["seq"]] if key in known} for row in speaking}
    parties = Recogniser.of_batch(connection, speaking, named, forgotten)
    answer.heard |= parties.answers
    return parties


def _recognised(
    parties: Recogniser, row: Row, found: set[UUID], *, is_known: bool
) -> tuple[set[UUID], Question | None]:
    """Who a counterparty is that no key named, or whom its requisites make it one with; or what to ask."""
    if found and not is_known:  # it spoke before in this batch, and that told who it is
        return found, None
    who = parties.become(row, found) if found else parties.who(row)
    if isinstance(who, Question):
        return found, who
    return found | who if isinstance(who, set) else {who} if who else found, None


def _begun(row: Row, config: Config, answer: Identified, new: set[UUID]) -> set[UUID]:
    """A new entity for what nobody told us of before; none where that is not wanted."""
    if refusal := _no_creation(row, config):
        answer.unwanted[row["seq"]] = refusal
        return set()
    made = uuid4()
    new.add(made)
    return {made}


def _chosen(connection: Connection, kind: Kind, groups: _Groups, new: set[UUID], answer: Identified) -> dict[str, UUID]:
    """One entity for each group of keys: the eldest of those that are known, which are united, else a new one."""
    chosen = {}
    for root, group in groups.entities().items():
        old = group - new
        chosen[root] = _kept(connection, old) if old else min(group)
        if len(old) > 1:
            answer.unite.append(old)
        elif not old:
            answer.new[chosen[root]] = kind
    return chosen


def _news(keys: list[str], known: dict[str, UUID]) -> bool:
    """Do these keys say anything that the ledger does not know: a key, or that two entities are one?"""
    return len({known.get(key) for key in keys}) > 1 or keys[0] not in known


def _in_question(keys: dict[int, list[str]], known: dict[str, UUID]) -> set[UUID]:
    """Entities whose other keys have to be looked at, since an event says something new of what they are."""
    return {known[key] for some in keys.values() if _news(some, known) for key in some if key in known}


def _readable(batch: list[Row], config: Config, answer: Identified) -> dict[int, list[str]]:
    """Keys of each event. One that cannot be read is refused alone; the bus's own events name their entity by id."""
    keys = {}
    for row in batch:
        try:
            keys[row["seq"]] = [f"bus/{row['subject']}"] if row["source"] == "bus" else _keys(row, config)
            if row["kind"] != "order":
                flatten(row["kind"], row["data"] or {})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            keys.pop(row["seq"], None)
            answer.refused[row["seq"]] = Permanent(
                f"its data cannot be read: {type(error).__name__}", cause="unreadable event"
            )
    return keys


_SEVERAL = frozenset({"deal", "guid"})
"""What one thing may have several of: copied deals, and 1C's GUIDs of an order that was made anew under its number."""
_NO_PLACE = frozenset({"bus", "inn", "money", "uip"})
"""Keys that are of no system's numbering: a company may change its KPP, an order its payment code."""


def _clash(keys: list[str], found: set[UUID], names: dict[UUID, set[str]]) -> str | None:
    """Would these keys make one thing of two records of one system? Then they are two things, whatever refers to both.

    Two deals of one order are bearable (a manager copied one): the first stays the one that we write to. A record may
    change its own number, but nobody else may give it a second one. What was one before stays one.
    """
    own = keys[0]
    everything = {*keys, *(key for entity in found for key in names.get(entity, ()))}
    by_place: dict[tuple[str, str], set[str]] = {}
    for key in everything:
        system, kind, external_id = key.split("/", 2)
        if kind in _SEVERAL or system in _NO_PLACE or (system == "number" and own.startswith(f"{kind}/")):
            continue
        by_place.setdefault((system, kind), set()).add(external_id)
    clashes = [
        f"{' '.join(place)} {' and '.join(sorted(ids))}"
        for place, ids in by_place.items()
        if len(ids) > 1 and not _one_already(place, ids, (names.get(entity, set()) for entity in found))
    ]
    return "; ".join(sorted(clashes)) or None


def _one_already(place: tuple[str, str], ids: set[str], known: Iterable[set[str]]) -> bool:
    """A counterparty that was made anew, or that a person said is this one, bears two ids of one system rightly."""
    return any({"/".join([*place, one]) for one in ids} <= names for names in known)


def _keys(row: Row, config: Config) -> list[str]:
    """Every key an event gives for its entity, its own record first."""
    keys = [f"{row['source']}/{row['subject']}"]
    data = row["data"] or {}
    keys += [_ref_key(ref, config) for ref in data.get("records") or []]
    if row["kind"] == "order" and data.get("number"):
        known = config.systems.get(row["source"])
        numbering = row["source"] if known and known.kind == "bitrix_cms" else config.numbering_system
        keys.append(f"number/{numbering}/{data['number']}")
    return list(dict.fromkeys(keys))


def _ref_key(ref: dict[str, str | None], config: Config) -> str:
    if ref.get("number"):
        return f"number/{ref.get('system') or config.numbering_system}/{ref['number']}"
    return f"{ref['system']}/{ref.get('type') or 'order'}/{ref['id']}"


def _no_creation(row: Row, config: Config) -> str | None:
    if row["source"] == "bus":
        return "no such entity"
    if not config.route(row["source"], row["kind"]).inward.creates:
        return f"creating from {row['source']} is switched off"
    return None


def _find_parents(
    connection: Connection,
    batch: list[Row],
    known: dict[str, UUID],
    keys: dict[int, list[str]],
    config: Config,
    answer: Identified,
) -> set[int]:
    """The order of each payment. Returns the events that must wait for theirs (or name none at all)."""
    wanted = _named_orders(batch, config)
    orders = entities.find(connection, "order", set(wanted.values()))
    unnamed = [row for row in batch if row["seq"] not in wanted and row["source"] != "bus"]
    told = questions.answers(connection, {(row["source"], row["subject"]) for row in unnamed})
    answer.heard |= told
    held_back = set()
    for row in batch:
        seq = row["seq"]
        if seq in wanted and wanted[seq] in orders:
            answer.parent[seq] = orders[wanted[seq]]
        elif seq in wanted:  # be it known: the books may say that it is of another order than was thought
            answer.waits_for[seq] = wanted[seq]
            held_back.add(seq)
        elif any(key in known for key in keys[seq]) or row["source"] == "bus":
            continue
        else:
            held_back |= _without_order(row, told.get((row["source"], row["subject"])), config, answer)
    return held_back


def _named_orders(batch: list[Row], config: Config) -> dict[int, str]:
    """The key of the order that each event names, or that another one of its record has named."""
    named: dict[tuple[str, str], str] = {}
    wanted: dict[int, str] = {}
    for row in batch:
        record = row["source"], row["subject"]
        if order := (row["data"] or {}).get("order"):
            named[record] = _ref_key(order, config)
        if record in named and row["data"]:
            wanted[row["seq"]] = named[record]
    return wanted


def _without_order(row: Row, told: str | None, config: Config, answer: Identified) -> set[int]:
    """A payment that names no order. Returns it where it is held back.

    Of a bank's a person is asked which; the books name it when the accountant has found out; anybody else has to.
    """
    known = config.systems.get(row["source"])
    kind, seq = known.kind if known else None, row["seq"]
    if told not in (None, NEW):
        answer.parent[seq] = UUID(told)
        return set()
    if told == NEW or row["source"] in config.books:
        why = "a person said" if told == NEW else f"{row['source']} does not say yet"
        answer.unwanted[seq] = f"for no order of ours: {why}"
    elif kind == "bank":
        said = flatten("payment", row["data"] or {})
        about = {name: said[name] for name in ("amount", "paid_at", "external_number") if said.get(name)}
        answer.ask(seq, Question("order", row["source"], row["subject"], [], about))
    else:
        answer.refused[seq] = Permanent(
            "data.order is missing: a payment must name its order", cause="payment without an order"
        )
    return {seq}


def _kept(connection: Connection, old: set[UUID]) -> UUID:
    return next(iter(old)) if len(old) == 1 else entities.eldest(connection, old)


class _Groups:
    """Keys and entities that belong together, over a batch (union-find)."""

    def __init__(self, known: dict[str, UUID]) -> None:
        self._parent: dict[str, str] = {}
        self._found: dict[str, set[UUID]] = {key: {entity} for key, entity in known.items()}

    def root(self, key: str) -> str:
        while (above := self._parent.get(key, key)) != key:
            key = above
        return key

    def of(self, keys: list[str]) -> set[UUID]:
        return {entity for key in keys for entity in self._found.get(self.root(key), ())}

    def join(self, keys: list[str], found: set[UUID]) -> None:
        root = self.root(keys[0])
        for key in keys:
            other = self.root(key)
            self._parent[other] = root
            if other != root:
                found |= self._found.pop(other, set())
        self._found[root] = self._found.get(root, set()) | found
        self._parent.update((key, root) for key in keys)

    def entities(self) -> dict[str, set[UUID]]:
        """Each group's entities; groups that share one are one group, though they share no key."""
        first: dict[UUID, str] = {}
        for root in {self.root(key) for key in self._parent}:
            for entity in sorted(self._found[root]):
                if (other := first.setdefault(entity, root)) and self.root(other) != self.root(root):
                    self.join([self.root(other), self.root(root)], set())
        return {root: self._found[root] for root in {self.root(key) for key in self._parent}}

    def known_keys(self) -> list[str]:
        return list(self._parent)
