"""Keys: what an event gives that its entity is known by, and which of them cannot be one thing's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from bus.config import Config
from bus.ledger.database import Row
from bus.model import Json

_SEVERAL = frozenset({"deal", "guid"})
"""What one thing may have several of: copied deals, and 1C's GUIDs of an order that was made anew under its number."""
_MONEY = "money/"
_NO_PLACE = frozenset({"bus", "inn", "money", "uip"})
"""Keys that are of no system's numbering: a company may change its KPP, an order its payment code."""


def keys_of(row: Row, config: Config) -> list[str]:
    """Every key an event gives for its entity, its own record first; the bus's own events name their entity by id."""
    if row["source"] == "bus":
        return [f"bus/{row['subject']}"]
    keys = [f"{row['source']}/{row['subject']}"]
    data = row["data"] or {}
    keys += [key_of(ref, config) for ref in data.get("records") or []]
    if row["kind"] == "order" and data.get("number"):
        known = config.systems.get(row["source"])
        numbering = row["source"] if known and known.kind == "bitrix_cms" else config.numbering_system
        keys.append(f"number/{numbering}/{data['number']}")
    return list(dict.fromkeys(keys))


def key_of(ref: Mapping[str, Json], config: Config) -> str:
    """The key of what is referred to by a record, or by its number."""
    if ref.get("number"):
        return f"number/{ref.get('system') or config.numbering_system}/{ref['number']}"
    return f"{ref['system']}/{ref.get('type') or 'order'}/{ref['id']}"


def clash(
    keys: list[str], found: Iterable[UUID], names: Mapping[UUID, set[str]], over: Collection[str] = ()
) -> str | None:
    """Would these keys make one thing of two records of one system? Then they are two things, whatever refers to both.

    Two deals of one order are bearable (a manager copied one): the first stays the one that we write to. A record may
    change its own number, but nobody else may give it a second one; it may say what it was itself, before it was given
    another name; and it may be instead of one that is `over`. What was one before stays one.
    """
    known = [names.get(entity, set()) for entity in found]
    renamed = None if known[1:] else _renamed(keys)
    known = known if known[1:] else [some.difference(over) for some in known]
    clashes = [
        f"{' '.join(place)} {' and '.join(sorted(ids))}"
        for place, ids in _by_place(keys[0], {*keys}.union(*known)).items()
        if len(ids) > 1 and place != renamed and not _one_already(place, ids, known)
    ]
    return "; ".join(sorted(clashes)) or None


def _renamed(keys: list[str]) -> tuple[str, str] | None:
    """The place of a record that says which one of the same place it was."""
    places = [(system, kind) for system, kind, _ in (key.split("/", 2) for key in keys)]
    return places[0] if places[0] in places[1:] else None


def apart(
    keys: list[str], found: Iterable[UUID], names: Mapping[UUID, set[str]], over: Collection[str] = ()
) -> list[str]:
    """These keys, without that of the money where by them two records of one system would be one thing.

    A document that is split later bears it on another part than before; two transfers of a day may look alike. Each
    record stands for itself then.
    """
    return [key for key in keys if not key.startswith(_MONEY)] if clash(keys, found, names, over) else keys


def _by_place(own: str, keys: Iterable[str]) -> dict[tuple[str, str], set[str]]:
    """Ids by the system, and the kind of record, that gave them; without those that may be several."""
    by_place: dict[tuple[str, str], set[str]] = {}
    for key in keys:
        system, kind, external_id = key.split("/", 2)
        if kind in _SEVERAL or system in _NO_PLACE or (system == "number" and own.startswith(f"{kind}/")):
            continue
        by_place.setdefault((system, kind), set()).add(external_id)
    return by_place


def _one_already(place: tuple[str, str], ids: set[str], known: Iterable[set[str]]) -> bool:
    """A counterparty that was made anew, or that a person said is this one, bears two ids of one system rightly."""
    return any({"/".join([*place, one]) for one in ids} <= names for names in known)
