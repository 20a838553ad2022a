"""A bus that a 1C exchanges with: real ledger and Redis, the intake over real HTTP, and requests written by hand."""

import base64
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from http.client import HTTPConnection
from threading import Event as Stop
from threading import Thread
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

from pydantic import SecretStr

from bus.config import Settings, from_document
from bus.intake import create_app
from bus.ledger.database import Ledger
from bus.merge import Outcome
from bus.sandbox.server import running
from tests.bus.ledger.middle import FULL, Middle, Notes
from workers.bootstrap import Wiring

LOGIN = ("обмен", "секрет 1С")
PATH = "/bitrix/admin/1c_exchange.php"
IN_OUT = {"order": FULL, "payment": FULL, "counterparty": {"in": "full"}}


@dataclass
class Bells(Notes):
    """Bells that are only written down."""

    chores: list[str] = field(default_factory=list)

    def chore(self, task: str) -> None:
        self.chores.append(task)


@dataclass
class Answer:
    """What the door said."""

    status: int
    content_type: str
    body: bytes

    @property
    def lines(self) -> list[str]:
        assert b"\r" not in self.body
        return self.body.decode().split("\n")

    @property
    def first(self) -> str:
        return self.lines[0]

    @property
    def ids(self) -> list[str]:
        """What its orders are called."""
        return [str(one.findtext("Ид")) for one in self.orders]

    @property
    def numbers(self) -> list[str]:
        """Numbers of the orders in an answer to `query`."""
        return [str(one.findtext("Номер")) for one in self.orders]

    @cached_property
    def orders(self) -> list[ET.Element]:
        """The orders in it."""
        assert self.body.startswith(b"<?xml"), self.body[:100]
        root = ET.fromstring(self.body)
        assert root.tag == "КоммерческаяИнформация"
        return [one for one in root.iter("Документ") if one.findtext("ХозОперация") == "Заказ товара"]


