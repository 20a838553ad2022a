"""Somebody asks to be forgotten: nothing of the person is left in any table, sums are, and nothing brings them back."""

import io
from collections.abc import Iterator
from typing import Any

import pytest

from bus.errors import BadInput
from bus.ledger import erasing
from bus.systems import bank_statement
from tests.bus.systems import statements
from tests.stories.world import OWN_ACCOUNT, World, build

MARIA = {
    "name": "Иванова Мария Петровна",
    "inn": "500100732259",
    "phones": ["+79123456780"],
    "emails": ["maria@ivanova.example"],
    "address": "Пермь, улица Сиреневая 17",
}
BUYER = {
    "fio": "Мария Иванова",
    "phone": "8 912 345-67-80",
    "email": "maria@ivanova.example",
    "address": "Пермь, улица Сиреневая 17",
}
PERSONAL = ["Иванов", "Мария", "Марии", "500100732259", "9123456780", "345-67-80", "maria@", "Сиренев"]
"""What nobody else in this world has."""
PETR = {"name": "Сидоров Пётр Ильич", "inn": "773370857141", "phones": ["+79035550101"], "address": "Тула, Кленовая 3"}
OTHER_BUYER = {
    "fio": "Сидоров Пётр",
    "phone": "+79035550101",
    "email": "petr@sidorov.example",
    "address": "Тула, Кленовая 3",
}


@pytest.fixture
def world(database_url: str, broker_url: str) -> Iterator[World]:
    bank = {"routes": {"payment": {"in": "full"}, "counterparty": {"in": "full"}}}
    with build(database_url, broker_url, books=True, bank=bank) as built:
        yield built


def dump(world: World) -> dict[str, list[str]]:
    """Every row of every table as text, whatever tables and columns there are; bodies in every reading."""
    tables = world.rows(
        """SELECT table_name AS name FROM information_schema.tables
           WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1"""
    )
    bodies = {
        (row["table_name"], row["column_name"])
        for row in world.rows(
            """SELECT table_name, column_name FROM information_schema.columns
               WHERE data_type = 'bytea' AND table_schema = 'public'"""
        )
    }
    found = {
        row["name"]: [one["text"] for one in world.rows(f"SELECT whole::text AS text FROM {row['name']} AS whole")]
        for row in tables
    }
    for table, column in bodies:
        for row in world.rows(f"SELECT {column} AS body FROM {table}"):
            found[table] += [bytes(row["body"]).decode(encoding, "replace") for encoding in ("utf-8", "cp1251")]
    return found


def traces(world: World) -> dict[str, list[str]]:
    """Rows in which something of the person stands, by table."""
    found = {
        table: [row for row in rows if any(trace.lower() in row.lower() for trace in PERSONAL)]
        for table, rows in dump(world).items()
    }
    return {table: rows for table, rows in found.items() if rows}


def money(world: World) -> list[dict[str, Any]]:
    """Numbers, sums, statuses and dates of all orders and payments."""
    return world.rows(
        """SELECT kind, fields -> 'number' AS number, fields -> 'total' AS total, fields -> 'paid_total' AS paid,
                  fields -> 'status' AS status, fields -> 'lines' AS lines, fields -> 'amount' AS amount,
                  fields -> 'paid_at' AS at, fields -> 'external_number' AS external, parent_id, created_at
           FROM entity WHERE kind <> 'counterparty' ORDER BY id"""
    )


def statement(payer: str, inn: str, purpose: str, number: str) -> Any:
    document = statements.document(
        Номер=number, ПолучательСчет=OWN_ACCOUNT, Плательщик1=payer, Плательщик=payer, ПлательщикИНН=inn,
        ПлательщикКПП="", НазначениеПлатежа=purpose,
    )  # fmt: skip
    return bank_statement.read(io.BytesIO(statements.raw(document)))


