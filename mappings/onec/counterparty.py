"""A counterparty of a 1C base (Catalog_Контрагенты) and the canonical one.

Raw: the element as OData gives it, with "@read_at", "@kinds" ({key of a kind of contact: what it is to us}) and
"@accounts" ([{"account", "bic", "bank"}]); absent: not read. One with a deletion mark is not read at all.

Contacts are rows of one table, addresses, phones and e-mails alike, each with its kind. It is written whole, so every
row that we do not mean stays in it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Annotated

from pydantic import BeforeValidator

from bus import requisites
from bus.errors import UnknownCode
from bus.model import Fields, Json, Kind
from bus.ports import Held, Raw, Tables, Translation
from mappings import values
from mappings.onec import reading
from mappings.onec.reading import Record
from mappings.tables import meaning
from mappings.values import Text

KIND: Kind = "counterparty"
EVENT = "counterparty"

_THING, _TYPE = "counterparty", "party_type"
_NAME, _OFFICIAL = 100, 250
_PLAIN = {"name": "name", "legal_name": "legal_name", "inn": "inn", "kpp": "kpp", "ogrn": "ogrn", "okpo": "okpo"}
_CONTACTS = {"phones": "phone", "emails": "email", "legal_address": "legal_address", "address": "address"}
"""Canonical fields that are rows of contacts, by the kind of contact."""
_TYPES = {
    "phone": "Телефон",
    "email": "АдресЭлектроннойПочты",
    "legal_address": "Адрес",
    "address": "Адрес",
}
"""Types of contacts, by what they are for: a value of the platform's own library in every configuration."""
_CUT = {"name": _NAME, "legal_name": _OFFICIAL}
_ROW_OWNER = "Ref_Key"

Requisite = Annotated[str | None, BeforeValidator(requisites.clean)]


class _Counterparty(Record):
    name: Text = None
    legal_name: Text = None
    inn: Requisite = None
    kpp: Requisite = None
    ogrn: Requisite = None
    okpo: Requisite = None
    type: Text = None
    marker: Text = None


def carries(tables: Tables) -> frozenset[str]:
    """What this configuration keeps of a counterparty."""
    plain = {field for field, role in _PLAIN.items() if tables.name(_THING, role)}
    contacts = set(_CONTACTS) if tables.name(_THING, "contacts") else set[str]()
    type_ = {"type"} if tables.name(_THING, "type") else set[str]()
    return frozenset({*plain, *contacts, *type_, "accounts"})


def writes(tables: Tables) -> frozenset[str]:
    """All but bank accounts: they are elements of their own, given to a new counterparty only."""
    return carries(tables) - {"accounts"}


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Bank accounts are read by a request of their own."""
    del tables
    return frozenset({"accounts"} if "accounts" in fields else ())


def means(field: str, said: Json, wanted: Json) -> bool:
    """Long names are cut; a list of phones or e-mails may be in any order."""
    if field in _CUT:
        return (said or None) == _cut(field, wanted)
    if field in ("phones", "emails"):
        return sorted(said or []) == sorted(wanted or [])
    return (said or None) == (wanted or None)


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The counterparty as the base tells it; requisites as they are written, right or not."""
    party = _read(raw, tables)
    data, held = reading.held(_says(party, raw, tables))
    if ours := reading.ours(party, party.marker, KIND):
        data["records"] = ours
    return Translation(data=data, version=party.stamp, modified_at=party.modified_at, held=held)


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """What to write so that the counterparty says `fields`: {"fields", "contacts", "accounts"}, each only where needed.

    "contacts" is the table whole; a row of ours names its kind by "@kind", since kinds are elements with keys of their
    own in each base. A type nobody mapped is never left. Raises UnknownCode for a type that has no code here.
    """
    party = _read(present, tables) if present is not None else None
    says = _says(party, present or {}, tables) if party else {}
    wanted = {name: value for name, value in fields.items() if name in writes(tables)}
    due = {name: value for name, value in wanted.items() if not means(name, says.get(name), value)}
    own = {str(tables.name(_THING, role)): _plain(field, due[field]) for field, role in _PLAIN.items() if field in due}
    change: Raw = {"fields": own | _type(due.get("type"), says, tables)}
    if set(due) & set(_CONTACTS):
        change["contacts"] = _contacts(due, present or {}, tables)
    if party is None:
        change["accounts"] = fields.get("accounts")
    return {name: part for name, part in change.items() if part or (name == "contacts" and part is not None)}


def _read(raw: Raw, tables: Tables) -> _Counterparty:
    return _Counterparty.model_validate(reading.roles(raw, tables, _THING, _Counterparty))


def _says(party: _Counterparty, raw: Raw, tables: Tables) -> Fields:
    said: Fields = {}
    for field, role in _PLAIN.items():
        if party.says(role):
            said[field] = (
                values.long(getattr(party, role)) if field == "legal_name" else values.short(getattr(party, role))
            )
    if party.type:
        said["type"] = meaning(tables, _TYPE, party.type, field="type")
    section = tables.name(_THING, "contacts")
    if section and section in raw:
        rows = [row for row in raw[section] or [] if isinstance(row, Mapping)]
        said |= {field: _READERS[field](rows, raw, tables) for field in _CONTACTS}
    if "@accounts" in raw:
        said["accounts"] = [dict(one) for one in raw["@accounts"]]
    return said


