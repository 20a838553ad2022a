"""Firms: the invented counterparties of a 1C, and how the CRM spells those that it has already. Pure, from a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bus import requisites

Row = Mapping[str, Any]
Act = dict[str, Any]
_WORDS = ("Ромашка", "Орбита", "Меридиан", "Северный Ветер", "Кедр", "Маяк", "Парус", "Сокол", "Топаз", "Эталон")
_KINDS = ("Торг", "Строй", "Сервис", "Логистика", "Мебель")
_BIC = "044525225"
_WEIGHTS = (2, 4, 10, 3, 5, 9, 4, 6, 8)
_COMPANY = 4


@dataclass(frozen=True, slots=True)
class Firm:
    """A legal entity with one account, a phone, an e-mail and two addresses. Another number is another in all of it."""

    number: int

    @property
    def name(self) -> str:
        """As people call it."""
        word, kind = _WORDS[self.number % len(_WORDS)], _KINDS[self.number // len(_WORDS) % len(_KINDS)]
        return f"{word}-{kind} {self.number + 1}"

    @property
    def inn(self) -> str:
        """Ten digits, the last of which checks the others."""
        digits = [int(digit) for digit in f"77{self.number:07d}"]
        check = sum(digit * weight for digit, weight in zip(digits, _WEIGHTS, strict=True)) % 11 % 10
        return "".join(map(str, [*digits, check]))

    @property
    def kpp(self) -> str:
        """Of the same tax office as its INN."""
        return f"{self.inn[:4]}01001"

    @property
    def phone(self) -> str:
        """Ten digits."""
        return f"495{1_000_000 + self.number}"

    @property
    def email(self) -> str:
        """Nobody else's."""
        return f"office{self.number}@firm.example.test"

    @property
    def account(self) -> str:
        """Twenty digits, of which the ninth makes it right for its bank."""
        numbers = (f"40702810{check}{self.number:011d}" for check in range(10))
        return next(number for number in numbers if requisites.account(_BIC, number))

    def entered(self) -> Act:
        """The accountant enters it."""
        return {
            "do": "create_counterparty",
            "name": self.name,
            "full_name": f'Общество с ограниченной ответственностью "{self.name}"',
            "inn": self.inn,
            "kpp": self.kpp,
            "phones": [f"+7{self.phone}"],
            "emails": [self.email],
            "address": f"Москва, ул. Складская, д. {self.number}",
            "legal_address": f"Москва, ул. Заводская, д. {self.number}, офис 1",
            "accounts": [{"account": self.account, "bic": _BIC, "bank": "ПАО Сбербанк"}],
        }

    def spelled(self, how: str) -> Act:
        """What a manager entered for it before, one of `SPELLINGS`."""
        titles = {
            "upper case": f"{self.name.upper()} ООО",
            "form before": f"ООО «{self.name}»",
            "form after, spaces": f"  {self.name}  ООО ",
            "another name": f"Клиент {self.number}",
            "another name, no KPP": f"Покупатель {self.number}",
            "another name, same phone": f"Звонил {self.number}",
        }
        made: Act = {"do": "create_company", "fields": {"title": titles.get(how, self.name)}}
        if "phone" in how:
            made["phones"] = [f"8 ({self.phone[:3]}) {self.phone[3:6]}-{self.phone[6:8]}-{self.phone[8:]}"]
            return made
        kpp = {} if "no KPP" in how else {"RQ_KPP": self.kpp}
        return made | {"requisites": [{"preset": "legal", "RQ_INN": self.inn, **kpp}]}


SPELLINGS: Mapping[str, bool] = {
    "upper case": True,
    "form before": True,
    "form after, spaces": True,
    "another name": True,
    "same name, no KPP": True,
    "same name and phone": True,
    "another name, no KPP": False,
    "another name, same phone": False,
}
"""How the CRM may have a firm already, and whether that is surely it; else a person is to be asked."""


def spelling(number: int) -> str:
    """Each in turn."""
    return list(SPELLINGS)[number % len(SPELLINGS)]


def twins(companies: Iterable[Row], requisites_: Iterable[Row]) -> int:
    """Companies too many: living ones with an INN and KPP, or with a key of ours, that another has too."""
    own = {int(row["id"]): row.get("originId") for row in companies}
    cards = {
        (int(row["entityId"]), row["rqInn"], row["rqKpp"])
        for row in requisites_
        if int(row["entityTypeId"]) == _COMPANY and int(row["entityId"]) in own and row["rqInn"]
    }
    by_card = Counter((inn, kpp) for _, inn, kpp in cards)
    by_key = Counter(key for key in own.values() if key)
    return sum(count - 1 for counted in (by_card, by_key) for count in counted.values())
