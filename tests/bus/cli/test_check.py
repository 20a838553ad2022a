import psycopg
import pytest
import redis

from bus.sandbox.bitrix24 import Portal
from bus.sandbox.server import create_app, rest_url, running

PORTAL = """
systems:
  onec: {{kind: events}}
  crm: {{kind: bitrix24, url: "{url}", application_token: t0ken, integration_user: "{user}"}}
"""


@pytest.fixture
def lasting_broker(bus):
    with redis.Redis.from_url(bus.env["BUS_BROKER_URL"]) as client:
        client.config_set("appendonly", "yes")
        yield client
        client.config_set("appendonly", "no")


@pytest.fixture
def portal():
    site = Portal(user=1, code="c0de")
    with running(create_app(site)) as base:
        yield rest_url(base, site)


def line(result, what):
    return next(row for row in result.stdout.splitlines() if f"│ {what} " in row)


@pytest.mark.usefixtures("lasting_broker")
def test_a_bus_with_everything_in_place_passes(bus, portal):
    bus.configure(PORTAL.format(url=portal, user=1))

    result = bus("check")

    assert "the portal answers" in line(result, "crm connection")
    assert "sends events, is not called" in line(result, "onec")
    assert "at version 0006" in line(result, "ledger")
    assert "c0de" not in result.output
    assert result.exit_code == 0, result.stdout


def test_what_is_not_in_place_is_told_with_what_to_do(bus, portal):
    bus.configure(PORTAL.format(url=portal, user=7))
    with bus.wiring.ledger.transaction() as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")

    result = bus("check")

    assert result.exit_code == 1
    assert "run `bus migrate`" in line(result, "ledger")
    assert "set it to 'yes'" in line(result, "broker appendonly")
    assert "integration_user says 7" in line(result, "crm user")


def test_a_ledger_of_a_newer_bus_is_told_as_one_and_not_migrated(bus):
    bus.configure(PORTAL.format(url="http://127.0.0.1:1/rest/1/c0de/", user=1))
    with bus.wiring.ledger.transaction() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    checked, migrated = bus("check"), bus("migrate")

    assert "at version 9999, of a newer bus" in line(checked, "ledger")
    assert (migrated.exit_code, "of a newer bus" in migrated.stderr) == (1, True)


def test_rights_that_are_missing_are_a_finding_and_the_rest_is_looked_at(bus):
    bus.configure(PORTAL.format(url="http://127.0.0.1:1/rest/1/c0de/", user=1))
    owner = bus.env["BUS_DATABASE_URL"]
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CREATE ROLE without_rights LOGIN PASSWORD 'none'")
        bus.env |= {"BUS_DATABASE_URL": f"postgresql://without_rights:none@{owner.rpartition('@')[2]}"}
        try:
            result = bus("check")
        finally:
            connection.execute("DROP ROLE without_rights")

    assert "permission denied" in line(result, "ledger")
    assert "reachable" in line(result, "broker")
    assert "│ no " in line(result, "crm connection")


def test_neighbours_that_are_away_do_not_stop_the_check(bus):
    bus.env |= {"BUS_BROKER_URL": "redis://:qwe5secret@127.0.0.1:1/0"}
    bus.configure(PORTAL.format(url="http://127.0.0.1:1/rest/1/c0de/", user=1))

    result = bus("check")

    assert result.exit_code == 1
    assert "the broker cannot be used" in line(result, "broker")
    assert "│ no " in line(result, "crm connection")
    assert "qwe5secret" not in result.output
    assert "c0de" not in result.output


def test_gaps_in_the_mappings_are_findings(bus):
    (bus.folder / "mine").mkdir()
    (bus.folder / "mine" / "tables.yaml").write_text("bitrix24: {codes: {deal_stage: {WON: ~}}}")
    bus.configure(f"mappings: {bus.folder / 'mine'}\n" + PORTAL.format(url="http://127.0.0.1:1/rest/1/c0de/", user=1))

    checked, mapped = bus("check"), bus("mappings", "check")

    assert "no code means 'completed'" in line(checked, "mappings")
    assert mapped.exit_code == 1
    assert mapped.stdout.startswith("crm: deal_stage: no code means 'completed'")


def test_another_configuration_file_may_be_tried(bus):
    other = bus.folder / "other.yaml"
    other.write_text("systems: {paper: {kind: events}}")

    assert f"{other}: paper (events)" in line(bus("check", "--config", other), "configuration")


def test_a_wrong_configuration_is_the_one_finding(bus):
    bus.configure("systems: [")

    result = bus("check")

    assert result.exit_code == 1
    assert "not YAML" in line(result, "configuration")


def test_mappings_are_complete_as_shipped(bus, portal):
    bus.configure(PORTAL.format(url=portal, user=1))

    checked, live = bus("mappings", "check"), bus("mappings", "check", "--live")

    assert (checked.exit_code, checked.stdout) == (0, "every code and every field is provided for\n")
    assert "deal_stage" not in live.stdout  # a new portal may lack our own fields, its stages are the known ones


def test_a_stage_that_only_the_portal_has_is_found_live(bus, portal):
    (bus.folder / "mine").mkdir()
    (bus.folder / "mine" / "tables.yaml").write_text("bitrix24: {codes: {deal_stage: {UC_GONE: new, APOLOGY: ~}}}")
    bus.configure(f"mappings: {bus.folder / 'mine'}\n" + PORTAL.format(url=portal, user=1))

    result = bus("mappings", "check", "--live")

    assert result.exit_code == 1
    assert "'UC_GONE' (new) is not in the portal" in result.stdout
    assert "'APOLOGY'" in result.stdout


def test_a_system_that_cannot_be_asked_is_told(bus):
    bus.configure(PORTAL.format(url="http://127.0.0.1:1/rest/1/c0de/", user=1))

    result = bus("mappings", "check", "--live")

    assert result.exit_code == 1
    assert result.stdout.startswith("crm: could not be asked: ")
