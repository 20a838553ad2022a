"""Counterparties and their partners, contacts and accounts, as people enter and merge them."""

from __future__ import annotations

import json

from bus.sandbox.onec import catalogs, documents, predefined
from bus.sandbox.onec.entries import answered, coded, named
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.schema import Row

_KINDS = {
    "legal_entity": ("ЮрЛицо", "ЮридическоеЛицо", "Компания"),
    "sole_trader": ("ИндивидуальныйПредприниматель", "ФизическоеЛицо", "ЧастноеЛицо"),
    "person": ("ФизЛицо", "ФизическоеЛицо", "ЧастноеЛицо"),
}
_PERSONAL_INN = 12
_COUNTERPARTY = {
    "name": "Description",
    "full_name": "НаименованиеПолное",
    "inn": "ИНН",
    "kpp": "КПП",
    "okpo": "КодПоОКПО",
    "ogrn": "РегистрационныйНомер",
    "comment": "ДополнительнаяИнформация",
    "partner": "Партнер_Key",
}
_CONTACTS = {
    "phones": (predefined.PHONE, "Телефон"),
    "emails": (predefined.EMAIL, "АдресЭлектроннойПочты"),
    "address": (predefined.ADDRESS, "Адрес"),
    "legal_address": (predefined.LEGAL_ADDRESS, "Адрес"),
}
_OWNING = (
    documents.ORDER.name,
    documents.SHIPMENT.name,
    documents.INVOICE.name,
    documents.WRITE_OFF.name,
    *documents.MONEY_IN,
)
"""The documents that go over to the kept counterparty when two are merged."""


class Parties:
    """Each method takes an act."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def create(self, act: Row) -> Row:
        """name, full_name, inn, kpp, okpo, ogrn, kind, phones, emails, address, legal_address, accounts, partner."""
        fields = self.fields({"name": "Контрагент", **act}, None)
        row = self._objects.create(catalogs.COUNTERPARTIES.name, fields | (act.get("fields") or {}))
        self.open_accounts(row["Ref_Key"], act)
        return answered(row) | {"partner": row["Партнер_Key"]}

    def create_partner(self, act: Row) -> Row:
        """name, kind; `fields`."""
        name, kind = str(act.get("name", "Партнер")), str(act.get("kind", "legal_entity"))
        fields = {"Description": name, "НаименованиеПолное": name, "Клиент": True, "ЮрФизЛицо": _KINDS[kind][2]}
        return answered(coded(self._objects, catalogs.PARTNERS.name, fields | (act.get("fields") or {})))

    def fields(self, act: Row, before: Row | None) -> Row:
        """The act's keys as fields; what is entered for the first time is filled as the form fills it."""
        fields = named(_COUNTERPARTY, act)
        kind = act.get("kind")
        if before is None:
            kind = kind or _kind_of(str(act.get("inn") or ""))
            fields = self._filled(fields, kind)
        if kind:
            fields["ЮрФизЛицо"], fields["ЮридическоеФизическоеЛицо"] = _KINDS[kind][:2]
        contacts = _contacts(act, before["КонтактнаяИнформация"] if before else [])
        return fields if contacts is None else fields | {"КонтактнаяИнформация": contacts}

    def _filled(self, fields: Row, kind: str) -> Row:
        """In УТ a counterparty belongs to a partner; here, as where partners are not kept apart, to its own."""
        name = fields["Description"]
        partner = fields.get("Партнер_Key") or self.create_partner({"name": name, "kind": kind})["id"]
        given = {"НаименованиеПолное": name, "СтранаРегистрации_Key": predefined.RUSSIA}
        return given | fields | {"Партнер_Key": partner}

    def open_accounts(self, owner: str, act: Row) -> None:
        """`accounts`: [{account, bic, bank, correspondent}]; one with a known number is changed."""
        name = catalogs.COUNTERPARTY_ACCOUNTS.name
        for account in act.get("accounts") or ():
            fields = {
                "Owner_Key": owner,
                "Description": f"{account['account']} {account.get('bank', '')}".strip(),
                "НомерСчета": str(account["account"]),
                "БИКБанка": str(account.get("bic", "")),
                "НаименованиеБанка": str(account.get("bank", "")),
                "КоррСчетБанка": str(account.get("correspondent", "")),
                "РучноеИзменениеРеквизитовБанка": True,
                "ВалютаДенежныхСредств_Key": predefined.RUB,
            }
            known = self._objects.find(name, Owner_Key=owner, НомерСчета=str(account["account"]))
            if known:
                self._objects.change(name, known[0]["Ref_Key"], fields)
            else:
                self._objects.create(name, fields)

    def merge(self, act: Row) -> Row:
        """`keep`, `drop`: documents and accounts go over to the kept one, the other bears a deletion mark."""
        name = catalogs.COUNTERPARTIES.name
        keep, drop = (self._objects.existing(name, str(act[which])) for which in ("keep", "drop"))
        moved = 0
        for of in _OWNING:
            for row in self._objects.rows(of):
                if row.get("Контрагент_Key") == drop["Ref_Key"]:
                    self._objects.change(of, row["Ref_Key"], _moved(row, keep, drop))
                    moved += 1
        for row in self._objects.find(catalogs.COUNTERPARTY_ACCOUNTS.name, Owner_Key=drop["Ref_Key"]):
            self._objects.change(catalogs.COUNTERPARTY_ACCOUNTS.name, row["Ref_Key"], {"Owner_Key": keep["Ref_Key"]})
        self._objects.mark(name, drop["Ref_Key"])
        return {"ok": True, "id": keep["Ref_Key"], "moved": moved}

    def of(self, act: Row) -> Row:
        """The counterparty named, or a new one."""
        key = act.get("counterparty") or self.create(act.get("new_counterparty") or {})["id"]
        return self._objects.existing(catalogs.COUNTERPARTIES.name, str(key))

    def belongs(self, counterparty: str) -> Row:
        party = self._objects.existing(catalogs.COUNTERPARTIES.name, counterparty)
        return {"Контрагент_Key": party["Ref_Key"], "Партнер_Key": party["Партнер_Key"]}


