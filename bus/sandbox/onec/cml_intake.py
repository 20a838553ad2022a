"""The site's orders into the base, as each 1C client loads them: what it refuses, skips, creates and gets wrong."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bus.sandbox.envelope import RestError
from bus.sandbox.onec import catalogs, documents, predefined
from bus.sandbox.onec.base import Base
from bus.sandbox.onec.cml_books import SITE_DATE, SITE_ID, SITE_NUMBER, extra, extras
from bus.sandbox.onec.cml_goods import Goods
from bus.sandbox.onec.cml_parties import Parties
from bus.sandbox.onec.cml_read import SiteDocument, read
from bus.sandbox.onec.cml_report import Report
from bus.sandbox.onec.cml_settings import Settings
from bus.sandbox.onec.cml_xml import is_true
from bus.sandbox.onec.numbers import number
from bus.sandbox.onec.schema import ZERO_GUID, Row

_UNSETTLED = "ОжидаетсяСогласование"
_NOT_AGREED = "НеСогласован"
_CARD = "Эквайринговая операция"
_MONEY = {"bus": (_CARD, "Выплата безналичных денег", "Выплата наличных денег"), "unf": (_CARD,)}
_PAID = ("Оплачено", "Оплачен")
_ADDRESS = 500


class _Refused(Exception):
    """The load ends here; what was written before stays written."""


@dataclass
class _Known:
    """The orders that came from a site, by the site's number and by its Ид."""

    by_number: dict[str, str]
    by_id: dict[str, str]


