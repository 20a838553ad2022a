"""Targets: what is fuzzed, what has to hold for every input, and how an input is kept as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hypothesis.strategies import SearchStrategy

KNOWN = Path(__file__).parent / "known"
"""Minimised inputs that once broke a target, by its name."""

Check = Callable[[Any], str]
"""Tries one input; says how it ended ("taken", "refused" …). Raises Broken, or whatever nobody foresaw."""


class Broken(AssertionError):
    """What a target promises does not hold for an input."""


def must(holds: object, says: str) -> None:
    """Raises Broken unless it holds."""
    if not holds:
        raise Broken(says)


@dataclass(frozen=True)
class Target:
    """One thing that is fuzzed. `seeds` for inputs of bytes, which are changed at random; else `plans` makes inputs."""

    name: str
    promises: str
    opened: Callable[[], AbstractContextManager[Check]]
    seeds: Callable[[], Sequence[bytes]] | None = None
    words: Sequence[bytes] = ()
    """What such inputs are made of: a mutation may put one in."""
    plans: Callable[[], SearchStrategy[Any]] | None = None
    engine: Literal["coverage", "plain"] = "coverage"
    """Whether coverage leads the mutations, where atheris is there."""
    seconds: float = 2.0
    """An input of at most `longest` bytes takes no longer, on a slow machine."""
    megabytes: int = 200
    """No input makes the process grow by more."""
    longest: int = 16_384

    @property
    def of_bytes(self) -> bool:
        return self.seeds is not None

    def read(self, file: Path) -> Any:
        """An input that was kept."""
        return file.read_bytes() if self.of_bytes else json.loads(file.read_text(encoding="utf-8"))

    def keep(self, file: Path, what: Any) -> None:
        """Keep an input."""
        raw = what if self.of_bytes else json.dumps(what, ensure_ascii=True, indent=1).encode()
        file.write_bytes(raw)

    def known(self) -> Iterable[Path]:
        """Files of the inputs that once broke it."""
        return sorted(KNOWN.glob(f"{self.name}-*"))
