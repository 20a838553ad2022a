"""`bus inspect`: what a file is, what it holds, which of it the bus reads, and what would wait for a person.

It needs no ledger and publishes nothing. A kind of file that is to be known is one line of RECOGNISERS.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bus.cli import inspect_commerceml, inspect_odata, inspect_tables, screen
from bus.cli.inspected import Inspected
from bus.cli.wiring import Wire, Wiring
from bus.config import Config, Settings, from_document
from bus.errors import BadInput
from bus.ports import Mappings
from bus.systems.commerceml import Profile

_HEAD = 65_536
_SHOWN = 60
"""So many elements are listed on the screen; `--all` and `--json` have the rest."""
_STAND_IN = {"systems": {"onec": {"kind": "commerceml", "user": "any", "password": "any"}}}
"""By what a file is read where no such 1C is configured: the tables as they are shipped."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A file to look into, and by whose tables."""

    path: Path
    wire: Callable[[], Wiring]
    system: str | None

    @property
    def settings(self) -> Mapping[str, str] | None:
        """Those of the 1C base that was named; None: to be guessed."""
        if self.system is None:
            return None
        known = self.wire().file.systems.get(self.system)
        if known is None or known.kind != "onec":
            raise BadInput("--system must name a 1C base of bus.yaml (kind onec)", field="system")
        return known.settings

    def commerceml(self) -> Inspected:
        """By the tables of the exchange that was named, of the only one, or as they are shipped."""
        wiring = self.wire()
        name = _exchange(wiring.file, self.system)
        profile = wiring.file.systems[name].settings.get("profile", "auto")
        mappings: Mappings = wiring.translators()
        return inspect_commerceml.describe(self.path, mappings, name, _PROFILES.get(profile, "auto"))


_PROFILES: Mapping[str, Profile] = {"ut": "ut", "unf": "unf", "bus": "bus"}

RECOGNISERS: tuple[tuple[Callable[[bytes], bool], Callable[[Inspection], Inspected]], ...] = (
    (inspect_tables.is_statement, lambda one: inspect_tables.describe_statement(one.path)),
    (inspect_odata.is_metadata, lambda one: inspect_odata.describe_metadata(one.path, one.settings)),
    (inspect_odata.is_feed, lambda one: inspect_odata.describe_feed(one.path, one.settings)),
    (inspect_commerceml.recognise, lambda one: one.commerceml()),
    (inspect_tables.is_archive, lambda one: inspect_tables.describe_archive(one.path)),
    (lambda _: True, lambda one: inspect_tables.describe_table(one.path)),
)
"""By how a file begins: who knows it, and who tells of it; the first that knows it."""


def inspect(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A file of 1C or a bank.")],
    system: Annotated[str | None, typer.Option(help="By whose tables: a 1C of bus.yaml.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="List every element.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Tell what a file is, what it holds, and which of its elements the bus reads. Publishes nothing.

    Knows CommerceML, bank statements, OData feeds and $metadata, CSV and XLSX.
    """
    found = look(Inspection(file, lambda: _wiring(context, system), system))
    if as_json:
        screen.as_json(found.document)
    else:
        _show(found, everything=everything)
    if found.troubles:
        raise typer.Exit(1)


def look(one: Inspection) -> Inspected:
    """What a file is. Raises BadInput when nobody knows it."""
    with one.path.open("rb") as source:
        head = source.read(_HEAD)
    if not head:
        raise BadInput(f"{one.path}: the file is empty")
    return next(describe for recognise, describe in RECOGNISERS if recognise(head))(one)


def _wiring(context: typer.Context, system: str | None) -> Wiring:
    """The bus of this desk; without a configuration file the shipped tables."""
    wire: Wire = context.obj
    settings = Settings()
    if settings.config.exists():
        wiring = wire(settings)
        context.call_on_close(wiring.close)
        if system or _of_kind(wiring.file, "commerceml"):
            return wiring
    elif system:
        raise BadInput(f"--system: there is no {settings.config}, so no system {system!r}", field="system")
    return wire(settings, from_document(_STAND_IN, {}))


def _exchange(config: Config, system: str | None) -> str:
    known = _of_kind(config, "commerceml")
    if system is None and len(known) == 1:
        return known[0]
    if system not in known:
        raise BadInput(f"--system must name an exchange of bus.yaml: {', '.join(known) or 'none'}", field="system")
    return system


def _of_kind(config: Config, kind: str) -> list[str]:
    return [name for name, one in config.systems.items() if one.kind == kind]


def _show(found: Inspected, *, everything: bool) -> None:
    typer.echo(found.what)
    for name, value in found.facts.items():
        typer.echo(f"  {name}: {value}")
    screen.table("What it holds", ("what", "how many"), found.found.items())
    _elements("Read by the bus", found.mapped, everything=everything)
    _elements("Not read by anybody", found.unmapped, everything=everything)
    screen.table("Would wait for a mapping in tables.yaml", ("field: table code", "times"), found.held.items())
    for line in [*found.warnings, *found.troubles]:
        typer.echo(line)


def _elements(title: str, counts: Counter[str], *, everything: bool) -> None:
    rows = sorted(counts.items())
    screen.table(f"{title}: {sum(counts.values())}", ("element", "times"), rows if everything else rows[:_SHOWN])
    if len(rows) > _SHOWN and not everything:
        typer.echo(f"and {len(rows) - _SHOWN} more kinds of elements; see --all or --json")
