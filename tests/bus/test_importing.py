"""What a 1C sent becomes events: whole, once, and whatever breaks in between."""

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from bus.channels import CHORES
from bus.config import Settings, from_document
from bus.deadletters import DeadLetters
from bus.importing import ATTEMPTS, BATCH, TASK
from bus.ledger import exchange
from bus.ledger.exchange import Place
from tests.bus.exchanging import Bells, Bus, document, exchanging, file_of, returned
from tests.bus.ledger.middle import FULL
from workers.bootstrap import Wiring

GUID = "0b6f6d4c-7a6e-11ef-93ac-{:012}"


class House(Bus):
    """The middle of a bus that a 1C sends files to."""

    def receive(self, body: bytes, name: str = "orders.xml", type_: str = "sale", profile: str = "ut") -> int:
        """A file that nobody has asked to import yet."""
        with self.ledger.transaction() as connection:
            place = Place("onec", uuid4().hex, type_, name)
            return exchange.append(connection, place, profile, None, body).id

    def send(self, body: bytes, name: str = "orders.xml", **more: str) -> int:
        """A file that waits for its import."""
        file = self.receive(body, name, **more)
        with self.ledger.transaction() as connection:
            exchange.await_import(connection, file)
        return file

    def file(self, file: int) -> dict[str, Any]:
        return self.one("SELECT * FROM exchange_file WHERE id = %s", file)

    def report(self, file: int) -> tuple[int, int, int, int]:
        report = self.file(file)["report"]
        return report["documents"], report["new"], report["known"], report["unread"]

    def orders(self) -> list[str]:
        found = self.rows("SELECT key FROM identity WHERE kind = 'order' AND key LIKE 'onec/order/%%' ORDER BY key")
        return [row["key"].removeprefix("onec/order/") for row in found]


def house_of(url: str, **changes: Any) -> Iterator[House]:
    settings = Settings(database_url=SecretStr(url), broker_url=SecretStr("redis://127.0.0.1:9/0"))
    wiring = Wiring(settings, from_document(document(**changes), {}))
    made = House(wiring, Bells())
    wiring.__dict__["bells"] = made.bells
    made.forget()
    yield made
    wiring.close()


@pytest.fixture
def house(module_url: str) -> Iterator[House]:
    yield from house_of(module_url)


