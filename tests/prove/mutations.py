"""`python -m tests.prove.mutations`: break the bus on purpose, one bug at a time, and see whether the histories notice.

Each mutant of mutants.yaml is put into a copy of the tree, never into the tree itself, and histories are played there
until one fails or the seeds are used up; or, where it names one, a test of the ordinary suite is run. One that lives
shows a history that is too weak, or an invariant that is. One that another sentence sees than those that `caught_by`
names is told, and fails nothing: a history ends with the first sentence that is not true.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.prove.invariants import SENTENCES

ROOT = Path(__file__).parents[2]
MUTANTS = Path(__file__).with_name("mutants.yaml")
SEEDS = 60
SECONDS = 120
"""For each history. A run that takes longer is ended: a mutant may make the bus turn round for ever."""
_COPIED = ("bus", "mappings", "workers", "tests")


class Stale(Exception):
    """A patch whose old text is not in its file exactly once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug: whole lines of a file and what stands in their place."""

    name: str
    file: str
    old: str
    new: str
    breaks: str
    caught_by: tuple[int, ...] = ()
    """The invariants of histories that are meant to see it."""
    test: str = ""
    """Or the test that does."""

    def applied(self, text: str) -> str:
        """The file with the bug in it. Raises Stale."""
        lines, old = text.splitlines(), self.old.strip("\n").splitlines()
        places = [at for at in range(len(lines)) if _same(lines[at : at + len(old)], old)]
        if len(places) != 1:
            raise Stale(f"{self.name}: {len(places)} places in {self.file} read {old[0]!r}")
        at = places[0]
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        new = textwrap.indent(self.new.strip("\n"), indent).splitlines()
        return "\n".join([*lines[:at], *new, *lines[at + len(old) :]]) + "\n"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant: the sentence that caught it, with the seed, or the test; or neither."""

    mutant: str
    caught: bool
    by: str
    seed: int | None
    seconds: float
    elsewhere: bool = False
    """By another sentence than those that are meant to see it: the bug does something else than was thought."""


def mutants() -> list[Mutant]:
    """All of them, in the order of the file."""
    found = yaml.safe_load(MUTANTS.read_text(encoding="utf-8"))
    return [Mutant(**{**one, "caught_by": tuple(one.get("caught_by", ()))}) for one in found]


def _same(lines: Sequence[str], old: Sequence[str]) -> bool:
    return textwrap.dedent("\n".join(lines)) == textwrap.dedent("\n".join(old))


