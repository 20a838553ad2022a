"""What a fresh base has: an organisation with its account, currencies, users, units, rates, kinds of contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.sandbox.onec import catalogs

if TYPE_CHECKING:
    from bus.sandbox.onec.objects import Objects


def key(number: int) -> str:
    """A GUID that every fresh base has in common."""
    return f"{number:08x}-0000-11ee-8000-00000000ba5e"


ORGANISATION = key(1)
ORGANISATION_ACCOUNT = key(2)
RUB, USD, EUR = key(0x10), key(0x11), key(0x12)
MANAGER, ACCOUNTANT, ROBOT = key(0x20), key(0x21), key(0x22)
PIECE, KILOGRAM, HOUR = key(0x30), key(0x31), key(0x32)
VAT_20, VAT_10, VAT_NONE = key(0x40), key(0x41), key(0x42)
STORE = key(0x50)
AGREEMENT = key(0x51)
RUSSIA = key(0x52)
PHONE, EMAIL, ADDRESS, LEGAL_ADDRESS = key(0x60), key(0x61), key(0x62), key(0x63)
SITE_NUMBER, SITE_DATE = key(0x70), key(0x71)
"""Two additional requisites of an order: the site exchange keeps the site's number and date in them."""

THIS_NODE, READER = key(0x90), key(0x91)
"""The nodes of the exchange plan, once it is switched on."""

_ROWS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        catalogs.ORGANISATIONS.name,
        {
            "Ref_Key": ORGANISATION,
            "Description": "Песочница ООО",
            "НаименованиеПолное": 'ООО "Песочница"',
            "НаименованиеСокращенное": 'ООО "Песочница"',
            "Префикс": "ТД",
            "ИНН": "0000000018",  # valid by its checksum, of a region that does not exist
            "КПП": "000001001",
            "ЮрФизЛицо": "ЮрЛицо",
        },
    ),
    (
        catalogs.CURRENCIES.name,
        {"Ref_Key": RUB, "Code": "643", "Description": "RUB", "НаименованиеПолное": "Российский рубль"},
    ),
    (catalogs.CURRENCIES.name, {"Ref_Key": USD, "Code": "840", "Description": "USD"}),
    (catalogs.CURRENCIES.name, {"Ref_Key": EUR, "Code": "978", "Description": "EUR"}),
    (catalogs.USERS.name, {"Ref_Key": MANAGER, "Description": "Менеджер Первый"}),
    (catalogs.USERS.name, {"Ref_Key": ACCOUNTANT, "Description": "Бухгалтер Первый"}),
    (catalogs.USERS.name, {"Ref_Key": ROBOT, "Description": "Шина", "Служебный": True}),
    (catalogs.UNITS.name, {"Ref_Key": PIECE, "Code": "796", "Description": "шт", "НаименованиеПолное": "Штука"}),
    (catalogs.UNITS.name, {"Ref_Key": KILOGRAM, "Code": "166", "Description": "кг", "НаименованиеПолное": "Килограмм"}),
    (catalogs.UNITS.name, {"Ref_Key": HOUR, "Code": "356", "Description": "ч", "НаименованиеПолное": "Час"}),
    (
        catalogs.VAT_RATES.name,
        {"Ref_Key": VAT_20, "Description": "20%", "Ставка": 20, "ПеречислениеСтавкаНДС": "20%"},
    ),
    (
        catalogs.VAT_RATES.name,
        {"Ref_Key": VAT_10, "Description": "10%", "Ставка": 10, "ПеречислениеСтавкаНДС": "10%"},
    ),
    (catalogs.VAT_RATES.name, {"Ref_Key": VAT_NONE, "Description": "Без НДС", "ПеречислениеСтавкаНДС": "Без НДС"}),
    (catalogs.STORES.name, {"Ref_Key": STORE, "Description": "Основной склад"}),
    (catalogs.AGREEMENTS.name, {"Ref_Key": AGREEMENT, "Description": "Типовое", "ЦенаВключаетНДС": True}),
    (catalogs.COUNTRIES.name, {"Ref_Key": RUSSIA, "Code": "643", "Description": "РОССИЯ"}),
    (catalogs.CONTACT_KINDS.name, {"Ref_Key": PHONE, "Description": "Телефон", "Тип": "Телефон"}),
    (catalogs.CONTACT_KINDS.name, {"Ref_Key": EMAIL, "Description": "Email", "Тип": "АдресЭлектроннойПочты"}),
    (catalogs.CONTACT_KINDS.name, {"Ref_Key": ADDRESS, "Description": "Фактический адрес", "Тип": "Адрес"}),
    (catalogs.CONTACT_KINDS.name, {"Ref_Key": LEGAL_ADDRESS, "Description": "Юридический адрес", "Тип": "Адрес"}),
    (
        catalogs.ORGANISATION_ACCOUNTS.name,
        {
            "Ref_Key": ORGANISATION_ACCOUNT,
            "Owner_Key": ORGANISATION,
            "Description": "Основной",
            "НомерСчета": "40702810200000000001",
            "ВалютаДенежныхСредств_Key": RUB,
            "РучноеИзменениеРеквизитовБанка": True,
            "БИКБанка": "044525225",
            "НаименованиеБанка": "Банк",
            "КоррСчетБанка": "30101810400000000225",
        },
    ),
)


def lay(objects: Objects) -> None:
    """Write it all, by the same door as everything else."""
    for name, fields in _ROWS:
        objects.create(name, fields)
