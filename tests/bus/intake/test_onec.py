"""What a 1C hears that takes the bus for its site: every line, in every order that real ones ask in."""

import gzip
import io
import zipfile
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from bus.config import from_document
from bus.embedded import Server
from bus.errors import ConfigError
from bus.intake.exchange_login import Logins
from bus.intake.onec import check
from tests.bus.exchanging import LOGIN, Bus, OneC, document, exchanging, file_of, returned
from tests.bus.ledger.middle import eventually, order, rub

LINES = [{"product": "f06588ab-7924-11df-b33a-0011955cba6b", "name": "Чайник", "quantity": "1", "price": "1200.00"}]


@pytest.fixture(scope="module")
def house(module_url: str, valkey_server: Server) -> Iterator[Bus]:
    """Two intakes that all these tests share: starting them takes longer than what they do."""
    with exchanging(module_url, valkey_server.url, intakes=2) as made:
        yield made


@pytest.fixture
def bus(house: Bus) -> Bus:
    house.forget()
    return house


def sold(number: str, **said: Any) -> Any:
    """An order of the shop that a 1C can be told."""
    data = {"number": number, "total": rub("1200.00"), "lines": LINES, "status": "new"} | said
    return order(number, **data)


# --- who is there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
@pytest.mark.parametrize("path", ["/bitrix/admin/1c_exchange.php", "/exchange/onec"])
def test_the_check_of_the_connection_answers_cookie_and_sessid(bus: Bus, path: str, encoding: str) -> None:
    answer = bus.onec(path=path, encoding=encoding).ask("catalog", "checkauth")
    assert (answer.status, answer.content_type) == (200, "text/plain; charset=utf-8")
    success, name, value, sessid, timestamp = answer.lines
    assert success == "success"
    assert "." not in name
    assert value
    assert sessid.startswith("sessid=")
    assert timestamp.removeprefix("timestamp=").isdigit()


@pytest.mark.parametrize(
    "who",
    [
        {"login": ("обмен", "другой")},
        {"login": ("другой", LOGIN[1])},
        {"login": ("", "")},
        {"login": None},
        {"path": "/exchange/shop"},
        {"path": "/exchange/nobody"},
    ],
)
def test_a_wrong_login_hears_failure_with_status_200(bus: Bus, who: dict[str, Any]) -> None:
    answer = bus.onec(**who).ask("sale", "checkauth")
    assert (answer.status, answer.first) == (200, "failure")
    assert "пароль" in answer.lines[1]


@pytest.mark.parametrize("header", ["Bearer abc", "Basic", "Basic ===", "Basic 0LA="])
def test_a_header_that_is_no_login_is_nobodys(header: str) -> None:
    assert Logins(from_document(document(), {})).system(header) is None


def test_two_1c_with_one_user_are_refused_when_the_bus_starts() -> None:
    twin = document()["systems"]["onec"] | {"password": "другой"}
    with pytest.raises(ConfigError, match=r"systems\.twin\.user: onec has the same one"):
        Logins(from_document(document(systems={"twin": twin}), {}))


@pytest.mark.parametrize(
    ("setting", "value"), [("profile", "erp"), ("zip", "да"), ("batch", "0"), ("batch", "many"), ("base", "shop")]
)
def test_a_setting_that_means_nothing_is_refused_when_the_bus_starts(setting: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"systems\.onec\.settings\.{setting}: "):
        check(from_document(document(settings={setting: value}), {}))


