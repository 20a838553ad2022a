"""The site's orders as each 1C client reads them out of the answer to `query`, its reading faults included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from bus.sandbox.onec import cml_schema
from bus.sandbox.onec.cml_values import Account
from bus.sandbox.onec.cml_xml import Element, child, children, is_true, local, number, parse, value

_ROOT = "КоммерческаяИнформация"
_PHONE, _MAIL = "телефонрабочий", "почта"


@dataclass(frozen=True)
class SiteParty:
    """A counterparty as the site describes it. `legal`: it has an ОфициальноеНаименование."""

    id: str
    name: str
    full_name: str
    legal: bool
    inn: str = ""
    kpp: str = ""
    okpo: str = ""
    address: str = ""
    phone: str = ""
    mail: str = ""
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True)
class SiteLine:
    """One line of goods; its rate is the text that the site gave."""

    item: str
    name: str
    article: str
    unit: str
    unit_code: str
    price: Decimal
    quantity: Decimal
    amount: Decimal
    rate: str
    service: bool = False


@dataclass(frozen=True)
class SiteDocument:
    """One Документ of the site's."""

    id: str
    number: str
    day: str
    time: str
    operation: str
    currency: str
    total: Decimal
    comment: str
    vat_included: bool
    basis: str
    party: SiteParty | None
    lines: tuple[SiteLine, ...]
    requisites: dict[str, str]
    wrong: tuple[str, ...] = ()
    """What the schema refuses; looked for only where the root carries the package's namespace."""

    @property
    def is_order(self) -> bool:
        return self.operation.lower() == cml_schema.ORDER_OF_GOODS.lower()


def read(text: str, profile: str) -> list[SiteDocument]:
    """The documents that this client sees, in order; raises ValueError when the text is no CommerceML at all."""
    root = parse(text)
    if local(root) != _ROOT:
        raise ValueError(f"the root is {local(root)!r}, not {_ROOT!r}")
    typed = profile == "ut" and (root.tag or "").startswith(f"{{{cml_schema.NAMESPACE}}}")
    return [_document(one, heirs=profile == "ut", typed=typed) for one in _documents(root, profile)]


def _documents(root: Element, profile: str) -> Iterator[Element]:
    """BUS looks into containers only, UT only beside them; UNF takes both, and what stands inside a document."""
    if profile != "bus":
        for document in children(root, "Документ"):
            yield document
            if profile == "unf":
                yield from children(child(document, "ПодчиненныеДокументы"), "ПодчиненныйДокумент")
    if profile != "ut":
        for container in children(root, "Контейнер"):
            yield from children(container, "Документ")


def _document(element: Element, *, heirs: bool, typed: bool) -> SiteDocument:
    included = _vat_included(element)
    return SiteDocument(
        id=value(element, "Ид"),
        number=value(element, "Номер"),
        day=value(element, "Дата"),
        time=value(element, "Время"),
        operation=value(element, "ХозОперация"),
        currency=value(element, "Валюта"),
        total=number(value(element, "Сумма")),
        comment=value(element, "Комментарий"),
        vat_included=included,
        basis=_basis(element),
        party=_party(child(element, "Контрагенты", "Контрагент")),
        lines=tuple(_lines(element)),
        requisites=requisites(element, heirs=heirs),
        wrong=tuple(cml_schema.check(element)) if typed else (),
    )


def _basis(element: Element) -> str:
    """The order that a payment belongs to: named beside it, or the document around it."""
    around = element.getparent()
    outer = None if around is None else around.getparent()
    inside = local(element) == "ПодчиненныйДокумент" and outer is not None
    return value(element, "Основание") or (value(outer, "Ид") if inside else "")


def requisites(element: Element, *, heirs: bool) -> dict[str, str]:
    """ЗначенияРеквизитов by name. `heirs`: an empty one inherits the value of the one before it (UT's bug)."""
    found: dict[str, str] = {}
    last = ""
    for pair in children(child(element, "ЗначенияРеквизитов"), "ЗначениеРеквизита"):
        last = value(pair, "Значение") or (last if heirs else "")
        found[value(pair, "Наименование")] = last
    return found


def _vat_included(element: Element) -> bool:
    return any(is_true(value(tax, "УчтеноВСумме")) for tax in children(child(element, "Налоги"), "Налог"))


def _lines(element: Element) -> Iterator[SiteLine]:
    """A line without a VAT rate takes the one before it (a bug of the original); discounts not in the sum come off."""
    rate = ""
    for line in children(child(element, "Товары"), "Товар"):
        rate = value(line, "СтавкиНалогов", "СтавкаНалога", "Ставка") or rate
        unit = child(line, "БазоваяЕдиница")
        unit = child(line, "Единица") if unit is None else unit
        kinds = requisites(line, heirs=False)
        yield SiteLine(
            item=value(line, "Ид"),
            name=value(line, "Наименование"),
            article=value(line, "Артикул"),
            unit="" if unit is None else (unit.text or "").strip() or value(unit, "НаименованиеКраткое"),
            unit_code="" if unit is None else (unit.get("Код") or value(unit, "Код")).strip(),
            price=number(value(line, "ЦенаЗаЕдиницу") or value(line, "Цена")),
            quantity=number(value(line, "Количество")),
            amount=number(value(line, "Сумма")) - _discounts(line),
            rate=rate,
            service=kinds.get("ТипНоменклатуры") == "Услуга",
        )


def _discounts(line: Element) -> Decimal:
    off = [one for one in children(child(line, "Скидки"), "Скидка") if not is_true(value(one, "УчтеноВСумме"))]
    return sum((number(value(one, "Сумма")) for one in off), Decimal(0))


def _party(element: Element | None) -> SiteParty | None:
    if element is None:
        return None
    legal = bool(value(element, "ОфициальноеНаименование"))
    full = value(element, "ОфициальноеНаименование") or value(element, "ПолноеНаименование") or value(element, "ФИО")
    contacts = _contacts(element)
    return SiteParty(
        id=value(element, "Ид"),
        name=value(element, "Наименование") or full,
        full_name=full,
        legal=legal,
        inn=value(element, "ИНН"),
        kpp=value(element, "КПП"),
        okpo=value(element, "ОКПО") or value(element, "КодПоОКПО"),
        address=_address(element),
        phone=contacts.get(_PHONE, ""),
        mail=contacts.get(_MAIL, ""),
        accounts=tuple(_accounts(element)),
    )


def _address(element: Element) -> str:
    found = (value(element, name, "Представление") for name in ("ЮридическийАдрес", "АдресРегистрации", "Адрес"))
    return next(filter(None, found), "")


def _contacts(element: Element) -> dict[str, str]:
    """By kind without its spaces, as the original compares them; «Электронная почта» is nobody's kind."""
    return {
        value(one, "Тип").replace(" ", "").lower(): value(one, "Значение")
        for one in children(child(element, "Контакты"), "Контакт")
    }


def _accounts(element: Element) -> Iterator[Account]:
    for one in children(child(element, "РасчетныеСчета"), "РасчетныйСчет"):
        bank = child(one, "Банк")
        number_of = value(one, "НомерСчета")
        yield Account(number_of, value(bank, "БИК"), value(bank, "Наименование"), value(bank, "СчетКорреспондентский"))
