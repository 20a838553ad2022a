"""A Контрагент of CommerceML and the canonical counterparty: of a contragents file, or inside an order.

A legal entity is known by its ОфициальноеНаименование. 1C makes a counterparty from an order that names it, and never
changes one that it has: there is nothing to write to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from bus import requisites
from bus.model import Fields, Json, Kind, PartyType, nest
from bus.ports import Raw, RawRecord, Tables, Translation
from bus.systems.commerceml_raw import deleted, record_id, version_of
from mappings import values
from mappings.commerceml.names import Inner, Listed, Read, Word, filled, said_only

KIND: Kind = "counterparty"
EVENT = "counterparty"

_PERSON_INN = 12
_INNS, _KPPS = (10, 12), (9,)
_SELLERS = frozenset({"продавец", "seller", "комитент", "комиссионер", "лицензиар"})


class _Address(Read):
    text: Word = Field(default=None, alias="Представление")


class _Contact(Read):
    kind: Word = Field(default=None, alias="Тип")
    value: Word = Field(default=None, alias="Значение")


class _Named(Read):
    name: Word = Field(default=None, alias="Наименование")


class _Person(Read):
    name: Word = Field(default=None, alias="Наименование")
    party: Annotated[_Named, Inner] = Field(default=_Named(), alias="Контрагент")


class _Bank(Read):
    bic: Word = Field(default=None, alias="БИК")
    name: Word = Field(default=None, alias="Наименование")


class _Account(Read):
    number: Word = Field(default=None, alias="НомерСчета")
    bank: Annotated[_Bank, Inner] = Field(default=_Bank(), alias="Банк")


class Party(Read):
    """A Контрагент as it stands in a file."""

    id: Word = Field(default=None, alias="Ид")
    name: Word = Field(default=None, alias="Наименование")
    legal_name: Word = Field(default=None, alias="ОфициальноеНаименование")
    full_name: Word = Field(default=None, alias="ПолноеНаименование")
    role: Word = Field(default=None, alias="Роль")
    inn: Word = Field(default=None, alias="ИНН")
    kpp: Word = Field(default=None, alias="КПП")
    ogrn: Word = Field(default=None, alias="ОГРН")
    okpo: Word = Field(default=None, alias="ОКПО")
    okpo_code: Word = Field(default=None, alias="КодПоОКПО")
    legal_address: Annotated[_Address, Inner] = Field(default=_Address(), alias="ЮридическийАдрес")
    home: Annotated[_Address, Inner] = Field(default=_Address(), alias="АдресРегистрации")
    address: Annotated[_Address, Inner] = Field(default=_Address(), alias="Адрес")
    contacts: Annotated[list[_Contact], Listed] = Field(default=[], alias="Контакты")
    people: Annotated[list[_Person], Listed] = Field(default=[], alias="Представители")
    accounts: Annotated[list[_Account], Listed] = Field(default=[], alias="РасчетныеСчета")

    @property
    def sells(self) -> bool:
        """Whether this is the seller's side of a document: our own organisation."""
        return (self.role or "").lower() in _SELLERS

    @property
    def type(self) -> PartyType | None:
        """What it is by law, where the file lets that be told."""
        own = requisites.clean(self.inn) or ""
        whole = self.full_name or self.legal_name or self.name or ""
        if len(own) == _PERSON_INN:
            trades = self.says("legal_name") or requisites.legal_form(whole) == "ИП"
            return PartyType.SOLE_TRADER if trades else PartyType.PERSON
        if self.says("legal_name"):
            return PartyType.LEGAL_ENTITY
        return PartyType.PERSON if self.says("full_name") else None

    @property
    def phones(self) -> list[str]:
        """Its numbers, E.164 where they parse."""
        return _several([one for text in self._contacts("phone") for one in requisites.phones(text)])

    @property
    def emails(self) -> list[str]:
        """Its addresses."""
        return _several([one for text in self._contacts("email") for one in requisites.emails(text)])

    @property
    def contact(self) -> str | None:
        """Who speaks for it."""
        return next(
            (values.name(one.name or one.party.name) for one in self.people if one.name or one.party.name), None
        )

    def _contacts(self, kind: str) -> list[str]:
        return [one.value for one in self.contacts if one.value and _kind(one.kind) == kind]


