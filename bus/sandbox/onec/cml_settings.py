"""What an administrator sets up in the node of a site exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

_BITRIX = {
    "НеСогласован": ("N", "Принят, ожидается оплата"),
    "КОбеспечению": ("P", "Оплачен, формируется к отправке"),
    "КОтгрузке": ("P", "Оплачен, формируется к отправке"),
    "Закрыт": ("F", "Выполнен"),
    "Отменен": ("C", "Отменен"),
}
_BUS = {
    "КОбеспечению": ("", "Подтвержден"),
    "КОтгрузке": ("", "Отгружен"),
    "Закрыт": ("", "Доставлен"),
    "Отменен": ("", "Отменен"),
}
MATCHES = frozenset({"id", "inn", "name", "phone", "mail"})


@dataclass
class Settings:
    """Of one node. `match`: how a counterparty is looked for (id, inn, name, phone, mail), in this order."""

    match: tuple[str, ...] = ("inn",)
    number_length: int = 0  # the site's number is cut to it; 0: whole
    statuses_in: dict[str, str] = field(default_factory=dict)  # the site's status, id or text, to 1C's
    statuses_out: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # 1C's status to the site's id and text
    online_pay: tuple[str, ...] = ()  # the site's pay systems whose «Заказ оплачен» becomes a card payment
    sends_sessid: bool = True  # off: «выполнять обмен без идентификатора сессии»
    waits_for_import: bool = True  # off: «не ожидать завершения импорта»
    english: bool = False  # the interface's language
    echo_id: bool = True  # UNF: an order of the site's keeps the site's Ид
    customers_number: bool = False  # write the site's number into НомерПоДаннымКлиента too
    born_here: bool = True  # UNF, BUS: orders born in 1C go out too
    posts: bool = True  # orders are posted when loaded
    portion: int = 0  # orders in a file; 0: all in one
    attempts: int = 1  # how often a file is tried within one run
    catalog: bool = False  # the goods files go out first
    info: bool = False  # UNF: load the site's statuses at the start of a run

    @classmethod
    def of(cls, profile: str) -> Settings:
        """The defaults of a configuration."""
        if profile == "ut":
            return cls(number_length=11)
        if profile == "unf":
            ways = {"N": "НеСогласован", "P": "КОбеспечению", "F": "Закрыт"}
            return cls(match=("id", "inn", "phone", "mail"), statuses_out=_BITRIX, statuses_in=ways)
        return cls(match=("id", "inn"), statuses_out=_BUS)

    def configure(self, spec: Mapping[str, Any]) -> None:
        """Change some of them; raises ValueError for a name, or a way to match, that is none."""
        known = {one.name for one in fields(self)}
        for way in set(spec.get("match", ())) - MATCHES:
            raise ValueError(f"unknown way to match {way!r}; known: {', '.join(sorted(MATCHES))}")
        for name, value in spec.items():
            if name not in known:
                raise ValueError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
