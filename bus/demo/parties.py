"""Parties: the invented company's counterparties, and what accountant and managers do with them, from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

_WORDS = (
    *("Ромашка", "Василёк", "Орбита", "Меридиан", "Северный Ветер", "Горизонт", "Кедр", "Лада", "Маяк", "Нептун"),
    *("Опора", "Парус", "Радуга", "Сокол", "Топаз", "Уют", "Факел", "Хрусталь", "Чайка", "Эталон"),
)
_KINDS = ("Торг", "Строй", "Сервис", "Логистика", "Комплект", "Мебель", "Продукт", "Техника", "Дизайн", "Климат")
_STREETS = ("Заводская", "Промышленная", "Складская", "Транспортная", "Энергетиков", "Новаторов")
_CITIES = ("Москва", "Казань", "Тверь", "Пермь", "Омск", "Самара")
_WEIGHTS_10 = (2, 4, 10, 3, 5, 9, 4, 6, 8)


@dataclass(slots=True)
class Party:
    """One counterparty, as the books have it in the morning, and what must be true of it in the evening."""

    number: int
    name: str
    inn: str
    kpp: str
    phone: str
    """Ten digits."""
    email: str
    address: str
    legal_address: str
    born: str = "onec"
    """Which system has it first."""
    spelled: str | None = None
    """How the CRM spells it, where it has it already."""
    disputed: bool = False
    expected: dict[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """As its charter has it."""
        return f'Общество с ограниченной ответственностью "{self.name}"'


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that is done to one counterparty, not before `at` (a share of the day)."""

    at: float
    do: str
    party: Party
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Books:
    """All counterparties, and the day's deeds in their order."""

    parties: list[Party]
    deeds: list[Deed]


def plan(seed: int, count: int = 200) -> Books:
    """The same for the same numbers: of twenty one is in the CRM already, under another spelling."""
    rng = Random(f"books {seed}")  # noqa: S311 - repeatable on purpose
    parties = [_party(rng, number) for number in range(count)]
    for party in parties[::20]:
        party.spelled = rng.choice((f"{party.name.upper()} ООО", f"ООО «{party.name}»", f"  {party.name}  (опт) "))
    share = max(1, count // 20)
    chosen = iter(rng.sample([party for party in parties if not party.spelled], min(count * 9 // 20, 4 * share + 4)))
    deeds = [_deed(rng, "phone_onec", next(chosen)) for _ in range(share)]
    deeds += [_deed(rng, "email_crm", next(chosen)) for _ in range(share)]
    deeds += [_deed(rng, "name_both", next(chosen)) for _ in range(3)]
    deeds.append(_deed(rng, "address_both", next(chosen)))
    late = [_party(rng, count + at) for at in range(2 * max(2, share // 2))]
    for at, party in enumerate(late):
        party.born = "crm" if at % 2 else "onec"
        deeds.append(Deed(rng.uniform(0.05, 0.6), f"new_{party.born}", party))
    return Books(parties + late, sorted(deeds, key=lambda deed: deed.at))


def _party(rng: Random, number: int) -> Party:
    name = f"{_WORDS[number % len(_WORDS)]}-{_KINDS[number // len(_WORDS) % len(_KINDS)]} {number + 1}"
    inn = _inn(rng)
    kpp = f"{inn[:4]}01001"
    city, street = rng.choice(_CITIES), rng.choice(_STREETS)
    party = Party(
        number,
        name,
        inn,
        kpp,
        phone=f"495{rng.randint(1_000_000, 9_999_999)}",
        email=f"office{number + 1}@firm.example.test",
        address=f"{city}, ул. {street}, д. {rng.randint(1, 90)}",
        legal_address=f"{city}, ул. {street}, д. {rng.randint(1, 90)}, офис {rng.randint(1, 300)}",
    )
    party.expected = {"inn": inn, "kpp": kpp, "phone": party.phone, "email": party.email, "legal name": party.full_name}
    return party


def _inn(rng: Random) -> str:
    """Ten digits, the last of which checks the others."""
    digits = [7, 7, *(rng.randint(0, 9) for _ in range(7))]
    check = sum(digit * weight for digit, weight in zip(digits, _WEIGHTS_10, strict=True)) % 11 % 10
    return "".join(map(str, [*digits, check]))


def _deed(rng: Random, do: str, party: Party) -> Deed:
    """What is changed and what comes of it: the books' legal name wins, a disputed address is left to a person."""
    number = party.number + 1
    details: dict[str, dict[str, str]] = {
        "phone_onec": {"phone": f"499{rng.randint(1_000_000, 9_999_999)}"},
        "email_crm": {"email": f"sales{number}@firm.example.test"},
        "name_both": {"here": f'АО "{party.name}"', "there": f'ЗАО "{party.name}"'},
        "address_both": {"here": f"Склад {number}, ворота 1", "there": f"Склад {number}, ворота 2"},
    }
    detail = details[do]
    party.disputed = do == "address_both"
    party.expected |= {name: value for name, value in detail.items() if name in ("phone", "email")}
    if do == "name_both":
        party.expected["legal name"] = detail["here"]
    return Deed(rng.uniform(0.35, 0.85), do, party, detail)