def test_a_password_is_asked_for_with_every_request(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin()
    onec.login = None
    assert onec.init().first == "failure"


@pytest.mark.parametrize(
    ("type_", "mode", "said"),
    [
        ("nothing", "checkauth", "Unknown command type."),
        ("crm", "checkauth", "Unknown command type."),
        ("", "", "Unknown command type."),
        ("sale", "nothing", "Неизвестная команда."),
        ("catalog", "query", "Неизвестная команда."),
    ],
)
def test_an_unknown_command_is_answered_as_bitrix_does(bus: Bus, type_: str, mode: str, said: str) -> None:
    onec = bus.onec()
    onec.begin()
    assert onec.ask(type_, mode).lines == ["failure", said]


# --- the session -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "lines"),
    [({}, 2), ({"version": "2.09", "cmlVersion": "2.10"}, 4), ({"version": "3.1"}, 4)],
)
def test_init_has_two_lines_for_who_announces_no_version_and_four_for_who_does(
    bus: Bus, more: dict[str, str], lines: int
) -> None:
    onec = bus.onec(more=more)
    onec.begin()
    answer = onec.init()
    assert answer.lines[:2] == ["zip=no", "file_limit=1000000"]
    assert not answer.body.endswith(b"\n")
    assert answer.lines[2:] == [f"sessid={onec.sessid}", f"version={more.get('version')}"][: lines - 2]


def test_zip_is_asked_for_where_the_settings_say_so(module_url: str, broker_url: str) -> None:
    with exchanging(module_url, broker_url, settings={"zip": "yes"}) as bus:
        onec = bus.onec()
        onec.begin()
        assert onec.init().first == "zip=yes"


def test_without_a_cookie_or_with_a_strangers_one_1c_begins_anew(bus: Bus) -> None:
    onec = bus.onec()
    assert onec.init().first == "failure"
    onec.cookie = "BUS_EXCHANGE=0123456789abcdef0123456789abcdef"
    assert onec.ask("sale", "query").lines == ["failure", "Сеанс обмена завершён или неизвестен. Начните обмен заново."]


