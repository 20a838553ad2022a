"""Teller: money that the books and the bank's statements tell of, entered as an accountant and a bank do it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bus.supervise.control import Control
from bus.supervise.invented import ACCOUNT

_ZONE = ZoneInfo("Europe/Moscow")
_ORDERS, _NUMBER = "Document_ЗаказКлиента", "НомерПоДаннымКлиента"
_PAYER = "40817810900000054321"


class Teller:
    """One thread's: a connection of its own to the books, and the folder that statements are put into."""

    def __init__(self, onec: Control, statements: Path) -> None:
        self._onec, self._statements = onec, statements

    def enter(self, account: str, amount: str, number: str) -> bool:
        """Enter a payment for an order into the books; False while the order is not there."""
        order = self._order(account)
        if order is None:
            return False
        self._onec.act("create_payment", orders=[{"order": order, "amount": float(amount)}], number=number)
        return True

    def statement(self, account: str, amount: str, number: str) -> None:
        """Put a statement with this payment into the watched folder, whole at once."""
        said = _statement(account, amount, number).replace("\n", "\r\n").encode("cp1251")
        path = self._statements / f".{number}.part"
        path.write_bytes(said)
        path.rename(self._statements / f"kl_to_1c_{number}.txt")

    def _order(self, account: str) -> str | None:
        orders: list[Mapping[str, Any]] = self._onec.get("state", of=_ORDERS, fields=_NUMBER)[_ORDERS]
        return next((str(one["Ref_Key"]) for one in orders if one[_NUMBER] == account), None)


def _statement(account: str, amount: str, number: str) -> str:
    """Version 1.03 of the exchange format 1CClientBankExchange, as a bank's client program writes it."""
    today = f"{datetime.now(UTC).astimezone(_ZONE):%d.%m.%Y}"
    return f"""1CClientBankExchange
ВерсияФормата=1.03
Кодировка=Windows
Отправитель=Банк
Получатель=
ДатаСоздания={today}
ДатаНачала={today}
ДатаКонца={today}
РасчСчет={ACCOUNT}
СекцияРасчСчет
ДатаНачала={today}
ДатаКонца={today}
РасчСчет={ACCOUNT}
НачальныйОстаток=0.00
ВсегоПоступило={amount}
ВсегоСписано=0.00
КонечныйОстаток={amount}
КонецРасчСчет
СекцияДокумент=Платежное поручение
Номер={number}
Дата={today}
Сумма={amount}
ПлательщикСчет={_PAYER}
Плательщик=Покупатель
Плательщик1=Покупатель
ПолучательСчет={ACCOUNT}
Получатель=Магазин
ДатаПоступило={today}
ВидОплаты=01
НазначениеПлатежа=Оплата по заказу № {account}
КонецДокумента
КонецФайла
"""
