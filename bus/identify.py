"""Identify: which entity each event of a batch speaks of, by record, explicit reference or natural key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from bus.adopting import Adopting
from bus.belonging import find_orders
from bus.config import Config
from bus.errors import Permanent
from bus.groups import Groups
from bus.identified import Identified, Sought, absent, deletes, speaks
from bus.keys import apart, clash, keys_of
from bus.ledger import entities, questions, records, tombstones
from bus.ledger.database import Connection, LostRace, Row
from bus.ledger.questions import Question
from bus.ledger.tombstones import Name, Tombstone
from bus.model import Kind, PaymentState, flatten
from bus.recognising import Recogniser

_MADE = "bus/made/"
"""What the keys of records begin with that bear a key of ours before the ledger knows of them: we made them.

Be it for an entity that the ledger, restored since, does not know.
"""

_GONE = "deleted there before it was ever known here"


def identify(connection: Connection, pending: list[Row], config: Config) -> Identified:
    """Find or make the entity of each event; several entities that one event names are to be united.

    Orders go first, so that a payment in the same batch finds its order. Raises LostRace when another transaction
    made the same thing known in the meantime.
    """
    answer = Identified()
    for kind in ("order", "counterparty", "payment"):
        if rows := [row for row in pending if row["kind"] == kind]:
            _identify_kind(connection, _sought(connection, kind, rows, config, answer), config, answer)
    if answer.waits_for or answer.strange:
        _look_again(connection, answer)
    return answer


def _look_again(connection: Connection, answer: Identified) -> None:
    """What is to be waited for may have become known while we looked, by one who could not see us waiting.

    So may a record that we know only as deleted; and one that we make known may have been deleted. Under the keys'
    locks either he comes later, and sees us, or he came before, and we see what he did. Raises LostRace in that case.
    """
    keys = set(answer.waits_for.values())
    gone = [row for row in answer.strange if row["seq"] in answer.unwanted and deletes(row)]
    if locked := keys | {_own_key(row) for row in gone}:
        entities.key_locks(connection, locked)
    answered = questions.answers(connection, {(one.system, one.subject) for one in answer.asks.values()})
    if entities.find(connection, "order", keys) or not answered.items() <= answer.heard.items():
        raise LostRace
    made = [row for row in answer.strange if not deletes(row) and not answer.held_back(row["seq"])]
    if _overtaken(connection, made) or _made_known(connection, gone) - answer.learnt:
        raise LostRace


def _own_key(row: Row) -> str:
    return f"{row['source']}/{row['subject']}"


def _made_known(connection: Connection, gone: list[Row]) -> set[str]:
    """Those of these records, by their keys, that are known by now."""
    named: dict[Kind, set[str]] = {}
    for row in gone:
        named.setdefault(row["kind"], set()).add(_own_key(row))
    return {key for kind, keys in named.items() for key in entities.find(connection, kind, keys)}


def _overtaken(connection: Connection, strange: list[Row]) -> set[int]:
    """Words of these from before their records were deleted, as the ledger knows or one of these tells."""
    stones = _stones(connection, strange)
    return {row["seq"] for row in strange if _over(row, stones)}


def _over(row: Row, stones: Mapping[Name, Tombstone]) -> bool:
    stone = None if deletes(row) else stones.get(tombstones.name(row))
    return stone is not None and stone.covers(row)


def _stones(connection: Connection, strange: list[Row]) -> dict[Name, Tombstone]:
    """What was looked for in vain and never known leaves no tombstone, and so overtakes nothing."""
    words = [row for row in strange if not deletes(row)]
    stones = tombstones.of(connection, {tombstones.name(row) for row in words})
    for row in strange:
        if deletes(row) and not absent(row):
            record = tombstones.name(row)
            stones[record] = Tombstone.of(row).or_later(stones.get(record))
    return stones


def _sought(connection: Connection, kind: Kind, rows: list[Row], config: Config, answer: Identified) -> Sought:
    """What can be read, without what strange records said before they were deleted."""
    keys = _readable(rows, config, answer)
    readable = [row for row in rows if row["seq"] in keys]
    known = entities.find(connection, kind, {key for some in keys.values() for key in some})
    strange = [row for row in readable if row["source"] != "bus" and _own_key(row) not in known]
    stones = _stones(connection, strange)
    over = {row["seq"] for row in strange if _over(row, stones)}
    alive = {tombstones.name(row) for row in strange if not deletes(row) and row["seq"] not in over}
    answer.strange += strange
    answer.overtaken |= over
    answer.alive |= {name: stone for name, stone in stones.items() if name in alive}
    return Sought(kind, [row for row in readable if row["seq"] not in over], keys, known)


def _readable(rows: list[Row], config: Config, answer: Identified) -> dict[int, list[str]]:
    """Keys of each event. One that cannot be read is refused alone."""
    keys = {}
    for row in rows:
        try:
            given = keys_of(row, config)
            if row["kind"] != "order":
                flatten(row["kind"], row["data"] or {})
            keys[row["seq"]] = given
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            answer.refused[row["seq"]] = Permanent(
                f"its data cannot be read: {type(error).__name__}", cause="unreadable event"
            )
    return keys


def _identify_kind(connection: Connection, sought: Sought, config: Config, answer: Identified) -> None:
    names: dict[UUID, set[str]] = {}
    over: set[str] = set()
    if sought.kind == "payment":
        sought, names, over = _told_apart(connection, sought)
    forgotten = _forgotten(connection, sought)
    sought = _with_made(sought, forgotten)
    search = _Search(sought, config, answer, forgotten, Groups(sought.known))
    if sought.kind == "counterparty":
        search.parties = _recogniser(connection, sought, forgotten, answer)
    if sought.kind == "payment":
        find_orders(connection, sought, config, answer)
        search.money = _adopting(connection, sought, config, answer)
    search.names = names | _names_in_question(connection, sought, names)
    search.over = over | _over_and_done(connection, sought, search.names.keys() - names.keys())
    for row in _expected_last(sought) if sought.kind == "payment" else sought.rows:
        if not answer.held_back(row["seq"]):
            search.take(row)
    _learn(connection, search)


def _expected_last(sought: Sought) -> list[Row]:
    """What strange records only expect comes after what was received, each by its last word.

    What of the others' money is this system's own is known then; of the rest what is heard together may be one, whoever
    was heard first (bus.adopting).
    """
    words: dict[tuple[str, str], list[Row]] = {}
    for row in sought.rows:
        words.setdefault((row["source"], row["subject"]), []).append(row)
    expected = [some for some in words.values() if all(_is_expected(row, sought) for row in some)]
    last = {row["seq"] for some in expected for row in some}
    return [row for row in sought.rows if row["seq"] not in last] + [row for some in expected for row in some[::-1]]


def _is_expected(row: Row, sought: Sought) -> bool:
    return not sought.is_known(row) and (row["data"] or {}).get("status") == PaymentState.PENDING


@dataclass(slots=True)
class _Search:
    """One kind of a batch, event by event: what each makes known holds for the next."""

    sought: Sought
    config: Config
    answer: Identified
    forgotten: set[int]
    groups: Groups
    parties: Recogniser | None = None
    money: Adopting | None = None
    names: dict[UUID, set[str]] = field(default_factory=dict)
    """Every key of the entities that an event says something new of."""
    over: set[str] = field(default_factory=set)
    """Those of payments' records that are deleted: another document may have been entered for the same money."""
    new: set[UUID] = field(default_factory=set)

    def take(self, row: Row) -> None:
        """Find the entities that an event speaks of, or begin one, or note why neither."""
        keys = self.sought.keys[row["seq"]]
        if news := self.sought.says_news(row):
            keys = apart(keys, self.groups.of(keys), self.names, self.over)
        found = self.groups.of(keys)
        if news and (two := clash(keys, found, self.names, self.over)):
            self.answer.refused[row["seq"]] = _tied(row, two)
            return
        who = self._recognised(row, found)
        if isinstance(who, Question):
            self.answer.ask(row["seq"], who)
        elif met := self._of_its_order(row, who):
            self._join(row, keys, met)

    def _recognised(self, row: Row, found: set[UUID]) -> set[UUID] | Question:
        """Who a counterparty is that no key named, or whom its requisites make it one with; or what to ask."""
        if self.parties is None or not speaks(row):
            return found
        if found and not self.sought.is_known(row):  # it spoke before in this batch, and that told who it is
            return found
        who = self.parties.become(row, found) if found else self.parties.who(row)
        if isinstance(who, Question):
            return who
        return found | who if isinstance(who, set) else {who} if who else found

    def _of_its_order(self, row: Row, found: set[UUID]) -> set[UUID]:
        """What an event speaks of: what was found, the payment that its order has already, or a new entity."""
        order = self.answer.parent.get(row["seq"])
        if self.money is None or order is None:
            return found or self._begun(row)
        source, said = row["source"], flatten("payment", row["data"] or {})
        forgotten = row["seq"] in self.forgotten
        if not found and (adopted := self.money.adopted(order, source, said, forgotten=forgotten)):
            found = {adopted}
        if found := found or self._begun(row):
            begun = not found.isdisjoint(self.new)
            self.money.met(order, source, said, min(found), forgotten=forgotten, begun=begun)
        return found

    def _begun(self, row: Row) -> set[UUID]:
        """A new entity for what nobody told us of before; none where that is not wanted."""
        if refusal := _no_creation(row, self.config):
            self.answer.unwanted[row["seq"]] = refusal
            return set()
        made = uuid4()
        self.new.add(made)
        return {made}

    def _join(self, row: Row, keys: list[str], found: set[UUID]) -> None:
        """These keys mean this entity from here on, for the rest of the batch too."""
        self.groups.join(keys, found)
        if self.parties is not None and speaks(row):
            self.parties.met(row, min(found))
        for entity in found:
            self.names.setdefault(entity, set()).update(keys)