def lives(world: World) -> tuple[str, int]:
    """The person in the books, the CRM, the shop and at the bank, with all that can go wrong. Reference and order."""
    books, portal = world.books, world.portal
    portal.settings({"stages": [{"category": 0, "id": "UC_UNKNOWN", "name": "?"}]})
    ref = str(books.act({"do": "create_counterparty", **MARIA})["id"])
    order = world.order(customer=BUYER, comment="Позвоните Марии", paid=True)
    world.settle()
    requisite = next(one for one in portal.state({"of": "requisites"})["requisites"] if one["rqInn"] == MARIA["inn"])
    address = {"TYPE_ID": 1, "ADDRESS_1": "Пермь, Сиреневая 19"}
    change = [{"id": requisite["id"], "addresses": [address]}]
    kind = {3: "contact", 4: "company"}[requisite["entityTypeId"]]
    portal.act({"do": f"edit_{kind}", "id": requisite["entityId"], "requisites": change})
    books.act({"do": "edit_counterparty", "id": ref, "address": "Пермь, Сиреневая 21"})
    portal.act({"do": "move_deal", "id": world.deal_of(order)["id"], "stage": "UC_UNKNOWN"})
    world.settle()
    world.wiring.statements.take("bankfile", statement(MARIA["name"], MARIA["inn"], "Иванова М.П. за что-то", "77"))
    tell(world, 77, name="М. Иванова", phones=MARIA["phones"])
    world.settle()
    (asked,) = [one["id"] for one in world.wiring.questions.listing() if one["asks"] == "counterparty"]
    mine = world.rows("SELECT entity_id FROM record WHERE external_id = %s", ref)[0]["entity_id"]
    world.wiring.questions.same(asked, str(mine), "anna")
    world.settle()
    letter = next(one for one in world.letters() if "UC_UNKNOWN" in one["cause"])
    world.wiring.dead_letters.discard([letter["id"]], "anna", "звонила +7 912 345-67-80")
    return ref, order


def tell(world: World, number: int, **said: Any) -> None:
    """A program tells of a counterparty."""
    world.wiring.publisher.publish(
        {
            "source": "bank",
            "type": "counterparty.changed",
            "subject": f"counterparty/{number}",
            "time": "2026-10-05T10:00:00Z",
            "data": said,
        }
    )


def other_lives(world: World) -> None:
    """Somebody else, with an order and a question of his own."""
    world.books.act({"do": "create_counterparty", **PETR})
    world.order(customer=OTHER_BUYER, comment="Дверь синяя", paid=True)
    world.settle()
    tell(world, 78, name="П. Сидоров", phones=PETR["phones"])
    world.wiring.statements.take("bankfile", statement(PETR["name"], PETR["inn"], "Сидоров П.И. аванс", "78"))
    world.settle()


def of_others(world: World) -> list[str]:
    """Every row that speaks of somebody else."""
    traces = ("Сидоров", "773370857141", "9035550101", "Кленовая", "Дверь синяя")
    return sorted(row for rows in dump(world).values() for row in rows if any(trace in row for trace in traces))


def erase(world: World, key: str) -> None:
    world.wiring.erasing.carry_out(world.wiring.erasing.plan(key), "anna")


def test_nothing_of_the_person_is_left_in_any_table_and_every_sum_is(world: World) -> None:
    ref, _ = lives(world)
    other_lives(world)
    planted = traces(world)
    assert planted.keys() >= {
        "conflict", "dead_letter", "entity", "event", "history", "operator_action", "question", "record", "trait",
    }, planted.keys()  # fmt: skip
    before, others = money(world), of_others(world)
    assert any(one["paid"] for one in before)
    plan = world.wiring.erasing.plan(f"onec/counterparty/{ref}")
    done = world.wiring.erasing.carry_out(plan, "anna")
    assert traces(world) == {}
    assert done.left == {}
    assert money(world) == before
    assert of_others(world) == others
    (action,) = world.rows("SELECT * FROM operator_action WHERE action = 'erase'")
    assert (action["actor"], action["detail"]["orders"]) == ("anna", 1)


