import json

import pytest

from tests.bus.cli.house import Bus, failing_after, order, refusing


def journaled(bus: Bus) -> int:
    with bus.wiring.ledger.transaction() as connection:
        return connection.execute("SELECT count(*) AS n FROM event").fetchone()["n"]


def test_a_file_goes_in_once_however_often_it_is_published(bus):
    file = bus.jsonl([order(number) for number in range(5)])

    first, again = bus("publish", file), bus("publish", file)

    assert (first.exit_code, first.stdout) == (0, "5 lines: 5 new, 0 known, 0 rejected\n")
    assert (again.exit_code, again.stdout) == (0, "5 lines: 0 new, 5 known, 0 rejected\n")
    assert journaled(bus) == 5
    assert sorted(path.name for path in bus.folder.iterdir()) == ["bus.yaml", "events.jsonl"]


def test_an_interrupted_run_goes_on_after_the_last_committed_batch(bus):
    file = bus.jsonl([order(number) for number in range(10)])

    broken = bus("publish", file, "--batch", 3, wire=failing_after(2))
    position = json.loads((bus.folder / "events.jsonl.position").read_text())
    resumed = bus("publish", file, "--batch", 3)

    assert broken.exit_code == 1
    assert "the ledger cannot be reached" in broken.stderr
    assert "stopped after line 6 (6 new, 0 known, 0 rejected); the same command goes on from there" in broken.stderr
    assert (position["lines"], position["new"]) == (6, 6)
    assert "going on after line 6" in resumed.stderr
    assert resumed.stdout == "10 lines: 10 new, 0 known, 0 rejected\n"
    assert not (bus.folder / "events.jsonl.position").exists()


def test_ctrl_c_says_what_was_reached_and_how_to_go_on(bus):
    result = bus(
        "publish",
        bus.jsonl([order(number) for number in range(6)]),
        "--batch",
        2,
        wire=failing_after(1, KeyboardInterrupt),
    )

    assert result.exit_code == 130
    assert "stopped after line 2 (2 new, 0 known, 0 rejected); the same command goes on from there" in result.stderr


@pytest.mark.parametrize("source", ["onecc", "bus"])
def test_the_word_of_a_system_that_is_not_configured_is_rejected(bus, source):
    published = bus("publish", bus.jsonl([order(1), order(2, source=source)]))

    assert (published.exit_code, published.stdout) == (1, "2 lines: 1 new, 0 known, 1 rejected\n")
    assert f"source: {source} is no system of the configuration" in published.stderr
    assert journaled(bus) == 1


def test_restart_begins_with_the_first_line(bus):
    file = bus.jsonl([order(number) for number in range(6)])
    bus("publish", file, "--batch", 2, wire=failing_after(1))

    assert bus("publish", file, "--restart").stdout == "6 lines: 4 new, 2 known, 0 rejected\n"


def test_another_file_of_that_name_is_not_gone_on_with(bus):
    bus("publish", bus.jsonl([order(number) for number in range(6)]), "--batch", 2, wire=failing_after(1))

    refused = bus("publish", bus.jsonl([order(number) for number in range(10, 16)]))

    assert refused.exit_code == 1
    assert "is not the file that was published up to line 2; use --restart" in refused.stderr
    assert journaled(bus) == 2


def test_a_file_that_grew_meanwhile_is_gone_on_with(bus):
    bus("publish", bus.jsonl([order(number) for number in range(6)]), "--batch", 2, wire=failing_after(1))

    assert bus("publish", bus.jsonl([order(number) for number in range(8)])).stdout.startswith("8 lines: 8 new")


def test_a_damaged_position_asks_for_a_restart(bus):
    file = bus.jsonl([order(1)])
    (bus.folder / "events.jsonl.position").write_text("{")

    assert "is damaged; begin anew with --restart" in bus("publish", file).stderr


BAD = {
    "not JSON": ("{", "not JSON"),
    "a list": ("[]", "not an object; one event stands on each line"),
    "no type": (json.dumps({key: value for key, value in order(1).items() if key != "type"}), "type: Field required"),
    "a bad amount": (json.dumps(order(1, data={"total": {"amount": "x", "currency": "RUB"}})), "data.total.amount"),
    "half a surrogate": (json.dumps(order(1, actor="\ud800")), "actor: holds"),
    "tomorrow's tomorrow": (json.dumps(order(1, time="2150-01-01T00:00:00Z")), "time: lies before 1970 or more"),
    "longer than is taken": (json.dumps(order(1, data={"comment": "x" * 1_000_000})), "longer than an event may be"),
}