def _learn(connection: Connection, search: _Search) -> None:
    """The answer, and keys by which it is known from here on."""
    sought, groups, answer = search.sought, search.groups, search.answer
    chosen = _chosen(connection, search)
    for row in sought.rows:
        if not answer.held_back(row["seq"]):
            answer.entity[row["seq"]] = chosen[groups.root(sought.keys[row["seq"]][0])]
    fresh = {key: chosen[groups.root(key)] for key in groups.joined() if key not in sought.known}
    made = [entity for entity, kind in answer.new.items() if kind == sought.kind]
    fresh |= {entities.own_key(sought.kind, entity): entity for entity in made}
    answer.learnt |= entities.learn(connection, sought.kind, fresh)


def _chosen(connection: Connection, search: _Search) -> dict[str, UUID]:
    """One entity for each group of keys: the eldest of those that are known, which are united, else a new one."""
    chosen = {}
    for root, group in search.groups.entities().items():
        old = group - search.new
        chosen[root] = _kept(connection, old) if old else min(group)
        if len(old) > 1:
            search.answer.unite.append(old)
        elif not old:
            search.answer.new[chosen[root]] = search.sought.kind
    return chosen


def _kept(connection: Connection, old: set[UUID]) -> UUID:
    return next(iter(old)) if len(old) == 1 else entities.eldest(connection, old)


