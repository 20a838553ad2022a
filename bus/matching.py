"""Matching: whether two counterparties are one, by requisites, names and contacts; sure, possible, or not.

Never a guess: only what is sure is acted upon, everything else is a question for a person. Pure: values in, values out.

    both have an INN, and they differ                          -> not the same
    the same INN, both a KPP, and they differ                  -> not the same: branches of one legal entity
    the same INN and KPP; the same 12-digit INN                -> surely the same
    the same INN, a KPP unknown, the same name                 -> surely; another name: possibly
    no INN to compare, the same name and a phone or e-mail     -> surely
    no INN to compare, the same name of a company              -> possibly
    no INN to compare, a phone or e-mail                       -> possibly
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bus import requisites
from bus.model import Fields, PartyType
from bus.ports import Alike

T = TypeVar("T")

_PERSON_INN = 12


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two counterparties are, and in what; `sure`: they are one."""

    sure: bool
    why: tuple[str, ...]

    @property
    def possible(self) -> bool:
        """Alike in anything at all."""
        return bool(self.why)


@dataclass(frozen=True, slots=True)
class Judged(Generic[T]):
    """What candidates come to: the one that it surely is, or those that a person is to choose among, or neither."""

    same: T | None = None
    asks: tuple[tuple[T, Likeness], ...] = ()


def traits(fields: Fields) -> frozenset[str]:
    """What a counterparty is found by: "inn:7707083893", "name:ромашка", "phone:+79123456789", "email:a@b.ru".

    And by the whole of its requisites, "inn/7707083893/773601001": one of many branches is found by that.
    """
    found = {f"phone:{one}" for one in fields.get("phones") or []}
    found |= {f"email:{one.lower()}" for one in fields.get("emails") or []}
    if inn := _inn(fields):
        found.add(f"inn:{inn}")
    if key := requisites.natural_key(fields):
        found.add(key)
    return frozenset(found | {f"name:{name}" for name in _names(fields)})


def alike(fields: Fields) -> Alike:
    """By what another system is asked for it."""
    phones, emails = fields.get("phones") or [], fields.get("emails") or []
    name = fields.get("legal_name") or fields.get("name")
    return Alike(name, _inn(fields), fields.get("kpp"), tuple(phones), tuple(emails))


def likeness(one: Fields, other: Fields) -> Likeness:
    """How alike two counterparties are."""
    ours, theirs = _inn(one), _inn(other)
    if ours and theirs:
        return _by_inn(one, other, ours) if ours == theirs else Likeness(sure=False, why=())
    name = bool(_names(one) & _names(other))
    contact = sorted(_contacts(one) & _contacts(other))
    why = (("the same name",) if name and (contact or not _is_person(one, other)) else ()) + tuple(
        {"phone": "the same phone", "email": "the same e-mail"}[item.partition(":")[0]] for item in contact
    )
    return Likeness(name and bool(contact), tuple(dict.fromkeys(why)))


def _by_inn(one: Fields, other: Fields, inn: str) -> Likeness:
    kpps = {fields["kpp"] for fields in (one, other) if fields.get("kpp")}
    if len(inn) == _PERSON_INN:
        return Likeness(sure=True, why=("the same INN",))
    if len(kpps) > 1:
        return Likeness(sure=False, why=())
    if one.get("kpp") and other.get("kpp"):
        return Likeness(sure=True, why=("the same INN and KPP",))
    if _names(one) & _names(other):
        return Likeness(sure=True, why=("the same INN", "the same name"))
    return Likeness(sure=False, why=("the same INN, one without a KPP",))


def namesakes(one: Fields, other: Fields) -> bool:
    """The same name, and no requisites that speak against it."""
    ours, theirs = _inn(one), _inn(other)
    kpps = {fields["kpp"] for fields in (one, other) if fields.get("kpp")}
    against = bool(ours and theirs and (ours != theirs or len(kpps) > 1))
    return bool(_names(one) & _names(other)) and not against


def judge(ours: Fields, candidates: Sequence[tuple[T, Fields]]) -> Judged[T]:
    """Of candidates, the one that it surely is; if several are, or one is only possible, those to ask about."""
    alike_ones = [(one, found) for one, fields in candidates if (found := likeness(ours, fields)).possible]
    sure = [one for one, found in alike_ones if found.sure]
    return Judged(same=sure[0]) if len(sure) == 1 else Judged(asks=tuple(alike_ones))


def _inn(fields: Fields) -> str | None:
    inn = requisites.clean(fields.get("inn"))
    return inn if inn and requisites.inn(inn) else None


def _names(fields: Fields) -> frozenset[str]:
    keys = {requisites.name_key(fields.get(field) or "") for field in ("name", "legal_name")}
    return frozenset(key for key in keys if key)


def _contacts(fields: Fields) -> frozenset[str]:
    return frozenset(one for one in traits(fields) if one.startswith(("phone:", "email:")))


def _is_person(*parties: Fields) -> bool:
    """Two persons of one name are two persons until more is known."""
    return all(one.get("type") == PartyType.PERSON for one in parties)
