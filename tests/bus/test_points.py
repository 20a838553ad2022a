"""Crash points: every name stands somewhere, a process dies there when told to, production knows nothing of them."""

import ast
import dis
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

from bus import points

BUS = Path(points.__file__).parent
SOURCES = [path for path in sorted(BUS.rglob("*.py")) if path.name != "points.py"]
WITH_POINTS = [path for path in SOURCES if "points.here(" in path.read_text()]


def named(tree: ast.AST) -> list[str]:
    """The points that code comes to."""
    return [
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "points.here"
        and isinstance(call.args[0], ast.Constant)
    ]


def used(code: CodeType) -> Iterator[object]:
    """What the instructions of a module speak of: nothing of what is compiled to nothing is there."""
    for instruction in dis.get_instructions(code):
        yield from used(instruction.argval) if isinstance(instruction.argval, CodeType) else [instruction.argval]


def told(text: str, *, optimize: int) -> set[object]:
    return {one for one in used(compile(text, "<text>", "exec", optimize=optimize)) if isinstance(one, str)}


def run(script: str, *options: str, at: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != points.VARIABLE}
    environment |= {points.VARIABLE: at} if at else {}
    command = [sys.executable, *options, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_every_point_stands_in_the_code_once() -> None:
    found = Counter(name for path in SOURCES for name in named(ast.parse(path.read_text())))
    assert found == dict.fromkeys(points.POINTS, 1)


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if "points.here(" in path.read_text()], ids=lambda path: path.stem
)
def test_optimized_code_has_no_trace_of_its_points(path: Path) -> None:
    text = path.read_text()
    names = set(named(ast.parse(text)))
    assert names <= told(text, optimize=0)
    assert not names & told(text, optimize=1)


def test_a_hook_hears_of_each_point_until_it_is_taken_away() -> None:
    heard: list[str] = []
    points.arm(heard.append)
    try:
        points.here("lane.sent")
    finally:
        points.disarm()
    points.here("lane.read")
    assert heard == ["lane.sent"]


def test_no_handler_of_errors_catches_a_death() -> None:
    assert not issubclass(points.Killed, Exception)


def test_a_process_kills_itself_at_its_point_the_nth_time() -> None:
    script = "from bus import points\nfor n in range(3): print(n, flush=True); points.here('lane.sent')"
    ended = run(script, at="lane.sent:2")
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "0\n1\n")


def test_an_optimized_process_does_not_even_read_the_variable() -> None:
    ended = run("from bus import points; points.here('lane.sent'); print('alive')", "-O", at="no such point")
    assert (ended.returncode, ended.stdout) == (0, "alive\n")


def test_a_point_that_is_none_is_told_at_the_start() -> None:
    ended = run("import bus.points", at="lane.snet:1")
    assert ended.returncode == 1
    assert "there is no crash point 'lane.snet'" in ended.stderr
