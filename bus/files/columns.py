"""Columns: which column of a table is which field, by the usual Russian and English headers or by a map of your own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml

from bus.errors import BadInput
from bus.model import Json

Table = Literal["counterparties", "payments"]

Headers = Mapping[str, tuple[str, ...]]
"""The headers that each field may stand under."""

SEVERAL = frozenset({"phones", "emails"})
"""Fields that several columns may fill together; of any other the first column that says something counts."""


def fold(header: str) -> str:
    """A header as headers are compared: letters and digits only, and № as it is."""
    return re.sub(r"[^\w№]|_", "", header.lower().replace("ё", "е"))


@cache
def _shipped() -> dict[str, dict[str, Json]]:
    text = files("bus.files").joinpath("columns.yaml").read_text(encoding="utf-8")
    document: dict[str, dict[str, Json]] = yaml.safe_load(text)
    return document


def usual(table: Table) -> Headers:
    """The usual headers of a table's fields."""
    return {name: tuple(headers) for name, headers in _shipped()[table].items()}


def meant(field: str, text: str) -> str:
    """What a word of this column means; never a default. Raises BadInput."""
    said = " ".join(text.lower().replace("ё", "е").split())
    words: dict[str, list[str]] = _shipped()["words"][field]
    for value, known in words.items():
        if said in known or said == value.lower():
            return value
    raise BadInput(
        f"{field}: the word is not known; known: {', '.join(some[0] for some in words.values())}", field=field
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each field stands in a row."""

    places: Mapping[str, tuple[int, ...]]
    unread: tuple[str, ...]
    """Headers of columns that nobody reads."""
    width: int

    def texts(self, row: Sequence[str]) -> dict[str, str]:
        """What a row says, by field; what is empty is not said."""
        said = {}
        for name, places in self.places.items():
            texts = [row[at] for at in places if at < len(row) and row[at]]
            if texts:
                said[name] = "; ".join(texts) if name in SEVERAL else texts[0]
        return said


def names(table: Table, own: Headers) -> dict[str, str]:
    """Field by folded header; a field of your map is read from the columns of your map only."""
    known = {**usual(table), **own}
    return {fold(header): name for name, headers in known.items() for header in headers}


def wanted(table: Table, own: Headers) -> Callable[[Sequence[str]], int]:
    """How many of the columns a row names: that is how the header is found."""
    known = names(table, own)
    return lambda row: len({known[fold(cell)] for cell in row if fold(cell) in known})


def placed(table: Table, header: Sequence[str], own: Headers) -> Columns:
    """Where each field stands under this header. Raises BadInput when a column of your map is not there."""
    known = names(table, own)
    places: dict[str, tuple[int, ...]] = {}
    for at, cell in enumerate(header):
        if (name := known.get(fold(cell))) is not None:
            places[name] = (*places.get(name, ()), at)
    if missing := [name for name in own if name not in places]:
        there = ", ".join(cell for cell in header if cell)
        raise BadInput(f"--map: no column for {', '.join(missing)}; the file has: {there}", field=missing[0])
    unread = tuple(cell for cell in header if cell and fold(cell) not in known)
    return Columns(places, unread, len(header))


def load(path: Path, table: Table) -> Headers:
    """A map of your own, in YAML: field: "Header", or field: ["One", "Another"]. Raises BadInput, naming the field."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML: {getattr(error, 'problem', type(error).__name__)}") from None
    if not isinstance(document, dict):
        raise BadInput(f'{path}: write one field a line, e.g. inn: "ИНН клиента"')
    return {str(name): _headers(path, table, str(name), said) for name, said in document.items()}


def _headers(path: Path, table: Table, name: str, said: Json) -> tuple[str, ...]:
    if name not in usual(table):
        raise BadInput(f"{path}: {name} is no field of {table}; there are: {', '.join(usual(table))}", field=name)
    headers = said if isinstance(said, list) else [said]
    if not headers or not all(isinstance(header, str) and fold(header) for header in headers):
        raise BadInput(f"{path}: {name}: write the header of its column, or a list of such", field=name)
    return tuple(headers)
