import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from bus import backup, dumps, restore
from bus.dumps import DumpError
from bus.errors import BadInput
from bus.ledger import schema
from bus.ledger.database import Ledger
from bus.ledger.restored import HELD
from tests.bus.cli.house import Bus


@pytest.fixture
def url(bus: Bus) -> str:
    return bus.env["BUS_DATABASE_URL"]


@pytest.fixture(scope="module")
def made(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a ledger with one order."""
    entered(module_url, 1)
    return backup.back_up(module_url, tmp_path_factory.mktemp("made")).file


@pytest.fixture
def dump(url: str, made: Path, tmp_path: Path) -> Path:
    """That backup, beside a ledger in which two orders stand by now."""
    for path in (made, backup.beside_of(made)):
        shutil.copy(path, tmp_path)
    entered(url, 1, 2)
    return tmp_path / made.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where backups go, and nothing else is."""
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups"


def entered(url: str, *numbers: int) -> None:
    with psycopg.connect(url) as connection:
        for number in numbers:
            connection.execute(
                """INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, state)
                   VALUES ('bank', %(n)s, 'order.changed', 'order/' || %(n)s, 'orders', 'order', now(), 'done')""",
                {"n": str(number)},
            )


def subjects(url: str) -> list[str]:
    return [row[0] for row in asked(url, "SELECT subject FROM event ORDER BY seq")]


def asked(url: str, query: str) -> list:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def held(url: str) -> bool:
    return asked(url, f"SELECT {HELD}")[0][0]


def test_a_backup_is_one_private_file_with_a_note_of_what_it_is(bus: Bus, tmp_path: Path) -> None:
    said = bus("backup", tmp_path / "mine.dump")
    assert said.exit_code == 0, said.output
    assert re.search(r"mine\.dump: \d+\.\d MB in \d+ s, version \w+, as of \d{4}-", said.stdout)
    for name in ("mine.dump", "mine.dump.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*.part")] == []
    manifest = backup.manifest_of(tmp_path / "mine.dump")
    assert manifest is not None
    assert manifest.bytes == (tmp_path / "mine.dump").stat().st_size


def test_of_backups_in_a_folder_the_last_ones_are_kept_and_nothing_else_is_touched(bus: Bus, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    old = [folder / f"ledger-0003-2026010{day}T000000Z.dump" for day in (1, 2, 3)]
    for path in (*old, folder / "ledger-by-hand.dump", backup.beside_of(old[0])):
        path.write_text("", encoding="utf-8")
    assert bus("backup", folder, "--keep", 2).exit_code == 0
    left = sorted(path.name for path in folder.iterdir())
    assert (len(left), "ledger-by-hand.dump" in left, old[2].name in left) == (4, True, True)
    assert old[1].name not in left


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["no/such/folder/x.dump"], 1, "No such file or directory"),
        (["{there}"], 1, "is there already; choose another name"),
        (["{there}", "--keep", "2"], 1, "--keep goes with a folder"),
        (["x.dump", "--keep", "0"], 2, "greater than or equal to 1"),
    ],
)
def test_a_backup_that_cannot_be_made_says_why_and_leaves_nothing(
    bus: Bus, tmp_path: Path, arguments: list[str], code: int, text: str
) -> None:
    there = tmp_path / "there.dump"
    there.write_text("mine", encoding="utf-8")
    before = set(tmp_path.iterdir())
    said = bus("backup", *[word.format(there=there) for word in arguments])
    assert (said.exit_code, text in said.output) == (code, True), said.output
    assert set(tmp_path.iterdir()) == before
    assert there.read_text(encoding="utf-8") == "mine"


def test_a_backup_whose_note_finds_no_place_leaves_nothing(bus: Bus, folder: Path) -> None:
    (folder / "mine.dump.json").mkdir()
    said = bus("backup", folder / "mine.dump")
    assert (said.exit_code, "mine.dump.json" in said.output) == (1, True)
    assert [path.name for path in folder.iterdir()] == ["mine.dump.json"]


_MAKE = "import sys; from pathlib import Path; from bus import backup; backup.back_up(sys.argv[1], Path(sys.argv[2]))"


