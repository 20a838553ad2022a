"""Counterparties of Bitrix24: companies, and contacts that have requisites, read whole in a handful of requests.

Raw: {"type": "company" | "contact", "item", "requisite" or None, "preset": its template, "bank", "addresses"}; the last
two are absent where they were not asked for. A contact without a requisite is a mere person on a deal and left out.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from bus.model import Json
from bus.ports import Alike, Failed, Raw, RawRecord, Write, Written
from bus.systems.bitrix24_alike import apart, by_contact, by_inn
from bus.systems.bitrix24_items import (
    COMPANY,
    CONTACT,
    LIST,
    ORIGINATOR,
    asked_for_by_name,
    items_of,
    list_of,
    lists_of,
)
from bus.systems.bitrix24_party_writes import MARK, Writer
from bus.systems.bitrix24_requisites import (
    ACCOUNTS,
    REQUISITES,
    Owner,
    Presets,
    accounts_of,
    addresses_of,
    by_owner,
    chosen,
    of_owners,
    rows_where,
    whole,
)
from bus.systems.bitrix_rest import BATCH, PAGE, Command, Rest
from bus.systems.jobs import chunks

TYPE = "party"
KINDS: Mapping[str, int] = {"company": COMPANY, "contact": CONTACT}
_NAMES = {kind: name for name, kind in KINDS.items()}
_PARTS = frozenset({"bank", "addresses"})
"""What belongs to a requisite and is read by calls of its own."""
_ID = re.compile(r"(company|contact|requisite|bankdetail):([1-9][0-9]{0,17})")
_CHANGED = 200
"""Changes in a page of what changed, counterparties in a page of everything: two requests each."""
_FULL_BEFORE = datetime(1971, 1, 1, tzinfo=UTC)
_ORIGINS, _MOST = 25, 20


class Parties:
    """Records of type "party", by ids "company:12" and "contact:34"."""

    def __init__(self, rest: Rest, presets: Presets) -> None:
        self._rest, self._presets = rest, presets
        self._writer = Writer(rest, presets, self._written)

    def fetch(self, ids: Sequence[str], parts: Collection[str] | None = None) -> dict[str, Raw]:
        """Items and requisites by lists packed into a request, then accounts and addresses: 1,000 in three requests.

        "requisite:501" and "bankdetail:7" are read too, as events call what changed: the answer is whose they are, and
        names it in "@id". Raises Permanent for one that is there and hidden from us.
        """
        owners = self._owners(ids)
        raws = self._read(set(owners.values()), _PARTS if parts is None else frozenset(parts))
        found = {one: (named(owner), raws[owner]) for one, owner in owners.items() if owner in raws}
        return {one: raw if own == one else {**raw, "@id": own} for one, (own, raw) in found.items()}

    def glance(self, ids: Sequence[str]) -> dict[str, Raw]:
        """Nothing: an address has no time of change, so only reading tells whether there is anything to read."""
        del ids
        return {}

    def find(self, origins: Sequence[str]) -> dict[str, RawRecord]:
        """Companies and contacts created under our keys, both asked for in one request; the older of two."""
        commands = [
            list_of(kind, {"=originatorId": ORIGINATOR, "@originId": page}, ["id", "originId"])
            for kind in KINDS.values()
            for page in chunks(dict.fromkeys(origins), _ORIGINS)
        ]
        ids: dict[str, str] = {}
        for (_, params), outcome in zip(commands, self._rest.each(commands), strict=True):
            for one, item in items_of([outcome]).items():
                ids.setdefault(str(item["originId"]), named((params["entityTypeId"], one)))
        raws = self.fetch(list(ids.values()))
        return {origin: RawRecord(TYPE, one, raws[one]) for origin, one in ids.items() if one in raws}

    def alike(self, wanted: Mapping[str, Alike]) -> dict[str, list[RawRecord]]:
        """Whoever has the INN; for those that nobody has the INN of, whoever has a phone or an e-mail.

        Of 490 counterparties that nobody has, it costs two requests; to read what was found, two more.
        """
        known = by_inn(self._rest, {key: one.inn for key, one in wanted.items() if one.inn})
        near = by_contact(self._rest, {key: one for key, one in wanted.items() if not known.get(key)})
        raws = self._read({owner for found in (known, near) for owners in found.values() for owner in owners}, _PARTS)
        told = {
            key: [RawRecord(TYPE, named(one), raws[one]) for one in sorted(owners, reverse=True) if one in raws][:_MOST]
            for key, owners in (known | apart(near, wanted, raws)).items()
        }
        return {key: records for key, records in told.items() if records}

    def changed(self, since: datetime) -> Iterator[list[RawRecord]]:
        """Counterparties whose item or requisite was saved since, complete as `fetch` reads them.

        A requisite's edit does not touch its company, and a new requisite has no time of change but that of its
        creation. One that was saved again later is told at its later place, so that no page runs ahead of another.
        From 1970: all of them, in the order of their ids, which costs a tenth of the requests.
        """
        if since < _FULL_BEFORE:
            yield from self._everything()
            return
        stream = heapq.merge(*self._streams(since))
        for chunk in chunks(stream, _CHANGED):
            owners = self._owners(list(dict.fromkeys(one for _, one in chunk)))
            raws = self._read(set(owners.values()), _PARTS)
            last = chunk[-1][0]
            now = {owner: raw for owner, raw in raws.items() if saved_at(raw) <= last}
            yield [RawRecord(TYPE, named(owner), raw) for owner, raw in sorted(now.items())]

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """Carry out writes (bitrix24_party_writes)."""
        return self._writer.write(writes)

    def _everything(self) -> Iterator[list[RawRecord]]:
        for kind in KINDS.values():
            for some in chunks(self._ids(kind), _CHANGED):
                raws = self._read([(kind, one) for one in some], _PARTS)
                yield [RawRecord(TYPE, named(owner), raw) for owner, raw in sorted(raws.items())]

    def _ids(self, kind: int) -> Iterator[int]:
        """Ids of all items of a kind, a page of ids to a list, fifty lists to a request."""
        newest = {"entityTypeId": kind, "select": ["id"], "order": {"id": "DESC"}}
        last = max((int(row["id"]) for row in self._rest.page(LIST, "items", newest)), default=0)
        for starts in chunks(range(0, last, PAGE), BATCH):
            wheres = [{">id": start, "<=id": start + PAGE} for start in starts]
            yield from sorted(items_of(self._rest.each([list_of(kind, where, ["id"]) for where in wheres])))

    def _written(self, ids: Sequence[str], known: Collection[str]) -> dict[str, Raw]:
        """What was just written: its requisites are known, so that all of it is read by one request."""
        owners = self._owners(ids)
        raws = self._read(set(owners.values()), _PARTS, frozenset(known))
        return {one: raws[owner] for one, owner in owners.items() if owner in raws}

    def _streams(self, since: datetime) -> list[Iterator[tuple[datetime, str]]]:
        """What changed by time, oldest first, each source by itself."""
        items = [
            (name, self._rest.stamped(LIST, "items", _select(kind), stamp="updatedTime", since=since))
            for name, kind in KINDS.items()
        ]
        rows = [
            (what, self._rest.stamped(method, "rows", {"select": ["ID", stamp]}, stamp=stamp, since=since, named="ID"))
            for what, method in (("requisite", REQUISITES), ("bankdetail", ACCOUNTS))
            for stamp in ("DATE_CREATE", "DATE_MODIFY")
        ]
        return [_moments(name, stream) for name, stream in (*items, *rows)]

    def _owners(self, ids: Iterable[str]) -> dict[str, Owner]:
        """Whose each id is: companies and contacts their own, requisites and accounts their owner's."""
        read = {one: (match[1], int(match[2])) for one in ids if (match := _ID.fullmatch(one))}
        accounts = sorted(one for kind, one in read.values() if kind == "bankdetail")
        parents = {int(row["ID"]): int(row["ENTITY_ID"]) for row in self._rows(ACCOUNTS, accounts)}
        wanted = {one for kind, one in read.values() if kind == "requisite"} | set(parents.values())
        rows = self._rows(REQUISITES, sorted(wanted))
        whose = {int(row["ID"]): (int(row["ENTITY_TYPE_ID"]), int(row["ENTITY_ID"])) for row in rows}
        known: dict[str, Owner | None] = {}
        for one, (kind, number) in read.items():
            if kind in KINDS:
                known[one] = (KINDS[kind], number)
            else:
                known[one] = whose.get(parents.get(number, 0) if kind == "bankdetail" else number)
        return {one: owner for one, owner in known.items() if owner is not None}

    def _rows(self, method: str, ids: Sequence[int]) -> list[Raw]:
        commands = [rows_where(method, {"@ID": page}) for page in chunks(ids, _ORIGINS)]
        return [row for rows in whole(self._rest, commands) for row in rows]

    def _read(
        self, owners: Collection[Owner], parts: frozenset[str], known: frozenset[str] = frozenset()
    ) -> dict[Owner, Raw]:
        """Items and requisites, then what belongs to the requisites: that of `known` ones is read along."""
        along = _Along(parts, known)
        items, rows = self._items(owners, along)
        found: dict[Owner, Raw] = {}
        for owner, item in items.items():
            requisite = chosen(rows.get(owner, []), item)
            if owner[0] == CONTACT and requisite is None and item.get("originVersion") != MARK:
                continue
            preset = self._presets.code(self._rest, str(requisite["PRESET_ID"])) if requisite else None
            found[owner] = {"type": _NAMES[owner[0]], "item": item, "requisite": requisite, "preset": preset}
        late = _Along(parts, {_requisite_id(raw) for raw in found.values()} - {"", *known})
        late.take(whole(self._rest, late.commands))
        return {
            owner: raw | (along if _requisite_id(raw) in known else late).of(_requisite_id(raw))
            for owner, raw in found.items()
        }

    def _items(self, owners: Collection[Owner], along: _Along) -> tuple[dict[Owner, Raw], Mapping[Owner, list[Raw]]]:
        """Companies and contacts by lists, and their requisites, all in one request."""
        ids = {kind: sorted(one for its, one in owners if its == kind) for kind in KINDS.values()}
        lists = {kind: lists_of(kind, some, ["*", "fm"]) for kind, some in ids.items()}
        commands = [command for some in lists.values() for command in some]
        rows = whole(self._rest, [*along.commands, *commands, *of_owners(owners)])
        along.take(rows)
        items: dict[Owner, Raw] = {}
        for kind, some in lists.items():
            found = {int(item["id"]): item for _ in some for item in next(rows)}
            found |= asked_for_by_name(self._rest, kind, [one for one in ids[kind] if one not in found])
            items |= {(kind, one): item for one, item in found.items()}
        return items, by_owner([row for page in rows for row in page])