class _Document(Party):
    """A Контрагент as a record of its own."""

    read_at: AwareDatetime = Field(alias="@read_at")
    version: str = Field(default="", alias="@version")


def carries(tables: Tables) -> frozenset[str]:  # noqa: ARG001 - every 1C keeps the same
    """What a Контрагент says; who is in charge of it, and its credit, 1C does not tell a site."""
    return frozenset(
        {
            "type",
            "name",
            "legal_name",
            "inn",
            "kpp",
            "ogrn",
            "okpo",
            "legal_address",
            "address",
            "phones",
            "emails",
            "accounts",
        }
    )


def writes(tables: Tables) -> frozenset[str]:  # noqa: ARG001 - no 1C takes any of it
    """Nothing: 1C never changes a counterparty that it has, whatever a site says of it."""
    return frozenset()


def holds(fields: Fields) -> bool:
    """Not by itself: 1C makes a counterparty of an order that names it."""
    del fields
    return False


def asks(fields: Collection[str], tables: Tables) -> frozenset[str]:
    """Nothing: it comes whole."""
    del fields, tables
    return frozenset()


def means(field: str, said: Json, wanted: Json) -> bool:
    """It says what it means."""
    del field
    return bool(said == wanted)


def to_canonical(raw: Raw, tables: Tables) -> Translation:  # noqa: ARG001 - it has no codes
    """The counterparty as the file has it, with what it says; an empty element clears nothing."""
    party = _Document.model_validate(raw)
    return Translation(
        data=nest(_says(party)), version=party.version or version_of(raw), modified_at=party.read_at, actor=None
    )


def from_canonical(fields: Fields, present: Raw | None, tables: Tables) -> Raw:  # noqa: ARG001 - it has no codes
    """The whole Контрагент that says `fields`, or nothing where `present` says them already."""
    says = _says(_Document.model_validate(present)) if present is not None else {}
    if present is not None and not values.differing(fields, says):
        return {}
    return element(says | fields) | filled({"Ид": (present or {}).get("Ид")})


def parts(order: RawRecord) -> list[RawRecord]:
    """The counterparties in an order that can be told apart: those with an INN, but the seller and deleted ones."""
    found = order.raw.get("Контрагенты")
    known = {name: value for name, value in order.raw.items() if name in ("@read_at", "@profile")}
    records = []
    for raw in found if isinstance(found, list) else []:
        party = Party.model_validate(raw if isinstance(raw, dict) else {})
        if party.id and party.inn and not party.sells and not deleted(raw):
            whole = {**raw, **known, "@version": version_of(raw)}
            records.append(RawRecord(KIND, record_id(KIND, raw, "auto"), whole))
    return records


def customer(party: Party) -> Fields:
    """What an order's Контрагент says of the customer: a company with its requisites, or a person."""
    whole = party.legal_name or party.full_name or party.name
    company = party.type in (PartyType.LEGAL_ENTITY, PartyType.SOLE_TRADER)
    return said_only(
        {
            "customer.company": values.short(whole) if company else None,
            "customer.name": party.contact if company else values.name(whole),
            "customer.inn": requisites.clean(party.inn),
            "customer.kpp": requisites.clean(party.kpp),
            "customer.phone": next(iter(party.phones), None),
            "customer.email": next(iter(party.emails), None),
        }
    )


def of_customer(fields: Fields, number: str) -> Raw:
    """The Контрагент of an order, as 1C is to find or make it. Somebody unknown is named after the order."""
    said = {key: fields.get(f"customer.{key}") for key in ("name", "phone", "email", "company", "inn", "kpp")}
    whole = said["company"] or said["name"] or said["phone"] or said["email"] or f"Покупатель заказа {number}"
    company = said["company"]
    legal = company is not None and len(requisites.clean(said["inn"]) or "") != _PERSON_INN
    made = {
        "name": whole,
        "type": PartyType.LEGAL_ENTITY if legal else PartyType.PERSON,
        "inn": said["inn"],
        "kpp": said["kpp"] if legal else None,
        "phones": [said["phone"]] if said["phone"] else [],
        "emails": [said["email"]] if said["email"] else [],
    }
    people = [{"Отношение": "Контактное лицо", "Наименование": said["name"]}] if company and said["name"] else []
    return element(made) | filled({"Ид": _key(made), "Представители": people, "Роль": "Покупатель"})


