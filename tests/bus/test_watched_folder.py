"""A statement that is put into a folder is taken once, whole, and put away; whatever happens half way."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from structlog.testing import capture_logs

from bus.errors import BadInput, Transient
from bus.folders import TAKEN, Folder, Kept
from bus.watched import LOCK, Watched
from tests.bus.ledger.middle import Middle, built, config, order, rub
from tests.bus.systems.statements import INN, OURS, document, raw


@dataclass
class Clock:
    at: datetime = datetime(2026, 10, 5, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def on(self, seconds: float = 3) -> datetime:
        self.at += timedelta(seconds=seconds)
        return self.at


@dataclass
class Reader:
    """Notes what it was given; fails as it is told."""

    fail: Exception | None = None
    given: list[bytes] = field(default_factory=list)

    def __call__(self, source: BinaryIO) -> list[str]:
        if self.fail:
            raise self.fail
        self.given.append(source.read())
        return ["all is well"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder("bank", tmp_path)


def put(folder: Path, name: str = "kl_to_1c.txt", content: bytes = b"content") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_that_stays_as_it_is_is_taken_and_put_away_under_its_day(folder, tmp_path, clock):
    put(tmp_path)
    reader = Reader()
    assert folder.sweep(reader, clock()) == {"done": 0, "bad": 0}
    assert folder.sweep(reader, clock.on()) == {"done": 1, "bad": 0}
    assert folder.sweep(reader, clock.on()) == {"done": 0, "bad": 0}
    assert reader.given == [b"content"]
    assert names(tmp_path) == ["done/20261005-120003-kl_to_1c.txt", "done/20261005-120003-kl_to_1c.txt.report.txt"]
    assert (tmp_path / "done/20261005-120003-kl_to_1c.txt.report.txt").read_text() == "all is well\n"


def test_a_file_that_grows_is_left_until_it_is_whole(folder, tmp_path, clock):
    reader, path = Reader(), put(tmp_path, content=b"a")
    for _ in range(3):
        folder.sweep(reader, clock.on())
        path.write_bytes(path.read_bytes() + b"b")
    folder.sweep(reader, clock.on())
    assert reader.given == []
    folder.sweep(reader, clock.on())
    assert reader.given == [b"abbb"]


def test_two_looks_within_a_moment_do_not_make_a_file_whole(folder, tmp_path, clock):
    put(tmp_path)
    folder.sweep(Reader(), clock())
    assert folder.sweep(Reader(), clock.on(0.5)) == {"done": 0, "bad": 0}


def test_hidden_files_unfinished_ones_folders_and_links_are_none_of_ours(folder, tmp_path, clock):
    for name in (".hidden", "~lock", "a.part", "b.TMP", "c.crdownload"):
        put(tmp_path, name)
    (tmp_path / "inside").mkdir()
    (tmp_path / "link").symlink_to(put(tmp_path / "inside"))
    folder.sweep(Reader(), clock())
    assert folder.sweep(Reader(), clock.on()) == {"done": 0, "bad": 0}


def test_a_bad_file_is_kept_under_its_name_with_the_reason(folder, tmp_path, clock):
    put(tmp_path)
    folder.sweep(Reader(), clock())
    assert folder.sweep(Reader(BadInput("line 1: no")), clock.on()) == {"done": 0, "bad": 1}
    assert names(tmp_path) == ["bad/kl_to_1c.txt", "bad/kl_to_1c.txt.reason.txt"]
    assert (tmp_path / "bad/kl_to_1c.txt.reason.txt").read_text() == "line 1: no\n"


@pytest.mark.parametrize(
    ("fail", "reason"), [(Kept(["a", "b"]), "a\nb\n"), (ValueError("x"), "nobody foresaw")], ids=str
)
def test_so_is_one_that_needs_a_person_for_another_reason(folder, tmp_path, clock, fail, reason):
    put(tmp_path)
    folder.sweep(Reader(), clock())
    folder.sweep(Reader(fail), clock.on())
    assert (tmp_path / "bad/kl_to_1c.txt.reason.txt").read_text().startswith(reason)


def test_a_file_that_may_not_be_read_is_kept_with_the_reason_and_stands_in_no_others_way(
    folder, tmp_path, clock, monkeypatch
):
    def opened(path: Path, *how: Any, **more: Any) -> Any:
        if path.name == f"{TAKEN}a.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return io.open(path, *how, **more)  # noqa: UP020 - Path.open is what is replaced

    for name in ("a.txt", "b.txt"):
        put(tmp_path, name)
    folder.sweep(Reader(), clock())
    monkeypatch.setattr(Path, "open", opened)
    assert folder.sweep(Reader(), clock.on()) == {"done": 1, "bad": 1}
    assert "may not read" in (tmp_path / "bad/a.txt.reason.txt").read_text()


@pytest.mark.parametrize("name", [f"{'в' * 125}.txt", "x" * 255, f"a.{'x' * 253}", f"{TAKEN}{'в' * 120}.txt"])
@pytest.mark.parametrize("where", ["done", "bad"])
def test_a_file_of_any_name_can_be_put_away(folder, tmp_path, clock, name, where):
    reader = Reader(BadInput("no") if where == "bad" else None)
    for _ in range(2):
        put(tmp_path, name)
        for _ in range(2):
            folder.sweep(reader, clock.on())
    assert [path.parent.name for path in tmp_path.rglob("*") if path.is_file()] == [where] * 4


def test_a_second_bad_file_of_a_name_does_not_replace_the_first(folder, tmp_path, clock):
    for content in (b"one", b"two"):
        put(tmp_path, content=content)
        folder.sweep(Reader(), clock.on())
        folder.sweep(Reader(BadInput("no")), clock.on())
    assert (tmp_path / "bad/kl_to_1c.txt").read_bytes() == b"one"
    assert (tmp_path / "bad/kl_to_1c-2.txt").read_bytes() == b"two"


def test_files_are_taken_in_the_order_they_were_finished(folder, tmp_path, clock):
    for at, name in enumerate(("c", "a", "b")):
        os.utime(put(tmp_path, name, name.encode()), (at, at))
    reader = Reader()
    folder.sweep(reader, clock())
    folder.sweep(reader, clock.on())
    assert reader.given == [b"c", b"a", b"b"]


def test_what_was_begun_and_not_ended_is_taken_up_by_another_process(folder, tmp_path, clock):
    put(tmp_path)
    folder.sweep(Reader(), clock())
    with pytest.raises(Transient):
        folder.sweep(Reader(Transient("the ledger cannot be reached")), clock.on())
    assert names(tmp_path) == [".taken-kl_to_1c.txt"]
    reader = Reader()
    assert Folder("bank", tmp_path).sweep(reader, clock.on()) == {"done": 1, "bad": 0}
    assert reader.given == [b"content"]


def test_what_the_bank_writes_under_the_same_name_meanwhile_is_another_file(folder, tmp_path, clock):
    def replace(source: BinaryIO) -> list[str]:
        put(tmp_path, content=b"tomorrow's")
        return [source.read().decode()]

    put(tmp_path, content=b"today's")
    folder.sweep(replace, clock())
    folder.sweep(replace, clock.on())
    assert (tmp_path / "kl_to_1c.txt").read_bytes() == b"tomorrow's"
    assert [path.read_bytes() for path in (tmp_path / "done").glob("*c.txt")] == [b"today's"]


# --- with the ledger ---


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    path = tmp_path / "statements"
    path.mkdir()
    return path


@pytest.fixture
def middle(database_url: str, inbox: Path) -> Iterator[Middle]:
    bank = {"kind": "bank", "accounts": [OURS], "folder": str(inbox)}
    with built(database_url, config(bank=bank)) as made:
        made.take(order(1, number="1001", total=rub(100), customer={"inn": INN}))
        yield made


def watched(middle: Middle, clock: Clock) -> Watched:
    wiring = middle.wiring
    return Watched(wiring.ledger, wiring.file, wiring.statements, clock)


def test_a_statement_in_the_folder_pays_the_order(middle, inbox, clock):
    put(inbox, content=raw(document()))
    chore = watched(middle, clock)
    chore.sweep()
    clock.on()
    assert chore.sweep() == {"done": 1, "bad": 0}
    middle.heard()
    assert middle.fields("shop/order/1")["payment_status"] == "paid"
    assert names(inbox)[0] == "done/20261005-120003-kl_to_1c.txt"


def test_a_statement_that_was_published_and_not_put_away_publishes_nothing_twice(middle, inbox, clock):
    put(inbox, ".taken-kl_to_1c.txt", raw(document()))
    watched(middle, clock).sweep()
    middle.heard()
    put(inbox, ".taken-kl_to_1c.txt", raw(document()))
    assert watched(middle, clock).sweep() == {"done": 1, "bad": 0}
    assert middle.one("SELECT count(*) AS n FROM event WHERE source = 'bank'")["n"] == 1


def test_a_statement_with_a_document_that_cannot_be_read_is_kept_and_the_others_are_taken(middle, inbox, clock):
    put(inbox, ".taken-day.txt", raw(document(), document(Номер="18", Сумма="сто")))
    assert watched(middle, clock).sweep() == {"done": 0, "bad": 1}
    reason = (inbox / "bad/day.txt.reason.txt").read_text().splitlines()
    assert reason[0] == "Correct these and put the file back; what was taken is known."
    assert reason[1].startswith("1 documents: 1 payments are new")
    assert reason[2] == "line 26: Сумма: not a sum"


def test_two_beats_take_a_statement_once(middle, inbox, clock):
    put(inbox, ".taken-kl_to_1c.txt", raw(document()))
    chore = watched(middle, clock)
    with middle.ledger.alone(LOCK):
        assert chore.sweep() == {}
    assert chore.sweep() == {"done": 1, "bad": 0}


def test_a_folder_that_is_not_there_is_told_of_once_and_taken_up_when_it_is(middle, inbox, clock):
    inbox.rmdir()
    chore = watched(middle, clock)
    with capture_logs() as logs:
        assert [chore.sweep(), chore.sweep()] == [{}, {}]
    assert [(line["event"], line["system"]) for line in logs] == [("folder.unusable", "bank")]
    inbox.mkdir()
    put(inbox, ".taken-kl_to_1c.txt", raw(document()))
    assert chore.sweep() == {"done": 1, "bad": 0}
