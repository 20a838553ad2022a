"""`bus exchange`: what 1C sent, for an operator to see and to read once more."""

from pathlib import Path
from typing import Any

import pytest

from bus.ledger import exchange
from bus.ledger.exchange import Place
from tests.bus.cli.house import Bus
from tests.bus.exchanging import file_of, returned

CONFIG = """
systems:
  onec: {kind: commerceml, user: onec, password: secret, routes: {order: {in: full, out: full}}}
"""


@pytest.fixture
def sent(bus: Bus, wiring: Any) -> int:
    """A file that was imported."""
    bus.configure(CONFIG)
    with wiring.ledger.transaction() as connection:
        place = Place("onec", "folder", "sale", "orders-1.xml")
        file = exchange.append(connection, place, "ut", None, file_of(returned("1001")))
        exchange.await_import(connection, file.id)
    made = bus.wiring
    made.importing.run()
    made.close()
    return file.id


def test_a_file_is_listed_and_shown_with_what_it_came_to(bus: Bus, sent: int) -> None:
    listed = bus("exchange", "list")
    assert listed.exit_code == 0
    assert "orders-1.xml" in listed.output
    assert "done" in listed.output
    shown = bus("exchange", "show", sent)
    assert shown.exit_code == 0
    assert "ut" in shown.output
    assert "Ромашка" not in shown.output
    assert "none" in bus("exchange", "list", "--state", "failed").output


def test_a_file_is_read_once_more_and_it_says_who_asked_for_that(bus: Bus, sent: int, wiring: Any) -> None:
    assert bus("exchange", "replay", sent, "--actor", "anna").output.startswith("1 to be read once more")
    with wiring.ledger.transaction() as connection:
        found = exchange.get(connection, sent)
        acted = connection.execute("SELECT actor, action, target FROM operator_action").fetchall()
    assert found is not None
    assert found.state == "waiting"
    assert acted == [{"actor": "anna", "action": "replay", "target": f"exchange file {sent}"}]
    again = bus("exchange", "replay", sent, 77)
    assert again.exit_code == 1
    assert f"not: {sent}, 77" in again.output


def test_a_file_is_saved_as_it_came_and_over_nothing(bus: Bus, sent: int, tmp_path: Path) -> None:
    path = tmp_path / "orders.xml"
    assert bus("exchange", "save", sent, path).exit_code == 0
    assert path.read_bytes() == file_of(returned("1001"))
    assert bus("exchange", "save", sent, path).exit_code == 1


def test_a_file_that_is_none_is_told_so(bus: Bus) -> None:
    bus.configure(CONFIG)
    answer = bus("exchange", "show", 7)
    assert answer.exit_code == 1
    assert "there is no file 7" in answer.output
