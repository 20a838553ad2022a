"""Finding the counterparty of a site's order among 1C's, by the rules of the node, and creating one when none fits.

Nothing here ever changes a counterparty that exists, and nothing takes the same company under another spelling for
the same: that is how duplicates come into a base.
"""

from __future__ import annotations

from collections import defaultdict

from bus.sandbox.onec import catalogs, predefined
from bus.sandbox.onec.cml_books import PARTY_SITE_ID, extra, extras
from bus.sandbox.onec.cml_read import SiteParty
from bus.sandbox.onec.cml_values import Account
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.parties import contact
from bus.sandbox.onec.schema import ZERO_GUID, Row

_FULL_NAME, _NAME, _VALUE = 250, 100, 500


class Parties:
    """The counterparties of one load. `match`: the ways to look, tried in this order."""

    def __init__(self, objects: Objects, match: tuple[str, ...]) -> None:
        self._objects = objects
        self._match = match
        self._known: dict[tuple[str, str], list[str]] = defaultdict(list)
        for row in objects.find(catalogs.COUNTERPARTIES.name):
            self._learn(row)

    def find(self, wanted: SiteParty) -> str:
        """The reference of the first that fits; "" when none does."""
        for way in self._match:
            for key in self._keys(wanted, way):
                if self._known.get(key):
                    return self._known[key][0]
        return ""

    def create(self, wanted: SiteParty) -> str:
        """A new counterparty and its partner; its contacts and accounts are copied this once and never again."""
        partner = self._objects.create(
            catalogs.PARTNERS.name,
            {
                "Description": wanted.name[:_NAME],
                "НаименованиеПолное": wanted.full_name[:_FULL_NAME],
                "ЮрФизЛицо": "Компания" if wanted.legal else "ЧастноеЛицо",
                "Клиент": True,
            },
        )
        row = self._objects.create(catalogs.COUNTERPARTIES.name, _fields(wanted, partner["Ref_Key"]))
        for account in wanted.accounts:
            self._account(row["Ref_Key"], account)
        self._learn(row)
        return str(row["Ref_Key"])

    def partner(self, key: str) -> str:
        """The partner that a counterparty belongs to."""
        row = self._objects.row(catalogs.COUNTERPARTIES.name, key)
        return str(row["Партнер_Key"]) if row else ZERO_GUID

    def _account(self, owner: str, account: Account) -> None:
        self._objects.create(
            catalogs.COUNTERPARTY_ACCOUNTS.name,
            {
                "Owner_Key": owner,
                "Description": account.bank[:_NAME],
                "НомерСчета": account.number,
                "ВалютаДенежныхСредств_Key": predefined.RUB,
                "БИКБанка": account.bic,
                "НаименованиеБанка": account.bank[:_NAME],
                "КоррСчетБанка": account.correspondent,
            },
        )

    def _learn(self, row: Row) -> None:
        legal = row["ЮрФизЛицо"] in ("", "ЮрЛицо", "ЮрЛицоНеРезидент")
        keys = [("name", row["Description"]), ("id", extra(row, PARTY_SITE_ID)), ("id", row["Ref_Key"])]
        keys.append(("inn", f"{row['ИНН']}/{row['КПП'] if legal else ''}" if row["ИНН"] else ""))
        for one in row["КонтактнаяИнформация"]:
            keys += [("phone", _digits(one["НомерТелефона"])), ("mail", one["АдресЭП"].lower())]
        for way, text in keys:
            if text:
                self._known[way, text].append(row["Ref_Key"])

    def _keys(self, wanted: SiteParty, way: str) -> list[tuple[str, str]]:
        """Without an ИНН the way «ИНН+КПП» looks by name (facts 1.5)."""
        if way == "inn":
            legal = f"/{wanted.kpp if wanted.legal else ''}"
            return [("inn", wanted.inn + legal)] if wanted.inn else [("name", wanted.name)]
        text = {"id": wanted.id, "name": wanted.name, "phone": _digits(wanted.phone), "mail": wanted.mail.lower()}[way]
        return [(way, text)] if text else []


def _fields(wanted: SiteParty, partner: str) -> Row:
    return {
        "Description": wanted.name[:_NAME],
        "НаименованиеПолное": wanted.full_name[:_FULL_NAME],
        "Партнер_Key": partner,
        "ЮрФизЛицо": _kind(wanted),
        "ЮридическоеФизическоеЛицо": "ЮридическоеЛицо" if wanted.legal else "ФизическоеЛицо",
        "ИНН": wanted.inn,
        "КПП": wanted.kpp if wanted.legal else "",
        "КодПоОКПО": wanted.okpo,
        "КонтактнаяИнформация": _contacts(wanted),
        "ДополнительныеРеквизиты": extras({PARTY_SITE_ID: (wanted.id, "String")}),
    }


def _kind(wanted: SiteParty) -> str:
    if wanted.legal:
        return "ЮрЛицо"
    return "ИндивидуальныйПредприниматель" if wanted.full_name.startswith("ИП ") else "ФизЛицо"


def _contacts(wanted: SiteParty) -> list[Row]:
    said = (
        (predefined.PHONE, "Телефон", wanted.phone),
        (predefined.EMAIL, "АдресЭлектроннойПочты", wanted.mail),
        (predefined.LEGAL_ADDRESS, "Адрес", wanted.address[:_VALUE]),
    )
    return [contact(*one) for one in said if one[2]]


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))[:20]