class Intake:
    """One load. `load` holds the base's lock throughout, as 1C's transaction does."""

    def __init__(self, base: Base, profile: str, settings: Settings, report: Report) -> None:
        self._base = base
        self._objects = base.objects
        self._profile = profile
        self._settings = settings
        self._report = report
        self._touched: dict[str, SiteDocument] = {}

    @property
    def touched(self) -> list[str]:
        """The references of the orders that the load wrote."""
        return list(self._touched)

    def load(self, text: str) -> bool:
        """Whether all of it was processed, so that `success` may go out; posting failures do not count."""
        with self._base.lock:
            try:
                found = read(text, self._profile)
            except ValueError as error:
                self._report.fail("load", str(error))
                return False
            self._begin()
            whole = self._write(found)
            self._post()
        return whole

    def _begin(self) -> None:
        self._parties = Parties(self._objects, self._settings.match)
        self._goods = Goods(self._objects)
        rows = self._objects.rows(documents.ORDER.name)
        self._known = _Known(
            {site: row["Ref_Key"] for row in rows if (site := extra(row, SITE_NUMBER))},
            {site: row["Ref_Key"] for row in rows if (site := extra(row, SITE_ID))},
        )

    def _write(self, found: list[SiteDocument]) -> bool:
        for document in found:
            try:
                self._take(document)
            except _Refused as refusal:
                self._report.fail("load", str(refusal))
                return False
            except RestError as error:
                self._report.fail("load", f"document {document.number}: {error.text}")
                return False
        return True

    def _take(self, document: SiteDocument) -> None:
        if document.wrong:
            raise _Refused(f"document {document.number}: {'; '.join(document.wrong)}")
        if document.is_order:
            self._check(document)
            self._order(document)
        elif self._profile == "ut":
            raise _Refused(f"document {document.number}: the operation is not a goods order")
        elif document.operation in _MONEY[self._profile]:
            self._payment(document)
        else:
            self._report.log.append(f"document {document.number}: not taken")

    def _check(self, document: SiteDocument) -> None:
        if not document.number:
            raise _Refused("a document has no number")
        if not document.currency:
            raise _Refused(f"order {document.number}: the currency is not filled in")
        if not document.day:
            raise _Refused(f"order {document.number}: the date is not filled in")

    # orders

    def _order(self, document: SiteDocument) -> None:
        site = document.number[: self._settings.number_length or None]
        key = self._known.by_number.get(site)
        if key is None:
            row = self._objects.create(documents.ORDER.name, self._fields(document, site) | self._new(document))
            self._known.by_number[site] = row["Ref_Key"]
            self._report.created.append(site)
        elif self._objects.settlements.state(key) != _UNSETTLED:
            self._report.skipped.append(site)
            self._report.log.append(
                f"order {site}: agreed already, or marked for deletion; the site's changes are not taken"
            )
            return
        else:
            row = self._objects.change(documents.ORDER.name, key, self._fields(document, site))
            self._report.updated.append(site)
        self._known.by_id[document.id] = row["Ref_Key"]
        self._touched[row["Ref_Key"]] = document

    def _fields(self, document: SiteDocument, site: str) -> Row:
        """What a site may set, at creation and as long as nobody has agreed to the order."""
        cancelled = is_true(document.requisites.get("Отменен", ""))
        at = f"{document.day}T{document.time or '00:00:00'}"
        party = self._party(document)
        fields: Row = {
            "Контрагент_Key": party,
            "Партнер_Key": self._parties.partner(party),
            "Валюта_Key": self._currency(document.currency),
            "ЦенаВключаетНДС": document.vat_included,
            "Комментарий": document.comment or document.requisites.get("Комментарии покупателя", ""),
            "АдресДоставки": document.requisites.get("Адрес доставки", "")[:_ADDRESS],
            "Товары": [
                self._goods.line(line, included=document.vat_included) | {"Отменено": cancelled}
                for line in document.lines
            ],
            "ДополнительныеРеквизиты": extras(
                {SITE_NUMBER: (site, "String"), SITE_DATE: (at, "DateTime"), SITE_ID: (document.id, "String")}
            ),
        }
        fields["ЭтапыГрафикаОплаты"] = _stages(fields["Товары"], at)
        if self._settings.customers_number:
            fields |= {"НомерПоДаннымКлиента": site, "ДатаПоДаннымКлиента": f"{document.day}T00:00:00"}
        return fields

    def _new(self, document: SiteDocument) -> Row:
        """What only a new order gets: the node's own settings, the site's date, the mapped status."""
        ids = (document.requisites.get("Статуса заказа ИД", ""), document.requisites.get("Статус заказа", ""))
        mapped = (self._settings.statuses_in.get(one) for one in ids)
        return {
            "Date": f"{document.day}T{document.time or '00:00:00'}",
            "Организация_Key": predefined.ORGANISATION,
            "Соглашение_Key": predefined.AGREEMENT,
            "Склад_Key": predefined.STORE,
            "Менеджер_Key": predefined.MANAGER,
            "БанковскийСчет_Key": predefined.ORGANISATION_ACCOUNT,
            "НалогообложениеНДС": "ПродажаОблагаетсяНДС",
            "ХозяйственнаяОперация": "РеализацияКлиенту",
            "ПорядокРасчетов": "ПоЗаказам",
            "Статус": next(filter(None, mapped), _NOT_AGREED),
        }

    def _party(self, document: SiteDocument) -> str:
        if document.party is None:
            return ZERO_GUID
        found = self._parties.find(document.party)
        if found:
            return found
        made = self._parties.create(document.party)
        self._report.parties.append(made)
        return made

    def _currency(self, name: str) -> str:
        """By its name, else the base's own."""
        found = self._objects.find(catalogs.CURRENCIES.name, Description=name)
        return str(found[0]["Ref_Key"]) if found else predefined.RUB

    # money

    def _pay_online(self, document: SiteDocument, order: str) -> None:
        """UT's «Заказ оплачен»: a card payment, but only for an order that is posted."""
        said = document.requisites
        if not is_true(said.get("Заказ оплачен", "")) or said.get("Метод оплаты ИД") not in self._settings.online_pay:
            return
        row = self._objects.existing(documents.ORDER.name, order)
        if row["Posted"] and self._objects.settlements.paid(order) == 0:
            self._card_payment(row, Decimal(str(row["СуммаДокумента"])), f"site:{document.number}", document)

    def _payment(self, document: SiteDocument) -> None:
        """UNF and BUS: the site's own payment document, once."""
        order = self._known.by_id.get(document.basis)
        paid = any(is_true(document.requisites.get(name, "")) for name in _PAID)
        known = self._objects.find(documents.CARD_PAYMENT.name, ИдентификаторДокумента=document.id)
        if order is None or not paid or known:
            self._report.log.append(f"payment {document.number}: not taken")
            return
        row = self._objects.existing(documents.ORDER.name, order)
        self._card_payment(row, document.total, document.id, document)

    def _card_payment(self, order: Row, amount: Decimal, name: str, document: SiteDocument) -> None:
        row = self._objects.create(
            documents.CARD_PAYMENT.name,
            {field: order[field] for field in ("Организация_Key", "Контрагент_Key", "Партнер_Key", "Валюта_Key")}
            | {
                "Date": f"{document.day}T{document.time or '00:00:00'}",
                "СуммаДокумента": number(amount),
                "ХозяйственнаяОперация": "ПоступлениеОплатыОтКлиентаПоПлатежнойКарте",
                "ИдентификаторДокумента": name,
                "РасшифровкаПлатежа": [_split(order, amount)],
            },
        )
        self._report.payments.append(name)
        self._try_posting(documents.CARD_PAYMENT.name, row["Ref_Key"])

    # posting

    def _post(self) -> None:
        """A second step of its own: what cannot be posted stays as it is, and the load counts all the same."""
        for key, document in self._touched.items():
            if self._settings.posts:
                self._try_posting(documents.ORDER.name, key)
            self._pay_online(document, key)

    def _try_posting(self, name: str, key: str) -> None:
        try:
            self._objects.post(name, key)
        except RestError as error:
            label = self._objects.existing(name, key)["Number"]
            self._report.unposted.append(label)
            self._report.log.append(f"{label}: not posted: {error.text}")


def _stages(lines: list[Row], at: str) -> list[Row]:
    total = sum((Decimal(str(line["СуммаСНДС"])) for line in lines if not line["Отменено"]), Decimal(0))
    return [
        {
            "ВариантОплаты": "КредитПослеОтгрузки",
            "ДатаПлатежа": f"{at[:10]}T00:00:00",
            "ПроцентПлатежа": 100,
            "СуммаПлатежа": number(total),
            "ВариантОтсчета": "ОтДатыЗаказа",
        }
    ]


def _split(order: Row, amount: Decimal) -> Row:
    return {
        "Партнер_Key": order["Партнер_Key"],
        "ОснованиеПлатежа": order["Ref_Key"],
        "ОснованиеПлатежа_Type": documents.ORDER.type_name,
        "Сумма": number(amount),
        "СуммаВзаиморасчетов": number(amount),
        "ВалютаВзаиморасчетов_Key": order["Валюта_Key"],
    }
