"""The registry: which translator for which record, the code tables of each system, the rules of each kind.

A new kind of record is one line of TRANSLATORS; a new kind of system its lines there, in mappings.tables and a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from bus.config import Config, System
from bus.errors import ConfigError
from bus.merge import Policy
from bus.model import Fields, Kind
from bus.ports import Directories, RawRecord, Tables, Translator
from bus.systems.onec_names import names_of
from mappings import tables as known
from mappings.bitrix24 import deal, party
from mappings.bitrix_cms import order, payment
from mappings.commerceml import counterparty as commerceml_counterparty
from mappings.commerceml import order as commerceml_order
from mappings.commerceml import payment as commerceml_payment
from mappings.documents import Document, documents
from mappings.onec import counterparty as onec_counterparty
from mappings.onec import order as onec_order
from mappings.onec import payment as onec_payment
from mappings.rules import rules
from mappings.tables import CodeTables, Live


class RecordTranslator(Translator, Protocol):
    """A translator that also says what of a record that exists can be written."""

    def writes(self, tables: Tables) -> frozenset[str]:
        """The carried fields that `from_canonical` can change on an update; the others are only read."""
        ...


TRANSLATORS: Mapping[tuple[str, str], RecordTranslator] = {
    ("bitrix24", "deal"): deal,
    ("bitrix24", "party"): party,
    ("bitrix_cms", "order"): order,
    ("bitrix_cms", "payment"): payment,
    ("onec", "order"): onec_order,
    ("onec", "payment"): onec_payment,
    ("onec", "counterparty"): onec_counterparty,
    ("commerceml", "order"): commerceml_order,
    ("commerceml", "payment"): commerceml_payment,
    ("commerceml", "counterparty"): commerceml_counterparty,
}
"""Translator by kind of system and type of record."""

PARTS: Mapping[tuple[str, str], Callable[[RawRecord], list[RawRecord]]] = {
    ("bitrix_cms", "order"): payment.parts,
    ("commerceml", "order"): lambda order: [*commerceml_payment.parts(order), *commerceml_counterparty.parts(order)],
}
"""What else a raw record holds."""

HOLDS: Mapping[tuple[str, str], Callable[[Fields], bool]] = {
    ("bitrix_cms", "payment"): payment.holds,
    ("commerceml", "counterparty"): commerceml_counterparty.holds,
}
"""What such systems have no record of, whatever the switches say."""

RETRACED: Mapping[tuple[str, str], frozenset[str]] = {("bitrix24", "deal"): deal.RETRACED}
"""Of which fields such systems tell what a record had said before."""

Named = dict[str, dict[str, str | None]]


class _Section(BaseModel):
    """The tables of a kind of system, or what one system has otherwise."""

    model_config = ConfigDict(extra="forbid")

    codes: Named = {}
    prefer: dict[str, dict[str, str | list[str]]] = {}
    names: Named = {}


class Registry:
    """bus.ports.Mappings, and the rules. Raises ConfigError that lists every complaint with its file and key."""

    def __init__(self, config: Config, directories: Directories | None = None) -> None:
        self.config, self._directories = config, directories
        self._files = list(documents("tables.yaml", config.mappings))
        self._rules, complaints = rules(list(documents("rules.yaml", config.mappings)), config)
        complaints += [one for document in self._files for one in _complaints(document, config)]
        complaints += _categories(config)
        complaints += _manners(config)
        if complaints:
            raise ConfigError("\n".join(complaints))
        self._tables = {system: self._built(system, one.kind) for system, one in config.systems.items()}

    def translator(self, system_kind: str, record_type: str) -> RecordTranslator:
        """The translator of one record type. Raises ConfigError when there is none."""
        try:
            return TRANSLATORS[system_kind, record_type]
        except KeyError:
            types = ", ".join(type_ for kind, type_ in TRANSLATORS if kind == system_kind) or "none"
            raise ConfigError(f"{system_kind}: no translator for {record_type!r}; there are: {types}") from None

    def record_types(self, system_kind: str) -> Mapping[Kind, str]:
        """Which record type holds which kind of entity in such systems."""
        return {one.KIND: record_type for (kind, record_type), one in TRANSLATORS.items() if kind == system_kind}

    def tables(self, system: str, system_kind: str) -> CodeTables:
        """Code tables of one system. Raises ConfigError for a system that is not configured as that kind."""
        one = self.config.systems.get(system)
        if one is None or one.kind != system_kind:
            raise ConfigError(f"there is no {system_kind} system {system!r}; add it under systems in bus.yaml")
        return self._tables[system]

    def holds(self, system_kind: str, record_type: str, fields: Fields) -> bool:
        """Whether such systems have a record of an entity that says this."""
        says = HOLDS.get((system_kind, record_type))
        return says(fields) if says else True

    def retraced(self, system_kind: str, record_type: str) -> frozenset[str]:
        """Canonical fields of which such systems tell former values."""
        return RETRACED.get((system_kind, record_type), frozenset())

    def parts(self, system_kind: str, record: RawRecord) -> list[RawRecord]:
        """The records one raw record brings along: a shop order holds its payments."""
        split = PARTS.get((system_kind, record.type))
        return split(record) if split else []

    def rules(self, kind: Kind) -> Mapping[str, Policy]:
        """The policy of each field."""
        return self._rules[kind]

    def _built(self, system: str, kind: str) -> CodeTables:
        sections = [document.content.get(kind) for document in self._files]
        sections += [(document.content.get("systems") or {}).get(system) for document in self._files]
        read = [_Section.model_validate(section) for section in sections if section]
        names = _laid_over([section.names for section in read])
        return CodeTables(
            codes={
                table: {code: value for code, value in codes.items() if value is not None}
                for table, codes in _laid_over([section.codes for section in read]).items()
            },
            names=names | _native(self.config.systems[system]) | {"links": _links(system, self.config)},
            prefer={
                table: {value: (code,) if isinstance(code, str) else tuple(code) for value, code in values.items()}
                for table, values in _laid_over([section.prefer for section in read]).items()
            },
            file=self._files[-1].file,
            live=self._live(system, kind),
        )

    def _live(self, system: str, kind: str) -> Live | None:
        tables = known.DIRECTORIES.get(kind, frozenset())
        return Live(self._directories, system, tables) if self._directories else None


def _links(system: str, config: Config) -> dict[str, str | None]:
    """Names of the systems that records point to, and the funnel new deals are made in."""
    crms = [name for name, one in config.systems.items() if one.kind == "bitrix24"]
    return {
        "self": system,
        "zone": config.systems[system].zone,
        "delivery_item": config.systems[system].settings.get("delivery_item"),
        "shop": config.numbering_system,
        "crm": crms[0] if crms else None,
        "category": config.systems[system].settings.get("category"),
        "user": config.systems[system].integration_user,
        **{name: config.systems[system].settings.get(name) for name in ("profile", "updates", "vat", "base")},
    }


def _native(system: System) -> dict[str, dict[str, str | None]]:
    """What a 1C base calls its objects: by its configuration, which its adapter goes by too."""
    if system.kind != "onec":
        return {}
    return {thing: dict(names) for thing, names in names_of(system.settings).table.items()}


def _categories(config: Config) -> list[str]:
    return [
        f'bus.yaml: systems.{name}.settings.category: write the funnel\'s number, e.g. "1"'
        for name, one in config.systems.items()
        if one.kind == "bitrix24" and not one.settings.get("category", "0").isdigit()
    ]


def _manners(config: Config) -> list[str]:
    """What is wrong with how an exchange is said to speak."""
    wanted = {"profile": ("auto", "ut", "unf", "bus"), "updates": ("yes", "no")}
    return [
        f"bus.yaml: systems.{name}.settings.{setting}: write one of {', '.join(known)}"
        for name, one in config.systems.items()
        for setting, known in wanted.items()
        if one.kind == "commerceml" and one.settings.get(setting, known[0]) not in known
    ]


def _laid_over(layers: list[Any]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for table, entries in layer.items():
            merged.setdefault(table, {}).update(entries)
    return merged


def _complaints(document: Document, config: Config) -> list[str]:
    """What is wrong with the shape of a tables.yaml: unknown kinds, systems, tables and names."""
    found = []
    for key, section in document.content.items():
        if key == "systems":
            for system, own in (section or {}).items():
                found += _of_system(system, own, config)
        elif key in known.CODES:
            found += _of_section(key, section, key)
        else:
            found.append(f"{key}: write one of {', '.join(known.CODES)}, systems")
    return [f"{document.file}: {complaint}" for complaint in found]


def _of_system(system: str, section: Any, config: Config) -> list[str]:
    if system not in config.systems:
        return [f"systems.{system}: no such system in bus.yaml; there are: {', '.join(config.systems)}"]
    return _of_section(config.systems[system].kind, section, f"systems.{system}")


def _of_section(kind: str, section: Any, key: str) -> list[str]:
    try:
        read = _Section.model_validate(section or {})
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False, include_context=False)
        return [f"{key}.{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in details]
    codes, names = known.CODES[kind], known.NAMES[kind]
    found = [
        f"{key}.{part}.{table}: no such table; there are: {', '.join(codes) or 'none'}"
        for part, tables in (("codes", read.codes), ("prefer", read.prefer))
        for table in tables
        if table not in codes
    ]
    for table, entries in read.names.items():
        if table not in names:
            found.append(f"{key}.names.{table}: no such table; there are: {', '.join(names) or 'none'}")
            continue
        unknown = sorted(entries.keys() - names[table])
        found += [
            f"{key}.names.{table}.{one}: no such name; there are: {', '.join(sorted(names[table]))}" for one in unknown
        ]
    return found