def _names_in_question(
    connection: Connection, sought: Sought, known: Collection[UUID] = frozenset()
) -> dict[UUID, set[str]]:
    """Keys of entities that have to be looked at whole, since an event says something new of what they are.

    Without those that are `known`.
    """
    questioned = {entity for row in sought.rows if sought.says_news(row) for entity in sought.named(row)}
    strange = questioned.difference(known)
    return entities.keys_of(connection, strange) if strange else {}


def _told_apart(connection: Connection, sought: Sought) -> tuple[Sought, dict[UUID, set[str]], set[str]]:
    """What records are known by beside the money that is another record's: so a new one is looked for as any other.

    Beside it the keys that it was told by, and which of them are over and done.
    """
    names = _names_in_question(connection, sought)
    news = [row for row in sought.rows if sought.says_news(row)]
    over = _over_and_done(connection, sought, names)
    keys = {row["seq"]: apart(sought.keys[row["seq"]], sought.named(row), names, over) for row in news}
    return replace(sought, keys=sought.keys | keys), names, over


def _over_and_done(connection: Connection, sought: Sought, questioned: Collection[UUID]) -> set[str]:
    """Keys of payments' records that were deleted, be it in this batch."""
    if sought.kind != "payment":
        return set()
    return records.deleted(connection, questioned) | {_own_key(row) for row in sought.rows if deletes(row)}


