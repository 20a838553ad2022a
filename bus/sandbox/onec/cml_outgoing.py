"""The files of a run: what is registered at the node, written as the profile writes it, in one archive if asked."""

from __future__ import annotations

import random
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO

from bus.sandbox import times
from bus.sandbox.onec import cml_write_bus, cml_write_unf, cml_write_ut
from bus.sandbox.onec.base import Base
from bus.sandbox.onec.cml_books import Books
from bus.sandbox.onec.cml_faults import Faults
from bus.sandbox.onec.cml_registry import ORDERS, PARTIES, Registry
from bus.sandbox.onec.cml_settings import Settings
from bus.sandbox.onec.cml_values import Party, Said
from bus.sandbox.onec.cml_write_ut import ENGLISH, RUSSIAN


@dataclass(frozen=True)
class OutFile:
    """A file to be sent: what it holds of the registry, and what a report calls its contents."""

    name: str
    content: bytes
    of: str
    keys: Mapping[str, int]
    labels: tuple[str, ...]


class Outgoing:
    """Writes the files of one node. Whoever calls `files` holds the base's lock."""

    def __init__(self, base: Base, profile: str, settings: Settings, registry: Registry, faults: Faults) -> None:
        self._base = base
        self._profile = profile
        self._settings = settings
        self._registry = registry
        self._faults = faults

    def now(self) -> datetime:
        """1C's clock, which a fault may set wrong."""
        skew = self._faults.take("clock_skew")
        at = datetime.fromtimestamp(int(self._base.clock()), times.ZONE)
        return at + timedelta(seconds=float(skew.extra.get("seconds", 3600))) if skew else at

    def files(self, name: uuid.UUID) -> list[OutFile]:
        """All that waits; `name` tells the files of this run from those of any other."""
        huge = self._faults.take("huge_batch")
        if huge:
            self._registry.register_all()
        backwards = self._faults.take("reordered") is not None
        at = self.now()
        found = self._parties(at, name) if self._profile == "bus" else []
        orders = self._orders()
        size = self._settings.portion or max(len(orders), 1)
        for number, start in enumerate(range(0, len(orders), size), 1):
            part = orders[start : start + size]
            said = [one for _, one in (reversed(part) if backwards else part)] * int(
                huge.extra.get("times", 1) if huge else 1
            )
            content = self._lied(self._write(said, at, backwards=backwards))
            keys = {one.ref: seq for seq, one in part}
            labels = tuple(one.site_number or one.number for _, one in part)
            found.append(OutFile(f"orders-{name}_{number}.xml", content, ORDERS, keys, labels))
        return [*reversed(found)] if backwards else found

    def _parties(self, at: datetime, name: uuid.UUID) -> list[OutFile]:
        """contragents.xml, when a counterparty or one of its accounts has changed."""
        waiting = self._registry.waiting(PARTIES)
        books = self._books()
        parties: list[Party] = [party for key in waiting if (party := books.party(key))]
        if not parties:
            return []
        content = self._lied(cml_write_bus.write_parties(parties, at))
        labels = tuple(one.ref for one in parties)
        return [OutFile(f"contragents_1_{name}.xml", content, PARTIES, waiting, labels)]

    def _orders(self) -> list[tuple[int, Said]]:
        """What this profile tells of, with its registration; what it never tells is taken off the list."""
        books = self._books()
        found, idle = [], []
        for key, seq in self._registry.waiting(ORDERS).items():
            said = books.order(key)
            if said and self._tells(said):
                found.append((seq, said))
            else:
                idle.append(key)
        self._registry.drop(ORDERS, idle)
        return found

    def _tells(self, said: Said) -> bool:
        """UT: orders with a site number, and a deletion mark takes an order off; the others tell of all."""
        if self._profile == "ut":
            return bool(said.site_number) and not said.deleted
        return bool(said.site_number) or self._settings.born_here

    def _write(self, orders: Sequence[Said], at: datetime, *, backwards: bool) -> bytes:
        if self._profile == "ut":
            return cml_write_ut.write(orders, at, ENGLISH if self._settings.english else RUSSIAN)
        if self._profile == "unf":
            return cml_write_unf.write(orders, at, echo_id=self._settings.echo_id)
        return cml_write_bus.write_orders(orders, at, backwards=backwards)

    def _lied(self, content: bytes) -> bytes:
        """The fault wrong_declaration: UTF-8 that calls itself something else."""
        lie = self._faults.take("wrong_declaration")
        charset = str(lie.extra.get("charset", "windows-1251")) if lie else "UTF-8"
        return content.replace(b'encoding="UTF-8"', f'encoding="{charset}"'.encode(), 1)

    def _books(self) -> Books:
        return Books(self._base.objects, self._settings.statuses_out)


def packed(files: Sequence[OutFile], rng: random.Random) -> tuple[str, bytes]:
    """One archive with everything inside; the site must take it apart by the names within."""
    box = BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in files:
            archive.writestr(one.name, one.content)
    return f"v8_{rng.randrange(0x10000):04X}_{rng.randrange(0x100):02x}.zip", box.getvalue()
