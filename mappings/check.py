"""`bus mappings check`: what of the tables, rules and golden samples would leave a record stuck, said before it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.config import Config
from bus.errors import BusError, ConfigError
from bus.merge import Manual, Policy, StateMachine
from bus.model import DERIVED, Fields, Kind, OrderStatus, PaymentState, field_names
from bus.ports import Raw, Translation
from mappings.registry import Registry
from mappings.tables import CODES, Table, funnel_of

_STATES: Mapping[Kind, type[StrEnum]] = {"order": OrderStatus, "payment": PaymentState}

LIVE_TABLES: Mapping[str, str] = {"bitrix24": "deal_stage", "bitrix_cms": "order_status"}
"""The table that is compared with a live system's own directory, by kind of system."""


class _Sample(BaseModel):
    """A golden sample. `canonical` as `shown`; `written` is the change that makes `raw` say `fields`."""

    model_config = ConfigDict(extra="forbid")

    system: str
    record: str
    raw: Raw
    canonical: Fields
    fields: Fields
    written: Raw


def problems(registry: Registry, config: Config, golden: Path | None = None) -> list[str]:
    """Every gap found, one line each; none means that no mapped record can get stuck.

    Golden samples are *.json in `golden`, by default the folder `golden` beside the user's own tables.
    """
    found = [line for system in config.systems for line in _of_system(registry, config, system)]
    found += [line for kind in get_args(Kind) for line in _of_rules(registry, kind)]
    folder = golden or (config.mappings / "golden" if config.mappings else None)
    samples = sorted(folder.glob("*.json")) if folder else []
    return found + [line for path in samples for line in _of_golden(registry, path)]


def live(registry: Registry, system: str, codes: Mapping[str, str], table: str) -> list[str]:
    """`codes` are the portal's own, with their names: which of them are not mapped, and which mapped ones it lacks."""
    mapped = registry.tables(system, _kind(registry, system)).mapped(table)
    return [
        *(
            f"{system}: {table}: {code!r} ({name}) is not mapped; records with it wait: add it to tables.yaml"
            for code, name in codes.items()
            if code not in mapped
        ),
        *(
            f"{system}: {table}: {code!r} ({value}) is not in the portal; take it away in tables.yaml with `{code}: ~`"
            for code, value in mapped.items()
            if code not in codes
        ),
    ]


def missing_fields(registry: Registry, system: str, table: str, fields: Mapping[str, str]) -> list[str]:
    """User fields that tables.yaml names and the portal lacks: it would drop what is written there in silence."""
    names = registry.tables(system, _kind(registry, system)).named(table) if fields else {}
    return [
        f"{system}: {table}: {key}: the portal has no {name}; create it, or take the line away with `{key}: ~`"
        for key, name in names.items()
        if name and name.startswith("UF_") and name not in fields
    ]


def _kind(registry: Registry, system: str) -> str:
    one = registry.config.systems.get(system)
    if one is None:
        raise ConfigError(f"there is no system {system!r}; there are: {', '.join(registry.config.systems)}")
    return one.kind


def _of_system(registry: Registry, config: Config, system: str) -> Iterator[str]:
    one = config.systems[system]
    tables = registry.tables(system, one.kind)
    for name, table in CODES[one.kind].items():
        codes = tables.mapped(name)
        yield from (f"{system}: {line}" for line in _foreign(name, table, codes))
        if not table.funnels:
            yield from (f"{system}: {line}" for line in _missing(name, table, set(codes.values()), ""))
            continue
        for funnel in sorted({int(one.settings.get("category") or 0), *map(funnel_of, codes)}):
            means = {value for code, value in codes.items() if funnel_of(code) == funnel}
            yield from (f"{system}: {line}" for line in _missing(name, table, means, f" in funnel {funnel}"))


def _missing(name: str, table: Table, means: set[str], where: str) -> Iterator[str]:
    """Totality: each value that we write has a code."""
    for value in sorted(table.needed - means):
        yield f"{name}: no code means {value!r}{where}, so it could not be written; add one to tables.yaml"


def _foreign(name: str, table: Table, codes: Mapping[str, str]) -> Iterator[str]:
    """Each code means something canonical. That the code written for a value means it again, CodeTables sees to."""
    for code, value in codes.items():
        if table.values is not None and value not in table.values:
            known = ", ".join(sorted(table.values))
            yield f"{name}: {code!r} means {value!r}, which is no canonical value; write one of {known}"


def _of_rules(registry: Registry, kind: Kind) -> Iterator[str]:
    policies = registry.rules(kind)
    ruled = field_names(kind) - DERIVED[kind]
    for field in sorted(ruled - policies.keys()):
        yield f"rules.yaml: {kind}.{field}: no policy; write one, e.g. {{policy: newest, priority: [shop, crm]}}"
    for field in sorted(policies.keys() - ruled):
        why = "it is computed, no rule applies" if field in DERIVED[kind] else f"there are: {', '.join(sorted(ruled))}"
        yield f"rules.yaml: {kind}.{field}: no such field to rule; {why}"
    for field, policy in policies.items():
        yield from (f"rules.yaml: {kind}.{field}: {line}" for line in _of_states(kind, field, policy))


def _of_states(kind: Kind, field: str, policy: Policy) -> Iterator[str]:
    machine = policy.default if isinstance(policy, Manual) else policy
    if not isinstance(machine, StateMachine):
        return
    if field != "status" or kind not in _STATES:
        yield "a state machine is for a status; choose another policy"
        return
    states = frozenset(one.value for one in _STATES[kind])
    for part, moves in (("moves", machine.moves), ("refund", machine.refund_moves)):
        for state in sorted(set(moves).union(*moves.values()) - states):
            yield f"{part}: {state!r} is no state; there are: {', '.join(_STATES[kind])}"
    for state in sorted(states - machine.moves.keys()):
        yield f"moves: nothing is said of {state!r}; write `{state}: []` if it is closed"


def _of_golden(registry: Registry, path: Path) -> Iterator[str]:
    """The raw record says what is written down, and so does what `fields` makes of it going back."""
    try:
        sample = _Sample.model_validate_json(path.read_bytes())
        kind = _kind(registry, sample.system)
        tables, translator = registry.tables(sample.system, kind), registry.translator(kind, sample.record)
        said = shown(translator.to_canonical(sample.raw, tables))
        written = translator.from_canonical(sample.fields, sample.raw, tables)
    except (BusError, ValidationError) as error:
        yield f"{path.name}: {error}"
        return
    for part, expected in sample.canonical.items():
        if said.get(part) != expected:
            yield f"{path.name}: canonical.{part} is {said.get(part)!r}, not {expected!r}"
    if written != sample.written:
        yield f"{path.name}: written is {written!r}, not {sample.written!r}"


def shown(translation: Translation) -> dict[str, object]:
    """A translation as a golden sample writes it down."""
    return {
        "data": translation.data,
        "version": translation.version,
        "modified_at": translation.modified_at.isoformat(),
        "actor": translation.actor,
        "held": [f"{held.field}: {held.table} {held.code}" for held in translation.held],
    }
