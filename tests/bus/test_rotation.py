"""Secrets that change while a process runs: taken over whole, or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bus.config import Config, Settings, load
from bus.errors import ConfigError, Transient
from bus.rotation import Rotation, differences, followed

YAML = """
systems:
  crm: {kind: bitrix24, url: "${CRM_URL}", application_token: ["${TOKEN}", "${TOKEN_NEXT:-}"]}
  books: {kind: onec, url: https://1c.example/base, user: bus, password: "${PASSWORD}"}
  bank: {kind: events, keys: ["${KEY}"]}
"""
FIRST = {"CRM_URL": "https://crm.example/rest/1/old/", "TOKEN": "old-token", "PASSWORD": "old-pass", "KEY": "old-key"}


class Place:
    """A configuration and a folder of secrets, as an operator changes them."""

    def __init__(self, folder: Path) -> None:
        self.file, self.folder = folder / "bus.yaml", folder / "secrets"
        self.folder.mkdir()
        self.file.write_text(YAML, encoding="utf-8")
        for name, text in FIRST.items():
            self.write(name, text)
        self.took: list[Config] = []
        self.rotation = Rotation(self.read(), self.file, self.folder, self.read)
        self.rotation.follow(self._follower)

    def read(self) -> Config:
        return load(self.file, {"BUS_SECRETS": str(self.folder)})

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"{text}\n", encoding="utf-8")

    def _follower(self, config: Config) -> Callable[[], None]:
        if "refuse" in str(config.systems["bank"].keys[0].get_secret_value()):
            raise ConfigError("systems.bank.keys.0: not a key")
        return lambda: self.took.append(config)

    def look(self) -> list[dict[str, Any]]:
        """Twice: what was just written is left alone once. What the log says."""
        with capture_logs() as logs:
            self.rotation.look()
            self.rotation.look()
        return logs

    def now(self, system: str, name: str) -> Any:
        value = getattr(self.rotation.config.systems[system], name)
        return [one.get_secret_value() for one in value] if isinstance(value, list) else value.get_secret_value()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "system", "key", "now"),
    [
        ("TOKEN", "new-token", "crm", "application_token", ["new-token", ""]),
        ("TOKEN_NEXT", "second", "crm", "application_token", ["old-token", "second"]),
        ("CRM_URL", "https://crm.example/rest/1/new/", "crm", "url", "https://crm.example/rest/1/new/"),
        ("PASSWORD", "new-pass", "books", "password", "new-pass"),
        ("KEY", "new-key", "bank", "keys", ["new-key"]),
    ],
)
def test_a_new_secret_is_taken_without_a_restart(
    place: Place, name: str, text: str, system: str, key: str, now: Any
) -> None:
    place.write(name, text)
    assert place.look() == [{"event": "rotation.taken", "systems": [system], "log_level": "info"}]
    assert place.now(system, key) == now
    assert [taken.systems[system] for taken in place.took] == [place.rotation.config.systems[system]]


def test_what_is_still_being_written_is_left_alone_until_it_rests(place: Place) -> None:
    for half in ("new", "new-to", "new-token"):
        place.write("TOKEN", half)
        place.rotation.look()
        assert place.took == []
    place.rotation.look()
    assert place.now("crm", "application_token")[0] == "new-token"


def test_a_secret_that_is_exchanged_as_containers_do_it_is_seen(place: Place) -> None:
    (place.folder / "..data").mkdir()
    (place.folder / "..data/TOKEN").write_text("new-token")
    (place.folder / "TOKEN").unlink()
    (place.folder / "TOKEN").symlink_to("..data/TOKEN")
    place.look()
    (place.folder / "..2").mkdir()
    (place.folder / "..2/TOKEN").write_text("newest-to")
    (place.folder / "..data").rename(place.folder / "..1")
    (place.folder / "..data").symlink_to("..2")
    place.look()
    assert place.now("crm", "application_token")[0] == "newest-to"


def test_a_key_beside_the_old_one_needs_a_line_in_the_file_and_no_restart(place: Place) -> None:
    place.write("KEY_NEXT", "new-key")
    place.file.write_text(YAML.replace('"${KEY}"', '"${KEY}", "${KEY_NEXT}"'), encoding="utf-8")
    place.look()
    assert place.now("bank", "keys") == ["old-key", "new-key"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda place: place.file.write_text("systems: [", encoding="utf-8"), "not YAML"),
        (lambda place: place.file.unlink(), "no such file"),
        (lambda place: (place.folder / "KEY").unlink(), "has no KEY"),
        (lambda place: (place.folder / "KEY").write_bytes(b"\xff\xfe"), "not text in UTF-8"),
        (lambda place: (place.folder / "KEY").write_bytes(b"x" * 70_000), "too large for a secret"),
        (lambda place: place.write("KEY", "refused"), "not a key"),
    ],
)
def test_what_is_broken_changes_nothing_and_is_told_once(
    place: Place, spoil: Callable[[Place], None], says: str
) -> None:
    before = place.rotation.config
    place.write("TOKEN", "new-token")
    spoil(place)
    (told,) = place.look()
    assert (told["event"], told["log_level"]) == ("rotation.refused", "error")
    assert says in told["reason"]
    assert place.look() == []
    assert (place.rotation.config, place.took) == (before, [])


def test_once_it_is_mended_it_is_taken(place: Place) -> None:
    place.file.write_text("systems: [", encoding="utf-8")
    place.look()
    place.file.write_text(YAML, encoding="utf-8")
    place.write("TOKEN", "new-token")
    place.look()
    assert place.now("crm", "application_token")[0] == "new-token"


def test_what_could_not_be_followed_for_want_of_the_ledger_is_followed_once_it_is_back(place: Place) -> None:
    away = [Transient("the ledger cannot be reached")]

    def follower(_: Config) -> Callable[[], None]:
        if away:
            raise away.pop()
        return lambda: None

    place.rotation.follow(follower)
    place.write("TOKEN", "new-token")
    with pytest.raises(Transient):
        place.look()
    place.look()
    assert place.now("crm", "application_token")[0] == "new-token"


def test_all_else_is_said_to_need_a_restart_and_the_secrets_are_taken_all_the_same(place: Place) -> None:
    changed = YAML.replace("kind: onec,", "kind: onec, timeout_s: 7,").replace("https://1c.example", "https://other")
    place.file.write_text(changed + "  more: {kind: events}\nlimits: {lease_s: 7}\n", encoding="utf-8")
    place.write("CRM_URL", "https://other.example/rest/1/new/")
    place.write("TOKEN", "new-token")
    logs = {line["event"]: line for line in place.look()}
    assert logs["rotation.taken"]["systems"] == ["crm"]
    assert logs["rotation.restart_needed"]["keys"] == [
        "limits.lease_s",
        "systems.books.timeout_s",
        "systems.books.url",
        "systems.crm.url",
        "systems.more",
    ]
    assert place.now("crm", "application_token")[0] == "new-token"
    assert place.now("crm", "url") == FIRST["CRM_URL"], "another host has other records, and another budget"
    assert "other.example" not in str(logs)


def test_a_system_that_became_another_kind_is_left_as_it_is(place: Place) -> None:
    new = load_text(YAML.replace("kind: events", "kind: bank"), FIRST | {"KEY": "new"})
    assert followed(place.rotation.config, new) == place.rotation.config
    assert differences(place.rotation.config, new) == {"systems.bank.kind", "systems.bank.keys"}


def load_text(text: str, environment: dict[str, str]) -> Config:
    import yaml

    from bus.config import from_document

    return from_document(yaml.safe_load(text), environment)


def test_looking_reads_no_file_while_nothing_changes(place: Place) -> None:
    reads = []
    rotation = Rotation(place.read(), place.file, place.folder, lambda: reads.append(1) or place.read())
    for _ in range(10):
        rotation.look()
    assert reads == []


def test_it_ends_with_its_process(place: Place) -> None:
    place.rotation.start()
    place.rotation.close()


def test_a_secret_in_two_places_is_refused_since_nobody_knows_which_is_in_force(place: Place) -> None:
    with pytest.raises(ConfigError, match="TOKEN is in the environment and in BUS_SECRETS"):
        load(place.file, {"BUS_SECRETS": str(place.folder), "TOKEN": "another"})


def test_the_stores_addresses_may_stand_in_files_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("BUS_DATABASE_URL", "postgresql://bus:in-a-file@host/bus")
    monkeypatch.setenv("BUS_SECRETS", str(place.folder))
    monkeypatch.delenv("BUS_DATABASE_URL", raising=False)
    assert Settings().database() == "postgresql://bus:in-a-file@host/bus"
    assert Settings().environment()["BUS_SECRETS"] == str(place.folder)
    monkeypatch.setenv("BUS_DATABASE_URL", "postgresql://bus:in-the-environment@host/bus")
    with pytest.raises(ValueError, match="BUS_DATABASE_URL is in the environment and in BUS_SECRETS") as wrong:
        Settings()
    assert "in-a-file" not in str(wrong.value)
    assert "in-the-environment" not in str(wrong.value)


def test_a_folder_that_is_not_there_is_told_by_what_is_missing(place: Place) -> None:
    with pytest.raises(ConfigError, match="the environment has no CRM_URL"):
        load(place.file, {"BUS_SECRETS": os.devnull})
