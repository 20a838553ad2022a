"""Lost answers in the making and changing of counterparties: in the end the CRM has each once, with all that is its."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bus.systems.retry_classes import METHODS, is_write
from tests.stories import test_books as books
from tests.stories.world import World, build

CUT = ["drop_before", "drop_after"]
"""No answer, before and after the commit. What else may be lost: tests/bus/systems/test_retry_classes.py."""
OWN = ("crm.requisite.", "crm.address.")
"""What only counterparties are written with."""
ACCOUNT = {"account": "40702810423000009235", "bic": "045004774", "bank": "Сибирский банк"}
PARTY = {**books.PARTY, "accounts": [ACCOUNT]}
CHANGES = {
    "phones": ["+74997654321"],
    "kpp": "770701001",
    "legal_address": "Тверь, Мира 3",
    "accounts": [{**ACCOUNT, "bank": "Волжский банк"}],
}

Trouble = Callable[[], None]
Story = Callable[[World, Trouble], None]


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    with build(database_url, broker_url, books=True) as built:
        built.settle()  # the books come with a counterparty of their own
        yield built


def a_counterparty_becomes_a_company(world: World, trouble: Trouble) -> None:
    trouble()
    world.books.act({"do": "create_counterparty", **PARTY})
    world.settle()
    said = there(world)
    assert (said["title"], said["inn"], said["kpp"]) == ("Ромашка", "7707083893", "773601001")
    assert said["phones"] == {"+74951234567", "office@romashka.example"}
    assert said["accounts"] == [("40702810423000009235", "Сибирский банк")]
    assert {kind: "Мира 2" in text for kind, text in said["addresses"].items()} == {1: False, 6: True}


def a_change_reaches_the_company(world: World, trouble: Trouble) -> None:
    ref = world.books.act({"do": "create_counterparty", **PARTY})["id"]
    world.settle()
    trouble()
    world.books.act({"do": "edit_counterparty", "id": ref, **CHANGES})
    world.settle()
    said = there(world)
    assert (said["inn"], said["kpp"]) == ("7707083893", "770701001")
    assert said["phones"] == {"+74997654321", "office@romashka.example"}
    assert said["accounts"] == [("40702810423000009235", "Волжский банк")]
    assert {kind: "Мира 3" in text for kind, text in said["addresses"].items()} == {1: False, 6: True}


def there(world: World) -> dict[str, Any]:
    """The one company, with its one requisite and all that hangs on it."""
    state = world.portal.state({"of": "companies,contacts,requisites,bankdetails,addresses"})
    (company,) = [one for one in state["companies"] if one["title"] == "Ромашка"]
    (requisite,) = [one for one in state["requisites"] if one["entityId"] == company["id"]]
    assert len(state["companies"]) == len(state["requisites"])
    assert state["contacts"] == []
    return {
        "title": company["title"],
        "phones": {row["value"] for row in company["fm"]},
        "inn": requisite["rqInn"],
        "kpp": requisite["rqKpp"],
        "accounts": [(row["rqAccNum"], row["rqBankName"]) for row in state["bankdetails"]],
        "addresses": {int(row["TYPE_ID"]): row["ADDRESS_1"] for row in state["addresses"]},
    }


WRITES: list[tuple[str, int, Story]] = [
    ("crm.item.add", 0, a_counterparty_becomes_a_company),
    ("crm.requisite.add", 0, a_counterparty_becomes_a_company),
    ("crm.requisite.bankdetail.add", 0, a_counterparty_becomes_a_company),
    ("crm.address.add", 0, a_counterparty_becomes_a_company),
    ("crm.address.add", 1, a_counterparty_becomes_a_company),
    ("crm.item.update", 0, a_change_reaches_the_company),
    ("crm.requisite.update", 0, a_change_reaches_the_company),
    ("crm.requisite.bankdetail.update", 0, a_change_reaches_the_company),
    ("crm.address.update", 0, a_change_reaches_the_company),
]
"""Which write of which story is the one whose answer is lost."""


def test_every_write_of_a_counterparty_has_its_story() -> None:
    own = {method for method in METHODS if is_write(method) and method.startswith(OWN)}
    assert own <= {method for method, _, _ in WRITES}


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize(("method", "after", "story"), WRITES, ids=lambda one: getattr(one, "__name__", str(one)))
def test_whatever_is_lost_is_there_once_in_the_end(
    world: World, method: str, after: int, story: Story, kind: str
) -> None:
    def trouble() -> None:
        world.portal.faults.add({"kind": kind, "method": method, "after": after, "count": 1})

    story(world, trouble)
    assert [fault["fired"] for fault in world.portal.faults.list()] == [1]
    assert world.letters() == []
    assert world.rows("SELECT * FROM conflict") == []
    assert world.rows("SELECT * FROM record WHERE state = 'creating' OR promised <> '{}'") == []


@pytest.mark.parametrize("after", range(7))
def test_a_counterpartys_creation_may_break_off_after_any_request(world: World, after: int) -> None:
    def trouble() -> None:
        world.portal.faults.add({"kind": "drop_after", "after": after, "count": 1})

    a_counterparty_becomes_a_company(world, trouble)
    assert [fault["fired"] for fault in world.portal.faults.list()] == [1]
    assert world.letters() == []
