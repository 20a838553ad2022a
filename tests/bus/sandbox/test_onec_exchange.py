"""1C's exchange over real HTTP, against a small site that answers as Bitrix does."""

from __future__ import annotations

import base64
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from lxml import etree

from bus.sandbox import __main__ as command
from bus.sandbox.onec import Base, catalogs, documents
from bus.sandbox.onec.cml_control import exchange_routes, statement_routes
from bus.sandbox.onec.cml_http import Address
from bus.sandbox.onec.cml_service import Schedule
from bus.sandbox.onec.exchange import Exchange
from bus.sandbox.server import create_app, running

BASIC = "Basic " + base64.b64encode("Обмен:пароль".encode()).decode()
SALE = "success\nPHPSESSID\n{value}\nsessid=tok-{value}\ntimestamp=1"
ORDER = """<Документ><Ид>{id}</Ид><Номер>{number}</Номер><Дата>2026-10-05</Дата>
<ХозОперация>Заказ товара</ХозОперация><Роль>Продавец</Роль><Валюта>RUB</Валюта><Курс>1</Курс><Сумма>1200.00</Сумма>
<Контрагенты><Контрагент><Ид>77#ivan# Ромашка</Ид><Наименование>Ромашка ООО</Наименование>
<ОфициальноеНаименование>ООО "Ромашка"</ОфициальноеНаименование><ИНН>7707083893</ИНН><КПП>773601001</КПП>
<Роль>Покупатель</Роль></Контрагент></Контрагенты><Время>11:58:03</Время>
<Налоги><Налог><Наименование>НДС</Наименование><УчтеноВСумме>true</УчтеноВСумме><Сумма>200</Сумма></Налог></Налоги>
<Товары><Товар><Ид>f06588ab-7924-11df-b33a-0011955cba6b</Ид><Наименование>Чайник</Наименование>
<БазоваяЕдиница Код="796">шт</БазоваяЕдиница><ЦенаЗаЕдиницу>1200.00</ЦенаЗаЕдиницу><Количество>1</Количество>
<Сумма>1200.00</Сумма><СтавкиНалогов><СтавкаНалога><Наименование>НДС</Наименование><Ставка>20</Ставка>
</СтавкаНалога></СтавкиНалогов></Товар></Товары></Документ>"""


def idle(*_: Any) -> None:
    """Nothing happens, no time passes."""


@dataclass(frozen=True)
class Call:
    """One request as it came over the wire."""

    verb: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def mode(self) -> str:
        return parse_qs(self.query)["mode"][0]


