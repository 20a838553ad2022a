"""`python -m tests.fuzz --minutes M [--seed S] [--only NAME] [--input FILE]`: fuzz, and say what came of it."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

from tests.fuzz import catalogue
from tests.fuzz.engines import Run, fuzz, tried
from tests.fuzz.target import Target

_RUNS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(r"cov: (\d+)")
_BROKE = re.compile(r"Test unit written to (\S+)")
_SAID = re.compile(r"^\s*=== Uncaught Python exception: ===\n(.*)$|^==\d+== (?:ERROR: )?(libFuzzer: .*)$", re.MULTILINE)
_GRACE_S = 120


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when nothing broke."""
    said = _parser().parse_args(arguments)
    targets = [catalogue.named(name) for name in said.only] if said.only else [*catalogue.ALL.values()]
    if said.input:
        return _again(targets[0], Path(said.input))
    if said.within:
        _say(_within(targets[0], said.seconds, said.seed, Path(said.keep)).shown())
        return 0
    keep = Path(said.keep or tempfile.mkdtemp(prefix="fuzz-"))
    jobs = min(said.jobs, len(targets))
    seconds = max(1.0, said.minutes * 60 * jobs / len(targets))
    _say(f"{len(targets)} targets, {seconds:.0f} s each, {jobs} at a time, seed {said.seed}; kept in {keep}")
    began = monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        runs = [*pool.map(lambda target: _told(_apart(target, seconds, said.seed, keep, said.engine)), targets)]
    return _report(runs, said.seed, monotonic() - began)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    made.add_argument("--minutes", type=float, default=10.0, help="of the wall clock, for all targets together")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--only", action="append", metavar="NAME", help=f"one of {', '.join(catalogue.ALL)}")
    made.add_argument("--input", metavar="FILE", help="try this one input of the target named by --only")
    made.add_argument("--keep", metavar="FOLDER", help="where corpora, and inputs that broke something, are kept")
    made.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time")
    made.add_argument("--engine", choices=["coverage", "plain"], default="coverage", help="plain: without atheris")
    made.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    return made


def _again(target: Target, file: Path) -> int:
    with target.opened() as check:
        _say(f"{target.name}: {tried(target, check, target.read(file))}")
    return 0


def _within(target: Target, seconds: float, seed: int, keep: Path) -> Run:
    with target.opened() as check:
        return fuzz(target, check, keep, seed=seed, seconds=seconds)


def _apart(target: Target, seconds: float, seed: int, keep: Path, engine: str) -> Run:
    """A target in a process of its own: what takes all of the memory, or never ends, ends with it."""
    _say(f"  {target.name} …")
    if target.of_bytes and target.engine == engine == "coverage" and find_spec("atheris"):
        return _led(target, seconds, seed, keep / target.name)
    command = [sys.executable, "-m", "tests.fuzz", "--only", target.name, "--within"]
    command += ["--seconds", str(seconds), "--seed", str(seed), "--keep", str(keep)]
    began = monotonic()
    code, text = _ran(command, seconds)
    for line in reversed(text.splitlines()):
        if line.startswith('{"target"'):
            return Run(**json.loads(line))
    lost = Run(target.name, "process", error=f"ended with {code}: {text[-2000:]}", file=str(keep))
    lost.seconds = round(monotonic() - began, 1)
    return lost


def _led(target: Target, seconds: float, seed: int, folder: Path) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.coverage_led", target.name, str(int(seconds)), str(seed), str(folder)]
    began = monotonic()
    code, text = _ran(command, seconds)
    run = Run(target.name, "atheris", inputs=int(_last(_RUNS, text) or _last(re.compile(r"#(\d+)\s"), text) or 0))
    run.seconds = round(monotonic() - began, 1)
    run.ends["lines and branches covered"] = int(_last(_COVERED, text) or 0)
    if code:
        said = [one for found in _SAID.findall(text) for one in found if one]
        run.error, run.file = said[0] if said else f"ended with {code}: {text[-2000:]}", _last(_BROKE, text)
    return run


def _ran(command: Sequence[str], seconds: float) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds * 2 + _GRACE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, "it never ended"
    return done.returncode, done.stdout + done.stderr


def _last(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.findall(text)
    return found[-1] if found else ""


def _told(run: Run) -> Run:
    _say(f"  {run.target}: {run.inputs} inputs in {run.seconds:.0f} s; {run.error or 'nothing broke'}")
    return run


def _report(runs: Sequence[Run], seed: int, seconds: float) -> int:
    for line in _table(runs):
        _say(line)
    broken = [run for run in runs if run.error]
    for run in broken:
        again = f"--input {run.file}" if Path(run.file).is_file() else f"--seed {seed}"
        _say(f"\n{run.target} broke: {run.error}\n  rerun: python -m tests.fuzz --only {run.target} {again}")
    targets = {run.target: {"inputs": run.inputs, "seconds": run.seconds, "error": run.error} for run in runs}
    total = {"inputs": sum(run.inputs for run in runs), "minutes": round(seconds / 60, 1), "crashes": len(broken)}
    _say(json.dumps({"ok": not broken, "seed": seed, **total, "targets": targets}, ensure_ascii=False))
    return 1 if broken else 0


def _table(runs: Sequence[Run]) -> Iterator[str]:
    yield f"\n{'target':<14}{'engine':<12}{'inputs':>10}{'seconds':>9}  ended"
    for run in runs:
        ends = ", ".join(f"{name} {times}" for name, times in sorted(run.ends.items()))
        yield f"{run.target:<14}{run.engine:<12}{run.inputs:>10}{run.seconds:>9.0f}  {'BROKE' if run.error else ends}"


if __name__ == "__main__":
    sys.exit(main())