def _tied(row: Row, two: str) -> Permanent:
    return Permanent(
        f"{row['subject']} of {row['source']} ties together {two}; correct what it refers to, then retry",
        cause="two orders tied together",
    )


def _no_creation(row: Row, config: Config) -> str | None:
    if row["source"] == "bus":
        return "no such entity"
    if deletes(row):  # a later word of that record, by its system's clock, may yet begin one
        return _GONE
    if not config.route(row["source"], row["kind"]).inward.creates:
        return f"creating from {row['source']} is switched off"
    return None


def _recogniser(connection: Connection, sought: Sought, forgotten: set[int], answer: Identified) -> Recogniser:
    """What may tell who these counterparties are."""
    speaking = [row for row in sought.rows if speaks(row)]
    named = {row["seq"]: sought.named(row) for row in speaking}
    parties = Recogniser.of_batch(connection, speaking, named, forgotten)
    answer.heard |= parties.answers
    return parties


def _adopting(connection: Connection, sought: Sought, config: Config, answer: Identified) -> Adopting:
    """The payments of every order that one is told of whom no key names."""
    strange = [row["seq"] for row in sought.rows if not sought.is_known(row)]
    orders = {answer.parent[seq] for seq in strange if seq in answer.parent}
    return Adopting(connection, orders - answer.new.keys(), config.books)


def _forgotten(connection: Connection, sought: Sought) -> set[int]:
    """Events of records that bear a key of ours of an entity which is not there: the ledger was restored since.

    It may know a payment and have forgotten only that we made this record of it: that one tells of nothing either.
    """
    if sought.kind == "order":
        return set()
    own = {row["seq"]: _own_keys(sought, row) for row in sought.rows if row["source"] != "bus"}
    meant = {sought.known[key]: key for some in own.values() for key in some if key in sought.known}
    aliased = {entity for entity, key in meant.items() if key != entities.own_key(sought.kind, entity)}
    names = entities.keys_of(connection, aliased) if aliased else {}
    found = set()
    for seq, keys in own.items():
        told = [sought.known[key] for key in keys if key in sought.known]
        made = any(name.startswith(_MADE) for entity in told for name in names.get(entity, ()))
        strange = sought.kind == "payment" and sought.keys[seq][0] not in sought.known
        if keys and (made or strange or not told):
            found.add(seq)
    return found


def _own_keys(sought: Sought, row: Row) -> list[str]:
    return [key for key in sought.keys[row["seq"]] if key.startswith(f"bus/{sought.kind}/")]


def _with_made(sought: Sought, forgotten: set[int]) -> Sought:
    """That we made them is learnt with their keys: whoever told of them then, and comes again, is known by that."""
    of = {row["seq"]: f"{_MADE}{row['source']}/{row['subject']}" for row in sought.rows if row["seq"] in forgotten}
    return replace(sought, keys=sought.keys | {seq: [*sought.keys[seq], made] for seq, made in of.items()})
