"""A counterparty of Bitrix24: a company or contact with its requisite, and the canonical counterparty.

Raw: {"type": "company" | "contact", "item": crm.item, "requisite": its row or null, "preset": the template that it was
made by, "bank": [...], "addresses": [...]}. A key that is absent was not read and says nothing; neither does a company
without a requisite say that requisites are to be cleared.

A requisite keeps the template it was made by, so that what a counterparty is by law is said once, when it is made. Its
accounts are never deleted, documents may name them: one that is not wanted is switched off, and then not read either.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from bus import requisites
from bus.errors import UnknownCode
from bus.model import BankAccount, Fields, Json, Kind, PartyType
from bus.ports import Held, Raw, Tables, Translation
from mappings import values
from mappings.bitrix24 import party_lists as lists
from mappings.bitrix24.party_rows import Account, Item, Party, Requisite
from mappings.tables import meaning

KIND: Kind = "counterparty"
EVENT = "counterparty"
ORIGINATOR, MARK = "integration-bus", "counterparty"
"""Who made what the bus created, and that it was made as a counterparty (originatorId, originVersion)."""

_TYPE, _USERS = "party_type", "users"
_PLAIN = {"inn": "RQ_INN", "kpp": "RQ_KPP", "okpo": "RQ_OKPO"}
_FULL, _OWN_NAME = "RQ_COMPANY_FULL_NAME", "RQ_NAME"
_NAME_PARTS = ("RQ_LAST_NAME", "RQ_FIRST_NAME", "RQ_SECOND_NAME")
_ADDRESSES = ("legal_address", "address")
_MULTI = {"phones": "PHONE", "emails": "EMAIL"}
_LEGAL_NAME = 300
"""Characters of a legal name that a requisite holds."""


def carries(tables: Tables) -> frozenset[str]:
    """Everything but what has no user field in this portal, and addresses of no type."""
    terms = {"credit_terms"} if tables.name("party_fields", "credit_terms") else set[str]()
    addresses = {field for field in _ADDRESSES if tables.name("addresses", field)}
    plain = {"type", "name", "legal_name", *_PLAIN, "ogrn", *_MULTI, "accounts", "responsible"}
    return frozenset(plain | addresses | terms)


def writes(tables: Tables) -> frozenset[str]:
    """It takes everything that it holds; what it is by law only while it has no requisite."""
    return carries(tables)


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Accounts and addresses are read by calls of their own."""
    del tables
    accounts = {"bank"} if "accounts" in fields else set[str]()
    return frozenset(accounts | ({"addresses"} if set(_ADDRESSES) & set(fields) else set[str]()))


def means(field: str, said: Json, wanted: Json) -> bool:
    """Lists may be in any order, names are cut, an address is told by its words and not by its commas."""
    if field in _MULTI:
        return lists.comparable(field, said) == lists.comparable(field, wanted)
    if field == "accounts":
        return lists.same_accounts(said or [], wanted or [])
    if field in _ADDRESSES:
        return lists.words(said) == lists.words(wanted)
    if field == "legal_name":
        return bool((said or None) == _cut(wanted))
    return bool((said or None) == (wanted or None))


