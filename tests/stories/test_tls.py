"""The stores over TLS: what the addresses ask for is what is done, a stranger's certificate is told in plain words."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bus import embedded
from bus.app import create_app
from tests.bus.cli.house import CONFIG
from tests.bus.cli.house import Bus as Command
from tests.stories.test_queue import QUICK, Bus
from tests.stories.world import build, eventually
from tests.tls import Authority, encrypted


class Stores:
    """The addresses of both stores, TLS and the CA that is to be trusted in them."""

    def __init__(self, database_url: str, broker_url: str, postgres: int, valkey: int) -> None:
        self._database, self._broker, self._ports = database_url, broker_url, (postgres, valkey)

    def database(self, ca: Path | str) -> str:
        head, _, name = self._database.rpartition("/")
        return f"{head.rpartition(':')[0]}:{self._ports[0]}/{name}?sslmode=verify-full&sslrootcert={ca}"

    def broker(self, ca: Path | str, scheme: str = "rediss") -> str:
        login = self._broker.partition("://")[2].rpartition("@")[0]
        return f"{scheme}://{login}@127.0.0.1:{self._ports[1]}/0?ssl_cert_reqs=required&ssl_ca_certs={ca}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def stores(
    postgres_server: embedded.Server,
    valkey_server: embedded.Server,
    database_url: str,
    broker_url: str,
    authority: Authority,
) -> Iterator[Stores]:
    with (
        encrypted(authority.server(), postgres_server.port, postgres=True) as postgres,
        encrypted(authority.server(), valkey_server.port) as valkey,
    ):
        yield Stores(database_url, broker_url, postgres, valkey)


def test_an_order_flows_through_workers_whose_stores_speak_tls_only(
    stores: Stores, authority: Authority, tmp_path: Path
) -> None:
    database, broker = stores.database(authority.file), stores.broker(authority.file)
    with build(database, broker, limits=QUICK, ring=True) as world:
        bus = Bus(world, tmp_path)
        try:
            bus.start("worker", "all")
            bus.start("beat")
            order = world.order()
            eventually(lambda: world.deals_of(order))
            assert world.rows("SELECT 1 FROM event WHERE state = 'done'")
            assert eventually(lambda: world.wiring.celery.control.ping(timeout=0.5))
        finally:
            bus.stop()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    (tmp_path / "bus.yaml").write_text(CONFIG, encoding="utf-8")
    return Command(tmp_path, {"BUS_CONFIG": str(tmp_path / "bus.yaml")})


def told(command: Command, database: str, broker: str) -> dict[str, str]:
    command.env.update(BUS_DATABASE_URL=database, BUS_BROKER_URL=broker)
    rows = [row.split("│") for row in command("check").stdout.splitlines() if "│" in row]
    found: dict[str, str] = {}
    what = ""
    for row in rows:  # a long finding goes on in lines without a name
        what = row[1].strip() or what
        found[what] = f"{found.get(what, '')} {row[3].strip()}".strip()
    return found


def test_the_tables_are_made_and_checked_over_tls(command: Command, stores: Stores, authority: Authority) -> None:
    found = told(command, stores.database(authority.file), stores.broker(authority.file))
    assert found["ledger"].startswith("reachable")
    assert found["broker"] == "reachable"
    assert command("migrate").exit_code == 0


def test_a_stranger_in_a_stores_place_is_refused_and_told_in_plain_words(
    command: Command, stores: Stores, tmp_path: Path
) -> None:
    wrong = Authority(tmp_path, "wrong").file
    found = told(command, stores.database(wrong), stores.broker(wrong))
    assert "its certificate cannot be trusted" in found["ledger"]
    assert "sslrootcert" in found["ledger"]
    assert "its certificate cannot be trusted" in found["broker"]
    assert "ssl_ca_certs" in found["broker"]


def test_a_certificate_for_another_host_is_refused(
    command: Command,
    postgres_server: embedded.Server,
    valkey_server: embedded.Server,
    database_url: str,
    broker_url: str,
    authority: Authority,
) -> None:
    elsewhere = authority.server("db.example.com")
    with (
        encrypted(elsewhere, postgres_server.port, postgres=True) as postgres,
        encrypted(elsewhere, valkey_server.port) as valkey,
    ):
        stores = Stores(database_url, broker_url, postgres, valkey)
        found = told(command, stores.database(authority.file), stores.broker(authority.file))
    assert "its certificate cannot be trusted" in found["ledger"]
    assert "its certificate cannot be trusted" in found["broker"]


def test_tls_without_a_look_at_the_certificate_is_found_by_the_check(
    command: Command, stores: Stores, authority: Authority
) -> None:
    database = stores.database(authority.file).replace("verify-full", "require")
    broker = stores.broker(authority.file).replace("=required", "=none")
    found = told(command, database, broker)
    assert "sslmode=verify-full" in found["ledger TLS"]
    assert "ssl_cert_reqs=required" in found["broker TLS"]


def test_a_stranger_gets_neither_password_nor_message_where_tls_was_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        app = create_app(f"rediss://:planted@127.0.0.1:{listener.getsockname()[1]}/0", ["crm"])
        heard: list[bytes] = []
        thread = threading.Thread(target=lambda: heard.append(_first(listener)))
        thread.start()
        with pytest.raises(Exception, match=r"(?i)ssl|connect|eof|closed|reset"):
            app.connection_for_write().ensure_connection(max_retries=1, timeout=3)
        thread.join()
        app.close()
    assert heard[0][:1] == b"\x16", "a TLS greeting"
    assert b"planted" not in heard[0]


def _first(listener: socket.socket) -> bytes:
    """What the first caller says first; whoever calls again finds nobody."""
    client, _ = listener.accept()
    listener.close()
    with client:
        client.settimeout(5)
        return client.recv(1000)


def test_a_bus_over_tls_says_nothing_of_its_stores_passwords(stores: Stores, authority: Authority) -> None:
    app: Any = create_app(stores.broker(authority.file), ["crm"])
    password = stores._broker.partition("://:")[2].rpartition("@")[0]
    assert password not in yaml.safe_dump(str(app.conf.table(censored=True)))
    assert password not in repr(app.connection_for_write())
    app.close()
