"""Coverage-guided runs of one target by atheris, in this process, which ends with it."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import atheris

from tests.fuzz.mutation import Mutations

with atheris.instrument_imports(include=["bus", "mappings", "zipfile", "csv", "json"], enable_loader_override=False):
    from tests.fuzz import catalogue, parsers  # noqa: F401 - imported here to be watched


def main(name: str, seconds: str, seed: str, folder: str) -> None:
    """Fuzz until the time is up or something breaks; what broke is kept in `folder` by libFuzzer itself."""
    target = catalogue.named(name)
    place = Path(folder)
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for at, one in enumerate([*(target.seeds or list)(), *(file.read_bytes() for file in target.known())]):
        (corpus / f"seed-{at}").write_bytes(one)
    (place / "words").write_text("\n".join(f'"{_escaped(word)}"' for word in target.words), encoding="ascii")
    longest = max(target.longest, *(file.stat().st_size for file in corpus.iterdir()))
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={longest}",
        f"-timeout={int(target.seconds * 5)}",
        f"-rss_limit_mb={target.megabytes + 400}",
        f"-artifact_prefix={place}/",
        f"-dict={place / 'words'}",
        "-print_final_stats=1",
        "-verbosity=1",
    ]

    def mutated(data: bytes, size: int, seed: int) -> bytes:
        """Every second one by libFuzzer, every second one by what such files are made of."""
        if seed % 2 or not data:
            return bytes(atheris.Mutate(data, size))
        return Mutations([data], target.words, Random(seed), size).of(data)[:size]

    with target.opened() as check:
        atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: check(bytes(data)), custom_mutator=mutated)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02X}" for byte in word)


if __name__ == "__main__":
    main(*sys.argv[1:])