def test_a_sessid_is_checked_from_when_it_was_sent_once(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin()
    sessid, onec.sessid = onec.sessid, None
    assert onec.init().first == "zip=no"
    onec.sessid = ""
    assert onec.init().first == "zip=no"
    onec.sessid = "wrong"
    assert onec.init().lines == ["failure", "Ошибка проверки источника запроса. Обновите модуль обмена."]
    onec.sessid = sessid
    assert onec.init().first == "zip=no"
    onec.sessid = None
    assert onec.init().first == "failure"


def test_a_session_is_known_to_every_intake(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin()
    onec.url = bus.urls[1]
    assert onec.init().first == "zip=no"
    onec.send("orders.xml", b"<a/>")
    onec.url = bus.urls[0]
    onec.send("orders.xml", b"<b/>")
    assert bus.content("orders.xml") == b"<a/><b/>"


def test_a_lost_redis_makes_1c_begin_anew(bus: Bus, broker_url: str) -> None:
    onec = bus.onec()
    onec.begin()
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
    assert onec.init().first == "failure"
    onec.begin()
    assert onec.init().first == "zip=no"


def test_another_1cs_session_is_none(module_url: str, broker_url: str) -> None:
    twin = {"kind": "commerceml", "user": "twin", "password": "twin"}
    with exchanging(module_url, broker_url, systems={"twin": twin}) as bus:
        onec, other = bus.onec(), bus.onec(login=("twin", "twin"))
        onec.begin()
        other.cookie, other.sessid = onec.cookie, onec.sessid
        assert other.init().first == "failure"


def test_a_ledger_that_is_away_is_told_in_words_1c_can_read(broker_url: str) -> None:
    with exchanging("postgresql://bus@127.0.0.1:9/bus", broker_url, patience_s=0.2) as bus:
        answer = bus.onec().fetch()
    assert (answer.status, answer.first) == (200, "failure")
    assert "позже" in answer.lines[1]


# --- files -----------------------------------------------------------------------------------------------------------


def begun(bus: Bus, **said: Any) -> OneC:
    onec = bus.onec(**said)
    onec.begin()
    onec.init()
    return onec


def test_chunks_are_put_together_in_their_order_whatever_they_are_called(bus: Bus) -> None:
    onec = begun(bus)
    chunks = [b"a=1&b=2", b"%20" * 700_000, b"", b"z" * 1_000_000, b"\x00\xff"]
    onec.send("orders-1_1.xml", *chunks)
    assert bus.content("orders-1_1.xml") == b"".join(chunks)
    sizes = [len(row["body"]) for row in bus.rows("SELECT body FROM exchange_chunk")]
    assert max(sizes) <= 1_000_000
    assert [(file["bytes"], file["state"]) for file in bus.files()] == [(len(b"".join(chunks)), "receiving")]


def test_a_cut_connection_leaves_no_half_chunk(bus: Bus) -> None:
    onec = begun(bus)
    onec.send("orders.xml", b"first")
    onec.cut("orders.xml", b"x" * 2_500_000, 3_000_000)
    eventually(lambda: _at_rest(bus))
    assert bus.content("orders.xml") == b"first"
    onec.send("orders.xml", b" and second")
    assert bus.content("orders.xml") == b"first and second"


def _at_rest(bus: Bus) -> bool:
    """The cut body has come and gone: nothing of it is staged."""
    return [file["name"] for file in bus.files()] == ["orders.xml"]


def test_a_body_that_stands_still_is_given_up_and_nothing_of_it_is_kept(database_url: str, broker_url: str) -> None:
    with exchanging(database_url, broker_url, stall_s=0.2) as bus:
        onec = bus.onec()
        onec.begin()
        onec.init()
        host = urlsplit(onec.url)
        connection = HTTPConnection(str(host.hostname), host.port, timeout=30)
        connection.putrequest("POST", onec.query("sale", "file", filename="orders.xml"))
        for name, value in (onec.headers() | {"Content-Length": "3000000"}).items():
            connection.putheader(name, value)
        connection.endheaders(b"x" * 2_500_000)
        assert connection.getresponse().read().startswith(b"failure")
        connection.close()
        assert bus.files() == []


def test_a_compressed_chunk_is_refused_in_words(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin()
    onec.init()
    coded = onec.headers() | {"Content-Encoding": "gzip"}
    onec.headers = lambda: coded  # type: ignore[method-assign]  # a 1C that packs what it sends
    answer = onec.ask("sale", "file", gzip.compress(file_of(returned("10057"))), filename="orders.xml")
    assert answer.first == "failure"
    assert "Content-Encoding" in answer.lines[1]
    assert bus.files() == []


def test_init_empties_the_folder_of_its_session_alone(bus: Bus) -> None:
    onec, other = begun(bus), begun(bus)
    onec.send("orders.xml", b"stale")
    other.send("orders.xml", b"other")
    onec.init()
    onec.send("orders.xml", b"fresh")
    assert sorted(file["bytes"] for file in bus.files()) == [5, 5]
    assert bus.content("orders.xml") == b"otherfresh"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/tmp/v8_1/orders.xml", "v8_1/orders.xml"),
        ("upload/1c/webdata/orders.xml", "orders.xml"),
        ("upload/1c/webdata3/a.xml", "a.xml"),
        ("..\\..\\windows\\a.xml", "windows/a.xml"),
        ("/etc/../../a.xml", "etc/a.xml"),
        ("import_files/ab/1.jpg", "import_files/ab/1.jpg"),
    ],
)
def test_a_name_is_only_a_name(bus: Bus, given: str, kept: str) -> None:
    begun(bus).send(given, b"x")
    assert [file["name"] for file in bus.files()] == [kept]


@pytest.mark.parametrize("name", ["", "..", "/", "\x01"])
def test_a_file_without_a_name_is_refused(bus: Bus, name: str) -> None:
    assert begun(bus).ask("sale", "file", b"x", filename=name).lines == ["failure", "Не указано имя файла."]


def test_a_file_that_grows_too_large_is_refused_and_its_chunk_not_kept(module_url: str, broker_url: str) -> None:
    with exchanging(module_url, broker_url, limits={"exchange_file_bytes": 3_000_000}) as bus:
        onec = begun(bus)
        onec.send("orders.xml", b"x" * 2_000_000)
        answer = onec.ask("sale", "file", b"y" * 2_500_000, filename="orders.xml")
        assert answer.first == "failure"
        assert "3000000" in answer.lines[1]
        assert len(bus.content("orders.xml")) == 2_000_000


def test_the_limit_of_other_bodies_is_none_of_files(module_url: str, broker_url: str) -> None:
    with exchanging(module_url, broker_url, limits={"body_bytes": 10}) as bus:
        begun(bus).send("orders.xml", b"x" * 1_500_000)


# --- importing -------------------------------------------------------------------------------------------------------


def test_an_import_says_progress_until_it_is_done(bus: Bus) -> None:
    onec = begun(bus)
    onec.send("orders.xml", file_of(returned("1001")))
    first = onec.ask("sale", "import", filename="orders.xml")
    assert first.first == "progress"
    assert bus.bells.chores == ["chores.import_files"]
    assert bus.importing(lambda: onec.ask("sale", "import", filename="orders.xml")).lines == ["success"]
    assert bus.fields("onec/order/1001")["number"] == "1001"
    assert onec.ask("sale", "import", filename="orders.xml").lines == ["success"]


def test_a_file_that_cannot_be_read_says_why(bus: Bus) -> None:
    onec = begun(bus)
    onec.send("orders.xml", file_of(returned("1001"))[:-60])
    answer = bus.importing(lambda: onec.ask("sale", "import", filename="orders.xml"))
    assert answer.first == "failure"
    assert answer.lines[1].startswith("orders.xml: ")
    assert "Ромашка" not in answer.lines[1]


@pytest.mark.parametrize(("sent", "said"), [({}, "не был передан"), ({"orders.xml": b""}, "пуст")])
def test_what_was_not_sent_or_is_empty_cannot_be_imported(bus: Bus, sent: dict[str, bytes], said: str) -> None:
    onec = begun(bus)
    for name, body in sent.items():
        onec.send(name, body)
    answer = onec.ask("sale", "import", filename="orders.xml")
    assert answer.first == "failure"
    assert said in answer.lines[1]


def test_an_archive_in_parts_is_imported_by_the_names_within(bus: Bus) -> None:
    onec = begun(bus)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("orders-1.xml", file_of(returned("1001")))
        archive.writestr("orders-2.xml", file_of(returned("1002")))
    whole = packed.getvalue()
    onec.send("v8_1A2B_01.zip", whole[:700], whole[700:])
    for name in ("orders-1.xml", "orders-2.xml"):
        assert bus.importing(lambda name=name: onec.ask("sale", "import", filename=name)).first == "success"
    assert {row["key"] for row in bus.rows("SELECT key FROM identity WHERE key LIKE 'onec/order/%%'")} == {
        "onec/order/1001",
        "onec/order/1002",
    }


def test_a_name_may_be_used_again_once_its_import_has_ended(bus: Bus) -> None:
    onec = begun(bus)
    for number in ("1001", "1002"):
        onec.send("orders.xml", file_of(returned(number)))
        assert bus.importing(lambda: onec.ask("sale", "import", filename="orders.xml")).first == "success"
    assert len(bus.files()) == 2
    assert len(bus.rows("SELECT 1 FROM identity WHERE key LIKE 'onec/order/%%'")) == 2


def test_nothing_is_added_to_a_file_that_waits_for_its_import(bus: Bus) -> None:
    onec = begun(bus)
    onec.send("orders.xml", file_of(returned("1001")))
    onec.ask("sale", "import", filename="orders.xml")
    assert onec.ask("sale", "file", b"more", filename="orders.xml").first == "failure"
    assert bus.content("orders.xml") == file_of(returned("1001"))


def test_goods_are_set_aside_and_said_to_be_taken(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin("catalog")
    onec.init("catalog")
    for name in ("import0_1.xml", "import_files/ab/1.jpg", "webdata/offers0_1.xml"):
        onec.send(name, b"<goods/>", type_="catalog")
    for name in ("import0_1.xml", "webdata/offers0_1.xml"):
        assert onec.ask("catalog", "import", filename=name).lines == ["success"]
    assert [file["state"] for file in bus.files()] == ["aside", "receiving", "aside"]
    assert onec.ask("catalog", "deactivate").first == "failure"
    assert onec.ask("catalog", "deactivate", timestamp="1").lines == ["success"]
    assert onec.ask("catalog", "complete").lines == ["success"]


# --- fetching --------------------------------------------------------------------------------------------------------


def test_an_answer_without_orders_is_a_root_without_documents(bus: Bus) -> None:
    answer = bus.onec().fetch()
    assert answer.content_type == "application/xml; charset=utf-8"
    assert answer.numbers == []


@pytest.mark.parametrize(
    "more", [{}, {"version": "2.09", "cmlVersion": "2.10"}, {"version": "3.1"}], ids=["ut", "unf", "bus"]
)
def test_each_dialect_completes_a_run_of_both_directions(bus: Bus, more: dict[str, str]) -> None:
    bus.take(sold("1001"))
    onec = bus.onec(more=more)
    onec.begin()
    if more:
        onec.init()
    answer = onec.ask("sale", "query")
    assert answer.numbers == ["1001"]
    assert onec.ask("sale", "success").lines == ["success"]
    own = answer.ids[0] if more.get("version") == "3.1" else None
    onec = begun(bus, more=more)
    onec.send("orders.xml", file_of(returned("1001", guid=own)))
    assert bus.importing(lambda: onec.ask("sale", "import", filename="orders.xml")).first == "success"
    assert len(bus.rows("SELECT 1 FROM entity WHERE kind = 'order'")) == 1
    assert bus.onec(more=more).fetched() == []


def test_what_a_dialect_is_shows_in_what_it_is_given(bus: Bus) -> None:
    bus.take(sold("1001"))
    for more, version in (
        ({}, "2.05"),
        ({"version": "2.09", "cmlVersion": "2.10"}, "2.10"),
        ({"version": "3.1"}, "3.1"),
    ):
        onec = begun(bus, more=more)
        onec.more = {}
        assert f'ВерсияСхемы="{version}"'.encode() in onec.ask("sale", "query").body


def test_a_profile_that_is_configured_outweighs_what_a_request_shows(module_url: str, broker_url: str) -> None:
    with exchanging(module_url, broker_url, settings={"profile": "unf"}) as bus:
        onec = begun(bus, more={"version": "3.1"})
        assert b'="2.10"' in onec.ask("sale", "query").body


def test_success_counts_in_another_process_and_after_redis_was_lost(bus: Bus, broker_url: str) -> None:
    bus.take(sold("1001"))
    onec = bus.onec()
    assert onec.fetch().numbers == ["1001"]
    with redis.Redis.from_url(broker_url) as client:
        client.flushall()
    onec.url = bus.urls[1]
    assert onec.ask("sale", "success").first == "success"
    assert bus.onec().fetch().numbers == []
    assert onec.ask("sale", "success").first == "failure"


def test_statuses_are_told_with_the_latin_letter_that_1c_looks_for(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin()
    answer = onec.ask("sale", "info")
    assert answer.content_type == "application/xml; charset=utf-8"
    assert "<Cтатусы><Элемент><Ид>Новый</Ид>" in answer.body.decode()


def test_who_asks_for_goods_is_given_none(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin("get_catalog")
    assert onec.ask("get_catalog", "init").first == "zip=no"
    assert onec.ask("get_catalog", "query").numbers == []
    assert onec.ask("get_catalog", "success").first == "success"


def test_reference_books_are_set_aside(bus: Bus) -> None:
    onec = bus.onec()
    onec.begin("reference")
    onec.init("reference")
    onec.send("reference.xml", b"<a/>", type_="reference")
    assert onec.ask("reference", "import", filename="reference.xml").lines == ["success"]
    assert [file["state"] for file in bus.files()] == ["aside"]


def test_who_listens_hears_of_work_at_once_and_else_that_nothing_came(bus: Bus) -> None:
    assert bus.onec().ask("listen", "").status == 304
    bus.take(sold("1001"))
    answer = bus.onec().ask("listen", "")
    assert (answer.status, answer.body) == (200, b"success\n")


def test_no_persons_data_is_in_the_lines_of_the_door(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    bus.take(sold("1001", customer={"name": "Иванов Иван", "phone": "+79991234567"}))
    onec = begun(bus)
    onec.ask("sale", "query")
    onec.send("orders.xml", file_of(returned("1001"))[:-60])
    bus.importing(lambda: onec.ask("sale", "import", filename="orders.xml"))
    said = "".join(capsys.readouterr())
    assert "Иванов" not in said
    assert "Ромашка" not in said
    assert "+7999" not in said