@dataclass
class OneC:
    """A 1C that speaks by hand-written requests: nothing is remembered that 1C does not remember."""

    url: str
    path: str = PATH
    login: tuple[str, str] | None = LOGIN
    encoding: str = "utf-8"
    more: dict[str, str] = field(default_factory=dict)
    cookie: str | None = None
    sessid: str | None = None

    def headers(self) -> dict[str, str]:
        headers = {"User-Agent": "1C+Enterprise/8.3"}
        if self.login:
            raw = ":".join(self.login).encode(self.encoding)
            headers["Authorization"] = f"Basic {base64.b64encode(raw).decode()}"
        if self.cookie:
            headers["Cookie"] = self.cookie
        return headers

    def query(self, type_: str, mode: str, **asked: str) -> str:
        sessid = {"sessid": self.sessid} if self.sessid is not None else {}
        return f"{self.path}?{urlencode({'type': type_, 'mode': mode} | self.more | asked | sessid)}"

    def ask(self, type_: str, mode: str, body: bytes | None = None, **asked: str) -> Answer:
        host = urlsplit(self.url)
        connection = HTTPConnection(str(host.hostname), host.port, timeout=30)
        try:
            method = "GET" if body is None else "POST"
            form = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
            connection.request(method, self.query(type_, mode, **asked), body, self.headers() | form)
            response = connection.getresponse()
            return Answer(response.status, response.headers.get("content-type", ""), response.read())
        finally:
            connection.close()

    def begin(self, type_: str = "sale") -> Answer:
        """checkauth: remembers cookie and sessid as 1C does."""
        answer = self.ask(type_, "checkauth")
        assert answer.first == "success", answer.body
        _, name, value, sessid, *_ = answer.lines
        self.cookie, self.sessid = f"{name}={value}", sessid.removeprefix("sessid=")
        return answer

    def init(self, type_: str = "sale") -> Answer:
        return self.ask(type_, "init")

    def send(self, name: str, *chunks: bytes, type_: str = "sale") -> None:
        for chunk in chunks:
            answer = self.ask(type_, "file", chunk, filename=name)
            assert answer.first == "success", answer.body.decode()

    def cut(self, name: str, body: bytes, declared: int) -> None:
        """A chunk whose connection breaks before all of it is there."""
        host = urlsplit(self.url)
        lines = [f"POST {self.query('sale', 'file', filename=name)} HTTP/1.1", f"Host: {host.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers().items()] + [f"Content-Length: {declared}"]
        with socket.create_connection((str(host.hostname), host.port)) as wire:
            wire.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def fetch(self) -> Answer:
        """The way of UT: checkauth, query."""
        self.begin()
        return self.ask("sale", "query")

    def fetched(self) -> list[str]:
        """A whole turn of fetching: numbers of the orders, said to have arrived."""
        numbers = self.fetch().numbers
        assert self.ask("sale", "success").first == "success"
        return numbers


@dataclass
class Bus(Middle):
    """A middle with its intakes."""

    bells: Bells = field(default_factory=Bells)
    urls: list[str] = field(default_factory=list)

    def onec(self, url: int = 0, **said: Any) -> OneC:
        return OneC(self.urls[url], **said)

    def imported(self) -> Counter[Outcome]:
        """Import what waits, and take what that published through the path."""
        self.wiring.importing.run()
        return self.heard()

    def importing(self, ask: Callable[[], Answer]) -> Answer:
        """Ask for an import as 1C does, over and over, while a worker is at it."""
        with self.working():
            while (answer := ask()).first == "progress":
                pass
        return answer

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker imports what comes; what that publishes goes through the path at the end."""
        stopped = Stop()

        def work() -> None:
            while not stopped.wait(0.01):
                self.wiring.importing.run()

        worker = Thread(target=work, daemon=True)
        worker.start()
        try:
            yield
        finally:
            stopped.set()
            worker.join()
        self.heard()

    def forget(self) -> None:
        """Begin anew, without stopping the intakes."""
        with self.ledger.transaction() as connection:
            tables = connection.execute(
                "SELECT string_agg(tablename, ', ') AS names FROM pg_tables"
                " WHERE schemaname = 'public' AND tablename NOT LIKE 'alembic%'"
            ).fetchone()
            assert tables is not None
            connection.execute(f"TRUNCATE {tables['names']} CASCADE")
        self.bells.published.clear()
        self.bells.chores.clear()

    def files(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM exchange_file ORDER BY id")

    def content(self, name: str) -> bytes:
        """What the ledger has of a file."""
        chunks = self.rows(
            """SELECT body FROM exchange_chunk JOIN exchange_file ON exchange_file.id = file_id
               WHERE name = %s ORDER BY file_id, n""",
            name,
        )
        return b"".join(bytes(row["body"]) for row in chunks)


def document(**changes: Any) -> dict[str, Any]:
    """A shop, a CRM and a 1C that takes us for a site; `changes` are laid over the 1C."""
    onec = {"kind": "commerceml", "user": LOGIN[0], "password": LOGIN[1], "routes": IN_OUT}
    limits, mappings = changes.pop("limits", {}), changes.pop("mappings", None)
    more = changes.pop("systems", {})
    systems = {
        "shop": {
            "kind": "bitrix_cms",
            "url": "http://127.0.0.1:9/rest/1/shop/",
            "routes": {"order": FULL, "payment": FULL},
        },
        "crm": {
            "kind": "bitrix24",
            "url": "http://127.0.0.1:9/rest/1/crm/",
            "application_token": "token",
            "routes": {"order": FULL},
        },
        "onec": onec | changes,
    }
    return {"systems": systems | more, "limits": limits, "mappings": mappings}


@contextmanager
def exchanging(
    database_url: str,
    broker_url: str,
    *,
    intakes: int = 1,
    hold_s: float = 0.3,
    patience_s: float = 10.0,
    stall_s: float = 30.0,
    **changes: Any,
) -> Iterator[Bus]:
    """A bus with so many intakes, each as a process of its own would be: they share the ledger and Redis only."""
    settings = Settings(database_url=SecretStr(database_url), broker_url=SecretStr(broker_url))
    config = from_document(document(**changes), {})
    with ExitStack() as stack:
        buses = []
        for _ in range(max(intakes, 1)):
            wiring = Wiring(settings, config)
            bells = Bells()
            wiring.__dict__ |= {"bells": bells, "ledger": Ledger(database_url, timeout_s=patience_s)}
            stack.callback(wiring.close)
            buses.append(Bus(wiring, bells))
        urls = [stack.enter_context(_served(bus.wiring, hold_s, stall_s)) for bus in buses]
        buses[0].urls = urls
        yield buses[0]


@contextmanager
def _served(wiring: Wiring, hold_s: float, stall_s: float) -> Iterator[str]:
    assert wiring.exchange is not None
    behind = replace(wiring.exchange, hold_s=hold_s, listen_s=0.2, stall_s=stall_s)
    app = create_app(wiring.file, wiring.publisher, wiring.mappings, exchange=behind)
    app.state.site = _NoSite()
    with running(app) as url:  # type: ignore[arg-type]  # it serves any ASGI application
        yield url


class _NoSite:
    def close(self) -> None:
        """The intake has nothing of a sandbox to close."""


def file_of(*documents: str, encoding: str = "utf-8") -> bytes:
    """A file as UT writes it."""
    text = "\n".join(documents)
    return f"""<?xml version="1.0" encoding="{encoding}"?>
<КоммерческаяИнформация xmlns="urn:1C.ru:commerceml_2" ВерсияСхемы="2.07" ДатаФормирования="2026-10-05T12:00:00">
{text}
</КоммерческаяИнформация>""".encode(encoding)


def returned(number: str, guid: str | None = None, total: str = "1200.00", **more: str) -> str:
    """An order as UT says it back: 1C's GUID, the site's number, its own currency code, no status."""
    guid = guid or f"0b6f6d4c-7a6e-11ef-93ac-{number:0>12}"
    requisites = {"Номер по 1С": f"ТДЦБ-{number:0>6}", "Дата по 1С": "2026-10-05T12:10:00", "Проведен": "true"} | more
    said = "".join(
        f"<ЗначениеРеквизита><Наименование>{name}</Наименование><Значение>{value}</Значение></ЗначениеРеквизита>"
        for name, value in requisites.items()
    )
    return f"""<Документ><Ид>{guid}</Ид><Номер>{number}</Номер><Дата>2026-10-05</Дата>
  <ХозОперация>Заказ товара</ХозОперация><Роль>Продавец</Роль><Валюта>643</Валюта><Курс>1</Курс><Сумма>{total}</Сумма>
  <Контрагенты><Контрагент><Ид>5a6f6d4c-7a6e-11ef-93ac-00155d000001</Ид><Наименование>Ромашка ООО</Наименование>
   <ОфициальноеНаименование>ООО "Ромашка"</ОфициальноеНаименование><ИНН>7707083893</ИНН><КПП>773601001</КПП>
   <Роль>Покупатель</Роль></Контрагент></Контрагенты><Время>11:58:03</Время>
  <Товары><Товар><Ид>f06588ab-7924-11df-b33a-0011955cba6b</Ид><Наименование>Чайник</Наименование>
   <БазоваяЕдиница Код="796">шт</БазоваяЕдиница><ЦенаЗаЕдиницу>{total}</ЦенаЗаЕдиницу><Количество>1</Количество>
   <Сумма>{total}</Сумма></Товар></Товары>
  <ЗначенияРеквизитов>{said}</ЗначенияРеквизитов></Документ>"""