def to_canonical(raw: Raw, tables: Tables) -> Translation:
    """The counterparty as the CRM tells it: last saved when its item or its requisite was, to the second.

    After a merger or a deletion an older requisite may count: the version goes back, and so it names the requisite.
    """
    party = Party.model_validate(raw)
    held = [found for found in (_law(party, tables), _responsible(party, tables)) if isinstance(found, Held)]
    data = _says(party, raw, tables)
    if records := _records(party.item):
        data["records"] = records
    saved_at, by = max(_saves(party), key=lambda save: save[0])
    return Translation(
        data=data,
        version=f"{int(saved_at.timestamp())}#{(party.requisite and party.requisite.id) or ''}",
        modified_at=saved_at.astimezone(UTC),
        actor=f"user:{by}" if by else None,
        held=tuple(held),
    )


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:
    """What to write so that the counterparty says `fields`: bus.systems.bitrix24_party_writes tells the shape.

    A new one is a contact if it is a person, else a company; it gets a requisite in any case. A manager whom the portal
    does not know is left out of a new one, which then is the integration user's, whom nobody takes for a manager.
    Raises UnknownCode for a manager whom it does not know, and for another type than its requisite was made by.
    """
    party = Party.model_validate(present) if present is not None else None
    says = _says(party, present or {}, tables) if party else {}
    due = {
        name: value
        for name, value in fields.items()
        if name in writes(tables) and not (means(name, says[name], value) if name in says else value in (None, []))
    }
    law = _wanted_law(due, party, tables)
    kind = (party.type if party else None) or ("contact" if law is PartyType.PERSON else "company")
    change: Raw = {
        "item": _item(due, kind, party, present, tables),
        "accounts": _accounts(due, party),
        "addresses": _addresses(due, party, tables),
    }
    change |= {"requisite": _requisite(due, law, party, change, tables)}
    change = {name: part for name, part in change.items() if part}
    return change if party else {"type": kind, **change}


def _says(party: Party, raw: Raw, tables: Tables) -> Fields:
    """Every canonical field the record says: what a write is compared with."""
    law, responsible = _law(party, tables), _responsible(party, tables)
    said: Fields = {"type": law} if isinstance(law, str) else {}
    said |= {"responsible": responsible} if isinstance(responsible, str) else {}
    said |= _said_item(party, raw["item"], tables)
    if party.requisite:
        said |= {field: party.requisite.text(name) for field, name in _PLAIN.items()}
        said |= {field: _first(party.requisite, _spots(field, law)) for field in ("legal_name", "ogrn")}
        if said["legal_name"] is None:
            said["legal_name"] = _joined(party.requisite.text(part) for part in _NAME_PARTS)
    if party.requisite and party.bank is not None:
        said["accounts"] = [_account(row) for row in party.bank if row.rq_acc_num and row.active != "N"] or None
    if party.requisite and party.addresses is not None:
        said |= {field: _address(party, kind) for field in _ADDRESSES if (kind := tables.name("addresses", field))}
    return said


def _said_item(party: Party, raw_item: Raw, tables: Tables) -> Fields:
    item, said = party.item, dict[str, Json]()
    if party.type == "contact" and item.says("name"):
        said["name"] = values.name(_joined((item.last_name, item.name, item.second_name)))
    elif item.says("title"):
        said["name"] = values.name(item.title)
    if "fm" in raw_item:
        said |= {field: lists.said(field, raw_item["fm"], kind) for field, kind in _MULTI.items()}
    terms = tables.name("party_fields", "credit_terms")
    if terms and terms in raw_item:
        said["credit_terms"] = values.short(raw_item[terms])
    return said


def _law(party: Party, tables: Tables) -> str | Held | None:
    """What it is by law, by the template of its requisite."""
    return meaning(tables, _TYPE, party.preset, field="type") if party.requisite and party.preset else None


def _responsible(party: Party, tables: Tables) -> str | Held | None:
    """Who is in charge of it; what the integration user is in charge of is in nobody's."""
    user = party.item.assigned_by_id
    if user is None or user == tables.name("links", "user"):
        return None
    return meaning(tables, _USERS, user, field="responsible")


def _saves(party: Party) -> list[tuple[datetime, str | None]]:
    """When item and requisite were last saved, and by whom. A requisite that was never changed has only its birth."""
    saves = [(party.item.updated_time, party.item.updated_by)]
    row = party.requisite
    if row and row.date_modify:
        saves.append((row.date_modify, row.modify_by_id))
    elif row and row.date_create:
        saves.append((row.date_create, row.created_by_id))
    return saves