@pytest.mark.parametrize(("line", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_line_is_listed_and_kept_and_the_others_go_in(bus, line, reason):
    file = bus.jsonl([order(10), line, "", order(11), order(12)])

    result = bus("publish", file)

    assert result.exit_code == 1
    assert result.stdout == "5 lines: 3 new, 0 known, 1 rejected\n"
    assert f"line 2: {reason}" in result.stderr
    (kept,) = [json.loads(row) for row in (bus.folder / "events.rejects.jsonl").read_text().splitlines()]
    assert (kept["line"], kept["original"][:900]) == (2, line[:900])
    assert kept["reason"].startswith(reason)


def test_rejects_of_a_batch_that_is_repeated_are_kept_once(bus):
    file = bus.jsonl(["first", order(1), order(2), "second"])
    rejects = bus.folder / "bad" / "lines.jsonl"
    rejects.parent.mkdir()
    bus("publish", file, "--batch", 2, "--rejects", rejects, wire=failing_after(1))
    with rejects.open("a") as torn:
        torn.write('{"line": 3, "rea')

    resumed = bus("publish", file, "--batch", 2, "--rejects", rejects)

    assert resumed.stdout == "4 lines: 2 new, 0 known, 2 rejected\n"
    assert [json.loads(row)["line"] for row in rejects.read_text().splitlines()] == [1, 4]


def test_the_rejects_of_an_earlier_run_do_not_stay(bus):
    bus("publish", bus.jsonl(["bad"]))
    bus("publish", bus.jsonl([order(1)]))

    assert not (bus.folder / "events.rejects.jsonl").exists()


def test_many_rejects_do_not_flood_the_screen(bus):
    result = bus("publish", bus.jsonl(["bad"] * 30))

    assert "line 20: " in result.stderr
    assert "line 21: " not in result.stderr
    assert "more rejects are in " in result.stderr
    assert len((bus.folder / "events.rejects.jsonl").read_text().splitlines()) == 30


def test_what_comes_in_a_pipe_is_published_without_a_trace(bus):
    result = bus("publish", "-", stdin=json.dumps(order(1)) + "\nbad\n")

    assert (result.exit_code, result.stdout) == (1, "2 lines: 1 new, 0 known, 1 rejected\n")
    assert "line 2: not JSON" in result.stderr
    assert [path.name for path in bus.folder.iterdir()] == ["bus.yaml"]


def test_bytes_that_are_no_text_and_a_byte_order_mark(bus):
    file = bus.folder / "events.jsonl"
    file.write_bytes(
        b"\xef\xbb\xbf" + json.dumps(order(1)).encode() + b"\r\n\xff\xfe\n" + json.dumps(order(2)).encode()
    )

    result = bus("publish", file)

    assert result.stdout == "3 lines: 2 new, 0 known, 1 rejected\n"
    assert "line 2: not UTF-8" in result.stderr


def test_the_file_itself_cannot_be_the_file_of_rejects(bus):
    file = bus.jsonl([order(1)])

    assert bus("publish", file, "--rejects", file).exit_code == 2
    assert file.read_text()


def test_a_file_that_is_not_there_is_told_in_one_line(bus):
    result = bus("publish", bus.folder / "nothing.jsonl")

    assert (result.exit_code, result.stderr) == (1, f"{bus.folder / 'nothing.jsonl'}: No such file or directory\n")


@pytest.mark.parametrize("at", [0, 3, 6])
def test_an_event_that_the_ledger_cannot_store_does_not_stop_the_others(bus, at):
    file = bus.jsonl([order(number) for number in range(7)])

    result = bus("publish", file, wire=refusing(f"order/{at}"))

    assert (result.exit_code, result.stdout) == (1, "7 lines: 6 new, 0 known, 1 rejected\n")
    assert f"line {at + 1}: the ledger cannot store it" in result.stderr
    assert journaled(bus) == 6
