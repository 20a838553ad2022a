"""What is read of a counterparty of Bitrix24: its item, and the rows of requisites, accounts and addresses."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, ConfigDict

from bus import requisites
from mappings import values
from mappings.values import Id, Listed, Read, Stamp, Text

_Clean = Annotated[str | None, BeforeValidator(requisites.clean)]


class Item(Read):
    updated_time: AwareDatetime
    updated_by: Id = None
    title: Text = None
    name: Text = None
    last_name: Text = None
    second_name: Text = None
    assigned_by_id: Id = None
    originator_id: Text = None
    origin_id: Text = None
    origin_version: Text = None


class _Row(Read):
    """A row of the old lists: upper-case names."""

    model_config = ConfigDict(alias_generator=str.upper)

    id: Id = None


class Requisite(_Row):
    date_create: Stamp = None
    date_modify: Stamp = None
    created_by_id: Id = None
    modify_by_id: Id = None
    rq_inn: _Clean = None
    rq_kpp: _Clean = None
    rq_okpo: _Clean = None
    rq_ogrn: _Clean = None
    rq_ogrnip: _Clean = None
    rq_company_full_name: Text = None
    rq_name: Text = None
    rq_last_name: Text = None
    rq_first_name: Text = None
    rq_second_name: Text = None

    def text(self, name: str) -> str | None:
        """A value by the portal's own name."""
        found: str | None = getattr(self, name.lower())
        return found


class Account(_Row):
    active: Text = None
    rq_acc_num: _Clean = None
    rq_bik: _Clean = None
    rq_bank_name: Text = None


class Address(_Row):
    type_id: Id = None
    postal_code: Text = None
    country: Text = None
    province: Text = None
    region: Text = None
    city: Text = None
    address_1: Text = None
    address_2: Text = None

    def whole(self) -> str | None:
        """As it is written on an envelope in Russia, from the largest to the smallest."""
        parts = (self.postal_code, self.country, self.province, self.region, self.city, self.address_1, self.address_2)
        return values.long(", ".join(part for part in parts if part))


class Party(Read):
    type: Text = None
    item: Item
    requisite: Requisite | None = None
    preset: Text = None
    bank: Annotated[list[Account] | None, Listed] = None
    addresses: Annotated[list[Address] | None, Listed] = None