class _Along:
    """What belongs to some requisites: the commands that ask for it, and then their rows."""

    def __init__(self, parts: Collection[str], requisites: Collection[str]) -> None:
        own = sorted(requisites, key=int)
        asked = {"addresses": addresses_of(own), "bank": accounts_of(own)}
        self._asked = {part: asked[part] for part in sorted(parts & asked.keys())}
        self._rows: dict[str, dict[str, list[Raw]]] = {part: {} for part in self._asked}

    @property
    def commands(self) -> list[Command]:
        return [command for commands in self._asked.values() for command in commands]

    def take(self, rows: Iterator[list[Json]]) -> None:
        """The answers to the commands, in their order; what follows them is left."""
        for part, commands in self._asked.items():
            for row in (row for _ in commands for row in next(rows)):
                self._rows[part].setdefault(str(row["ENTITY_ID"]), []).append(row)

    def of(self, requisite: str) -> Raw:
        """What belongs to one of them."""
        return {part: by_requisite.get(requisite, []) for part, by_requisite in self._rows.items()}


def named(owner: Owner) -> str:
    """The external id of a counterparty: "company:12"."""
    return f"{_NAMES[owner[0]]}:{owner[1]}"


def saved_at(raw: Raw) -> datetime:
    """When a counterparty was last saved, as far as its parts tell: addresses do not."""
    parts = [raw["requisite"] or {}, *raw.get("bank", [])]
    stamps = [raw["item"]["updatedTime"], *(part.get("DATE_MODIFY") or part.get("DATE_CREATE") for part in parts)]
    return max(datetime.fromisoformat(stamp) for stamp in stamps if stamp)


def _requisite_id(raw: Raw) -> str:
    return str(raw["requisite"]["ID"]) if raw["requisite"] else ""


def _select(kind: int) -> Raw:
    return {"entityTypeId": kind, "select": ["id", "updatedTime"]}


def _moments(what: str, stream: Iterator[tuple[str, str]]) -> Iterator[tuple[datetime, str]]:
    return ((datetime.fromisoformat(stamp), f"{what}:{one}") for stamp, one in stream)
