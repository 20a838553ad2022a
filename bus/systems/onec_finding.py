"""Finding in a 1C base: goods by article or name, counterparties by requisites, what was created under our own key."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence

from bus.errors import Permanent
from bus.ports import Alike, Raw
from bus.systems.onec_calls import KEY, is_key, text
from bus.systems.onec_memory import Memory
from bus.systems.onec_reading import Reader

MOST = 20
"""How many candidates are of use to anybody."""
OWN_KEYS, CONTACTS, VERSIONS = "own keys", "contacts", "versions"
"""What bases differ in: whether an object may be created under a key of our choice, and be found by its contacts;
whether a write that names an old version is refused."""
_SPACE = uuid.UUID("6b5f2a52-61a5-4d5b-8f0e-1c4a2a9d7e11")
_FORMS = re.compile(r"\b(?:ООО|ОАО|ЗАО|ПАО|НАО|АО|ИП|ФГБУ|ФГУП|ГУП|МУП|АНО|ТОО)\b|[«»\"“”„]", re.IGNORECASE)
_SHORTEST = 4
_DIGITS = 10


class Finder:
    """Looks objects up; knows by what a base lets them be found."""

    def __init__(self, reader: Reader, memory: Memory) -> None:
        self._reader, self._calls, self._names, self._memory = reader, reader.calls, reader.names, memory

    def ours(self, set_: str, thing: str, origins: Sequence[str]) -> dict[str, Raw]:
        """Objects created under our keys, marked for deletion or not: by their own key, else by our mark in a text."""
        found = {str(row[KEY]).lower(): row for row in self._calls.by_keys(set_, origins)}
        left = [one for one in origins if one.lower() not in found]
        field = self._names.get(thing, "marker")
        if not left or field is None or self._memory.able(OWN_KEYS):
            return found
        asked = [f"substringof({text(mark(one))}, {field})" for one in left if is_key(one)]
        for row in self._calls.any_of(set_, asked):
            found |= {one: row for one in left if mark(one) in str(row.get(field) or "")}
        return found

    def party(self, inn: str | None, kpp: str | None, name: str | None) -> str | None:
        """The counterparty of an order: the one with the INN and KPP, or with the very name; never a guess.

        Raises Permanent when several have them.
        """
        role = {one: self._names.need("counterparty", one) for one in ("inn", "kpp", "name", "legal_name", "deleted")}
        alive = f"{role['deleted']} eq false"
        select = [KEY, role["kpp"]]
        if inn:
            rows = self._calls.any_of(self._set, [f"{role['inn']} eq {text(inn)}"], select=select, where=alive)
            exact = [row for row in rows if str(row.get(role["kpp"]) or "") == (kpp or "")]
            return self._only(exact or rows, f"INN and KPP ({len(rows)} of the INN)")
        if not name:
            return None
        asked = [f"{role[one]} eq {text(name)}" for one in ("name", "legal_name")]
        return self._only(self._calls.any_of(self._set, asked, select=select, where=alive), "name")

    def goods(self, lines: Iterable[Raw]) -> dict[tuple[str, str], str]:
        """Items by (product, name): by key, then by article, then by the very name. What is not there is absent.

        Raises Permanent when several items have one article or name.
        """
        wanted = list(dict.fromkeys((str(line.get("product") or ""), str(line["name"])) for line in lines))
        found = self._by_key(wanted)
        for role, at in (("article", 0), ("name", 1)):
            left = [one for one in wanted if one not in found and one[at]]
            by_value = self._by_value(role, {one[at] for one in left})
            found |= {one: by_value[one[at]] for one in left if one[at] in by_value}
        return found

    def alike(self, wanted: Mapping[str, Alike]) -> dict[str, list[Raw]]:
        """Counterparties that may be the wanted ones: who has the INN; else a phone or e-mail; else the name."""
        found: dict[str, list[Raw]] = {}
        by_inn = self._with_inn({one.inn for one in wanted.values() if one.inn})
        for key, one in wanted.items():
            rows = by_inn.get(one.inn or "", []) or self._with_contacts(one) or self._with_name(one.name)
            found[key] = rows[:MOST]
        return found

    @property
    def _set(self) -> str:
        return self._names.need("counterparty")

    @property
    def _alive(self) -> str:
        return f"{self._names.need('counterparty', 'deleted')} eq false"

    def _with_inn(self, inns: Collection[str]) -> dict[str, list[Raw]]:
        role = self._names.need("counterparty", "inn")
        rows = self._calls.any_of(self._set, [f"{role} eq {text(inn)}" for inn in sorted(inns)], where=self._alive)
        return {inn: [row for row in rows if str(row.get(role) or "").strip() == inn] for inn in inns}

    def _with_contacts(self, one: Alike) -> list[Raw]:
        """By rows of contacts, where the base can look into them; a phone is kept there as digits, with its 7 or 8."""
        section, conditions = self._names.get("counterparty", "contacts"), self._contacts(one)
        if not section or not conditions or self._memory.able(CONTACTS) is False:
            return []
        asked = [f"{section}/any(row: row/{condition})" for condition in conditions]
        try:
            rows = self._calls.any_of(self._set, asked, where=self._alive, top=MOST)
        except Permanent:  # this version of the platform does not know "any" (facts 2.3: 8.3.8 and later do)
            self._memory.proved(CONTACTS, able=False)
            return []
        self._memory.proved(CONTACTS, able=True)
        return rows

    def _contacts(self, one: Alike) -> list[str]:
        phone, email = (self._names.need("contacts", role) for role in ("phone", "email"))
        numbers = ["".join(sign for sign in said if sign.isdigit()) for said in one.phones]
        spelt = [f"{first}{said[-_DIGITS:]}" for said in numbers if len(said) > _DIGITS for first in ("7", "8")]
        return [f"{phone} eq {text(said)}" for said in spelt] + [f"{email} eq {text(said)}" for said in one.emails]

    def _with_name(self, name: str | None) -> list[Raw]:
        """By the name without its legal form, which one writes before it, another behind, a third not at all."""
        core = " ".join(_FORMS.sub(" ", name or "").split())
        if len(core) < _SHORTEST:
            return []
        role = self._names.need("counterparty", "name")
        asked = [f"startswith({role}, {text(core)})", f"substringof({text(core)}, {role})"]
        return self._calls.any_of(self._set, asked, where=self._alive, top=MOST)

    def _by_key(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """A shop that got its catalogue from 1C calls products by their keys, with the variant's behind a #."""
        keys = {one: one[0].partition("#")[0].lower() for one in wanted if is_key(one[0].partition("#")[0])}
        there = self._reader.items(keys.values())
        return {one: key for one, key in keys.items() if key in there}

    def _by_value(self, role: str, values: Collection[str]) -> dict[str, str]:
        field, set_ = self._names.need("item", role), self._names.need("item")
        asked = [f"{field} eq {text(value)}" for value in sorted(values)]
        found: dict[str, str] = {}
        for row in self._calls.any_of(set_, asked, select=[KEY, field], where="DeletionMark eq false"):
            value = next((one for one in values if one.lower() == str(row.get(field) or "").strip().lower()), None)
            if value is None:
                continue
            if value in found:
                say = f"{set_}: several items have {field} {value!r}: leave one, or mark the others for deletion"
                raise Permanent(say, cause=f"several items of one {role}")
            found[value] = str(row[KEY]).lower()
        return found

    def _only(self, rows: Sequence[Raw], by: str) -> str | None:
        if len(rows) > 1:
            say = f"{self._set}: {len(rows)} counterparties have this {by}: merge them in the base, then retry"
            raise Permanent(say, cause="several counterparties")
        return str(rows[0][KEY]).lower() if rows else None


def mark(origin: str) -> str:
    """Our key as a text that is looked for."""
    return f"[bus:{origin.lower()}]"


def key_of(*parts: str | None) -> str:
    """A key that follows from what the object is: of two who create the same at once, one is told that it is there."""
    return str(uuid.uuid5(_SPACE, "\n".join(part or "" for part in parts)))
