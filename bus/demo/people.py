"""People and goods of the invented shop: repeatable from a seed, and nobody's real phone or address."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random

_LAST = (
    *("Алексеев", "Борисов", "Васильев", "Григорьев", "Данилов", "Егоров", "Жуков", "Зайцев", "Ильин", "Козлов"),
    *("Лебедев", "Морозов", "Никитин", "Орлов", "Павлов", "Романов", "Соколов", "Тихонов", "Уваров", "Фёдоров"),
)
_FIRST = ("Алексей", "Борис", "Виктор", "Глеб", "Денис", "Егор", "Иван", "Кирилл", "Лев", "Михаил", "Никита", "Олег")
_STREETS = ("Садовая", "Лесная", "Речная", "Школьная", "Полевая", "Мира", "Заводская", "Луговая", "Парковая")
_CITIES = ("Москва", "Казань", "Тверь", "Пермь", "Омск", "Самара")
GOODS: tuple[tuple[int, str, str], ...] = (
    (348, "Чайник", "980.00"),
    (349, "Тостер", "2490.50"),
    (350, "Кофемолка", "3199.90"),
    (351, "Утюг", "4350.00"),
    (352, "Весы кухонные", "1275.25"),
    (353, "Блендер", "5600.00"),
    (354, "Сковорода", "1890.00"),
    (355, "Набор ножей", "7420.40"),
)
DELIVERIES: tuple[tuple[int, str, str], ...] = ((1, "Courier", "500"), (2, "Pickup", "0"), (3, "Post", "300"))
"""Services of the stand-in shop: id, name, price."""


@dataclass(frozen=True, slots=True)
class Customer:
    """Who orders; the phone as ten digits, which people write in their own ways."""

    name: str
    digits: str
    email: str

    def phone(self, rng: Random) -> str:
        """As this person happens to type it today."""
        d = self.digits
        pretty = f"({d[:3]}) {d[3:6]}-{d[6:8]}-{d[8:]}"
        return rng.choice((f"+7{d}", f"8{d}", f"8 {pretty}", f"+7 {pretty}"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an order."""

    product: int
    name: str
    price: Decimal
    quantity: int


def customers(rng: Random, count: int) -> list[Customer]:
    """As many different people: no two share a phone or an e-mail."""
    phones = rng.sample(range(10_000_000, 99_999_999), count)
    return [
        Customer(f"{rng.choice(_LAST)} {rng.choice(_FIRST)}", f"90{phone}", f"buyer{at}@example.test")
        for at, phone in enumerate(phones)
    ]


def basket(rng: Random) -> tuple[Line, ...]:
    """One to three different goods."""
    chosen = rng.sample(GOODS, rng.choice((1, 1, 2, 3)))
    return tuple(Line(key, name, Decimal(price), rng.choice((1, 1, 2, 3))) for key, name, price in chosen)


def address(rng: Random) -> str:
    """Somewhere."""
    return f"{rng.choice(_CITIES)}, ул. {rng.choice(_STREETS)}, д. {rng.randint(1, 90)}, кв. {rng.randint(1, 200)}"