@dataclass
class Site:
    """Bitrix in little: one session per login, chunks appended per file name, orders offered until `success`."""

    orders: list[str] = field(default_factory=list)
    containers: bool = False
    zipped: bool = False
    limit: str = "204800"
    progress: int = 1
    calls: list[Call] = field(default_factory=list)
    sessions: int = 0
    uploads: dict[str, bytes] = field(default_factory=dict)
    imported: list[tuple[str, bytes]] = field(default_factory=list)
    scripted: dict[str, list[Any]] = field(default_factory=dict)
    """Answers given instead of the site's own, by mode, one by one."""
    hold: Callable[[str], None] = idle
    _offered: list[str] = field(default_factory=list)
    _rounds: dict[str, int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def answer(self, call: Call) -> tuple[bytes, str]:
        self.hold(call.mode)
        with self._lock:
            self.calls.append(call)
            waiting = self.scripted.get(call.mode)
            if waiting:
                scripted = waiting.pop(0)
                return scripted if isinstance(scripted, tuple) else (scripted.encode(), "text/plain; charset=utf-8")
            return self._own(call)

    def _own(self, call: Call) -> tuple[bytes, str]:
        said = {name: values[0] for name, values in parse_qs(call.query).items()}
        if call.headers.get("authorization") != BASIC:
            return self._text("failure\nwrong login")
        if call.mode == "checkauth":
            self.sessions += 1
            return self._text(SALE.format(value=self.sessions))
        if not self._knows(call, said):
            return self._text("failure\nsession or sessid is wrong")
        own: dict[str, Callable[[], tuple[bytes, str]]] = {
            "init": lambda: self._init(said),
            "query": self._query,
            "success": self._success,
            "file": lambda: self._file(said["filename"], call.body),
            "import": lambda: self._import(said["filename"]),
            "info": self._info,
        }
        return own[call.mode]()

    def _knows(self, call: Call, said: dict[str, str]) -> bool:
        """The cookie is one that was given, alone in its header, and the sessid belongs to it."""
        name, _, value = call.headers.get("cookie", "").partition("=")
        known = {str(number) for number in range(1, self.sessions + 1)}
        return name == "PHPSESSID" and value in known and said.get("sessid") == f"tok-{value}"

    def _init(self, said: dict[str, str]) -> tuple[bytes, str]:
        self.uploads.clear()
        lines = [f"zip={'yes' if self.zipped else 'no'}", f"file_limit={self.limit}"]
        more = [f"sessid={said['sessid']}", f"version={said['version']}"] if "version" in said else []
        return self._text("\n".join(lines + more))

    def _query(self) -> tuple[bytes, str]:
        self._offered = list(self.orders)
        inner = "".join(f"<Контейнер>{one}</Контейнер>" if self.containers else one for one in self.orders)
        return xml(f'<КоммерческаяИнформация ВерсияСхемы="2.05">{inner}</КоммерческаяИнформация>')

    def _success(self) -> tuple[bytes, str]:
        self.orders = [one for one in self.orders if one not in self._offered]
        return self._text("success")

    def _file(self, name: str, body: bytes) -> tuple[bytes, str]:
        self.uploads[name] = self.uploads.get(name, b"") + body
        return self._text("success\nfile taken")

    def _import(self, name: str) -> tuple[bytes, str]:
        self._rounds[name] = self._rounds.get(name, 0) + 1
        if self._rounds[name] <= self.progress:
            return self._text("progress\nunpacking")
        content = self._unpacked().get(name)
        if content is None:
            return self._text("failure\nno such file")
        try:
            etree.fromstring(content.removeprefix(b"\xef\xbb\xbf"))
        except etree.XMLSyntaxError:
            return self._text("failure\nbroken XML")
        self.imported.append((name, content))
        return self._text("success")

    def _info(self) -> tuple[bytes, str]:
        body = (
            "<?xml version='1.0' encoding='windows-1251'?><Справочник><Cтатусы><Элемент><Ид>N</Ид>"
            "<Название>Принят</Название></Элемент></Cтатусы></Справочник>"
        )
        return body.encode("cp1251"), "application/xml; charset=windows-1251"

    def _unpacked(self) -> dict[str, bytes]:
        found = dict(self.uploads)
        for name, content in self.uploads.items():
            if name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    found |= {inner: archive.read(inner) for inner in archive.namelist()}
        return found

    @staticmethod
    def _text(text: str) -> tuple[bytes, str]:
        return text.encode(), "text/plain; charset=utf-8"

    # what a test asks

    def documents(self) -> list[Any]:
        """Every Документ and ПодчиненныйДокумент of what was imported, without its namespace."""
        found = []
        for _, content in self.imported:
            root = etree.fromstring(content.removeprefix(b"\xef\xbb\xbf"))
            found += [one for one in root.iter() if etree.QName(one).localname.endswith("Документ")]
        return found


def xml(text: str, charset: str = "utf-8") -> tuple[bytes, str]:
    head = f'<?xml version="1.0" encoding="{charset}"?>\n'
    return (head + text).encode(charset), f"application/xml; charset={charset}"


def value(element: Any, *path: str) -> str:
    for name in path:
        element = next(one for one in element if etree.QName(one).localname == name)
    return element.text or ""


def requisites(element: Any) -> dict[str, str]:
    box = next((one for one in element if etree.QName(one).localname == "ЗначенияРеквизитов"), ())
    return {value(pair, "Наименование"): value(pair, "Значение") for pair in box}


class Server:
    """The site behind a socket."""

    def __init__(self) -> None:
        self.site = Site()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # the client hung up
                place = urlsplit(self.path)
                headers = {name.lower(): text for name, text in self.headers.items()}
                call = Call(self.command, place.path, unquote(place.query), headers, body)
                answer, kind = outer.site.answer(call)
                self.send_response(outer.status.pop(0) if outer.status else 200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer) + (outer.missing.pop(0) if outer.missing else 0)))
                self.end_headers()
                self.wfile.write(answer)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *args: Any) -> None:
                pass

        self.status: list[int] = []
        self.missing: list[int] = []
        """By how many bytes an answer falls short of what its header promises."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def site(served: Server) -> Site:
    served.site = Site()
    served.status.clear()
    served.missing.clear()
    return served.site


@pytest.fixture
def base() -> Base:
    return Base(clock=lambda: 1_790_000_000.0)


@pytest.fixture
def node(served: Server, base: Base) -> Callable[..., Exchange]:
    def made(profile: str, path: str = "", **options: Any) -> Exchange:
        options = {"sleep": idle, "seed": 1, "timeout": 5.0} | options
        return Exchange(f"http://{served.host}{path}", "Обмен", "пароль", profile, base, **options)

    return made


def order(number: str, name: str = "") -> str:
    return ORDER.format(id=name or number, number=number)


def orders(base: Base) -> list[dict[str, Any]]:
    return base.objects.rows(documents.ORDER.name)


def agree(base: Base, key: str) -> None:
    base.act({"do": "edit_order", "id": key, "status": "КОбеспечению"})


def placed(base: Base, site: Site, exchange: Exchange, number: str = "10057") -> dict[str, Any]:
    """An order that came from the site, and that the site knows to be taken."""
    site.orders = [order(number)]
    assert exchange.run().ok
    return orders(base)[-1]


# the dance


@pytest.mark.parametrize(
    ("profile", "modes"),
    [
        ("ut", "checkauth query success checkauth init file import import"),
        ("unf", "checkauth init query success file import import"),
        ("bus", "checkauth init query success file file import import import import"),
    ],
)
def test_each_profile_takes_its_own_steps(profile, modes, site, base, node):
    site.containers = profile == "bus"
    exchange = node(profile)
    row = placed(base, site, exchange)
    site.calls.clear()
    site.imported.clear()
    agree(base, row["Ref_Key"])
    if profile == "bus":
        base.act({"do": "create_counterparty", "name": "Лютик"})
    report = exchange.run()
    assert report.ok, report.failures
    assert [call.mode for call in site.calls] == modes.split()
    assert report.modes == modes.split()
    assert report.sent == ["10057"]


def test_every_call_carries_basic_the_agent_and_the_named_cookie_only(site, node):
    node("ut").run()
    assert {call.headers["authorization"] for call in site.calls} == {BASIC}
    assert {call.headers["user-agent"] for call in site.calls} == {"1C+Enterprise/8.3"}
    assert [call.headers.get("cookie") for call in site.calls] == [
        None,
        "PHPSESSID=1",
        "PHPSESSID=1",
        None,
        "PHPSESSID=2",
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://shop.example", Address("shop.example", 80, "bitrix/admin/1c_exchange.php")),
        ("https://shop.example/", Address("shop.example", 443, "bitrix/admin/1c_exchange.php", secure=True)),
        ("shop.example:8080/exchange/ut", Address("shop.example", 8080, "exchange/ut")),
    ],
)
def test_a_host_alone_means_bitrix_own_path(text, address):
    assert Address.parse(text) == address


def test_an_address_without_a_host_is_refused():
    with pytest.raises(ValueError, match="no host"):
        Address.parse("http:///x")


def test_the_site_is_asked_at_its_own_path(site, node):
    node("ut", "/exchange/ut").run()
    assert {call.path for call in site.calls} == {"/exchange/ut"}


def test_the_check_button_logs_in_for_the_catalog_only(site, node):
    assert node("ut").check().ok
    assert [call.query for call in site.calls] == ["type=catalog&mode=checkauth"]


@pytest.mark.usefixtures("site")
def test_wrong_credentials_are_told_in_the_clients_own_words(served, base):
    report = Exchange(f"http://{served.host}", "bus", "wrong", "unf", base).run()
    assert [(one.step, "user's name and password" in one.text) for one in report.failures] == [("checkauth", True)]


def test_nobody_there_is_a_failure_and_not_an_error(base):
    report = Exchange("http://127.0.0.1:9", "u", "p", "unf", base).run()
    assert [one.step for one in report.failures] == ["checkauth"]
    assert report.asked[0].status == 0


# sessid


@pytest.mark.parametrize(
    ("profile", "line", "tail"),
    [
        ("ut", "sessid=abc", "&sessid=abc"),
        ("ut", "", "&sessid="),
        ("unf", "sessid=abc", "&sessid=abc"),
        ("unf", "token:1", "&token:1"),
        ("unf", "", ""),
    ],
)
def test_line_four_comes_back_as_the_profile_takes_it(profile, line, tail, site, node):
    site.scripted = {"checkauth": [f"success\nC\nV\n{line}"] * 2}
    node(profile).run()
    after = site.calls[1].query
    version = "&version=2.09&cmlVersion=2.10" if profile == "unf" else ""
    assert after.endswith(f"{version}{tail}")
    assert ("sessid" in after) == ("sessid" in tail)


def test_a_node_without_sessid_sends_none(site, node):
    exchange = node("ut")
    exchange.settings.sends_sessid = False
    exchange.run()
    assert "sessid" not in "".join(call.query for call in site.calls)


def test_a_cr_at_the_end_of_the_cookie_goes_back_into_the_header(site, node):
    site.scripted = {"checkauth": ["success\r\nPHPSESSID\r\n1\r\nsessid=x\r\n"]}
    node("unf").run()
    assert site.calls[1].headers["cookie"] != "PHPSESSID=1"


def test_the_version_is_told_where_the_profile_tells_it(site, node):
    for profile in ("ut", "unf", "bus"):
        node(profile).run()
    told = [(call.mode, "version=2.09" in call.query, "version=3.1" in call.query) for call in site.calls]
    assert [one for one in told if one[2]] == [("init", False, True)]
    assert sum(one[1] for one in told) == 4


# strictness


@pytest.mark.parametrize(
    ("profile", "answer", "taken"),
    [
        ("ut", "zip=no\nfile_limit=100", True),
        ("ut", "zip=no\nfile_limit=100\n", False),
        ("ut", "zip=no\nfile_limit=100\nsessid=1\nversion=2.09", False),
        ("ut", "zip=no", False),
        ("unf", "zip=no\nfile_limit=100\nsessid=1\nversion=2.09", True),
        ("unf", "zip=no", False),
        ("bus", "zip=no\nfile_limit=100\nsessid=1\nversion=3.1", True),
    ],
)
def test_an_init_answer_is_counted_by_lines(profile, answer, taken, site, node):
    site.scripted = {"init": [answer]}
    report = node(profile).run()
    assert ("init" not in [one.step for one in report.failures]) == taken


@pytest.mark.parametrize(
    ("profile", "body", "taken"),
    [
        ("ut", "<?xml version='1.0'?><КоммерческаяИнформация/>", True),
        ("ut", "\ufeff<?xml version='1.0'?><КоммерческаяИнформация/>", False),
        ("ut", " <?xml version='1.0'?><КоммерческаяИнформация/>", False),
        ("ut", "<КоммерческаяИнформация/>", False),
        ("ut", "", False),
        ("ut", "<?xml version='1.0'?><html/>", False),
        ("unf", "<КоммерческаяИнформация/>", True),
        ("unf", "failure\nno rights", False),
        ("bus", "\ufeff<?xml version='1.0'?><КоммерческаяИнформация/>", True),
    ],
)
def test_an_answer_to_query_must_begin_as_the_profile_likes_it(profile, body, taken, site, node):
    site.scripted = {"query": [body]}
    report = node(profile).run()
    assert report.acknowledged == taken
    assert ("success" in report.modes) == taken


def test_the_text_is_decoded_by_the_headers_charset(site, base, node):
    text = f"<КоммерческаяИнформация>{order('1')}</КоммерческаяИнформация>"
    site.scripted = {"query": [xml(text, "windows-1251")]}
    assert node("ut").run().created == ["1"]
    assert base.objects.rows(catalogs.COUNTERPARTIES.name)[-1]["Description"] == "Ромашка ООО"


def test_ut_does_not_see_through_a_wrong_charset_and_unf_does(site, node):
    text = f"<КоммерческаяИнформация>{order('1')}</КоммерческаяИнформация>"
    lie = (xml(text, "windows-1251")[0], "application/xml; charset=utf-8")
    site.scripted = {"query": [lie, lie]}
    assert not node("ut").run().acknowledged
    assert node("unf").run().created == ["1"]


@pytest.mark.usefixtures("site")
def test_an_answer_of_any_status_is_read(served, node):
    served.status = [500]
    assert node("unf").run().ok


def test_an_empty_answer_is_a_failure(site, node):
    site.scripted = {"success": [""]}
    report = node("ut").run()
    assert [(one.step, one.text) for one in report.failures] == [("success", "the server's answer is empty")]


@pytest.mark.parametrize(
    ("profile", "missing", "acknowledged"),
    [("ut", [0, 5], False), ("unf", [0, 0, 5], True), ("unf", [0, 0, 5, 5], False)],
)
def test_only_unf_asks_once_more_when_the_orders_break_off(profile, missing, acknowledged, served, site, node):
    site.orders = [order("10057")]
    served.missing = missing
    report = node(profile).run()
    assert report.acknowledged == acknowledged
    assert report.modes.count("query") == (2 if profile == "unf" else 1)


def test_success_is_read_in_any_case_and_with_blanks_around(site, node):
    site.scripted = {"checkauth": [" SUCCESS \nPHPSESSID\n1\nsessid=tok-1"]}
    site.sessions = 1
    report = node("unf").run()
    assert report.acknowledged


@pytest.mark.parametrize(("profile", "acknowledged"), [("ut", True), ("unf", False)])
def test_only_ut_does_not_care_what_is_said_to_success(profile, acknowledged, site, node):
    site.scripted = {"success": ["failure\nno"]}
    assert node(profile).run().acknowledged == acknowledged


# orders in


def test_an_order_is_loaded_once_and_asked_for_no_more(site, base, node):
    exchange = node("ut")
    site.orders = [order("10057")]
    assert exchange.run().created == ["10057"]
    assert exchange.run().loaded == []
    assert len(orders(base)) == 1


def test_an_order_without_its_success_is_offered_again_and_does_not_double(site, base, node):
    exchange = node("ut")
    site.orders = [order("10057")]
    exchange.faults.add("no_success")
    first, second = exchange.run(), exchange.run()
    assert (first.created, first.acknowledged, "success" in first.modes) == (["10057"], False, False)
    assert (second.updated, second.acknowledged) == (["10057"], True)
    assert len(orders(base)) == 1


def test_an_order_just_loaded_does_not_come_back_in_the_same_run(site, base, node):
    exchange = node("ut")
    site.orders = [order("10057")]
    assert exchange.run().sent == []
    agree(base, orders(base)[0]["Ref_Key"])
    assert exchange.run().sent == ["10057"]
    assert exchange.run().sent == []


def test_a_failed_load_does_not_keep_ut_from_sending(site, base, node):
    exchange = node("ut")
    row = placed(base, site, exchange)
    agree(base, row["Ref_Key"])
    site.orders = [order("2").replace("RUB", "")]
    report = exchange.run()
    assert [one.step for one in report.failures] == ["load"]
    assert report.sent == ["10057"]


def test_a_failed_load_ends_the_run_of_unf(site, base, node):
    exchange = node("unf")
    site.orders = [order("2").replace("RUB", "")]
    base.act({"do": "create_order"})
    report = exchange.run()
    assert (report.acknowledged, report.sent, report.modes[-1]) == (False, [], "query")


# orders out


def test_what_the_site_does_not_import_is_sent_again(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    site.scripted = {"import": ["failure\ndatabase is down"]}
    first, second = exchange.run(), exchange.run()
    assert (first.sent, [one.step for one in first.failures]) == ([], ["import"])
    assert second.sent == ["10057"]
    assert first.files != second.files


def test_a_change_made_during_the_upload_is_not_lost(site, base, node):
    exchange = node("ut")
    row = placed(base, site, exchange)
    agree(base, row["Ref_Key"])

    def edit(mode: str) -> None:
        if mode == "file":
            base.act({"do": "edit_order", "id": row["Ref_Key"], "comment": "later"})

    site.hold = edit
    assert exchange.run().sent == ["10057"]
    site.hold = idle
    assert exchange.run().sent == ["10057"]
    assert exchange.run().sent == []


def test_a_file_goes_out_in_chunks_of_the_sites_limit(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    site.limit = "500"
    assert exchange.run().sent == ["10057"]
    sizes = [len(call.body) for call in site.calls if call.mode == "file"]
    assert len(sizes) > 2
    assert set(sizes[:-1]) == {500}


@pytest.mark.parametrize("limit", ["0", "", "no limit"])
def test_no_limit_means_one_piece(limit, site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    site.limit = limit
    exchange.run()
    assert sum(call.mode == "file" for call in site.calls) == 1


def test_an_archive_is_split_as_bytes_and_imported_by_the_names_within(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    site.zipped, site.limit = True, "300"
    report = exchange.run()
    names = {parse_qs(call.query)["filename"][0] for call in site.calls if call.mode == "file"}
    assert names == set(report.files)
    assert report.files[0].startswith("v8_")
    assert site.imported[0][0].startswith("orders-")
    assert site.imported[0][0].endswith("_1.xml")
    assert report.sent == ["10057"]


def test_orders_go_out_in_portions_and_each_is_acknowledged_for_itself(site, base, node):
    exchange = node("unf")
    for _ in range(5):
        base.act({"do": "create_order"})
    exchange.settings.portion = 2
    site.progress = 0
    site.scripted = {"import": ["success", "failure\nbroken"]}
    first, second = exchange.run(), exchange.run()
    assert [len(first.sent), len(second.sent)] == [2, 3]
    assert [name[-6:] for name in first.files] == ["_1.xml", "_2.xml", "_3.xml"]


def test_a_node_that_does_not_wait_asks_for_no_import(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    exchange.settings.waits_for_import = False
    site.calls.clear()
    report = exchange.run()
    assert report.sent == ["10057"]
    assert "import" not in report.modes


def test_ut_asks_again_without_a_pause_and_unf_pauses(site, base, node):
    pauses: list[float] = []
    site.progress = 3
    for profile in ("ut", "unf"):
        exchange = node(profile, sleep=pauses.append)
        agree(base, placed(base, site, exchange, "1" if profile == "ut" else "2")["Ref_Key"])
        assert exchange.run().ok
        assert pauses == ([] if profile == "ut" else [5.0] * 3)


def test_the_file_is_tried_again_as_often_as_the_node_says(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    exchange.settings.attempts = 2
    site.scripted = {"import": ["failure\nbusy"]}
    report = exchange.run()
    assert (report.ok, report.sent) == (True, ["10057"])


def test_the_goods_files_go_first_and_under_the_same_names(site, base, node):
    base.act({"do": "create_product", "name": "Чайник"})
    exchange = node("ut")
    exchange.settings.catalog = True
    site.progress = 0
    report = exchange.run()
    assert report.ok, report.failures
    kinds = [parse_qs(call.query)["type"][0] for call in site.calls]
    assert kinds == sorted(kinds)
    assert report.files[:2] == ["import0_1.xml", "offers0_1.xml"]
    assert report.files[2].startswith("import_files/")


@pytest.mark.usefixtures("site")
def test_unf_loads_the_sites_statuses(node):
    report = node("unf").statuses()
    assert report.info == {"statuses": {"N": "Принят"}}


# faults


def test_a_cut_chunk_fails_the_run_and_the_next_one_is_whole(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    site.limit = "500"
    exchange.faults.add("cut_chunk", after=1)
    first, second = exchange.run(), exchange.run()
    assert [one.step for one in first.failures] == ["file"]
    assert sum(asked.status == 0 for asked in first.asked) == 1
    assert (first.sent, second.sent) == ([], ["10057"])


def test_a_lost_answer_makes_the_client_send_the_same_again(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    site.progress = 0
    exchange.faults.add("lost_answer", step="import")
    first, second = exchange.run(), exchange.run()
    assert (first.sent, second.sent) == ([], ["10057"])
    assert len(site.imported) == 2


def test_a_run_that_dies_before_the_import_sends_again(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    exchange.faults.add("crash_after_files")
    first, second = exchange.run(), exchange.run()
    assert (first.sent, "import" in first.modes, second.sent) == ([], False, ["10057"])


def test_a_stale_session_is_refused_by_the_site(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    exchange.faults.add("stale_session", step="import")
    report = exchange.run()
    assert [one.step for one in report.failures] == ["import"]
    assert exchange.run().sent == ["10057"]


def test_a_header_can_name_the_wrong_charset(site, base, node):
    exchange = node("ut")
    agree(base, placed(base, site, exchange)["Ref_Key"])
    exchange.faults.add("wrong_charset")
    exchange.run()
    assert [call.headers["content-type"] for call in site.calls if call.mode == "file"] == [
        "application/xml; charset=windows-1251"
    ]


def test_a_file_can_name_the_wrong_charset(site, base, node):
    exchange = node("unf")
    base.act({"do": "create_order", "comment": "чай"})
    exchange.faults.add("wrong_declaration")
    exchange.run()
    content = next(call.body for call in site.calls if call.mode == "file")
    assert content.startswith(b'<?xml version="1.0" encoding="windows-1251"?>')
    assert "чай".encode() in content


def test_two_runs_at_once_do_not_double_an_order(site, base, node):
    exchange = node("unf")
    site.orders = [order("10057")]
    met = threading.Barrier(2)

    def meet(mode: str) -> None:
        if mode == "query" and not met.broken:
            met.wait(5)

    site.hold = meet
    exchange.faults.add("parallel")
    report = exchange.run()
    assert report.twin is not None
    assert sorted([report.created, report.twin.created]) == [[], ["10057"]]
    assert len(orders(base)) == 1


def test_a_wrong_clock_shows_in_the_file_only(site, base, node):
    exchange = node("unf")
    base.act({"do": "create_order"})
    exchange.faults.add("clock_skew", seconds=-86_400)
    exchange.run()
    base.act({"do": "create_order"})
    exchange.run()
    stamps = [etree.fromstring(content).get("ДатаФормирования") for _, content in site.imported]
    assert stamps == ["2026-09-20T17:13:20", "2026-09-21T17:13:20"]


def test_a_huge_batch_sends_everything_again_and_again(site, base, node):
    exchange = node("unf")
    base.act({"do": "create_order"})
    exchange.run()
    exchange.faults.add("huge_batch", times=300)
    exchange.run()
    assert len(site.documents()) == 301


def test_documents_can_come_in_the_wrong_order(site, base, node):
    exchange = node("bus")
    key = base.act({"do": "create_order"})["id"]
    base.act({"do": "create_payment", "order": key, "amount": 100})
    exchange.faults.add("reordered")
    report = exchange.run()
    assert report.files[0].startswith("orders-")
    assert report.files[1].startswith("contragents_1_")
    assert [value(one, "ХозОперация") for one in site.documents()] == ["Выплата безналичных денег", "Заказ товара"]


def test_an_unknown_fault_is_named(node):
    with pytest.raises(ValueError, match="unknown fault 'typhoon'; known: cut_chunk"):
        node("ut").faults.add("typhoon")


def test_an_unknown_profile_is_named(base):
    with pytest.raises(ValueError, match="unknown profile 'bp'; known: ut, unf, bus"):
        Exchange("shop", "u", "p", "bp", base)


# the service


@pytest.fixture
def control(base: Base, node: Callable[..., Exchange]) -> Iterator[Callable[..., requests.Response]]:
    """The control API of a 1C that exchanges with the site on request."""
    app = create_app(base)
    app.router.routes.extend([*exchange_routes(node("unf")), *statement_routes(base)])
    with running(app) as url, requests.Session() as session:

        def ask(verb: str, path: str, body: Any = None) -> requests.Response:
            return session.request(verb, f"{url}/_sandbox/{path}", json=body, timeout=10)

        yield ask


def test_a_run_can_be_asked_for_and_looked_at(site, control):
    site.orders = [order("10057")]
    report = control("POST", "exchange/run").json()
    assert (report["ok"], report["created"], report["acknowledged"]) == (True, ["10057"], True)
    told = control("GET", "exchange").json()
    assert [one["created"] for one in told["reports"]] == [["10057"]]
    assert told["profile"] == "unf"
    assert "PHPSESSID" not in json.dumps(told)


def test_a_node_can_be_set_up_and_broken_from_outside(site, base, control):
    control("POST", "act", {"do": "create_order"})
    assert control("POST", "exchange/settings", {"portion": 1}).json()["portion"] == 1
    assert control("POST", "exchange/faults", {"kind": "cut_chunk", "count": 2}).json()["count"] == 2
    assert not control("POST", "exchange/run").json()["ok"]
    assert control("DELETE", "exchange/faults").json() == {"cleared": 1}
    assert control("POST", "exchange/run").json()["sent"] == [orders(base)[0]["Number"]]
    assert control("POST", "exchange/check").json()["ok"]
    assert site.calls[-1].mode == "checkauth"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("exchange/settings", {"colour": "red"}, "unknown setting 'colour'"),
        ("exchange/faults", {"kind": "typhoon"}, "unknown fault 'typhoon'"),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_wrong_control_call_is_told(path, body, said, control):
    answer = control("POST", path, body)
    assert answer.status_code == 400
    assert said in answer.json()["error_description"]


@pytest.mark.usefixtures("site")
def test_a_statement_can_be_fetched(base, control):
    key = base.act({"do": "create_order"})["id"]
    base.act({"do": "create_payment", "order": key, "amount": 500, "number": "17"})
    content = control("GET", "statement?version=1.02&encoding=cp866&sections=false").content.decode("cp866")
    assert content.startswith("1CClientBankExchange\r\nВерсияФормата=1.02\r\n")
    assert "Сумма=500.00\r\n" in content
    assert "СекцияРасчСчет" not in content
    assert "СекцияДокумент" not in control("GET", "statement?until=2020-01-01").content.decode("cp1251")
    for wrong in ("colour=red", "since=soon", "version=9", "total_error=x"):
        assert control("GET", f"statement?{wrong}").status_code == 400


def test_the_job_runs_until_it_is_closed(site, node):
    twice = threading.Event()
    site.hold = lambda mode: twice.set() if mode == "checkauth" and site.sessions > 2 else None
    schedule = Schedule(node("ut"), 0.01)
    schedule.start()
    assert twice.wait(5)
    schedule.close()
    runs = len(schedule.exchange.reports.list())
    assert runs >= 1
    assert not schedule._thread.is_alive()


def test_one_exchange_from_the_command_line_prints_its_report(served, site, capsys):
    site.orders = [order("10057")]
    asked = ["onec", "--once", "--site", served.host, "--user", "Обмен", "--password", "пароль", "--profile", "unf"]
    with pytest.raises(SystemExit) as ended:
        command.main(asked)
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["created"] == ["10057"]
    with pytest.raises(SystemExit) as ended:
        command.main([*asked[:6], "--password", "wrong"])
    assert ended.value.code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["onec", "--once"], "--once needs --site"), (["shop", "--user", "ann"], "--user is the webhook's user here")],
)
def test_a_wrong_command_line_is_told(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