def packed(**files: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name, body in files.items():
            made.writestr(name, body)
    return archive.getvalue()


# --- once ------------------------------------------------------------------------------------------------------------


def test_an_order_brings_its_counterparty_along(house: House) -> None:
    file = house.send(file_of(returned("1001")))
    house.imported()
    assert house.file(file)["state"] == "done"
    assert house.report(file) == (1, 2, 0, 0)
    assert house.orders() == ["1001"]
    party = house.fields("onec/counterparty/5a6f6d4c-7a6e-11ef-93ac-00155d000001", "counterparty")
    assert party["inn"] == "7707083893"


def test_a_file_is_read_in_batches_across_its_chunks(house: House) -> None:
    numbers = [str(1000 + n) for n in range(BATCH + 50)]
    body = file_of(*[returned(number) for number in numbers])
    with house.ledger.transaction() as connection:
        place = Place("onec", "folder", "sale", "orders.xml")
        for start in range(0, len(body), 7001):
            file = exchange.append(connection, place, "ut", None, body[start : start + 7001])
        exchange.await_import(connection, file.id)
    house.imported()
    assert house.orders() == sorted(numbers)
    assert house.report(file.id) == (BATCH + 50, BATCH + 52, 0, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251"])
def test_the_same_file_twice_changes_nothing(house: House, encoding: str) -> None:
    first = house.send(file_of(returned("1001"), returned("1002"), encoding=encoding))
    house.imported()
    events = house.rows("SELECT count(*) AS n FROM event")
    again = house.send(file_of(returned("1001"), returned("1002"), encoding=encoding))
    house.imported()
    assert house.report(first)[1] == 3
    assert house.report(again) == (2, 0, 3, 0)
    assert house.rows("SELECT count(*) AS n FROM event") == events


def test_a_state_that_comes_back_is_news_again(house: House) -> None:
    totals = ["1200.00", "900.00", "1200.00"]
    for total in totals:
        house.send(file_of(returned("1001", total=total)))
        house.imported()
        assert house.fields("onec/order/1001")["total"]["amount"] == total


@pytest.mark.parametrize("merged", [True, False])
def test_a_state_that_comes_back_before_the_one_between_was_heard_stands(house: House, *, merged: bool) -> None:
    for at, total in enumerate(["1200.00", "900.00", "1200.00"]):
        house.send(file_of(returned("1001", total=total)))
        house.wiring.importing.run()
        if merged and at == 0:
            house.heard()
    house.heard()
    assert house.fields("onec/order/1001")["total"]["amount"] == "1200.00"


def test_a_deletion_mark_that_is_taken_away_before_it_was_heard_deletes_nothing(house: House) -> None:
    house.send(file_of(returned("1001")))
    house.imported()
    for more in ({"ПометкаУдаления": "true"}, {}):
        house.send(file_of(returned("1001", **more)))
        house.wiring.importing.run()
    house.heard()
    assert house.one("SELECT state FROM record WHERE type = 'order' AND system = 'onec'")["state"] == "linked"


def test_what_one_file_says_of_an_order_is_dated_by_its_arrival(house: House) -> None:
    """So that an old file which is read once more does not undo what came after it."""
    old = house.send(file_of(returned("1001", total="1200.00")))
    house.imported()
    house.send(file_of(returned("1001", total="900.00")))
    house.imported()
    with house.ledger.transaction() as connection:
        assert exchange.replay(connection, old)
    house.imported()
    assert house.fields("onec/order/1001")["total"]["amount"] == "900.00"


def test_a_replayed_file_says_nothing_of_what_we_have_told_1c_since(house: House) -> None:
    file = house.send(file_of(returned("1001"), returned("1002")))
    house.imported()
    came = house.rows("SELECT created_at FROM exchange_file WHERE id = %s", file)[0]["created_at"]
    subjects = ["order/1001", "order/1002", "order/1003"]
    with house.ledger.transaction() as connection:
        assert exchange.superseded(connection, "onec", subjects, came) == set()
        connection.execute("UPDATE record SET written_at = now() WHERE external_id = '1002'")
        assert exchange.superseded(connection, "onec", subjects, came) == {"order/1002"}
        assert exchange.replay(connection, file)
    house.imported()
    assert house.file(file)["report"]["replayed"]


# --- broken off ------------------------------------------------------------------------------------------------------


def test_what_stood_before_a_break_is_kept_and_the_file_fails(house: House) -> None:
    whole = file_of(returned("1001"), returned("1002"))
    file = house.send(whole[: whole.rindex("<Документ>".encode()) + 200])
    house.imported()
    assert house.orders() == ["1001"]
    row = house.file(file)
    assert row["state"] == "failed"
    assert row["error"]
    assert row["report"]["documents"] == 1


def test_an_import_that_was_killed_is_taken_up_again_when_its_lease_has_lapsed(house: House) -> None:
    file = house.send(file_of(returned("1001")))
    with house.ledger.transaction() as connection:
        assert exchange.claim(connection, uuid4(), seconds=60) is not None
    house.imported()
    assert house.orders() == []
    house.rows("UPDATE exchange_file SET lease_until = now() - interval '1 second' RETURNING id")
    house.imported()
    assert house.orders() == ["1001"]
    assert (house.file(file)["state"], house.file(file)["report"]["attempts"]) == ("done", 2)


def test_a_file_that_kills_its_importers_is_given_up(house: House) -> None:
    file = house.send(file_of(returned("1001")))
    for _ in range(ATTEMPTS):
        with house.ledger.transaction() as connection:
            assert exchange.claim(connection, uuid4(), seconds=-1) is not None
    house.imported()
    assert house.file(file)["state"] == "failed"
    assert house.orders() == []


def test_an_importer_that_lost_its_file_leaves_it_to_the_other(house: House) -> None:
    house.send(file_of(returned("1001")))
    with house.ledger.transaction() as connection:
        mine = exchange.claim(connection, early := uuid4(), seconds=-1)
        assert mine is not None
        assert exchange.claim(connection, uuid4(), seconds=60) is not None
    house.wiring.importing._import(mine, early)
    assert house.orders() == []
    assert house.file(mine.id)["state"] == "importing"


def test_files_of_one_1c_go_one_after_the_other_and_of_two_side_by_side(house: House) -> None:
    first, second = house.send(file_of(returned("1001"))), house.send(file_of(returned("1002")))
    with house.ledger.transaction() as connection:
        other = exchange.append(connection, Place("twin", "f", "sale", "a.xml"), "ut", None, b"<a/>").id
        exchange.await_import(connection, other)
        claims = [exchange.claim(connection, uuid4(), seconds=60) for _ in range(3)]
    assert [claim and claim.id for claim in claims] == [first, other, None]
    assert house.file(second)["state"] == "waiting"


# --- what cannot be read ---------------------------------------------------------------------------------------------


def bad(number: str) -> str:
    """An order whose sum is no number."""
    return returned(number).replace("<Сумма>1200.00</Сумма>", "<Сумма>много</Сумма>", 1)


def test_a_document_that_cannot_be_read_becomes_a_dead_letter_and_the_others_go_on(house: House) -> None:
    file = house.send(file_of(returned("1001"), bad("1002"), returned("1003")))
    house.imported()
    assert house.orders() == ["1001", "1003"]
    assert house.file(file)["state"] == "done"
    assert house.report(file)[3] == 1
    (letter,) = house.letters()
    assert letter["sent"] == {"subject": "order/1002", "file": file}
    assert "много" not in letter["reason"]
    assert "Сумма" in letter["reason"]


def test_an_unreadable_document_sent_again_is_the_same_letter(house: House) -> None:
    for _ in range(2):
        house.send(file_of(bad("1002")))
        house.imported()
    assert len(house.letters()) == 1


def test_an_unreadable_document_can_be_retried_from_what_was_kept_of_it(house: House) -> None:
    house.send(file_of(bad("1002")))
    house.imported()
    (letter,) = house.letters()
    house.rows("""UPDATE event SET raw = jsonb_set(raw, '{Сумма}', '"1200.00"') WHERE state = 'dead' RETURNING seq""")
    house.wiring.dead_letters.retry([letter["id"]], "anna")
    house.heard()
    assert house.fields("onec/order/1002")["total"]["amount"] == "1200.00"
    assert house.letters() == []


def test_a_document_that_came_readable_since_is_nobodys_to_mend_until_it_comes_unreadable_again(house: House) -> None:
    """Sent again then, it would undo what was told since."""
    counted = []
    for said in (bad("1002"), returned("1003"), returned("1002", total="900.00"), bad("1002")):
        house.send(file_of(said))
        house.imported()
        counted.append(len(house.letters()))
    assert counted == [1, 1, 0, 1]
    assert house.fields("onec/order/1002")["total"]["amount"] == "900.00"
    assert len(house.rows("SELECT 1 FROM dead_letter")) == 1


MENDED = """UPDATE event SET raw = jsonb_set(raw, '{Сумма}', '"1200.00"')
            WHERE state = 'dead' AND subject <> 'order/1001' RETURNING seq"""


@pytest.mark.parametrize("one_by_one", [True, False])
def test_of_letters_sent_again_one_that_still_cannot_be_read_is_left_and_the_others_go_on(
    house: House, *, one_by_one: bool
) -> None:
    house.send(file_of(bad("1001"), bad("1002"), bad("1003")))
    house.imported()
    still, *rest = sorted(letter["id"] for letter in house.letters())
    house.rows(MENDED)
    house.rows("UPDATE dead_letter SET reason = 'of then' RETURNING id")
    desk = house.wiring.dead_letters
    done = list(desk.retry_cause("unreadable document", "anna")) if one_by_one else [desk.retry([still, *rest], "anna")]
    house.heard()
    assert sorted(letter for one in done for letter in one.sent) == rest
    (letter,) = house.letters()
    assert (letter["id"], letter["attempts"], letter["ended_by"]) == (still, 2, None)
    assert {still: letter["reason"]} == {number: why for one in done for number, why in one.left.items()}
    assert letter["reason"] != "of then"
    assert house.orders() == ["1002", "1003"]
    assert house.one("SELECT state FROM event WHERE subject = 'order/1001'") == {"state": "dead"}


def test_letters_of_a_system_that_left_the_configuration_are_left_and_say_so(house: House) -> None:
    house.send(file_of(bad("1001")))
    house.imported()
    (letter,) = house.letters()
    wiring = house.wiring
    systems = {name: system for name, system in wiring.config.systems.items() if name != "onec"}
    config = wiring.config.model_copy(update={"systems": systems})
    desk = DeadLetters(wiring.ledger, config, wiring.mappings, wiring.pipeline, wiring.bells)
    retried = desk.retry([letter["id"]], "anna")
    assert (retried.sent, list(retried.left)) == ([], [letter["id"]])
    assert "onec is no system of the configuration any more" in house.letters()[0]["reason"]


def test_a_code_that_nobody_mapped_is_held_and_the_rest_of_the_order_is_taken(house: House) -> None:
    house.send(file_of(returned("1001", **{"Статус заказа": "[Х] Неведомый"})), profile="unf")
    house.imported()
    assert house.fields("onec/order/1001")["total"]["amount"] == "1200.00"
    assert "order_status" in house.letters()[0]["reason"]


# --- files that fail -------------------------------------------------------------------------------------------------

BROKEN = b"<?xml version='1.0'?><broken"


def test_a_file_that_failed_is_a_dead_letter_though_nobody_asked_to_import_it(house: House) -> None:
    file = house.receive(BROKEN)
    house.rows("UPDATE exchange_file SET updated_at = now() - interval '2 minutes' RETURNING id")
    house.wiring.importing.sweep(60)
    house.imported()
    (letter,) = house.letters()
    assert (letter["system"], letter["cause"], letter["sent"]) == ("onec", "exchange file failed", {"file": file})
    for told in (f"file {file}", "sale", "orders.xml", house.file(file)["error"], f"bus exchange show {file}"):
        assert told in letter["reason"]


def test_a_failed_file_is_kept_as_long_as_its_letter_is_open(house: House) -> None:
    file = house.send(BROKEN)
    house.imported()
    (letter,) = house.letters()
    house.rows("UPDATE exchange_file SET created_at = now() - interval '100 days' RETURNING id")
    house.wiring.chores.retention(datetime.now(UTC).date())
    assert house.file(file)["state"] == "failed"
    house.wiring.dead_letters.discard([letter["id"]], "anna", "sent anew")
    assert house.wiring.chores.retention(datetime.now(UTC).date())["exchange_file"] == 1


def test_a_failed_file_is_read_again_by_a_retry_of_its_letter_and_failing_again_opens_it(house: House) -> None:
    file = house.send(BROKEN)
    house.imported()
    (letter,) = house.letters()
    assert house.wiring.dead_letters.retry([letter["id"]], "anna").sent == [letter["id"]]
    assert house.file(file)["state"] == "waiting"
    house.imported()
    assert [(one["id"], one["attempts"]) for one in house.letters()] == [(letter["id"], 2)]


@pytest.mark.parametrize("again", ["by its letter", "by its number"])
def test_a_failed_file_that_is_imported_after_all_ends_its_letter(house: House, again: str) -> None:
    file = house.send(BROKEN)
    house.imported()
    house.rows("UPDATE exchange_chunk SET body = %s WHERE file_id = %s RETURNING n", file_of(returned("1001")), file)
    if again == "by its letter":
        house.wiring.dead_letters.retry([letter["id"] for letter in house.letters()], "anna")
    else:
        with house.ledger.transaction() as connection:
            assert exchange.replay(connection, file)
    house.imported()
    assert house.orders() == ["1001"]
    assert house.rows("SELECT state FROM dead_letter") == [{"state": "resolved"}]
    assert house.rows("SELECT 1 FROM event WHERE state = 'dead'") == []


def test_a_letter_whose_file_is_gone_stays_open_and_is_told_as_left(house: House) -> None:
    file = house.send(BROKEN)
    house.imported()
    house.rows("DELETE FROM exchange_file WHERE id = %s RETURNING id", file)
    (letter,) = house.letters()
    retried = house.wiring.dead_letters.retry([letter["id"]], "anna")
    assert (retried.sent, list(retried.left)) == ([], [letter["id"]])
    assert [(one["id"], one["reason"]) for one in house.letters()] == [(letter["id"], letter["reason"])]


def test_an_import_that_was_lost_to_somebody_else_leaves_no_letter(house: House) -> None:
    file = house.send(BROKEN)
    house.rows("UPDATE exchange_file SET report = jsonb_build_object('attempts', %s::int) RETURNING id", ATTEMPTS)
    with house.ledger.transaction() as connection:
        claimed = exchange.claim(connection, uuid4(), seconds=60)
    assert claimed is not None
    house.wiring.importing._import(claimed, uuid4())
    assert house.file(file)["state"] == "importing"
    assert house.letters() == []


# --- archives and other files ----------------------------------------------------------------------------------------


def test_an_archive_is_read_file_by_file(house: House) -> None:
    file = house.send(packed(**{"a.xml": file_of(returned("1001")), "b.xml": file_of(returned("1002"))}), "v8_1.zip")
    house.imported()
    assert house.orders() == ["1001", "1002"]
    assert house.file(file)["report"]["files"] == ["a.xml", "b.xml"]


@pytest.mark.parametrize(
    ("body", "say"),
    [
        (b"PK\x03\x04 no archive", "not a whole ZIP"),
        (packed(**{"a.xml": file_of(returned("1001"))})[:-30], "not a whole ZIP"),
        (packed(**{"a.xml": file_of(" " * 30_000_000)}), "it was not unpacked"),
    ],
    ids=["none", "cut", "bomb"],
)
def test_what_is_no_archive_or_a_bomb_fails_in_plain_words(house: House, body: bytes, say: str) -> None:
    file = house.send(body, "v8_1.zip")
    house.imported()
    assert house.file(file)["state"] == "failed"
    assert say in house.file(file)["error"]


def test_beside_a_catalogue_counterparties_are_read_and_goods_are_not(house: House) -> None:
    parties = """<?xml version="1.0" encoding="UTF-8"?>
<КоммерческаяИнформация xmlns="urn:1C.ru:commerceml_3" ВерсияСхемы="3.1" ДатаФормирования="2026-10-05T12:00:00">
<Контрагенты><Контрагент><Ид>5a6f6d4c-7a6e-11ef-93ac-00155d000001</Ид><Наименование>Ромашка ООО</Наименование>
<ОфициальноеНаименование>ООО "Ромашка"</ОфициальноеНаименование><ИНН>7707083893</ИНН><КПП>773601001</КПП></Контрагент>
</Контрагенты></КоммерческаяИнформация>""".encode("utf-8-sig")
    archive = packed(**{"goods_1.xml": b"<nothing", "contragents_1.xml": parties})
    file = house.send(archive, "v8_1.zip", type_="catalog", profile="bus")
    house.imported()
    assert house.file(file)["report"]["files"] == ["contragents_1.xml"]
    assert house.fields("onec/counterparty/5a6f6d4c-7a6e-11ef-93ac-00155d000001", "counterparty")["kpp"] == "773601001"


def test_a_file_nobody_asks_to_import_is_imported_when_it_has_been_quiet(house: House) -> None:
    orders, goods = house.receive(file_of(returned("1001"))), house.receive(b"<a/>", "import0_1.xml", type_="catalog")
    assert house.wiring.importing.sweep(60)["by_themselves"] == 0
    house.rows("UPDATE exchange_file SET updated_at = now() - interval '2 minutes' RETURNING id")
    assert house.wiring.importing.sweep(60)["by_themselves"] == 2
    house.imported()
    assert [house.file(file)["state"] for file in (orders, goods)] == ["done", "aside"]
    assert house.orders() == ["1001"]


def test_what_is_past_its_keeping_is_forgotten_with_its_chunks(house: House) -> None:
    old, aside = house.send(file_of(returned("1001"))), house.receive(b"<a/>", "import0_1.xml", type_="catalog")
    kept = house.send(file_of(returned("1002")))
    house.imported()
    with house.ledger.transaction() as connection:
        exchange.set_aside(connection, aside)
    house.rows("UPDATE exchange_file SET created_at = now() - interval '31 days' WHERE id = %s RETURNING id", old)
    house.rows("UPDATE exchange_file SET created_at = now() - interval '2 days' WHERE id = %s RETURNING id", aside)
    assert house.wiring.chores.retention(datetime.now().astimezone().date())["exchange_file"] == 2
    assert [file["id"] for file in house.files()] == [kept]
    assert house.rows("SELECT DISTINCT file_id FROM exchange_chunk") == [{"file_id": kept}]


# --- nudging ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def nudging(module_url: str) -> Iterator[House]:
    base = {"kind": "onec", "url": "http://127.0.0.1:9/odata/", "user": "bus", "password": "secret"}
    base["routes"] = {"order": FULL, "payment": FULL, "counterparty": FULL}
    yield from house_of(module_url, settings={"base": "books"}, systems={"books": base})


def test_a_document_only_means_look_there_where_the_base_is_read_by_odata(nudging: House) -> None:
    file = nudging.send(file_of(returned("1001")))
    nudging.imported()
    told = nudging.rows("SELECT source, subject, state FROM event ORDER BY subject")
    assert told == [
        {"source": "books", "subject": "counterparty/5a6f6d4c-7a6e-11ef-93ac-00155d000001", "state": "notified"},
        {"source": "books", "subject": f"order/{GUID.format(1001)}", "state": "notified"},
    ]
    assert nudging.report(file) == (1, 2, 0, 0)
    assert ("books", False) in nudging.bells.rung


def test_a_nudge_that_waits_already_stands_for_both(nudging: House) -> None:
    for _ in range(2):
        file = nudging.send(file_of(returned("1001")))
        nudging.imported()
    assert nudging.report(file) == (1, 0, 2, 0)


# --- at work ---------------------------------------------------------------------------------------------------------


def test_a_thread_that_finds_another_at_it_leaves_at_once(module_url: str, broker_url: str) -> None:
    with exchanging(module_url, broker_url) as bus, bus.wiring.importing._busy:
        assert bus.wiring.importing.run() == 0


def test_the_intakes_bell_reaches_the_worker_that_does_chores(module_url: str, broker_url: str) -> None:
    settings = Settings(database_url=SecretStr(module_url), broker_url=SecretStr(broker_url))
    wiring = Wiring(settings, from_document(document(), {}))
    exchange_door = wiring.exchange
    assert exchange_door is not None
    exchange_door.ring()
    app = wiring.worker_app()
    with app.connection_for_read() as connection, connection.SimpleQueue(CHORES) as queue:
        message = queue.get(timeout=5)
        message.ack()
    assert message.headers["task"] == TASK
    assert TASK in app.tasks
    assert any(entry["task"] == TASK for entry in app.conf.beat_schedule.values())
    wiring.close()
