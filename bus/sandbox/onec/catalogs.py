"""Catalogs and independent registers of the stand-in base, with the lengths УТ 11.5 gives them."""

from __future__ import annotations

from bus.sandbox.onec.schema import EntitySet, catalog, register

_CONTACTS = """
    [КонтактнаяИнформация]
    Тип enum ТипыКонтактнойИнформации
    Вид ref Catalog_ВидыКонтактнойИнформации
    Представление string 500
    ЗначенияПолей text
    Страна string 100
    Регион string 50
    Город string 50
    АдресЭП string 100
    ДоменноеИмяСервера string 100
    НомерТелефона string 20
    НомерТелефонаБезКодов string 20
    ВидДляСписка ref Catalog_ВидыКонтактнойИнформации
    ДействуетС date
    Значение text
"""
_EXTRA = """
    [ДополнительныеРеквизиты]
    Свойство ref
    Значение any
    ТекстоваяСтрока text
"""
_ACCOUNT = """
    НомерСчета string 34
    ВалютаДенежныхСредств ref Catalog_Валюты
    РучноеИзменениеРеквизитовБанка bool
    БИКБанка string 9
    НаименованиеБанка string 100
    КоррСчетБанка string 34
    ГородБанка string 50
    ТекстНазначения string 160
    Закрыт bool
"""

COUNTERPARTIES = catalog(
    "Контрагенты",
    f"""
    НаименованиеПолное string 250
    ОбособленноеПодразделение bool
    ЮридическоеФизическоеЛицо enum ЮридическоеФизическоеЛицо
    СтранаРегистрации ref Catalog_СтраныМира
    ГоловнойКонтрагент ref Catalog_Контрагенты
    ИНН string 12
    КПП string 9
    ДополнительнаяИнформация text
    Партнер ref Catalog_Партнеры
    ЮрФизЛицо enum ЮрФизЛицо
    НДСПоСтавкам4и2 bool
    КодПоОКПО string 10
    РегистрационныйНомер string 15
    НалоговыйНомер string 50
    НаименованиеМеждународное string 250
    {_CONTACTS}
    {_EXTRA}
    [ИсторияКПП]
    Период date
    КПП string 9
    [ИсторияНаименований]
    Период date
    НаименованиеПолное string 250
    """,
)
PARTNERS = catalog(
    "Партнеры",
    f"""
    НаименованиеПолное string 250
    ЮрФизЛицо enum КомпанияЧастноеЛицо
    Клиент bool
    Поставщик bool
    Конкурент bool
    ПрочиеОтношения bool
    ОсновнойМенеджер ref Catalog_Пользователи
    ДатаРегистрации date
    Комментарий text
    ДополнительнаяИнформация text
    {_CONTACTS}
    {_EXTRA}
    """,
    code=11,
    folders=True,
)
COUNTERPARTY_ACCOUNTS = catalog("БанковскиеСчетаКонтрагентов", _ACCOUNT, owner="Catalog_Контрагенты")
ORGANISATION_ACCOUNTS = catalog("БанковскиеСчетаОрганизаций", _ACCOUNT, owner="Catalog_Организации")
ORGANISATIONS = catalog(
    "Организации",
    """
    НаименованиеПолное string 250
    НаименованиеСокращенное string 100
    Префикс string 2
    ИНН string 12
    КПП string 9
    ОГРН string 15
    КодПоОКПО string 10
    ЮрФизЛицо enum ЮрФизЛицо
    """,
)
CURRENCIES = catalog(
    "Валюты",
    """
    НаименованиеПолное string 50
    СимвольноеПредставление string 3
    """,
    code=3,
    description=10,
)
USERS = catalog(
    "Пользователи",
    """
    Недействителен bool
    Служебный bool
    Комментарий text
    """,
)
GOODS = catalog(
    "Номенклатура",
    f"""
    НаименованиеПолное text
    Артикул string 25
    ЕдиницаИзмерения ref Catalog_УпаковкиЕдиницыИзмерения
    СтавкаНДС ref Catalog_СтавкиНДС
    УдалитьСтавкаНДС enum СтавкиНДС
    ТипНоменклатуры enum ТипыНоменклатуры
    Описание text
    ИспользоватьУпаковки bool
    СрокГодности int64
    {_EXTRA}
    """,
    code=11,
    folders=True,
)
UNITS = catalog(
    "УпаковкиЕдиницыИзмерения",
    """
    НаименованиеПолное string 100
    МеждународноеСокращение string 3
    """,
    code=25,
    description=50,
)
VAT_RATES = catalog(
    "СтавкиНДС",
    """
    Ставка number 2
    ПеречислениеСтавкаНДС enum СтавкиНДС
    """,
    description=50,
)
STORES = catalog("Склады", "", description=50, folders=True)
AGREEMENTS = catalog("СоглашенияСКлиентами", "ЦенаВключаетНДС bool", description=150)
COUNTRIES = catalog("СтраныМира", "НаименованиеПолное string 100", code=3, description=60)
CONTACT_KINDS = catalog("ВидыКонтактнойИнформации", "Тип enum ТипыКонтактнойИнформации", description=150, folders=True)
RATES = register(
    "КурсыВалют",
    ("Period", "Валюта_Key"),
    """
    Period date
    Валюта ref Catalog_Валюты
    Курс number 4
    Кратность int64
    """,
)
ORDER_STATES = register(
    "СостоянияЗаказовКлиентов",
    ("Заказ", "Заказ_Type"),
    """
    Заказ any
    Состояние enum СостоянияЗаказовКлиентов
    ДатаСобытия date
    ПроцентОплаты number 2
    ПроцентОтгрузки number 2
    ПроцентДолга number 2
    """,
    derived=True,
)

SETS: tuple[EntitySet, ...] = (
    COUNTERPARTIES,
    PARTNERS,
    COUNTERPARTY_ACCOUNTS,
    ORGANISATION_ACCOUNTS,
    ORGANISATIONS,
    CURRENCIES,
    USERS,
    GOODS,
    UNITS,
    VAT_RATES,
    STORES,
    AGREEMENTS,
    COUNTRIES,
    CONTACT_KINDS,
    RATES,
    ORDER_STATES,
)