def test_what_the_systems_tell_of_the_person_afterwards_stays_outside_and_the_order_goes_on(world: World) -> None:
    ref, order = lives(world)
    erase(world, f"onec/counterparty/{ref}")
    written = {name: world.portal.state({})["contacts"] for name in ("crm",)}
    world.books.act({"do": "edit_counterparty", "id": ref, "phones": [*MARIA["phones"], "+79123456781"]})
    world.shop.act({"do": "edit_order", "id": order, "fields": {"userDescription": "Марии лично"}, "properties": BUYER})
    world.portal.act({"do": "edit_deal", "id": world.deal_of(order)["id"], "fields": {"comments": "Мария просила"}})
    tell(world, 77, name="Мария Иванова", phones=MARIA["phones"], emails=MARIA["emails"])
    world.settle()
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert traces(world) == {}
    assert world.portal.state({})["contacts"] == written["crm"]
    outcomes = world.rows("SELECT DISTINCT outcome FROM event WHERE erased AND kind = 'counterparty' AND data IS NULL")
    assert {"outcome": "OVERRULED"} in outcomes
    world.shop.act({"do": "refund_payment", "id": order})
    world.settle()
    paid = world.rows("SELECT fields ->> 'payment_status' AS it FROM entity WHERE kind = 'order'")
    assert paid == [{"it": "refunded"}]
    assert world.deal_of(order)["UF_CRM_PAYMENT_STATUS"]
    before = world.writes()
    drifts = len(world.rows("SELECT 1 FROM drift"))
    events = len(world.rows("SELECT 1 FROM event WHERE kind <> 'notification'"))
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert world.writes() == before
    assert len(world.rows("SELECT 1 FROM drift")) == drifts
    assert len(world.rows("SELECT 1 FROM event WHERE kind <> 'notification'")) == events
    assert traces(world) == {}


def test_looking_first_changes_nothing(world: World) -> None:
    lives(world)
    before = dump(world)
    plan = world.wiring.erasing.plan(MARIA["inn"])
    assert [one.why for one in plan.orders] == ["the same phone and e-mail"]
    assert len(plan.records) >= 6
    assert dump(world) == before


def test_broken_off_after_it_was_closed_the_same_command_goes_on(world: World) -> None:
    ref, _ = lives(world)
    plan = world.wiring.erasing.plan(f"onec/counterparty/{ref}")
    with world.wiring.ledger.transaction() as connection:
        erasing.close(connection, erasing.family(connection, plan.parties, [one.entity for one in plan.orders]))
    assert traces(world) != {}
    erase(world, f"onec/counterparty/{ref}")
    assert traces(world) == {}
    erase(world, f"onec/counterparty/{ref}")
    assert traces(world) == {}


def test_a_person_who_is_only_on_an_order_is_erased_by_its_number(world: World) -> None:
    first, second = (world.order(customer=BUYER, comment="Позвоните Марии") for _ in range(2))
    world.settle()
    number = str(world.shop_order(first)["accountNumber"])
    plan = world.wiring.erasing.plan(None, [number])
    other = str(world.shop_order(second)["accountNumber"])
    assert [(one.number, one.why) for one in plan.possible] == [(other, "the same phone and e-mail")]
    done = world.wiring.erasing.carry_out(plan, "anna")
    assert done.left.keys() >= {"entity", "record"}
    world.wiring.erasing.carry_out(world.wiring.erasing.plan(None, [other]), "anna")
    assert traces(world) == {}
    world.wiring.reconcile.run(full=True)
    world.settle()
    assert traces(world) == {}


def test_what_is_lifted_is_taken_in_again(world: World) -> None:
    ref, order = lives(world)
    erase(world, f"onec/counterparty/{ref}")
    number = str(world.shop_order(order)["accountNumber"])
    assert world.wiring.erasing.lift(f"onec/counterparty/{ref}", "anna") >= 1
    assert world.wiring.erasing.lift(number, "anna") >= 3
    world.settle()
    said = {row["kind"]: row["fields"] for row in world.rows("SELECT kind, fields FROM entity WHERE fields <> '{}'")}
    assert said["counterparty"]["inn"] == MARIA["inn"]
    assert said["order"]["customer.phone"] == MARIA["phones"][0]
    with pytest.raises(BadInput, match="lifted already"):
        world.wiring.erasing.lift(number, "anna")