def _records(item: Item) -> list[Json]:
    ours = item.originator_id == ORIGINATOR and item.origin_version == MARK
    return values.origin(item.origin_id, KIND) if ours else []


def _spots(field: str, law: Json) -> tuple[str, str]:
    """Where a requisite of this kind says it, and where it may stand besides."""
    if field == "ogrn":
        return ("RQ_OGRNIP", "RQ_OGRN") if law == PartyType.SOLE_TRADER else ("RQ_OGRN", "RQ_OGRNIP")
    return (_OWN_NAME, _FULL) if law == PartyType.PERSON else (_FULL, _OWN_NAME)


def _first(row: Requisite, names: Sequence[str]) -> str | None:
    return next((found for name in names if (found := row.text(name))), None)


def _account(row: Account) -> Json:
    made = BankAccount(account=row.rq_acc_num or "", bic=row.rq_bik, bank=values.short(row.rq_bank_name))
    return made.model_dump(mode="json")


def _address(party: Party, kind: str) -> str | None:
    found = next((one for one in party.addresses or [] if one.type_id == kind), None)
    return found.whole() if found else None


def _wanted_law(due: Fields, party: Party | None, tables: Tables) -> PartyType:
    """What it is by law, as its requisite says, else as it is to say, else as its INN tells.

    Raises UnknownCode when a requisite of another kind would have to become it.
    """
    law = _law(party, tables) if party else None
    if isinstance(law, str):
        if due.get("type") not in (None, law):
            raise UnknownCode(_TYPE, f"{due['type']} for a requisite made as {law}", field="type")
        return PartyType(law)
    if due.get("type"):
        return PartyType(due["type"])
    if party and party.type == "contact":
        return PartyType.PERSON
    personal = requisites.inn(due.get("inn") or "") and len(due["inn"]) == 12  # noqa: PLR2004 - digits of a person's INN
    return PartyType.SOLE_TRADER if personal else PartyType.LEGAL_ENTITY


def _item(due: Fields, kind: str, party: Party | None, present: Raw | None, tables: Tables) -> Raw:
    rows = (present or {}).get("item", {}).get("fm") or []
    multi = [row for field, name in _MULTI.items() if field in due for row in lists.rows(field, name, rows, due[field])]
    terms = tables.name("party_fields", "credit_terms")
    return {
        **_name(due, kind, party),
        **({"fm": multi} if multi else {}),
        **_manager(due.get("responsible"), party, tables),
        **({terms: due["credit_terms"] or ""} if terms and "credit_terms" in due else {}),
    }


def _name(due: Fields, kind: str, party: Party | None) -> Raw:
    """A contact's name in its three parts, where it has so many; a new record is never nameless."""
    said = due.get("name") or ("" if party else _called(due))
    if not said and "name" not in due:
        return {}
    if kind == "company":
        return {"title": said}
    last, first, second = _parts(said) or ("", said, "")
    return {"lastName": last, "name": first, "secondName": second}


def _called(due: Fields) -> str:
    return str(due.get("name") or due.get("legal_name") or due.get("inn") or "Контрагент")


def _parts(name: str) -> tuple[str, str, str] | None:
    """Last, first and second name of a person; None for what is no such name."""
    words = name.split()
    if len(words) not in (2, 3):
        return None
    last, first, *second = words
    return last, first, "".join(second)


def _manager(value: Json, party: Party | None, tables: Tables) -> Raw:
    if not value:
        return {}
    try:
        return {"assignedById": tables.codes(_USERS, value, field="responsible")[0]}
    except UnknownCode:
        if party is None:
            return {}
        raise


