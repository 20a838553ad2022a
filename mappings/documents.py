"""The YAML files of the mappings: shipped in the package, the user's laid over them key by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from bus.config import Loader
from bus.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file and the name by which a complaint calls it."""

    file: str
    content: dict[str, Any]


class _Loader(Loader):
    """Scalars stay text: a status NO is not false, a pay system 010 is not eight. Only ~ and null are null."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own protocol
        first: [(tag, pattern) for tag, pattern in known if tag == "tag:yaml.org,2002:null"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def documents(name: str, overlay: Path | None) -> Iterator[Document]:
    """The shipped file, then the user's, if there is one. Raises ConfigError that names file and line."""
    yield _parsed(f"mappings/{name}", resources.files("mappings").joinpath(name).read_text(encoding="utf-8"))
    if overlay is None:
        return
    if not overlay.is_dir():
        raise ConfigError(f"mappings: {overlay} is not a folder; put your tables.yaml and rules.yaml into one")
    path = overlay / name
    if path.is_file():
        yield _parsed(str(path), _read(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not text in UTF-8; save the file in that encoding") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None


def _parsed(file: str, source: str) -> Document:
    try:
        content = yaml.load(source, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{file}{line}: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{file}: not YAML: {error.reason}") from None
    if not isinstance(content or {}, dict):
        raise ConfigError(f"{file}: the file must be a mapping, `key: value`")
    return Document(file, content or {})