def _phones(rows: list[Mapping[str, Json]], raw: Raw, tables: Tables) -> Json:
    """As they are shown: the number beside it has lost its plus and the extension."""
    del raw
    said = [_shown(row, tables) for row in rows if _is(row, "phone", tables)]
    return list(dict.fromkeys(phone for text in said if text for phone in requisites.phones(text)))


def _emails(rows: list[Mapping[str, Json]], raw: Raw, tables: Tables) -> Json:
    del raw
    said = [
        values.text(_cell(row, "email", tables)) or _shown(row, tables) for row in rows if _is(row, "email", tables)
    ]
    return list(dict.fromkeys(email for text in said if text for email in requisites.emails(text)))


def _address(kind: str) -> Callable[[list[Mapping[str, Json]], Raw, Tables], Json]:
    def read(rows: list[Mapping[str, Json]], raw: Raw, tables: Tables) -> Json:
        found = (_shown(row, tables) for row in rows if _of_kind(row, kind, raw, tables))
        return values.long(next((text for text in found if text), None))

    return read


_READERS: Mapping[str, Callable[[list[Mapping[str, Json]], Raw, Tables], Json]] = {
    "phones": _phones,
    "emails": _emails,
    "legal_address": _address("legal_address"),
    "address": _address("address"),
}


def _cell(row: Mapping[str, Json], role: str, tables: Tables) -> Json:
    return row.get(tables.name("contacts", role) or "")


def _shown(row: Mapping[str, Json], tables: Tables) -> str | None:
    return values.text(_cell(row, "text", tables))


def _is(row: Mapping[str, Json], kind: str, tables: Tables) -> bool:
    return bool(_cell(row, "type", tables) == _TYPES[kind])


def _of_kind(row: Mapping[str, Json], kind: str, raw: Raw, tables: Tables) -> bool:
    """An address is told from others by its kind, which has a predefined name in every base."""
    named = raw.get("@kinds", {}).get(str(_cell(row, "kind", tables)).lower())
    return _is(row, kind, tables) and bool(named == kind)


def _plain(field: str, value: Json) -> str:
    return _cut(field, value) or ""


def _cut(field: str, value: Json) -> str | None:
    return (values.text(value) or "")[: _CUT.get(field)].strip() or None


def _type(type_: Json, says: Fields, tables: Tables) -> Raw:
    """The kind of person, in each of the fields that configurations keep it in."""
    if type_ is None or isinstance(says.get("type"), Held):
        return {}
    places = {tables.name(_THING, "type"): "types", tables.name(_THING, "law"): "laws"}
    written = {name: tables.name(values_, type_) for name, values_ in places.items() if name}
    if None in written.values():
        raise UnknownCode(_TYPE, type_, field="type")
    return written


def _contacts(due: Fields, raw: Raw, tables: Tables) -> list[Raw]:
    """The table with what is due in it: other rows stay in their order, and so does a row that says a due value."""
    rows = [dict(row) for row in raw.get(tables.name(_THING, "contacts") or "") or []]
    for field, kind in _CONTACTS.items():
        if field in due:
            rows = _laid(rows, kind, _texts(due[field]), raw, tables)
    return [{name: cell for name, cell in row.items() if name != _ROW_OWNER} for row in rows]


def _texts(value: Json) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one]


def _laid(rows: list[Raw], kind: str, wanted: list[str], raw: Raw, tables: Tables) -> list[Raw]:
    """Rows of one kind that say what is wanted stay where they are, others of it go, missing ones come last."""
    left = list(wanted)
    kept = []
    for row in rows:
        if not _meant(row, kind, raw, tables):
            kept.append(row)
        elif said := _said(row, kind, left, tables):
            kept.append(row)
            left = [one for one in left if one not in said]
    return kept + [_row(kind, text, tables) for text in left]


def _meant(row: Raw, kind: str, raw: Raw, tables: Tables) -> bool:
    """Phones and e-mails are meant whatever their kind; of addresses only those of the very kind."""
    return _is(row, kind, tables) if kind in ("phone", "email") else _of_kind(row, kind, raw, tables)


def _said(row: Raw, kind: str, wanted: list[str], tables: Tables) -> set[str]:
    """Which of the wanted values a row says; none if it says another one beside: it would be left over."""
    text = _shown(row, tables) or ""
    said = {"phone": requisites.phones, "email": requisites.emails}.get(kind, lambda one: [one])(text)
    return set(said) if said and set(said) <= set(wanted) else set()


def _row(kind: str, text: str, tables: Tables) -> Raw:
    row = {"type": _TYPES[kind], "text": text}
    if kind == "phone":
        row["phone"] = "".join(sign for sign in text if sign.isdigit())
    if kind == "email":
        row["email"] = text
    named = {tables.name("contacts", role): value for role, value in row.items()}
    return {name: value for name, value in named.items() if name} | {"@kind": kind}