@contextmanager
def _copy(mutant: Mutant | None) -> Iterator[Path]:
    """A copy of the tree, with the bug in it."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        tree = Path(folder)
        for name in _COPIED:
            shutil.copytree(ROOT / name, tree / name)
        shutil.copy2(ROOT / "pyproject.toml", tree)
        if mutant is not None:
            path = tree / mutant.file
            path.write_text(mutant.applied(path.read_text(encoding="utf-8")), encoding="utf-8")
        yield tree


def judged(mutant: Mutant | None, *, seeds: int, first: int) -> Verdict:
    """Play histories on a tree with this bug (None: without any) until one fails, or run the test that it names.

    Raises Stale where the patch does not apply, RuntimeError where there was nothing to judge by.
    """
    name, begun = mutant.name if mutant else "none", time.monotonic()
    with _copy(mutant) as tree:
        if mutant is not None and mutant.test:
            failed = _failed_test(tree, mutant.test)
        else:
            failed = next(iter(_played(tree, seeds=seeds, first=first)["failures"]), None)
    seconds = round(time.monotonic() - begun, 1)
    if failed is None:
        return Verdict(name, caught=False, by="", seed=None, seconds=seconds)
    elsewhere = mutant is not None and is_elsewhere(mutant, failed["sentence"])
    return Verdict(name, caught=True, by=failed["sentence"], seed=failed["seed"], seconds=seconds, elsewhere=elsewhere)


_NUMBERS = {one.__name__: int(str(one.__doc__).partition(".")[0]) for one in SENTENCES}
"""Of the sentences, as their first lines give them."""


def is_elsewhere(mutant: Mutant, sentence: str) -> bool:
    """Is this one of the ten, and none that is meant to see the bug? A history that failed otherwise names none."""
    return bool(mutant.caught_by) and sentence in _NUMBERS and _NUMBERS[sentence] not in mutant.caught_by


def _failed_test(tree: Path, *tests: str) -> dict[str, Any] | None:
    """Whether these tests fail there. Raises RuntimeError where they could not be run at all."""
    said, code = _run([sys.executable, "-m", "pytest", "-q", "-x", *tests], tree, seconds=SECONDS * 2)
    if code not in (0, 1):
        raise RuntimeError(f"{' '.join(tests)} could not be run ({code}): {said[-2000:]}")
    return {"sentence": " ".join(tests), "seed": None} if code else None


def _played(tree: Path, *, seeds: int, first: int) -> dict[str, Any]:
    """What `python -m tests.prove` said of this tree: its last line."""
    command = [sys.executable, "-m", "tests.prove", "--seeds", str(seeds), "--first", str(first), "--stop"]
    said, code = _run(command, tree, seconds=SECONDS * (seeds + 1))
    last = said.rstrip().rpartition("\n")[2]
    if code is None:
        return {"failures": [{"sentence": "no end", "seed": first}]}
    try:
        answer: dict[str, Any] = json.loads(last)
    except ValueError:
        raise RuntimeError(f"the histories could not be played ({code}): {said[-2000:]}") from None
    return answer


def _run(command: list[str], tree: Path, *, seconds: float) -> tuple[str, int | None]:
    """Output and exit code, None when the time is over; nothing that the run started is left."""
    with (tree / "said").open("w+b") as said:
        process = subprocess.Popen(
            command, cwd=tree, stdout=said, stderr=subprocess.STDOUT, start_new_session=True, env=_environment(tree)
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
        said.seek(0)
        return said.read().decode(errors="replace"), code


def _end(process: subprocess.Popen[bytes]) -> None:
    """Politely first: it has engines of its own to stop."""
    if process.poll() is not None:
        return
    for how in (signal.SIGINT, signal.SIGKILL):
        os.killpg(process.pid, how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue
        return


def _environment(tree: Path) -> dict[str, str]:
    """The copy's own modules come first, whatever is installed."""
    return {**os.environ, "PYTHONPATH": str(tree)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the mutants and print what became of them. 0 only if every one was caught."""
    asked = _asked(arguments)
    chosen = [one for one in mutants() if not asked.only or one.name in asked.only]
    if unknown := sorted(set(asked.only) - {one.name for one in chosen}):
        _say(f"no such mutant: {', '.join(unknown)}; there are: {', '.join(one.name for one in mutants())}")
        return 2
    try:
        for mutant in chosen:
            mutant.applied((ROOT / mutant.file).read_text(encoding="utf-8"))
        verdicts = list(_all(chosen, seeds=asked.seeds, first=asked.first, jobs=asked.jobs))
    except (Stale, RuntimeError) as error:
        _say(str(error))
        return 2
    lived = [one.mutant for one in verdicts if not one.caught]
    elsewhere = [one.mutant for one in verdicts if one.elsewhere]
    figures = {"caught": len(verdicts) - len(lived), "lived": lived, "elsewhere": elsewhere}
    _say(json.dumps({"ok": not lived, **figures, "mutants": _plain(verdicts)}))
    return int(bool(lived))


def _all(chosen: Sequence[Mutant], *, seeds: int, first: int, jobs: int) -> Iterator[Verdict]:
    """First the tree as it is: where that fails, no mutant can be caught."""
    histories = any(not one.test for one in chosen)
    _without_any([one.test for one in chosen if one.test], seeds=seeds if histories else 0, first=first)
    with ThreadPoolExecutor(jobs) as pool:
        for verdict in pool.map(partial(judged, seeds=seeds, first=first), chosen):
            _say(f"{verdict.mutant:42} {_end_of(verdict):70} {verdict.seconds:7.1f} s")
            yield verdict


def _without_any(tests: Sequence[str], *, seeds: int, first: int) -> None:
    """Raises RuntimeError where a history or a test fails without any mutant."""
    begun = time.monotonic()
    sound = judged(None, seeds=seeds, first=first) if seeds else None
    if sound is not None and sound.caught:
        raise RuntimeError(f"without any mutant seed {sound.seed} fails: {sound.by}")
    with _copy(None) as tree:
        if tests and _failed_test(tree, *tests):
            raise RuntimeError(f"without any mutant one of these fails: {', '.join(tests)}")
    _say(f"{'without any':42} {'green':70} {time.monotonic() - begun:7.1f} s")


def _end_of(verdict: Verdict) -> str:
    if not verdict.caught:
        return "LIVES"
    by = verdict.by if verdict.seed is None else f"seed {verdict.seed}: {verdict.by}"
    return f"{by} (not meant to)" if verdict.elsewhere else by


def _plain(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    return [asdict(one) for one in verdicts]


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove.mutations", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this mutant; may be repeated")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="histories played against each at most")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once, each with engines of its own")
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
