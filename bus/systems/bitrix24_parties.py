"""Counterparties of Bitrix24: companies, and contacts that have requisites, read whole in a handful of requests.

Raw: {"type": "company" | "contact", "item", "requisite" or None, "preset": its template, "bank", "addresses"}; the last
two are absent where they were not asked for. A contact without a requisite is a mere person on a deal and left out.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from bus import requisites
from bus.ports import Alike, Failed, Raw, RawRecord, Write, Written
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
from bus.systems.bitrix_rest import Command, Rest, rows_of
from bus.systems.jobs import chunks, value_of

TYPE = "party"
KINDS: Mapping[str, int] = {"company": COMPANY, "contact": CONTACT}
_NAMES = {kind: name for name, kind in KINDS.items()}
_PARTS = frozenset({"bank", "addresses"})
"""What belongs to a requisite and is read by calls of its own."""
_ID = re.compile(r"(company|contact|requisite|bankdetail):([1-9][0-9]{0,17})")
_CHANGED = 200
"""Counterparties in a page of changed ones: two requests."""
_ORIGINS, _INNS, _VALUES, _MOST = 25, 20, 20, 20


class Parties:
    """Records of type "party", by ids "company:12" and "contact:34"."""

    def __init__(self, rest: Rest, presets: Presets) -> None:
        self._rest, self._presets = rest, presets
        self._writer = Writer(rest, presets, self.fetch)

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

        INNs go twenty to a command, phones and e-mails of one counterparty to a command each: a group of 49 costs
        three requests, and two to read what was found.
        """
        found = self._by_inn({key: one.inn for key, one in wanted.items() if one.inn})
        found |= self._by_contact({key: one for key, one in wanted.items() if not found.get(key)})
        near = {key: sorted(owners, reverse=True)[:_MOST] for key, owners in found.items() if owners}
        raws = self._read({owner for owners in near.values() for owner in owners}, _PARTS)
        return {
            key: [RawRecord(TYPE, named(owner), raws[owner]) for owner in owners if owner in raws]
            for key, owners in near.items()
        }

    def changed(self, since: datetime) -> Iterator[list[RawRecord]]:
        """Counterparties whose item or requisite was saved since, complete as `fetch` reads them.

        A requisite's edit does not touch its company, and a new requisite has no time of change but that of its
        creation. One that was saved again later is told at its later place, so that no page runs ahead of another.
        """
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

    def _read(self, owners: Collection[Owner], parts: frozenset[str]) -> dict[Owner, Raw]:
        items, rows = self._items(owners)
        found: dict[Owner, Raw] = {}
        for owner, item in items.items():
            requisite = chosen(rows.get(owner, []))
            if owner[0] == CONTACT and requisite is None and item.get("originVersion") != MARK:
                continue
            preset = self._presets.code(self._rest, str(requisite["PRESET_ID"])) if requisite else None
            found[owner] = {"type": _NAMES[owner[0]], "item": item, "requisite": requisite, "preset": preset}
        self._add_parts(list(found.values()), parts)
        return found

    def _items(self, owners: Collection[Owner]) -> tuple[dict[Owner, Raw], Mapping[Owner, list[Raw]]]:
        """Companies and contacts by lists, and their requisites, all in one request."""
        ids = {kind: sorted(one for its, one in owners if its == kind) for kind in KINDS.values()}
        lists = {kind: lists_of(kind, some, ["*", "fm"]) for kind, some in ids.items()}
        commands = [command for some in lists.values() for command in some]
        rows = whole(self._rest, [*commands, *of_owners(owners)])
        items: dict[Owner, Raw] = {}
        for kind, some in lists.items():
            found = {int(item["id"]): item for _ in some for item in next(rows)}
            found |= asked_for_by_name(self._rest, kind, [one for one in ids[kind] if one not in found])
            items |= {(kind, one): item for one, item in found.items()}
        return items, by_owner([row for page in rows for row in page])

    def _add_parts(self, raws: Sequence[Raw], parts: frozenset[str]) -> None:
        own = [str(raw["requisite"]["ID"]) for raw in raws if raw["requisite"]]
        asked = {"bank": accounts_of(own), "addresses": addresses_of(own)}
        wanted = {part: asked[part] for part in sorted(parts & _PARTS)}
        rows = whole(self._rest, [command for commands in wanted.values() for command in commands])
        for part, commands in wanted.items():
            by_requisite: dict[str, list[Raw]] = {}
            for row in (row for _ in commands for row in next(rows)):
                by_requisite.setdefault(str(row["ENTITY_ID"]), []).append(row)
            for raw in raws:
                raw[part] = by_requisite.get(str(raw["requisite"]["ID"]), []) if raw["requisite"] else []

    def _by_inn(self, inns: Mapping[str, str]) -> dict[str, set[Owner]]:
        commands = [rows_where(REQUISITES, {"@RQ_INN": page}) for page in chunks(sorted(set(inns.values())), _INNS)]
        by_inn: dict[str, set[Owner]] = {}
        for row in (row for rows in whole(self._rest, commands) for row in rows):
            by_inn.setdefault(str(row["RQ_INN"]), set()).update(by_owner([row]))
        return {key: by_inn.get(inn, set()) for key, inn in inns.items()}

    def _by_contact(self, wanted: Mapping[str, Alike]) -> dict[str, set[Owner]]:
        asked = [(key, command) for key, one in wanted.items() for command in _searches(one)]
        outcomes = self._rest.each([command for _, command in asked])
        found: dict[str, set[Owner]] = {}
        for (key, _), outcome in zip(asked, outcomes, strict=True):
            answer = value_of(outcome)
            for name, kind in (("COMPANY", COMPANY), ("CONTACT", CONTACT)):
                ids = rows_of(answer, name) if isinstance(answer, dict) else []
                found.setdefault(key, set()).update((kind, int(one)) for one in ids)
        return found


def named(owner: Owner) -> str:
    """The external id of a counterparty: "company:12"."""
    return f"{_NAMES[owner[0]]}:{owner[1]}"


def saved_at(raw: Raw) -> datetime:
    """When a counterparty was last saved, as far as its parts tell: addresses do not."""
    parts = [raw["requisite"] or {}, *raw.get("bank", [])]
    stamps = [raw["item"]["updatedTime"], *(part.get("DATE_MODIFY") or part.get("DATE_CREATE") for part in parts)]
    return max(datetime.fromisoformat(stamp) for stamp in stamps if stamp)


def _select(kind: int) -> Raw:
    return {"entityTypeId": kind, "select": ["id", "updatedTime"]}


def _moments(what: str, stream: Iterator[tuple[str, str]]) -> Iterator[tuple[datetime, str]]:
    return ((datetime.fromisoformat(stamp), f"{what}:{one}") for stamp, one in stream)


def _searches(one: Alike) -> Iterator[Command]:
    """Who has its phones or e-mails. Twenty ids of one type end a search, so what can only be a company is asked so."""
    company = (one.inn and len(one.inn) == 10) or (one.name and requisites.legal_form(one.name) not in (None, "ИП"))  # noqa: PLR2004
    types = ("COMPANY",) if company else ("COMPANY", "CONTACT")
    for kind, values in (("PHONE", one.phones), ("EMAIL", one.emails)):
        for entity in types if values else ():
            said = {"type": kind, "values": list(values[:_VALUES]), "entity_type": entity}
            yield "crm.duplicate.findbycomm", said
