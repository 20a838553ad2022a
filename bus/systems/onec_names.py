"""What a 1C base calls the objects and fields that we use: one table per stock configuration, as data.

Adapter and translators ask this one table, by what a thing is for; `bus check` compares it with the base's $metadata.
Names of УТ 11 (КА 2 and ERP 2 share them) are of a real base's metadata (facts 2.8); those of БП 3 and УНФ 3 are of
manuals: where a base has another name, or lacks the field, its settings say so:

    settings: {configuration: unf, name.order.number: НомерЗаказаНаСайте, name.order.uip: "-"}
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bus.errors import ConfigError

Table = Mapping[str, Mapping[str, str | None]]
"""Native names by object and by what they are for; under "set" the name of the entity set. None: not kept there."""

DEFAULT = "ut"
_OWN = "name."
_NONE = "-"

_DOCUMENT = {
    "version": "DataVersion",
    "deleted": "DeletionMark",
    "posted": "Posted",
    "number_1c": "Number",
    "at": "Date",
}
_ITEM = {
    "set": "Catalog_Номенклатура",
    "name": "Description",
    "article": "Артикул",
    "legal_name": "НаименованиеПолное",
    "tax_rate": "СтавкаНДС_Key",
}
_CONTACTS = {
    "kind": "Вид_Key",
    "type": "Тип",
    "text": "Представление",
    "email": "АдресЭП",
    "phone": "НомерТелефона",
    "xml": "ЗначенияПолей",
    "json": "Значение",
}
_CONTACT_KINDS = {
    "set": "Catalog_ВидыКонтактнойИнформации",
    "legal_address": "ЮрАдресКонтрагента|Юридический адрес",
    "address": "ФактАдресКонтрагента|Фактический адрес",
    "phone": "ТелефонКонтрагента|Телефон",
    "email": "EmailКонтрагента|Email",
}
"""Kinds of contacts by their predefined names; where a base has lost those, by what its kinds are called."""
_COUNTERPARTY = {
    "set": "Catalog_Контрагенты",
    "version": "DataVersion",
    "deleted": "DeletionMark",
    "folder": None,
    "name": "Description",
    "legal_name": "НаименованиеПолное",
    "inn": "ИНН",
    "kpp": "КПП",
    "okpo": "КодПоОКПО",
    "ogrn": "РегистрационныйНомер",
    "type": "ЮрФизЛицо",
    "law": "ЮридическоеФизическоеЛицо",
    "contacts": "КонтактнаяИнформация",
    "partner": "Партнер_Key",
    "marker": "ДополнительнаяИнформация",
}
_ACCOUNT = {
    "set": "Catalog_БанковскиеСчетаКонтрагентов",
    "owner": "Owner_Key",
    "owner_type": None,
    "account": "НомерСчета",
    "bank": "Банк_Key",
    "bic": "БИКБанка",
    "bank_name": "НаименованиеБанка",
    "by_hand": "РучноеИзменениеРеквизитовБанка",
    "currency": "ВалютаДенежныхСредств_Key",
    "deleted": "DeletionMark",
}
_DIRECTORIES = {
    "currencies": "Catalog_Валюты",
    "organisations": "Catalog_Организации",
    "users": "Catalog_Пользователи",
    "units": "Catalog_УпаковкиЕдиницыИзмерения",
    "banks": "Catalog_КлассификаторБанков",
}
_RECEIPT = {
    **_DOCUMENT,
    "set": "Document_ПоступлениеБезналичныхДенежныхСредств",
    "counterparty": "Контрагент_Key",
    "partner": "Партнер_Key",
    "organisation": "Организация_Key",
    "currency": "Валюта_Key",
    "total": "СуммаДокумента",
    "number": "НомерВходящегоДокумента",
    "date": "ДатаВходящегоДокумента",
    "banked": "ПроведеноБанком",
    "banked_at": "ДатаПроведенияБанком",
    "operation": "ХозяйственнаяОперация",
    "operation_is": "ПоступлениеОплатыОтКлиента",
    "comment": "Комментарий",
    "marker": "Комментарий",
    "rows": "РасшифровкаПлатежа",
    "row_order": "ОснованиеПлатежа",
    "row_amount": "Сумма",
    "row_settlement": "ОбъектРасчетов_Key",
    "row_partner": "Партнер_Key",
}
_REFUND = {
    **_RECEIPT,
    "set": "Document_СписаниеБезналичныхДенежныхСредств",
    "number": "НомерПоДаннымБанка",
    "date": "ДатаПоДаннымБанка",
    "operation_is": "ВозвратОплатыКлиенту",
}
_CASH = {
    **_RECEIPT,
    "set": "Document_ПриходныйКассовыйОрдер",
    "number": None,
    "date": None,
    "banked": None,
    "banked_at": None,
}

_UT_TYPES = {
    "legal_entity": "ЮрЛицо",
    "sole_trader": "ИндивидуальныйПредприниматель",
    "person": "ФизЛицо",
}
_LAWS = {"legal_entity": "ЮридическоеЛицо", "sole_trader": "ФизическоеЛицо", "person": "ФизическоеЛицо"}

_UT: Table = {
    "order": {
        **_DOCUMENT,
        "set": "Document_ЗаказКлиента",
        "number": "НомерПоДаннымКлиента",
        "number_date": "ДатаПоДаннымКлиента",
        "status": "Статус",
        "total": "СуммаДокумента",
        "currency": "Валюта_Key",
        "comment": "Комментарий",
        "uip": "ИдентификаторПлатежа",
        "counterparty": "Контрагент_Key",
        "partner": "Партнер_Key",
        "organisation": "Организация_Key",
        "price_with_tax": "ЦенаВключаетНДС",
        "address": "АдресДоставки",
        "address_xml": "АдресДоставкиЗначенияПолей",
        "address_json": "АдресДоставкиЗначение",
        "marker": "ДополнительнаяИнформация",
        "rows": "Товары",
        "row_item": "Номенклатура_Key",
        "row_variant": "Характеристика_Key",
        "row_quantity": "Количество",
        "row_packs": "КоличествоУпаковок",
        "row_price": "Цена",
        "row_sum": "Сумма",
        "row_sum_with_tax": "СуммаСНДС",
        "row_tax": "СуммаНДС",
        "row_tax_rate": "СтавкаНДС_Key",
        "row_text": "Содержание",
        "row_cancelled": "Отменено",
    },
    "counterparty": _COUNTERPARTY,
    "types": _UT_TYPES,
    "laws": _LAWS,
    "partner": {
        "set": "Catalog_Партнеры",
        "name": "Description",
        "legal_name": "НаименованиеПолное",
        "type": "ЮрФизЛицо",
        "client": "Клиент",
        "company": "Компания",
        "person": "ЧастноеЛицо",
    },
    "account": _ACCOUNT,
    "contacts": _CONTACTS,
    "contact_kinds": _CONTACT_KINDS,
    "item": _ITEM,
    "receipt": _RECEIPT,
    "refund": _REFUND,
    "cash": _CASH,
    "cash_refund": {**_CASH, "set": "Document_РасходныйКассовыйОрдер", "operation_is": "ВозвратОплатыКлиенту"},
    "settlements": {"set": "Catalog_ОбъектыРасчетов", "object": "Объект"},
    "directories": _DIRECTORIES,
}

_BP_ACCOUNT = {
    **_ACCOUNT,
    "set": "Catalog_БанковскиеСчета",
    "owner": "Owner",
    "owner_type": "Owner_Type",
    "bic": None,
    "bank_name": None,
    "by_hand": None,
}
_BP_COUNTERPARTY = {
    **_COUNTERPARTY,
    "folder": "IsFolder",
    "type": "ЮридическоеФизическоеЛицо",
    "law": None,
    "partner": None,
    "marker": "ДополнительнаяИнформация",
}
_BP_PAYMENT = {
    **_RECEIPT,
    "set": "Document_ПоступлениеНаРасчетныйСчет",
    "partner": None,
    "counterparty": "Контрагент_Key",
    "currency": "ВалютаДокумента_Key",
    "banked": None,
    "banked_at": None,
    "operation": "ВидОперации",
    "operation_is": "ОплатаПокупателя",
    "row_order": "СчетНаОплату_Key",
    "row_amount": "СуммаПлатежа",
    "row_settlement": None,
    "row_partner": None,
}
_BP_DIRECTORIES = {**_DIRECTORIES, "units": "Catalog_КлассификаторЕдиницИзмерения", "banks": "Catalog_Банки"}

_BP: Table = {
    "order": {
        **_UT["order"],
        "set": "Document_СчетНаОплатуПокупателю",
        "price_with_tax": "СуммаВключаетНДС",
        "number": "НомерПоДаннымКлиента",
        "number_date": None,
        "status": None,
        "currency": "ВалютаДокумента_Key",
        "uip": None,
        "partner": None,
        "address_xml": None,
        "address_json": None,
        "marker": "Комментарий",
        "row_variant": None,
        "row_packs": None,
        "row_sum_with_tax": None,
        "row_tax_rate": None,
        "row_cancelled": None,
    },
    "counterparty": _BP_COUNTERPARTY,
    "types": _LAWS,
    "account": _BP_ACCOUNT,
    "contacts": _CONTACTS,
    "contact_kinds": _CONTACT_KINDS,
    "item": _ITEM,
    "receipt": _BP_PAYMENT,
    "refund": {**_BP_PAYMENT, "set": "Document_СписаниеСРасчетногоСчета", "operation_is": "ВозвратПокупателю"},
    "directories": _BP_DIRECTORIES,
}

_UNF_PAYMENT = {
    **_RECEIPT,
    "set": "Document_ПоступлениеНаСчет",
    "partner": None,
    "currency": "ВалютаДенежныхСредств_Key",
    "banked": None,
    "banked_at": None,
    "operation": "ВидОперации",
    "operation_is": "ОтПокупателя",
    "row_order": "Заказ",
    "row_amount": "СуммаПлатежа",
    "row_settlement": None,
    "row_partner": None,
}

_UNF: Table = {
    "order": {
        **_UT["order"],
        "set": "Document_ЗаказПокупателя",
        "price_with_tax": "СуммаВключаетНДС",
        "number": "НомерВходящегоДокумента",
        "number_date": "ДатаВходящегоДокумента",
        "status": "СостояниеЗаказа_Key",
        "currency": "ВалютаДокумента_Key",
        "uip": None,
        "partner": None,
        "address": "АдресДоставки",
        "marker": "Комментарий",
        "rows": "Запасы",
        "row_packs": None,
        "row_sum_with_tax": "Всего",
        "row_cancelled": None,
    },
    "counterparty": {
        **_COUNTERPARTY,
        "folder": "IsFolder",
        "type": "ВидКонтрагента",
        "law": None,
        "partner": None,
        "marker": "Комментарий",
    },
    "types": {**_LAWS, "sole_trader": "ИндивидуальныйПредприниматель"},
    "account": _BP_ACCOUNT,
    "contacts": _CONTACTS,
    "contact_kinds": _CONTACT_KINDS,
    "item": _ITEM,
    "states": {"set": "Catalog_СостоянияЗаказовПокупателей"},
    "receipt": _UNF_PAYMENT,
    "refund": {**_UNF_PAYMENT, "set": "Document_РасходСоСчета", "operation_is": "Покупателю"},
    "directories": {**_DIRECTORIES, "units": "Catalog_КлассификаторЕдиницИзмерения"},
}

CONFIGURATIONS: Mapping[str, Table] = MappingProxyType({"ut": _UT, "erp": _UT, "bp": _BP, "unf": _UNF})

NO_FIELDS = frozenset({"contact_kinds", "types", "laws", "directories"})
"""What of the table are no fields of an object: predefined elements, values and sets."""


class Names:
    """The names of one base."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def get(self, thing: str, key: str) -> str | None:
        """The base's name for something; None where the base does not keep it."""
        return self.table.get(thing, {}).get(key)

    def need(self, thing: str, key: str = "set") -> str:
        """The same for what one cannot do without. Raises ConfigError that says how to name it."""
        found = self.get(thing, key)
        if found is None:
            say = (
                f"this configuration of 1C has no {thing}.{key}: say how the base calls it, settings.name.{thing}.{key}"
            )
            raise ConfigError(say)
        return found

    def has(self, thing: str) -> bool:
        """Whether this base keeps such objects."""
        return self.get(thing, "set") is not None


def names_of(settings: Mapping[str, str]) -> Names:
    """The names of a base by its settings. Raises ConfigError for a configuration or a thing that is not known."""
    configuration = settings.get("configuration", DEFAULT)
    if configuration not in CONFIGURATIONS:
        known = ", ".join(CONFIGURATIONS)
        raise ConfigError(f"settings.configuration: {configuration!r} is not known; write one of {known}")
    table = {thing: dict(names) for thing, names in CONFIGURATIONS[configuration].items()}
    for setting, name in settings.items():
        if not setting.startswith(_OWN):
            continue
        thing, _, key = setting.removeprefix(_OWN).partition(".")
        if key not in table.get(thing, {}):
            known = ", ".join(sorted(table.get(thing, table)))
            raise ConfigError(f"settings.{setting}: there is no such thing to name; there are: {known}")
        table[thing][key] = None if name == _NONE else name
    return Names(table)
