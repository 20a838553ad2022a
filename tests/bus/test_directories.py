from typing import Any

import pytest

from bus.directories import Directories
from bus.errors import BusError, Permanent, Transient


class System:
    """A system that is asked for its users."""

    def __init__(self) -> None:
        self.users, self.asked = {"1": "anna@example.ru"}, 0
        self.down: type[BusError] | None = None

    def __call__(self, system: str, table: str) -> dict[str, str]:
        self.asked += 1
        if self.down:
            raise self.down(f"{system} {table}: away")
        return dict(self.users)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def system() -> System:
    return System()


def test_a_system_is_asked_once_however_often_its_codes_are_needed(client: Any, system: System) -> None:
    one, other = (Directories(client, system) for _ in range(2))
    for _ in range(5):
        assert one.meaning("crm", "users", "1") == "anna@example.ru"
        assert other.codes("crm", "users", "anna@example.ru") == ["1"]
    assert system.asked == 1


def test_a_code_that_is_not_known_has_the_directory_read_anew_but_not_every_time(client: Any, system: System) -> None:
    clock = Clock()
    directories = Directories(client, system, clock=clock)
    assert directories.meaning("crm", "users", "2") is None
    system.users["2"] = "boris@example.ru"
    assert directories.meaning("crm", "users", "2") is None, "a moment after it was read"
    assert system.asked == 1
    client.delete("directory:crm:users:looked")  # a minute later
    assert directories.meaning("crm", "users", "2") == "boris@example.ru"
    assert system.asked == 2


def test_a_code_is_not_unknown_because_somebody_else_is_just_asking(client: Any, system: System) -> None:
    client.set("directory:crm:users:looked", "1")
    assert Directories(client, system).meaning("crm", "users", "1") == "anna@example.ru"


def test_what_another_process_has_refreshed_is_believed_after_a_minute(client: Any, system: System) -> None:
    clock = Clock()
    directories = Directories(client, system, clock=clock)
    directories.meaning("crm", "users", "1")
    system.users["1"] = "anna.new@example.ru"
    Directories(client, system).refresh("crm", "users")
    assert directories.meaning("crm", "users", "1") == "anna@example.ru"
    clock.now = 61.0
    assert directories.meaning("crm", "users", "1") == "anna.new@example.ru"


def test_a_system_that_does_not_answer_leaves_what_was_known(client: Any, system: System) -> None:
    clock = Clock()
    directories = Directories(client, system, clock=clock)
    directories.meaning("crm", "users", "1")
    system.down, clock.now = Transient, 61.0
    client.delete("directory:crm:users", "directory:crm:users:looked")
    assert directories.meaning("crm", "users", "1") == "anna@example.ru"
    assert directories.meaning("crm", "users", "9") is None


def test_what_is_known_is_told_without_asking_anybody(client: Any, system: System) -> None:
    directories = Directories(client, system)
    assert directories.called("crm", "users", "1") is None
    directories.refresh("crm", "users")
    assert Directories(client, system).called("crm", "users", "1") == "anna@example.ru"
    assert system.asked == 1


def test_a_system_that_refuses_its_directory_for_good_is_asked_once_a_minute(client: Any, system: System) -> None:
    clock = Clock()
    directories = Directories(client, system, clock=clock)
    system.down = Permanent
    assert [directories.meaning("crm", "users", str(code)) for code in range(5)] == [None] * 5
    assert system.asked == 1
    system.down, clock.now = None, 61.0
    assert directories.meaning("crm", "users", "1") == "anna@example.ru"
