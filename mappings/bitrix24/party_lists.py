"""Phones, e-mails, accounts and addresses of a counterparty: what is the same, and which rows to write."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from bus import requisites
from bus.model import Json
from bus.ports import Raw
from mappings import values

_SPLIT: Mapping[str, Callable[[str], list[str]]] = {"phones": requisites.phones, "emails": requisites.emails}
_WORD = re.compile(r"[^\W_]+")
_FORM = re.compile(r"^(?:ИП|индивидуальный предприниматель)\s+", re.IGNORECASE)


def said(field: str, fm: Json, kind: str) -> Json:
    """The phones (or e-mails) of a record's rows, in their order, each once; None for none."""
    found = [one for row in _of_kind(fm, kind) for one in _split(field, row)]
    return list(dict.fromkeys(found)) or None


def comparable(field: str, items: Json) -> frozenset[str]:
    """Phones or e-mails as they are compared: in any order, letters in any case."""
    return frozenset(one.lower() for item in items or [] for one in _SPLIT[field](item))


def rows(field: str, kind: str, fm: Json, wanted: Json) -> list[Raw]:
    """Changes of rows that make a record say these phones or e-mails.

    A row that says only what is wanted stays. Of the others each takes a missing value, under its own id, or a second
    value would appear beside it; what rows are left over for is removed, what values are left over for is added.
    """
    keys = comparable(field, wanted)
    spare, there = list[Raw](), set[str]()
    for row in _of_kind(fm, kind):
        own = comparable(field, _split(field, row))
        if own and own <= keys and not own <= there:
            there |= own
        else:
            spare.append(row)
    missing = [one for one in wanted or [] if not comparable(field, [one]) <= there]
    changed = [{**_row(kind, one), **_same(row)} for row, one in zip(spare, missing, strict=False)]
    removed = [{**_row(kind, ""), **_same(row)} for row in spare[len(missing) :]]
    return changed + removed + [_row(kind, one) for one in missing[len(spare) :]]


def same_accounts(said: Sequence[Mapping[str, Json]], wanted: Sequence[Mapping[str, Json]]) -> bool:
    """The same accounts in any order; of a bank what is not said is not wanted, and its name is told as names are."""
    ours = {one["account"]: one for one in said}
    return ours.keys() == {one["account"] for one in wanted} and all(
        _same_bank(ours[one["account"]], one) for one in wanted
    )


def same_name(one: str | None, other: str | None) -> bool:
    """Whether two names of banks are spellings of one."""
    return requisites.name_key(one or "") == requisites.name_key(other or "")


def words(address: Json) -> list[str]:
    """What an address is compared by."""
    return _WORD.findall(str(address or "").lower().replace("ё", "е"))


def without_form(name: str) -> str:
    """A sole trader's own name."""
    return _FORM.sub("", name)


def _same_bank(said: Mapping[str, Json], wanted: Mapping[str, Json]) -> bool:
    named = not wanted.get("bank") or same_name(said.get("bank"), wanted["bank"])
    return named and wanted.get("bic") in (None, said.get("bic"))


def _of_kind(fm: Json, kind: str) -> list[Raw]:
    return [row for row in values.listed(fm) or [] if row.get("typeId") == kind]


def _split(field: str, row: Raw) -> list[str]:
    text = values.text(row.get("value"))
    return _SPLIT[field](text) if text else []


def _row(kind: str, value: str) -> Raw:
    return {"typeId": kind, "valueType": "WORK", "value": value}


def _same(row: Raw) -> Raw:
    return {"id": row["id"], "valueType": row.get("valueType") or "WORK"}