@contextmanager
def stuck(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A backup that waits for a table in the middle of its work."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'switch'::regclass"
    with psycopg.connect(url, autocommit=True) as look, psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE switch IN ACCESS EXCLUSIVE MODE")
        with subprocess.Popen([sys.executable, "-c", _MAKE, url, str(folder)], start_new_session=True) as process:
            try:
                deadline = monotonic() + 20
                while look.execute(waiting).fetchone() is None:
                    assert monotonic() < deadline, "it does not come so far"
                yield process
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def test_what_a_killed_backup_left_goes_with_the_next_one_and_its_line_is_closed(
    bus: Bus, url: str, folder: Path
) -> None:
    with stuck(url, folder):
        pass
    [left] = folder.iterdir()
    assert left.suffix == ".part"
    assert "not finished" in bus("status").stdout
    said = bus("backup", folder, "--keep", 1)
    assert (said.exit_code, f"removed {left}" in said.stdout.replace("\n", "")) == (0, True), said.output
    assert sorted(path.suffix for path in folder.iterdir()) == [".dump", ".json"]
    ended = asked(url, "SELECT what, finished_at IS NULL, report ->> 'error' FROM run ORDER BY id")
    assert ended == [("backup", False, "broken off: it was killed, or lost the ledger"), ("backup", False, None)]
    assert not held(url)


def test_a_backup_that_is_at_work_is_left_alone_by_another(bus: Bus, url: str, folder: Path) -> None:
    with stuck(url, folder):
        said = bus("backup", folder, "--keep", 1, "--within", 0)
        assert said.exit_code == 2, "no time at all is a slip of the pen"
        with pytest.raises(DumpError, match="not done in the time it was given"):
            backup.back_up(url, folder, keep=1, within_s=0.5)
        [theirs] = folder.iterdir()
        assert theirs.suffix == ".part"
        mine = asked(url, "SELECT what, finished_at IS NULL FROM run ORDER BY id")
        assert mine == [("restore", True), ("backup", False)]


def test_the_last_backup_shows_with_what_became_of_it(bus: Bus, url: str, tmp_path: Path) -> None:
    assert "last backup: never" in bus("status").stdout
    with pytest.raises(DumpError):
        backup.back_up(url, tmp_path / "none.dump", within_s=0)
    shown = bus("status").stdout
    assert "UTC, failed: pg_dump: not done in the time it was given" in shown
    backup.back_up(url, tmp_path / "good.dump")
    assert "UTC, good.dump" in bus("status").stdout
    assert json.loads(bus("status", "--json").stdout)["last_backup"]["report"]["file"] == "good.dump"


def test_no_password_is_in_an_argument_an_answer_or_a_log(
    bus: Bus, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, wrappers = tmp_path / "seen", tmp_path / "bin"
    wrappers.mkdir()
    real = dumps.find(18).folder
    for name in ("pg_dump", "pg_restore"):
        wrapper = wrappers / name
        noted = f'echo "$0 $*" >> {seen}; [ -n "$PGPASSWORD" ] && echo known >> {seen}'
        text = f'#!/bin/sh\n{noted}\nexec {real / name} "$@"\n'
        wrapper.write_text(text, encoding="utf-8")
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrappers}:{os.environ['PATH']}")
    password = psycopg.conninfo.conninfo_to_dict(url)["password"]
    made = bus("backup", tmp_path / "x.dump")
    back = bus("restore", tmp_path / "x.dump", "--replace")
    broken = bus("backup", "/dev/full/x")
    recorded = seen.read_text(encoding="utf-8")
    assert (made.exit_code, back.exit_code, broken.exit_code) == (0, 0, 1), back.output
    assert {"pg_dump", "pg_restore"} <= {Path(line.split()[0]).name for line in recorded.splitlines()}
    assert "known" in recorded, "it was told by the environment"
    for text in (recorded, made.output, back.output, broken.output):
        assert password not in text


def test_the_programs_of_the_servers_version_are_taken_and_a_want_of_them_is_told() -> None:
    assert dumps.find(18).major == 18
    with pytest.raises(DumpError, match=r"of PostgreSQL 99 or newer are wanted.*install postgresql-client-99"):
        dumps.find(99)


def test_a_restored_ledger_is_as_the_backup_and_holds_all_writes_until_it_is_healed(
    bus: Bus, url: str, dump: Path
) -> None:
    assert not held(url), "a ledger that was copied is no copy"
    said = bus("restore", dump, "--replace", "--actor", "olga")
    assert said.exit_code == 0, said.output
    assert "until `bus reconcile` has read every system" in said.stdout
    assert (subjects(url), held(url)) == (["order/1"], True)
    assert asked(url, "SELECT actor, action FROM operator_action") == [("olga", "restore")]
    assert "restored to 20" in bus("status").stdout
    assert bus("reconcile").exit_code == 0
    assert not held(url)
    assert "restored to" not in bus("status").stdout


def test_an_empty_ledger_and_one_without_tables_are_restored_into_without_more_ado(
    bus: Bus, url: str, dump: Path
) -> None:
    empty(url)
    assert bus("restore", dump).exit_code == 0
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE event, entity CASCADE")
    assert bus("restore", dump).exit_code == 0
    assert subjects(url) == ["order/1"]


def cut(dump: Path) -> None:
    os.truncate(dump, dump.stat().st_size // 2)


def cut_without_its_note(dump: Path) -> None:
    cut(dump)
    backup.beside_of(dump).unlink()


def damaged(dump: Path) -> None:
    with dump.open("r+b") as file:
        file.seek(dump.stat().st_size // 2)
        file.write(b"damage")


def another_file(dump: Path) -> None:
    dump.write_text("id;name\n1;one\n", encoding="utf-8")
    backup.beside_of(dump).unlink()


def gone(dump: Path) -> None:
    dump.unlink()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (gone, "no such file"),
        (cut, "it is cut"),
        (cut_without_its_note, "pg_restore: "),
        (damaged, "it is damaged"),
        (another_file, "input file does not appear to be a valid"),
    ],
)
def test_a_file_that_is_no_whole_backup_is_refused_and_nothing_changes(
    url: str, dump: Path, spoil: object, text: str
) -> None:
    spoil(dump)
    with pytest.raises((BadInput, DumpError), match=re.escape(text)):
        restore.restore(url, dump, replace=True, actor="olga")
    assert (subjects(url), held(url)) == (["order/1", "order/2"], False)


def test_a_dump_of_something_else_is_refused(url: str, tmp_path: Path) -> None:
    entered(url, 1, 2)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE other AS SELECT 1 AS one")
    programs = dumps.find(18)
    environment = {**os.environ, **dumps._connecting(url)}
    other = tmp_path / "other.dump"
    subprocess.run([programs.folder / "pg_dump", "-Fc", "-t", "other", "-f", other], env=environment, check=True)
    with pytest.raises(BadInput, match="is no backup of a ledger"):
        restore.restore(url, other, replace=True, actor="olga")
    assert subjects(url) == ["order/1", "order/2"]


def test_a_backup_of_a_newer_bus_is_refused(url: str, tmp_path: Path) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = backup.back_up(url, tmp_path).file
    with pytest.raises(BadInput, match=r"of a newer bus.*9999"):
        restore.restore(url, newer, replace=True, actor="olga")
    assert asked(url, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_a_ledger_that_holds_something_is_not_replaced_unasked(bus: Bus, url: str, dump: Path) -> None:
    said = bus("restore", dump)
    assert (said.exit_code, "--replace throws away" in said.output) == (1, True), said.output
    assert subjects(url) == ["order/1", "order/2"]


def test_nothing_is_restored_while_somebody_works(bus: Bus, url: str, dump: Path) -> None:
    ledger = Ledger(url)
    with ledger.transaction() as connection:
        connection.execute("SELECT 1")
    with pytest.raises(BadInput, match=r"processes of the bus are connected to the ledger: 127\.0\.0\.1 since"):
        restore.restore(url, dump, replace=True, actor="olga")
    ledger.close()
    with bus.process("worker", "orders") as worker:
        worker.until(lambda: worker.hears("ready"))
        asked(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'integration-bus'")
        said = bus("restore", dump, "--replace")
        worker.stop()
    assert (said.exit_code, "workers are running: orders@" in said.output) == (1, True), said.output
    assert subjects(url) == ["order/1", "order/2"]


def test_a_dump_by_other_hands_and_a_restore_by_other_means_are_known_for_what_they_are(
    bus: Bus, url: str, tmp_path: Path
) -> None:
    entered(url, 1, 2)
    environment = {**os.environ, **dumps._connecting(url)}
    by_hand = tmp_path / "by_hand.dump"
    subprocess.run([dumps.find(18).folder / "pg_dump", "-Fc", "-f", by_hand], env=environment, check=True)
    restore.restore(url, by_hand, replace=True, actor="olga")
    assert held(url)
    assert bus("reconcile").exit_code == 0
    assert not held(url)
    said = bus("restore", "--by-other-means", "2026-11-22T10:00:00")
    assert (said.exit_code, "as of 2026-11-22 10:00:00 UTC" in said.stdout) == (0, True), said.output
    assert held(url)
    assert bus("restore", "--by-other-means", "2999-01-01T00:00:00").exit_code == 1
    assert bus("restore").exit_code == 2
    assert subjects(url) == ["order/1", "order/2"]


def test_a_backup_of_bus_that_somebody_loads_by_hand_holds_all_writes_too(url: str, dump: Path) -> None:
    environment = {**os.environ, **dumps._connecting(url)}
    command = [dumps.find(18).folder / "pg_restore", "--clean", "--if-exists", "--no-owner", "-d", "", dump]
    command[-2] = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    subprocess.run(command, env=environment, check=True)
    assert (subjects(url), held(url)) == (["order/1"], True)


def test_an_older_ledger_is_brought_to_this_version(url: str, tmp_path: Path) -> None:
    empty(url)
    schema.migrate(url, "0003")
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO entity (id, kind) VALUES (gen_random_uuid(), 'order')")
    older = backup.back_up(url, tmp_path / "older.dump").file
    empty(url)
    schema.migrate(url)
    assert restore.restore(url, older, replace=True, actor="olga").revision == "0003"
    assert asked(url, "SELECT version_num, (SELECT count(*) FROM entity) FROM alembic_version") == [(schema.head(), 1)]


def empty(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
