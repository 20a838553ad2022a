"""Money in and out, as people enter it: receipts, write-offs, card operations, split over orders."""

from __future__ import annotations

from decimal import Decimal

from bus.sandbox.envelope import RestError
from bus.sandbox.onec import documents, predefined
from bus.sandbox.onec.entries import answered, moment, named
from bus.sandbox.onec.numbers import exact, number
from bus.sandbox.onec.objects import Objects
from bus.sandbox.onec.parties import Parties
from bus.sandbox.onec.schema import ZERO_GUID, Row

_MONEY = {
    "date": "Date",
    "purpose": "НазначениеПлатежа",
    "uip": "ИдентификаторПлатежа",
    "operation": "ХозяйственнаяОперация",
    "comment": "Комментарий",
    "currency": "Валюта_Key",
    "account": "БанковскийСчетКонтрагента_Key",
}
_INCOMING = {
    documents.RECEIPT.name: ("НомерВходящегоДокумента", "ДатаВходящегоДокумента"),
    documents.WRITE_OFF.name: ("НомерПоДаннымБанка", "ДатаПоДаннымБанка"),
}
_OPERATIONS = {
    documents.RECEIPT.name: "ПоступлениеОплатыОтКлиента",
    documents.WRITE_OFF.name: "ВозвратОплатыКлиенту",
    documents.CARD_PAYMENT.name: "ПоступлениеОплатыОтКлиентаПоПлатежнойКарте",
}


class Money:
    """`name` is the set: a receipt, a write-off, a card operation."""

    def __init__(self, objects: Objects, parties: Parties) -> None:
        self._objects = objects
        self._parties = parties

    def create(self, name: str, act: Row) -> Row:
        """A document of the bank's statement, or of the acquirer.

        orders [{order, amount}], or order and amount; number and number_date (of the payer's document), date, payer,
        purpose, uip, account, post (default true).
        """
        fields = {
            "Date": self._objects.now(),
            "Организация_Key": predefined.ORGANISATION,
            "БанковскийСчет_Key": predefined.ORGANISATION_ACCOUNT,
            "Валюта_Key": predefined.RUB,
            "ХозяйственнаяОперация": _OPERATIONS[name],
            "ПроведеноБанком": True,
            "Автор_Key": predefined.ACCOUNTANT,
        }
        fields |= self.fields(name, act, None)
        fields["ДатаПроведенияБанком"] = fields["Date"]
        row = self._objects.create(name, fields | (act.get("fields") or {}))
        if act.get("post", True):
            row = self._objects.post(name, row["Ref_Key"])
        return answered(row) | {"amount": row["СуммаДокумента"]}

    def fields(self, name: str, act: Row, before: Row | None) -> Row:
        """The act's keys as fields; an amount or `orders` replace the whole split."""
        fields = named(_MONEY, act)
        if "Date" in fields:
            fields["Date"] = moment(fields["Date"])
        rows = _parts(act, before)
        payer = self._payer(act, rows)
        fields |= self._parties.belongs(payer) if payer else {}
        if rows:
            partner = fields.get("Партнер_Key") or (before or {}).get("Партнер_Key", ZERO_GUID)
            fields["РасшифровкаПлатежа"] = [_split(row, partner) for row in rows]
            fields["СуммаДокумента"] = number(sum((exact(row["amount"]) for row in rows), Decimal()))
        if name in _INCOMING and (before is None or "number" in act):
            number_field, date_field = _INCOMING[name]
            fields[number_field] = str(act.get("number", ""))
            day = str(act.get("number_date") or act.get("date") or self._objects.now())[:10]
            fields[date_field] = moment(day)
        return fields

    def _payer(self, act: Row, rows: list[Row]) -> str:
        if "payer" in act or "counterparty" in act:
            return str(act.get("payer") or act["counterparty"])
        order = next((row["order"] for row in rows if row.get("order")), None)
        return str(self._objects.existing(documents.ORDER.name, str(order))["Контрагент_Key"]) if order else ""


def _parts(act: Row, before: Row | None) -> list[Row]:
    """`orders`, or one `order` and `amount`; an amount alone is an advance, or changes the only row there is."""
    if "orders" in act:
        return list(act["orders"])
    if "amount" not in act:
        return []
    known = before["РасшифровкаПлатежа"] if before else []
    if len(known) > 1:
        raise RestError("BAD_CONTROL_CALL", "the payment is split over several orders; say `orders`")
    order = act.get("order") or (known[0]["ОснованиеПлатежа"] if known else "")
    return [{"order": order, "amount": act["amount"]}]


def _split(row: Row, partner: str) -> Row:
    """A line of РасшифровкаПлатежа; without an order it is an advance of the partner."""
    based = {"ОснованиеПлатежа": str(row.get("order")), "ОснованиеПлатежа_Type": documents.ORDER.type_name}
    return {
        "Партнер_Key": partner,
        "Сумма": number(row["amount"]),
        "СуммаВзаиморасчетов": number(row["amount"]),
        "ВалютаВзаиморасчетов_Key": predefined.RUB,
        "СтавкаНДС_Key": predefined.VAT_20,
        "СуммаНДС": number(exact(row["amount"]) * 20 / 120),
    } | (based if row.get("order") else {})
