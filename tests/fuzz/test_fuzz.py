"""A small, fixed share of the fuzzing in each run of the tests, and all that once broke something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import process_time

import pytest

from bus.embedded import Server
from tests.fuzz import api, catalogue, doors, exchanges, house, parsers, wire
from tests.fuzz.__main__ import main
from tests.fuzz.engines import Run, fuzz, tried
from tests.fuzz.house import House
from tests.fuzz.mutation import Mutations
from tests.fuzz.target import Broken, Target, must

SEED = 20_261_122
PARSERS = {
    "commerceml": 40,
    "statement": 40,
    "form": 1_000,
    "strict_json": 1_000,
    "archive": 150,
    "csv": 60,
    "xlsx": 25,
}
DOORS = {"events": 40, "shop": 30, "bitrix24": 40, "openapi": 10, "exchange": 12, "import": 12}
ON_HOUSE = {
    "events": doors.events,
    "shop": doors.shop,
    "bitrix24": doors.bitrix24,
    "openapi": api.ask,
    "exchange": exchanges.exchange,
    "import": exchanges.imported,
}


@pytest.fixture(scope="module")
def standing(module_url: str, valkey_server: Server) -> Iterator[House]:
    """One house for all targets that need one."""
    with house.built(module_url, valkey_server.url) as made:
        yield made


def test_every_target_has_its_share() -> None:
    assert {*PARSERS, *DOORS, "wire"} == {*catalogue.ALL}


@pytest.mark.parametrize(("name", "inputs"), PARSERS.items())
def test_a_parser_takes_or_refuses_whatever_comes(name: str, inputs: int, tmp_path: Path) -> None:
    target = catalogue.named(name)
    with target.opened() as check:
        for seed in (target.seeds or list)():
            tried(target, check, seed)
        run = fuzz(target, check, tmp_path, seed=SEED, inputs=inputs)
    assert (run.error, run.inputs) == ("", inputs)
    assert run.ends["taken"]


@pytest.mark.parametrize(("name", "inputs"), DOORS.items())
def test_a_door_stores_what_it_says_and_nothing_else(name: str, inputs: int, standing: House, tmp_path: Path) -> None:
    target = catalogue.named(name)
    run = fuzz(target, lambda plan: ON_HOUSE[name](standing, plan), tmp_path, seed=SEED, inputs=inputs)
    assert (run.error, run.inputs) == ("", inputs)


def test_the_server_answers_or_hangs_up_and_lives_on(tmp_path: Path) -> None:
    [target] = wire.TARGETS
    with target.opened() as check:
        run = fuzz(target, check, tmp_path, seed=SEED, inputs=40)
    assert (run.error, run.inputs) == ("", 40)


KNOWN = [(target.name, file) for target in catalogue.ALL.values() for file in target.known()]


@pytest.mark.parametrize(("name", "file"), KNOWN, ids=[file.name for _, file in KNOWN])
def test_what_once_broke_it_breaks_it_no_more(name: str, file: Path, standing: House) -> None:
    target = catalogue.named(name)
    if name in ON_HOUSE:
        tried(target, lambda what: ON_HOUSE[name](standing, what), target.read(file))
        return
    with target.opened() as check:
        tried(target, check, target.read(file))


# --- the fuzzer itself ------------------------------------------------------------------------------------------------


def _broken_by(word: bytes) -> Target:
    def check(data: bytes) -> str:
        must(word not in data, "found")
        return "taken"

    return Target("toy", "", parsers._plain(check), lambda: [b"seed"], [b"-word-"])


def test_what_breaks_a_target_ends_the_run_and_is_kept(tmp_path: Path) -> None:
    target = _broken_by(b"-word-")
    with target.opened() as check:
        run = fuzz(target, check, tmp_path, seed=1, inputs=10_000)
        assert run.error == "Broken: found"
        with pytest.raises(Broken, match="found"):
            tried(target, check, target.read(Path(run.file)))
        assert _without_time(fuzz(target, check, tmp_path, seed=1, inputs=10_000)) == _without_time(run)


def _without_time(run: Run) -> Run:
    run.seconds = 0
    return run


@pytest.mark.parametrize("limits", [{"seconds": 0.05}, {"megabytes": 20}])
def test_what_takes_too_long_or_too_much_is_told(limits: dict[str, float]) -> None:
    def greedy(_: bytes) -> str:
        kept = bytearray(60_000_000)
        kept[::4096] = bytes(len(kept[::4096]))
        end = process_time() + 0.1
        while process_time() < end:
            kept[0] ^= 1
        return "taken"

    with pytest.raises(Broken, match=r"it took .* (s|MB of memory)$|still running"):
        tried(Target("toy", "", parsers._plain(greedy), list, **limits), greedy, b"")  # type: ignore[arg-type]


def test_a_seed_makes_the_same_inputs_again() -> None:
    some = [
        [made.next() for _ in range(30)] for made in (Mutations([b"abcdef" * 9], [b"w"], Random(7), 99) for _ in "12")
    ]
    assert some[0] == some[1]
    assert len({*some[0]}) > 20


def test_the_command_reports_reruns_and_ends_with_one_line_of_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--minutes", "0.02", "--only", "form", "--engine", "plain", "--keep", str(tmp_path)]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert json.loads(last)["targets"]["form"]["inputs"] > 0
    (tmp_path / "one").write_bytes(b"a=1")
    assert main(["--only", "form", "--input", str(tmp_path / "one")]) == 0
    assert capsys.readouterr().out == "form: taken\n"