def _kind_of(inn: str) -> str:
    return "sole_trader" if len(inn) == _PERSONAL_INN else "legal_entity"


def _moved(row: Row, keep: Row, drop: Row) -> Row:
    """A document's references to the dropped counterparty and its partner, turned to the kept one."""
    moved: Row = {"Контрагент_Key": keep["Ref_Key"]}
    if row.get("Партнер_Key") == drop["Партнер_Key"]:
        moved["Партнер_Key"] = keep["Партнер_Key"]
    for line in row.get("РасшифровкаПлатежа", ()):
        ours = {"Партнер_Key": keep["Партнер_Key"]} if line["Партнер_Key"] == drop["Партнер_Key"] else {}
        moved.setdefault("РасшифровкаПлатежа", []).append({**line, **ours})
    return moved


def _contacts(act: Row, before: list[Row]) -> list[Row] | None:
    """The contact rows with those kinds replaced that the act names; None when it names none."""
    said = [one for one in _CONTACTS if one in act]
    if not said:
        return None
    replaced = {_CONTACTS[one][0] for one in said}
    rows = [row for row in before if row["Вид_Key"] not in replaced]
    for one in said:
        texts = act[one] if isinstance(act[one], list | tuple) else [act[one]]
        rows += [contact(*_CONTACTS[one], str(text)) for text in texts if text]
    return rows


def contact(kind: str, of_type: str, text: str) -> Row:
    """A row of КонтактнаяИнформация as the form fills it: the text, its JSON, and the parts for searching."""
    row = {
        "Тип": of_type,
        "Вид_Key": kind,
        "Представление": text,
        "Значение": json.dumps({"value": text, "comment": "", "type": of_type}, ensure_ascii=False),
    }
    if of_type == "Телефон":
        row["НомерТелефона"] = "".join(filter(str.isdigit, text))[:20]
        row["НомерТелефонаБезКодов"] = row["НомерТелефона"][-7:]
    elif of_type == "АдресЭлектроннойПочты":
        row["АдресЭП"] = text
        row["ДоменноеИмяСервера"] = text.rpartition("@")[2]
    else:
        row["Страна"] = "РОССИЯ"
    return row
