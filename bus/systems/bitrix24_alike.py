"""Counterparties of Bitrix24 that may be the one that is looked for: asked by INN, phone and e-mail, many at once.

One question of `crm.duplicate.findbycomm` takes twenty phones or e-mails, and answers at most twenty ids for all of
them. Commonly nobody has any; where somebody has, what is read of him tells whose he may be.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from bus import requisites
from bus.ports import Alike, Raw
from bus.systems.bitrix24_items import COMPANY, CONTACT
from bus.systems.bitrix24_requisites import REQUISITES, Owner, by_owner, rows_where, whole
from bus.systems.bitrix_rest import Command, Rest, rows_of
from bus.systems.jobs import chunks, value_of

_SEARCH = "crm.duplicate.findbycomm"
_INNS, _VALUES, _FOUND = 20, 20, 20
"""INNs of a list, values of a search, and ids of one type with which a search ends."""
_TYPES: Mapping[str, int] = {"COMPANY": COMPANY, "CONTACT": CONTACT}
_COMPANYS_INN = 10

Found = dict[str, set[Owner]]
"""Who may be each of those that are looked for."""


@dataclass(frozen=True, slots=True)
class _Search:
    """Up to twenty phones or e-mails, each with those that are looked for by it."""

    kind: str
    among: str
    values: Mapping[str, frozenset[str]]

    @property
    def command(self) -> Command:
        return _SEARCH, {"type": self.kind, "values": list(self.values), "entity_type": self.among}

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(key for keys in self.values.values() for key in keys)

    def halves(self) -> Iterator[_Search]:
        """It was cut: there may be more of them than it tells."""
        for some in chunks(self.values.items(), (len(self.values) + 1) // 2):
            yield _Search(self.kind, self.among, dict(some))


def by_inn(rest: Rest, inns: Mapping[str, str]) -> Found:
    """Whoever has the INN, twenty INNs to a command."""
    commands = [rows_where(REQUISITES, {"@RQ_INN": page}) for page in chunks(sorted(set(inns.values())), _INNS)]
    found: Found = {}
    for row in (row for rows in whole(rest, commands) for row in rows):
        found.setdefault(str(row["RQ_INN"]), set()).update(by_owner([row]))
    return {key: found.get(inn, set()) for key, inn in inns.items()}


def by_contact(rest: Rest, wanted: Mapping[str, Alike]) -> Found:
    """Whoever has a phone or e-mail of those that were asked about together; `shares` tells them apart."""
    found: Found = {}
    open_ = list(_searches(wanted))
    while open_:
        again: list[_Search] = []
        for search, outcome in zip(open_, rest.each([search.command for search in open_]), strict=True):
            answer = value_of(outcome)
            ids = rows_of(answer, search.among) if isinstance(answer, dict) else []
            if len(ids) >= _FOUND and len(search.values) > 1:
                again += search.halves()
                continue
            for key in search.keys if ids else ():
                found.setdefault(key, set()).update((_TYPES[search.among], int(one)) for one in ids)
        open_ = again
    return found


def apart(found: Found, wanted: Mapping[str, Alike], raws: Mapping[Owner, Raw]) -> Found:
    """Of those that were found together, whose each may be, by what was read of him.

    One that shares nothing with any, as we read it, is anybody's: the portal compares by rules of its own.
    """
    told = {owner: _contacts(raw) for owner, raw in raws.items()}
    own = {key: _values(wanted[key]) for key in found}
    shared = {owner for key, owners in found.items() for owner in owners if owner in told and told[owner] & own[key]}
    return {
        key: {owner for owner in owners if owner not in shared or told[owner] & own[key]}
        for key, owners in found.items()
    }


def _searches(wanted: Mapping[str, Alike]) -> Iterator[_Search]:
    asked: dict[tuple[str, str], dict[str, set[str]]] = {}
    for key, one in wanted.items():
        for among in _among(one):
            for kind, values in (("PHONE", one.phones), ("EMAIL", one.emails)):
                for value in values:
                    asked.setdefault((kind, among), {}).setdefault(value, set()).add(key)
    for (kind, among), by_value in asked.items():
        for some in chunks(by_value.items(), _VALUES):
            yield _Search(kind, among, {value: frozenset(keys) for value, keys in some})


def _among(one: Alike) -> Collection[str]:
    """Twenty ids of one type end a search, so what can only be a company is looked for among companies."""
    company = (one.inn and len(one.inn) == _COMPANYS_INN) or (
        one.name and requisites.legal_form(one.name) not in (None, "ИП")
    )
    return ("COMPANY",) if company else tuple(_TYPES)


def _values(one: Alike) -> set[str]:
    return _comparable([*one.phones, *one.emails])


def _contacts(raw: Raw) -> set[str]:
    return _comparable(str(row.get("value") or "") for row in raw["item"].get("fm") or [])


def _comparable(values: Iterable[str]) -> set[str]:
    """Phones and e-mails as they are compared, in any spelling."""
    return {found.lower() for value in values for found in (*requisites.phones(value), *requisites.emails(value))}
