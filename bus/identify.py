"""Identify: which entity each event of a batch speaks of, by record, explicit reference or natural key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from bus.config import Config
from bus.errors import BusError, Permanent
from bus.ledger import entities
from bus.ledger.database import Connection, Row
from bus.model import Kind, flatten


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
    return answer


def _identify_kind(connection: Connection, kind: Kind, batch: list[Row], config: Config, answer: Identified) -> None:
    keys = {row["seq"]: _keys(row, config) for row in batch if row["source"] != "bus"}
    known = entities.find(connection, kind, {key for some in keys.values() for key in some} | _own(batch))
    waiting = _find_parents(connection, batch, known, keys, config, answer) if kind == "payment" else set()
    groups = _Groups(known)
    told = entities.only_records(connection, known.values())
    new: dict[UUID, Kind] = {}
    taken: set[UUID] = set()
    for row in batch:
        seq = row["seq"]
        if row["source"] == "bus":
            answer.entity[seq] = UUID(row["subject"].partition("/")[2])
            continue
        if seq in waiting:
            continue
        found = groups.of(keys[seq])
        if clash := _clash(row, found, told):
            answer.refused[seq] = Permanent(
                f"{row['subject']} of {row['source']} ties together {clash}; correct what it refers to, then retry",
                cause="two orders tied together",
            )
            waiting.add(seq)
            continue
        if not found and seq in answer.parent:
            found = _expected(connection, row, answer.parent[seq], set(answer.entity.values()) | taken)
            taken |= found
        if not found:
            if refusal := _no_creation(row, config):
                answer.unwanted[seq] = refusal
                continue
            found = {uuid4()}
            new[next(iter(found))] = kind
        groups.join(keys[seq], found)
        record_type, _, external_id = row["subject"].partition("/")
        told.update({(entity, row["source"], record_type): external_id for entity in found})
    entities.create(connection, new)
    chosen = {root: _kept(connection, group, new) for root, group in groups.entities().items()}
    answer.unite += [group for group in groups.entities().values() if len(group) > 1]
    for row in batch:
        if row["seq"] in keys and row["seq"] not in answer.unwanted and row["seq"] not in waiting:
            answer.entity[row["seq"]] = chosen[groups.root(keys[row["seq"]][0])]
    names = {key: chosen[groups.root(key)] for key in groups.known_keys() if key not in known}
    names |= {entities.own_key(kind, entity): entity for entity in new}
    answer.learnt |= entities.learn(connection, kind, names)


def _clash(row: Row, found: set[UUID], told: dict[tuple[UUID, str, str], str]) -> str | None:
    """Would this event make one thing of two records of one system? Then they are two things, whatever refers to both.

    Two deals of one order are bearable (a manager copied one): the first stays the one that we write to.
    """
    record_type, _, external_id = row["subject"].partition("/")
    names: dict[tuple[str, str], set[str]] = {(row["source"], record_type): {external_id}}
    for (entity, system, kind), known_as in told.items():
        if entity in found:
            names.setdefault((system, kind), set()).add(known_as)
    for (system, kind), ids in names.items():
        if len(ids) > 1 and kind != "deal":
            return f"{kind}s {' and '.join(sorted(ids))} of {system}"
    return None


def _expected(connection: Connection, row: Row, order: UUID, taken: set[UUID]) -> set[UUID]:
    """The payment that the order expects and that this one is: pending, of the same amount, not told by this source.

    The bank says that the money came, the shop has the payment waiting: they are one. The order's lock keeps two equal
    payments at once from both becoming the one that is expected.
    """
    amount = flatten("payment", row["data"] or {}).get("amount")
    if amount is None:
        return set()
    expected = entities.expected_payments(connection, order, amount, row["source"])
    return set(next(([entity] for entity in expected if entity not in taken), []))


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


def _own(batch: Iterable[Row]) -> set[str]:
    return {row["subject"] for row in batch if row["source"] == "bus"}


def _no_creation(row: Row, config: Config) -> str | None:
    if row["type"].endswith(".deleted"):
        return "deleted there before it was ever known here"
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
    wanted = {row["seq"]: _ref_key(row["data"]["order"], config) for row in batch if (row["data"] or {}).get("order")}
    orders = entities.find(connection, "order", set(wanted.values()))
    held_back = set()
    for row in batch:
        seq = row["seq"]
        if seq in wanted and wanted[seq] in orders:
            answer.parent[seq] = orders[wanted[seq]]
        elif any(key in known for key in keys.get(seq, ())) or row["source"] == "bus":
            continue
        elif seq in wanted:
            answer.waits_for[seq] = wanted[seq]
            held_back.add(seq)
        elif not row["type"].endswith(".deleted"):
            answer.refused[seq] = Permanent(
                "data.order is missing: a payment must name its order", cause="payment without an order"
            )
            held_back.add(seq)
    return held_back


def _kept(connection: Connection, group: set[UUID], new: dict[UUID, Kind]) -> UUID:
    old = group - set(new)
    return next(iter(group)) if len(group) == 1 else entities.eldest(connection, old or group)


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
        return {root: self._found[root] for root in {self.root(key) for key in self._parent}}

    def known_keys(self) -> list[str]:
        return list(self._parent)
