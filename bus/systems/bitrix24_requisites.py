"""Requisites of Bitrix24 with their accounts and addresses: read by lists of their owners, many to a request.

INN and KPP stand on a requisite, not on the company; a company may have several requisites, and a requisite several
accounts, and one address of each type. Rows of the old lists have upper-case names and strings for values.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence

from bus.errors import Permanent
from bus.model import Json
from bus.ports import Raw
from bus.systems.bitrix24_items import LIST, ORIGINATOR
from bus.systems.bitrix_rest import PAGE, Command, Rest, paged, rows_of
from bus.systems.jobs import chunks, value_of

REQUISITE = 8
"""entityTypeId of requisites, as owners of addresses."""
REQUISITES, ACCOUNTS, ADDRESSES = "crm.requisite.list", "crm.requisite.bankdetail.list", "crm.address.list"
_PRESETS = "crm.requisite.preset.list"
_OWNERS, _REQUISITES, _ADDRESSED = 45, 25, 24
"""Whose rows one list asks for, so that they commonly fit a page: owners' requisites, requisites' accounts (two each)
and addresses (two each)."""
_ID = "ID"

Owner = tuple[int, int]
"""entityTypeId and id of a company or contact."""


class Presets:
    """The portal's templates of requisites, which tell organisations, sole traders and persons apart; read once.

    Their ids differ from portal to portal: a template is called by its XML_ID, where it has one.
    """

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._lock = threading.Lock()

    def code(self, rest: Rest, preset: str) -> str:
        """What a template is called by; asks the portal for one that is not known."""
        if preset not in self._codes:
            self._read(rest)
        return self._codes.get(preset, preset)

    def id(self, rest: Rest, code: str) -> str:
        """The id of a template. Raises Permanent when the portal has none of that name."""
        for again in (False, True):
            if again or not self._codes:
                self._read(rest)
            found = next((one for one, name in self._codes.items() if code in (name, one)), None)
            if found is not None:
                return found
        say = f"the portal has no template of requisites {code!r}: name one of its own in tables.yaml, party_type"
        raise Permanent(say, cause=f"no template {code}")

    def _read(self, rest: Rest) -> None:
        rows = rest.listed(_PRESETS, "presets", {"select": [_ID, "XML_ID"]}, named=_ID)
        with self._lock:
            self._codes |= {str(row[_ID]): str(row.get("XML_ID") or row[_ID]) for row in rows}


def of_owners(owners: Collection[Owner]) -> list[Command]:
    """Lists of the requisites of companies and contacts."""
    commands = []
    for kind in sorted({kind for kind, _ in owners}):
        ids = sorted(one for one_kind, one in owners if one_kind == kind)
        commands += [
            rows_where(REQUISITES, {"ENTITY_TYPE_ID": kind, "@ENTITY_ID": page}) for page in chunks(ids, _OWNERS)
        ]
    return commands


def rows_where(method: str, where: Raw) -> Command:
    """Rows of a list by id, at most a page of them."""
    return method, paged({"filter": where}, 0, _ID)


def accounts_of(requisites: Sequence[str]) -> list[Command]:
    """Lists of the bank details of requisites."""
    return [rows_where(ACCOUNTS, {"@ENTITY_ID": page}) for page in chunks(requisites, _REQUISITES)]


def addresses_of(requisites: Sequence[str]) -> list[Command]:
    """Lists of the addresses of requisites. They have no id of their own, and are paged by offset."""
    order = {"ENTITY_ID": "ASC", "TYPE_ID": "ASC"}
    wheres = [{"ENTITY_TYPE_ID": REQUISITE, "@ENTITY_ID": page} for page in chunks(requisites, _ADDRESSED)]
    return [(ADDRESSES, {"filter": where, "order": order, "start": 0}) for where in wheres]


def whole(rest: Rest, commands: Sequence[Command]) -> Iterator[list[Json]]:
    """All rows of each list; the following pages of long ones are asked for together, request by request.

    Raises the error of any that failed: half a list would pass for deletions.
    """
    rows: list[list[Json]] = [[] for _ in commands]
    open_ = dict(enumerate(commands))
    while open_:
        outcomes = rest.each(list(open_.values()))
        further: dict[int, Command] = {}
        for (at, command), outcome in zip(open_.items(), outcomes, strict=True):
            page = rows_of(value_of(outcome), "items")
            rows[at] += page
            if len(page) >= PAGE and command[0] != LIST:  # items are asked for by a page's worth of ids
                further[at] = _following(command, page)
        open_ = further
    return iter(rows)


def chosen(rows: Sequence[Raw], item: Raw) -> Raw | None:
    """The requisite that counts where its owner has several: one that the bus made, else the first as people see it.

    A merger moves those of another counterparty to it: of those of the bus the one counts that its owner was made with.
    A row that only holds an address is none.
    """
    own = item.get("originId") if item.get("originatorId") == ORIGINATOR else None
    real = [row for row in rows if row.get("ADDRESS_ONLY") != "Y"]
    return min(real, key=lambda row: _rank(row, own), default=None)


def by_owner(rows: Sequence[Raw]) -> Mapping[Owner, list[Raw]]:
    """Requisites by whose they are."""
    found: dict[Owner, list[Raw]] = {}
    for row in rows:
        found.setdefault((int(row["ENTITY_TYPE_ID"]), int(row["ENTITY_ID"])), []).append(row)
    return found


def _rank(row: Raw, own: Json) -> tuple[bool, bool, int, int]:
    ours = row.get("ORIGINATOR_ID") == ORIGINATOR
    return not (ours and own and row.get("XML_ID") == own), not ours, int(row.get("SORT") or 0), int(row[_ID])


def _following(command: Command, page: Sequence[Raw]) -> Command:
    method, params = command
    if method == ADDRESSES:
        return method, {**params, "start": params["start"] + PAGE}
    return method, paged(params, int(page[-1][_ID]), _ID)
