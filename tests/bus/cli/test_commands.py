import json

import pytest
import typer

from bus import cli
from tests.bus.cli.house import Bus


def commands(group=None, words=()):
    group = group or typer.main.get_command(cli.app)
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


ALL = list(commands())


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_explains_itself(words):
    result = Bus(None, {}, wire=None)(*words, "--help")

    assert result.exit_code == 0
    assert "Usage: bus" in result.stdout.replace("root", "bus")


def test_the_commands_that_the_readme_names_are_there():
    assert {" ".join(words) for words in ALL} >= {
        "version", "migrate", "check", "schema", "publish", "worker", "beat", "flower", "intake", "status",
        "dead-letters list", "dead-letters show", "dead-letters retry", "dead-letters discard",
        "conflicts list", "conflicts show", "conflicts decide", "switch list", "switch set",
        "reconcile", "runs", "history", "mappings check", "sandbox", "up", "demo",
    }  # fmt: skip


def test_the_version_names_the_contract(bus):
    assert "contract 1." in bus("version").stdout


def test_the_contract_is_json(bus):
    assert "order.changed" in json.loads(bus("schema").stdout)
    assert json.loads(bus("schema", "--asyncapi").stdout)["asyncapi"] == "3.0.0"
    assert json.loads(bus("schema", "--event", "payment.changed").stdout)["properties"]["type"]["const"]
    assert "there are: order.changed" in bus("schema", "--event", "orders").stderr
    assert bus("schema", "--event", "orders").exit_code == 1
    assert bus("schema", "--event", "order.changed", "--asyncapi").exit_code == 2


def test_a_configuration_with_a_typo_is_told_by_its_key(bus):
    bus.configure("systems: {crm: {kind: bitrix24, urll: https://crm.example/rest/1/s3cret/}}")

    result = bus("status")

    assert result.exit_code == 1
    assert "systems.crm.urll: Extra inputs are not permitted" in result.stderr
    assert "Traceback" not in result.stderr
    assert "s3cret" not in result.output


def test_a_configuration_file_that_is_not_there_is_told_by_its_name(bus):
    bus.env["BUS_CONFIG"] = "/nowhere/bus.yaml"

    assert bus("status").stderr == "/nowhere/bus.yaml: no such file; start from deploy/bus.example.yaml\n"


def test_a_wrong_variable_is_told_without_its_value(bus):
    bus.env["BUS_LOG_LEVEL"] = "l0ud"

    result = bus("status")

    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("BUS_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'")
    assert "l0ud" not in result.output
    assert bus("up").stderr == bus("demo").stderr == result.stderr


def test_without_a_ledger_the_variable_is_named(bus):
    bus.env["BUS_DATABASE_URL"] = ""

    result = bus("status")

    assert result.exit_code == 1
    assert result.stderr.startswith("BUS_DATABASE_URL is not set; it looks like ")


def test_an_empty_ledger_asks_to_be_migrated(bus):
    with bus.wiring.ledger.transaction() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    before, migrated, after = bus("status"), bus("migrate"), bus("status")

    assert (before.exit_code, before.stderr) == (1, "the ledger is older than this bus; run `bus migrate`\n")
    assert migrated.stdout.startswith("the ledger is at version ")
    assert after.exit_code == 0


def test_a_ledger_that_refuses_to_be_migrated_is_told_without_the_password(bus):
    bus.env["BUS_DATABASE_URL"] = "postgresql://bus:qwe5secret@127.0.0.1:1/bus"

    result = bus("migrate")

    assert result.exit_code == 1
    assert result.stderr.startswith("the ledger refused: ")
    assert "qwe5secret" not in result.output
