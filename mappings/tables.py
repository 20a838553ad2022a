"""Code tables: which of a portal's codes mean which canonical value, and how a portal calls what we keep there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bus.errors import ConfigError, UnknownCode
from bus.model import OrderStatus, PartyType, PaymentStatus
from bus.ports import Directories, Held, Tables


@dataclass(frozen=True, slots=True)
class Table:
    """What a code table may map to, and what it must have a code for because we write it.

    None: any text may stand there. `funnels`: codes carry a funnel ("C1:NEW"), and each funnel needs its own.
    """

    values: frozenset[str] | None
    needed: frozenset[str]
    funnels: bool = False


_FUNNEL = re.compile(r"^C(\d+):")
_ORDER = frozenset(one.value for one in OrderStatus)
_PAYMENT = frozenset(one.value for one in PaymentStatus)
_PARTY = frozenset(one.value for one in PartyType)

CODES: Mapping[str, Mapping[str, Table]] = {
    "bitrix24": {
        "deal_stage": Table(_ORDER, _ORDER, funnels=True),
        "payment_status": Table(_PAYMENT, _PAYMENT),
        "party_type": Table(_PARTY, _PARTY),
        "users": Table(None, frozenset()),
    },
    "bitrix_cms": {
        # A cancelled order is a flag there, not a status.
        "order_status": Table(_ORDER, _ORDER - {OrderStatus.CANCELLED.value}),
        "payment_method": Table(None, frozenset()),
    },
    "onec": {
        # Paid and shipped are other documents' to say there, cancelled its rows'.
        "order_status": Table(_ORDER, frozenset({"new", "accepted", "completed"})),
        "order_state": Table(_ORDER, frozenset({"new", "accepted", "completed"})),
        "party_type": Table(_PARTY, frozenset()),
        "currencies": Table(None, frozenset()),
    },
    "commerceml": {
        "order_status": Table(_ORDER, _ORDER),
        "currencies": Table(None, frozenset()),
        "payment_method": Table(None, frozenset()),
    },
    "bank": {},
    "events": {},
}
"""Every code table of each kind of system."""

NAMES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "bitrix24": {
        "fields": frozenset(
            {
                "order_id",
                "number",
                "delivery_method",
                "delivery_address",
                "paid_total",
                "payment_status",
                "products",
                "order_links",
            }
        ),
        "party_fields": frozenset({"credit_terms"}),
        "addresses": frozenset({"legal_address", "address"}),
    },
    "bitrix_cms": {"properties": frozenset({"name", "phone", "email", "address", "company", "inn", "kpp", "deal_id"})},
    "onec": {},
    "commerceml": {"lines": frozenset({"product", "delivery", "delivery_name"})},
    "bank": {},
    "events": {},
}
"""Every table of names of each kind of system."""

Codes = Mapping[str, Mapping[str, str]]
Preferred = Mapping[str, Mapping[str, tuple[str, ...]]]
Names = Mapping[str, Mapping[str, str | None]]


@dataclass(frozen=True, slots=True)
class Live:
    """The directories that lie under the tables of one system: what tables.yaml does not say they may."""

    directories: Directories
    system: str
    tables: frozenset[str]


DIRECTORIES: Mapping[str, frozenset[str]] = {
    "bitrix24": frozenset({"users"}),
    "onec": frozenset({"currencies", "organisations", "users", "units"}),
}
"""Tables whose codes are the system's own business: what they are called there is what they mean."""

NAMED: Mapping[str, frozenset[str]] = {
    "bitrix24": frozenset({"deal_stage"}),
    "bitrix_cms": frozenset({"order_status"}),
}
"""Tables whose codes mean what tables.yaml says; what the system calls them helps a person who has to add one."""


def directories_of(kind: str) -> frozenset[str]:
    """What is kept of the directories of such systems."""
    return DIRECTORIES.get(kind, frozenset()) | NAMED.get(kind, frozenset())


class CodeTables:
    """The tables of one system: bus.ports.Tables. Raises ConfigError when a preferred code means something else."""

    def __init__(
        self,
        codes: Codes,
        names: Names,
        prefer: Preferred | None = None,
        *,
        file: str = "tables.yaml",
        live: Live | None = None,
    ) -> None:
        self._codes, self._live = codes, live
        self._names = names
        self._means = {table: _by_value(found, (prefer or {}).get(table, {})) for table, found in codes.items()}
        for table, values in (prefer or {}).items():
            for value, wanted in values.items():
                for code in wanted:
                    if codes.get(table, {}).get(code) != value:
                        raise ConfigError(
                            f"{file}: prefer.{table}.{value}: add {code!r}: {value} to codes.{table} first"
                        )

    def named(self, table: str) -> Mapping[str, str | None]:
        """A table of names whole: what the portal calls each thing of ours that it keeps."""
        return self._names.get(table, {})

    def canonical(self, table: str, code: str, *, field: str) -> str:
        """Canonical value of a system's code; UnknownCode if there is none."""
        found = self._codes.get(table, {}).get(code)
        if found is None and self._live and table in self._live.tables:
            found = self._live.directories.meaning(self._live.system, table, code)
        if found is None:
            called = self._live.directories.called(self._live.system, table, code) if self._live else None
            raise UnknownCode(table, code, field=field, called=called)
        return found

    def codes(self, table: str, value: str, *, field: str) -> list[str]:
        """Codes that mean a canonical value, the preferred first; UnknownCode if there is none."""
        found = self._means.get(table, {}).get(value)
        if not found and self._live and table in self._live.tables:
            found = self._live.directories.codes(self._live.system, table, value)
        if not found:
            raise UnknownCode(table, value, field=field)
        return list(found)

    def name(self, table: str, key: str) -> str | None:
        """A portal's own name for something of ours; None where it is not kept there."""
        return self._names.get(table, {}).get(key)

    def mapped(self, table: str) -> Mapping[str, str]:
        """Every code of a table with its canonical value."""
        return self._codes.get(table, {})


def meaning(tables: Tables, table: str, code: str, *, field: str) -> str | Held:
    """The canonical value of a code, or the code held for a person: never a default."""
    try:
        return tables.canonical(table, code, field=field)
    except UnknownCode as unknown:
        return Held(unknown.field, unknown.table, unknown.code, str(unknown))


def funnel_of(code: str) -> int:
    """The funnel a stage belongs to: 1 for "C1:NEW", 0 (the default one) for "NEW"."""
    found = _FUNNEL.match(code)
    return int(found[1]) if found else 0


def _by_value(codes: Mapping[str, str], prefer: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Codes of each value: the preferred ones first, the others as they are listed."""
    means: dict[str, list[str]] = {value: list(wanted) for value, wanted in prefer.items()}
    for code, value in codes.items():
        known = means.setdefault(value, [])
        if code not in known:
            known.append(code)
    return means