def _requisite(due: Fields, law: PartyType, party: Party | None, change: Raw, tables: Tables) -> Raw:
    row = party.requisite if party else None
    fields = {name: due[field] or "" for field, name in _PLAIN.items() if field in due}
    for field in ("legal_name", "ogrn"):
        if field in due:
            fields |= _spotted(field, due[field], law, row)
    if row:
        return {"id": row.id, "fields": fields} if fields or change["accounts"] or change["addresses"] else {}
    unread = party is not None and not party.says("requisite")
    if unread or not (party is None or any(fields.values()) or change["accounts"] or change["addresses"]):
        return {}
    code = tables.codes(_TYPE, law.value, field="type")[0]
    return {"id": None, "preset": code, "fields": _born(due, law, party) | fields}


def _spotted(field: str, value: Json, law: PartyType, row: Requisite | None) -> Raw:
    """A value in its place; one that is cleared is cleared wherever it stands."""
    own, other = _spots(field, law)
    if value:
        return {own: _cut(value) if field == "legal_name" else value}
    spots = (own, other, *(_NAME_PARTS if field == "legal_name" else ()))
    return {name: "" for name in spots if row and row.text(name)}


def _born(due: Fields, law: PartyType, party: Party | None) -> Raw:
    """What a new requisite is called, and a person's name in its parts, for the documents that are made of it."""
    name = _called(due) if due.get("name") or party is None else str(party.item.title or party.item.name or "Реквизиты")
    born: Raw = {"NAME": name}
    if law is not PartyType.PERSON:
        born["RQ_COMPANY_NAME"] = name
    if law is not PartyType.LEGAL_ENTITY and (parts := _parts(lists.without_form(due.get("legal_name") or name))):
        born |= dict(zip(_NAME_PARTS, parts, strict=True))
    return born


def _accounts(due: Fields, party: Party | None) -> list[Raw]:
    """Rows of wanted accounts are kept, changed or added, the others switched off."""
    if "accounts" not in due:
        return []
    rows = {row.rq_acc_num: row for row in reversed((party.bank if party else None) or []) if row.rq_acc_num}
    wanted = {str(one["account"]): one for one in due["accounts"] or []}
    changes = [_account_change(one, rows.get(number)) for number, one in wanted.items()]
    off = [row for number, row in rows.items() if number not in wanted and row.active != "N"]
    return [one for one in changes if one["fields"]] + [{"id": row.id, "fields": {"ACTIVE": "N"}} for row in off]


def _account_change(one: Mapping[str, Json], row: Account | None) -> Raw:
    said = {"RQ_BIK": one.get("bic"), "RQ_BANK_NAME": one.get("bank")}
    if row is None:
        name = one.get("bank") or one["account"]
        return {"id": None, "fields": {"NAME": name, "RQ_ACC_NUM": one["account"], **_stated(said)}}
    bank = {} if lists.same_name(row.rq_bank_name, one.get("bank")) else {"RQ_BANK_NAME": one.get("bank")}
    fields = _stated({"RQ_BIK": one.get("bic") if one.get("bic") != row.rq_bik else None} | bank)
    return {"id": row.id, "fields": fields | ({"ACTIVE": "Y"} if row.active == "N" else {})}


def _stated(said: Mapping[str, Json]) -> Raw:
    return {name: value for name, value in said.items() if value}


def _addresses(due: Fields, party: Party | None, tables: Tables) -> list[Raw]:
    """An address that we write stands whole in its first line, with nothing beside it."""
    there = {one.type_id for one in (party.addresses if party else None) or []}
    blank = dict.fromkeys(("ADDRESS_2", "CITY", "POSTAL_CODE", "REGION", "PROVINCE", "COUNTRY"), "")
    wanted = [(str(tables.name("addresses", field)), due[field]) for field in _ADDRESSES if field in due]
    return [
        {"there": kind in there, "fields": {"TYPE_ID": kind, "ADDRESS_1": value or "", **blank}}
        for kind, value in wanted
        if value or kind in there
    ]


def _joined(parts: Collection[str | None] | Json) -> str | None:
    return " ".join(part for part in parts if part) or None


def _cut(value: Json) -> Json:
    return str(value)[:_LEGAL_NAME].strip() or None if value else None
