"""Do the books and the CRM have the same counterparties, each once? Asked of the systems, not of the ledger. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bus.demo.parties import Party

Row = dict[str, Any]
FIELDS = ("inn", "kpp", "legal name", "phone", "email")
_COMPANY = 4


@dataclass(frozen=True, slots=True)
class Odd:
    """One thing that is not as it should be."""

    party: int
    field: str
    onec: Any
    crm: Any
    expected: Any = None

    def sentence(self) -> str:
        """For people."""
        return f"counterparty {self.party + 1}: {self.field}: 1C {self.onec}, CRM {self.crm}, expected {self.expected}"


@dataclass(slots=True)
class Sides:
    """What was compared, and what was found."""

    parties: int = 0
    compared: Counter[str] = field(default_factory=Counter)
    lost: list[Odd] = field(default_factory=list)
    duplicates: list[Odd] = field(default_factory=list)

    @property
    def in_sync(self) -> int:
        """Counterparties of which nothing at all is wrong."""
        return self.parties - len({one.party for one in (*self.lost, *self.duplicates)})


def judge(onec: Row, crm: Row, parties: Iterable[Party]) -> Sides:
    """`onec` and `crm` are what the stand-ins hold (their GET state)."""
    sides = Sides()
    books: dict[tuple[str, str], list[Row]] = {}
    for row in onec["Catalog_Контрагенты"]:
        if not row["DeletionMark"]:
            books.setdefault((row["ИНН"], row["КПП"]), []).append(row)
    companies = {int(row["id"]): row for row in crm["companies"]}
    cards: dict[tuple[str, str], list[Row]] = {}
    for row in crm["requisites"]:
        if int(row["entityTypeId"]) == _COMPANY and int(row["entityId"]) in companies:
            cards.setdefault((row["rqInn"], row["rqKpp"]), []).append(row)
    for party in parties:
        sides.parties += 1
        _judge_one(
            sides, party, books.get((party.inn, party.kpp), []), cards.get((party.inn, party.kpp), []), companies
        )
    return sides


def _judge_one(sides: Sides, party: Party, here: list[Row], there: list[Row], companies: dict[int, Row]) -> None:
    if not here or not there:
        sides.lost.append(Odd(party.number, "record", len(here), len(there), 1))
        return
    if len(here) > 1 or len(there) > 1:
        sides.duplicates.append(Odd(party.number, "record", len(here), len(there), 1))
    said = (_of_books(here[0]), _of_crm(there[0], companies[int(there[0]["entityId"])]))
    for name in FIELDS:
        sides.compared[name] += 1
        ours, theirs, expected = said[0][name], said[1][name], party.expected[name]
        if expected not in ours or expected not in theirs:
            sides.lost.append(Odd(party.number, name, ", ".join(ours), ", ".join(theirs), expected))


def _of_books(row: Row) -> dict[str, list[str]]:
    contacts = row["КонтактнаяИнформация"]
    return {
        "inn": [row["ИНН"]],
        "kpp": [row["КПП"]],
        "legal name": [row["НаименованиеПолное"]],
        "phone": [_digits(one["Представление"]) for one in contacts if one["Тип"] == "Телефон"],
        "email": [one["Представление"] for one in contacts if one["Тип"] == "АдресЭлектроннойПочты"],
    }


def _of_crm(requisite: Row, company: Row) -> dict[str, list[str]]:
    multi = company.get("fm") or []
    return {
        "inn": [requisite["rqInn"]],
        "kpp": [requisite["rqKpp"]],
        "legal name": [requisite["rqCompanyFullName"]],
        "phone": [_digits(one["value"]) for one in multi if one["typeId"] == "PHONE"],
        "email": [one["value"] for one in multi if one["typeId"] == "EMAIL"],
    }


def _digits(value: str) -> str:
    """The ten digits that a Russian number has in any spelling."""
    return "".join(letter for letter in value if letter.isdigit())[-10:]
