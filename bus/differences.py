"""Differences: which systems' records do not say what is agreed, and how urgently each is told."""

from __future__ import annotations

from collections.abc import Mapping

from bus import channels, closed, merge
from bus.config import Config
from bus.ledger.deliveries import Due
from bus.ledger.entities import Known
from bus.merge import Means
from bus.model import DERIVED, Kind
from bus.ports import Mappings


class Differences:
    """Judges entities by the switches, and by what a record can hold."""

    def __init__(self, config: Config, mappings: Mappings) -> None:
        self._config, self._mappings = config, mappings
        self._tellable: dict[tuple[str, Kind], tuple[frozenset[str], Means] | None] = {}

    def due(self, known: Known, priority: int, seq: int | None) -> Mapping[str, Due | None]:
        """Of each system that could be told of it the delivery that it needs; None where it needs none."""
        looked_at: dict[str, Due | None] = {}
        for system in self._config.systems:
            if self.differs(known, system):
                looked_at[system] = Due(known.id, system, self._urgency(known, system, priority), seq)
            elif self.told(system, known.view.kind) is not None:
                looked_at[system] = None
        return looked_at

    def differs(self, known: Known, system: str) -> bool:
        """Does this entity's record in `system` need a write, as far as the switches let us?"""
        kind = known.view.kind
        told = self.told(system, kind)
        if told is None or closed.untold(known, system, whole=self._config.systems[system].kind == "commerceml"):
            return False
        mode = self._config.route(system, kind).outward
        linked = known.primary(system)
        if linked is None or linked.state == "creating":
            wanted = bool(known.view.fields) and not known.deleted_in(system)
            return mode.creates and wanted and not _gone(known) and self._held(known, system)
        if linked.view.promised and mode.creates:  # made, and nobody knows whether it was finished
            return True
        return mode.updates and merge.differs(known.view, linked.view.base, *told)

    def told(self, system: str, kind: Kind) -> tuple[frozenset[str], Means] | None:
        """What a record of this kind can be told there, and what its words mean; None where no record holds it."""
        if (system, kind) not in self._tellable:
            system_kind = self._config.systems[system].kind
            record_type = self._mappings.record_types(system_kind).get(kind)
            translator = self._mappings.translator(system_kind, record_type) if record_type else None
            tables = self._mappings.tables(system, system_kind)
            self._tellable[system, kind] = (translator.writes(tables), translator.means) if translator else None
        return self._tellable[system, kind]

    def _urgency(self, known: Known, system: str, priority: int) -> int:
        """A payment is urgent where it shows; what only follows from it (a status) is first in the ordinary lane."""
        told = self.told(system, known.view.kind)
        shows = known.view.kind == "payment" or (told is not None and told[0] & DERIVED[known.view.kind])
        return priority if shows else max(priority, channels.NEXT)

    def _held(self, known: Known, system: str) -> bool:
        system_kind = self._config.systems[system].kind
        record_type = self._mappings.record_types(system_kind)[known.view.kind]
        return self._mappings.holds(system_kind, record_type, known.view.fields)


def _gone(known: Known) -> bool:
    """A payment that every system has deleted is money that nobody has: it is made nowhere."""
    return known.view.kind == "payment" and not any(one.stands for one in known.records)
