"""How a 1C base writes values, and how they are read: times without a zone, empty keys and dates, marks of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict

from bus.errors import UnknownCode
from bus.model import Fields, Json, Kind
from bus.ports import Held, Raw, Tables
from bus.systems.onec_figures import unit_price
from mappings import values
from mappings.tables import meaning
from mappings.values import Sum, Text

EMPTY_KEY = "00000000-0000-0000-0000-000000000000"
MARK = re.compile(r"\s*\[bus:([0-9a-f-]{36})\]", re.IGNORECASE)
"""Our own key in a text of the record, in bases that do not take it for the record's own."""
_FIRST_YEAR = 1900
_CURRENCIES = "currencies"
_ISO = re.compile(r"[A-Z]{3}")
_OURS = "4"
"""The bus draws its keys at random, 1C makes its own of time and place: their versions (RFC 9562) tell them apart."""


def _stamp(value: Any) -> Any:
    """A time as 1C writes it, without a zone; its empty date is the first day of year 1."""
    if value in (None, ""):
        return None
    at = datetime.fromisoformat(str(value))
    return at if at.year > _FIRST_YEAR else None


def key(value: Any) -> str | None:
    """A reference; zeros mean that there is none."""
    said = (values.text(value) or "").lower()
    return said if said not in ("", EMPTY_KEY) else None


Key = Annotated[str | None, BeforeValidator(key)]
Stamp = Annotated[datetime | None, BeforeValidator(_stamp)]
Flag = Annotated[bool | None, BeforeValidator(lambda value: None if value == "" else value)]


class Read(BaseModel):
    """A record by what its fields are for; everything else of it is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def says(self, *names: str) -> bool:
        """Whether the record said all of these, be it as empty."""
        return all(name in self.model_fields_set for name in names)


class Currency(Read):
    """Of Catalog_Валюты: the code is the numeric one, the name the one that people use."""

    Code: Text = None
    Description: Text = None


class Party(Read):
    """The counterparty of a document, as far as a document tells of it."""

    ref: Key = None
    name: Text = None
    legal_name: Text = None
    inn: Text = None
    kpp: Text = None
    type: Text = None


class Row(Read):
    """A row of goods."""

    item: Key = None
    variant: Key = None
    quantity: Sum = None
    price: Sum = None
    sum: Sum = None
    sum_with_tax: Sum = None
    text: Text = None
    cancelled: Flag = None

    @property
    def paid_each(self) -> Decimal | None:
        """What a unit costs the customer."""
        if self.price is None or self.quantity is None:
            return self.price
        return unit_price(self.quantity, self.price, self.sum_with_tax or self.sum or Decimal(0))


class Record(Read):
    """What every record of a base has. `read_at` is when it was read: 1C keeps no time of change."""

    ref: Key = None
    read_at: AwareDatetime
    version: Text = None

    @property
    def stamp(self) -> str:
        """The version: opaque, compared for equality only."""
        return f"v{self.version or ''}"

    @property
    def modified_at(self) -> datetime:
        """The latest moment at which it surely was so."""
        return self.read_at.astimezone(UTC)


def roles(raw: Mapping[str, Json], tables: Tables, thing: str, model: type[Read]) -> dict[str, Json]:
    """A raw record by what its fields are for, with the base's names; what it does not hold is absent."""
    names = {role: tables.name(thing, role) for role in model.model_fields}
    found = {role: raw[name] for role, name in names.items() if name is not None and name in raw}
    return found | {"ref": raw.get("Ref_Key"), "read_at": raw.get("@read_at")}


def rows(raw: Mapping[str, Json], tables: Tables, thing: str) -> list[Row] | None:
    """The rows of an order's goods; None: they were not read."""
    section = tables.name(thing, "rows")
    if section is None or section not in raw:
        return None
    names = {role: tables.name(thing, f"row_{role}") for role in Row.model_fields}
    return [
        Row.model_validate({role: row[name] for role, name in names.items() if name and name in row})
        for row in raw[section] or []
    ]


def related(raw: Mapping[str, Json], name: str, ref: str | None) -> Mapping[str, Json]:
    """What was read along of the object that a record points to; empty where nothing was."""
    found: Json = raw.get("@related", {}).get(name, {}).get(ref or "", {})
    return found if isinstance(found, Mapping) else {}


def sum_of(amount: Decimal | None, raw: Raw, ref: str | None, tables: Tables, field: str) -> Json | Held:
    """Money in the document's currency; its code held for a person where no table knows it; None: not said."""
    if amount is None or ref is None:
        return None
    currency = Currency.model_validate(related(raw, _CURRENCIES, ref))
    codes = [code for code in (currency.Description, currency.Code) if code] or [ref]
    found = [meaning(tables, _CURRENCIES, code, field=field) for code in codes]
    known = next((one for one in found if isinstance(one, str) and _ISO.fullmatch(one)), None)
    if known is None:
        return next((one for one in found if isinstance(one, Held)), None) or _held(codes[0], field)
    return values.amount(amount, known)


def _held(code: str, field: str) -> Held:
    """A directory of the base knows the currency's name there, which is no code of ISO 4217."""
    return Held(field, _CURRENCIES, code, str(UnknownCode(_CURRENCIES, code, field=field)))


def moment(at: datetime | None, tables: Tables) -> Json:
    """A time of the base's zone as a canonical one."""
    return values.moment(at.replace(tzinfo=zone(tables))) if at else None


def native(at: Json, tables: Tables) -> str:
    """A canonical time as the base writes it."""
    local = datetime.fromisoformat(at).astimezone(zone(tables))
    return local.replace(tzinfo=None).isoformat(timespec="seconds")


def zone(tables: Tables) -> ZoneInfo:
    """Zone of the base's times."""
    return ZoneInfo(tables.name("links", "zone") or "Europe/Moscow")


def ours(record: Record, marker: str | None, kind: Kind) -> list[Json]:
    """The entity that a record was created for: its own key where we chose it, or our mark in its text."""
    marked = MARK.search(marker or "")
    if marked:
        return values.origin(marked[1], kind)
    return values.origin(record.ref, kind) if record.ref and record.ref[14] == _OURS else []


def unmarked(text: str | None) -> str | None:
    """A text without our mark."""
    return MARK.sub("", text).strip() or None if text else None


def marked(text: str | None, present: str | None) -> str:
    """`text` with the mark that the present one carries: writing a comment must not lose it."""
    found = MARK.search(present or "")
    return f"{text or ''}{found[0]}".strip() if found else text or ""


def held(said: Fields) -> tuple[Fields, tuple[Held, ...]]:
    """What is said, and apart from it what is held for a person."""
    kept = tuple(value for value in said.values() if isinstance(value, Held))
    return {name: value for name, value in said.items() if not isinstance(value, Held)}, kept