def element(fields: Fields) -> Raw:
    """A Контрагент that says `fields`, in words that 1C takes: a number that cannot be one is left out."""
    legal = fields.get("type") == PartyType.LEGAL_ENTITY
    whole = fields.get("legal_name") or fields.get("name")
    home = {"Представление": fields.get("legal_address")} if fields.get("legal_address") else {}
    contacts = [("Телефон рабочий", _number(one)) for one in fields.get("phones") or []]
    contacts += [("Почта", one) for one in fields.get("emails") or []]
    return filled(
        {
            "Наименование": fields.get("name") or whole,
            "ОфициальноеНаименование" if legal else "ПолноеНаименование": whole,
            "ЮридическийАдрес" if legal else "АдресРегистрации": home,
            "ИНН": _of_length(fields.get("inn"), _INNS),
            "КПП": _of_length(fields.get("kpp"), _KPPS) if legal else None,
            "ОКПО": fields.get("okpo"),
            "РасчетныеСчета": [_account(one) for one in fields.get("accounts") or []],
            "Адрес": {"Представление": fields["address"]} if fields.get("address") else {},
            "Контакты": [{"Тип": kind, "Значение": value} for kind, value in contacts],
        }
    )


def _says(party: Party) -> Fields:
    return said_only(
        {
            "type": party.type.value if party.type else None,
            "name": values.short(party.name),
            "legal_name": values.long(party.legal_name or party.full_name),
            "inn": requisites.clean(party.inn),
            "kpp": requisites.clean(party.kpp),
            "ogrn": requisites.clean(party.ogrn),
            "okpo": requisites.clean(party.okpo or party.okpo_code),
            "legal_address": values.long(party.legal_address.text or party.home.text),
            "address": values.long(party.address.text),
            "phones": party.phones or None,
            "emails": party.emails or None,
            "accounts": [_said_account(one) for one in party.accounts if one.number] or None,
        }
    )


def _said_account(one: _Account) -> Json:
    return {
        "account": requisites.clean(one.number),
        "bic": requisites.clean(one.bank.bic),
        "bank": values.short(one.bank.name),
    }


def _account(one: Json) -> Raw:
    bank = filled({"БИК": one.get("bic"), "Наименование": one.get("bank")})
    return filled({"НомерСчета": one["account"], "Банк": bank})


def _kind(said: str | None) -> str | None:
    """«Телефон рабочий», «Мобильный телефон», «Почта», «Электронная почта», E-mail; a postal address is neither."""
    plain = "".join((said or "").lower().split())
    if "телефон" in plain or plain.startswith(("мобильн", "phone")):
        return "phone"
    mail = plain == "почта" or "электроннаяпочта" in plain or "mail" in plain
    return "email" if mail else None


def _several(items: list[str]) -> list[str]:
    return list(dict.fromkeys(short for short in map(values.short, items) if short))


def _number(phone: str) -> str:
    """UT compares phones with their blanks removed."""
    return "".join(phone.split())


def _of_length(value: Any, lengths: tuple[int, ...]) -> str | None:
    said = requisites.clean(value)
    return said if said and len(said) in lengths else None


def _key(fields: Fields) -> str:
    """An Ид that is the same in every order of one customer, and tells nobody who it is: UNF and BUS may find by it."""
    if natural := requisites.natural_key(fields):
        return natural.replace("/", "#")
    known = "\n".join([*fields["phones"], *fields["emails"]]) or fields["name"]
    return f"bus-{hashlib.sha256(known.encode()).hexdigest()[:16]}"
