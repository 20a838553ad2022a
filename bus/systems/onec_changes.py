"""What changed in a 1C base, which keeps no time of change: versions compared, or an exchange plan asked.

A version is opaque and only tells that an object is another one than before. So keys and versions are read first, of
documents those of a window of dates, and only what has another version than the one handed over last is read whole. A
version is remembered after its page was taken (the reader of pages has come back for the next), so a run that breaks
off hands its last page over again. A full pass reads everything, whatever is remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from zoneinfo import ZoneInfo

from lxml import etree

from bus.config import System
from bus.errors import ConfigError, Permanent
from bus.model import Kind
from bus.ports import Raw, RawRecord
from bus.systems.jobs import chunks
from bus.systems.onec_calls import KEY, KEYS_PAGE, Calls
from bus.systems.onec_memory import Memory
from bus.systems.onec_names import Names
from bus.systems.onec_reading import RECORDS, Accounts, Reader

WINDOW_DAYS = 30
_TAKEN = 50
_FULL_BEFORE = datetime.fromisoformat("1971-01-01T00:00:00+00:00")
_VERSION = "DataVersion"
_ENTRY = re.compile(r"/([^/()]+)\(guid'([0-9a-fA-F-]{36})'\)$")
_DAY = "T00:00:00"


@dataclass(frozen=True, slots=True)
class Registered:
    """One entry of a feed: an object of a set in its present state; gone, where it was really deleted."""

    set: str
    key: str
    version: str | None


class Changes:
    """Finds what changed, by the way that the settings name."""

    def __init__(self, reader: Reader, memory: Memory, config: System) -> None:
        self._reader, self._memory, self._config = reader, memory, config
        self._calls: Calls = reader.calls
        self._names: Names = reader.names
        self._settings = config.settings
        self._zone = ZoneInfo(config.zone)
        self._days = _days(config.settings)

    def since(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        """Pages of records that changed; from the beginning of time: all of them."""
        if since < _FULL_BEFORE:
            for thing in self._things(record_type):
                yield from self._all(thing)
        elif self._node:
            yield from self._registered(record_type)
        else:
            for thing in self._things(record_type):
                yield from self._other_versions(thing)

    def _things(self, record_type: str) -> tuple[str, ...]:
        return self._reader.money if record_type == "payment" else (record_type,)

    def _all(self, thing: str) -> Iterator[list[RawRecord]]:
        """Everything, whole, by pages; what is remembered afterwards is what the window can ask for."""
        self._memory.begin(thing)
        start = self._start()
        at = self._names.get(thing, "at")
        accounts = self._reader.accounts() if thing == "counterparty" else None
        for page in self._calls.pages(self._names.need(thing), where=self._reader.operation(thing)):
            if records := self._told(thing, page, accounts):
                yield records
            recent = [row for row in page if at is None or str(row.get(at) or "") >= start]
            self._memory.handed(thing, _versions(recent), anew=True)
        yield from self._of_another_operation(thing)
        self._memory.instead(thing)

    def _of_another_operation(self, thing: str) -> Iterator[list[RawRecord]]:
        """Documents that were handed over, and that no list has any more: somebody found that they are something else.

        What has left the window since is looked at with them.
        """
        left = self._memory.left(thing) if self._reader.operation(thing) else []
        for some in chunks(left, _TAKEN):
            rows = self._calls.by_keys(self._names.need(thing), some)
            other = [row for row in rows if self._reader.of_another_operation(thing, row)]
            if records := self._told(thing, other):
                yield records

    def _other_versions(self, thing: str) -> Iterator[list[RawRecord]]:
        """Objects with another version than the one handed over last; of documents those of the window."""
        select = [KEY, _VERSION]
        for page in self._calls.pages(
            self._names.need(thing), select=select, where=self._window(thing), size=KEYS_PAGE
        ):
            yield from self._handed(thing, _versions(page))

    def _handed(self, thing: str, versions: Mapping[str, str]) -> Iterator[list[RawRecord]]:
        """Read what is news of these, hand it over, and remember it once it was taken."""
        known = self._memory.versions(thing, list(versions))
        news = [key for key, version in versions.items() if known.get(key) != version]
        for some in chunks(news, _TAKEN):
            rows = self._calls.by_keys(self._names.need(thing), some)
            if records := self._told(thing, rows):
                yield records
            self._memory.handed(thing, _versions(rows))

    def _told(self, thing: str, rows: Sequence[Raw], accounts: Accounts | None = None) -> list[RawRecord]:
        """What rows that were read tell: records, and what is gone."""
        reader = self._reader
        return [*reader.records(thing, rows, accounts=accounts), *reader.gone(thing, rows), *reader.rest(thing, rows)]

    def _window(self, thing: str) -> str:
        at = self._names.get(thing, "at")
        dated = f"{at} ge datetime'{self._start()}'" if at else ""
        return " and ".join(part for part in (dated, self._reader.operation(thing)) if part)

    def _start(self) -> str:
        """The first day of the window, by the base's clock."""
        day = self._calls.now().astimezone(self._zone) - timedelta(days=self._days)
        return f"{day.date().isoformat()}{_DAY}"

    # an exchange plan: the base itself registers what changed, until it is told that we have it (facts 2.7)

    @property
    def _node(self) -> str | None:
        plan, node = self._settings.get("exchange_plan"), self._settings.get("node")
        if bool(plan) != bool(node):
            raise ConfigError("settings: exchange_plan and node go together: the plan's name, and the key of our node")
        return f"ExchangePlan_{plan}(guid'{node}')" if plan else None

    def _registered(self, record_type: str) -> Iterator[list[RawRecord]]:
        """What is registered for our node, as far as it is of this type and news.

        The message is acknowledged once all of it was handed over, of whatever type: asked again before that, the
        base tells the same and what changed since.
        """
        node = str(self._node)
        number = self._number(node)
        feed = registered(self._calls.changes(node, number))
        for thing in self._things(record_type):
            set_ = self._names.need(thing)
            yield from self._handed(thing, {one.key: one.version for one in feed if one.set == set_ and one.version})
        if feed and not self._outstanding(feed):
            self._calls.received(node, number)

    def _number(self, node: str) -> int:
        """The next message: one more than the base has been told of."""
        set_, _, key = node.partition("(guid'")
        plan = self._calls.one(set_, key.removesuffix("')"))
        return int(plan.get("ReceivedNo") or 0) + 1

    def _outstanding(self, feed: Sequence[Registered]) -> bool:
        """Whether anything of the feed that the bus reads at all was not handed over in its present version."""
        for record_type in RECORDS:
            if self._config.routes and not self._reads(record_type):
                continue
            for thing in self._things(record_type):
                set_ = self._names.need(thing)
                wanted = {one.key: one.version for one in feed if one.set == set_ and one.version}
                if self._memory.versions(thing, list(wanted)) != wanted:
                    return True
        return False

    def _reads(self, record_type: str) -> bool:
        kinds: dict[str, Kind] = {"order": "order", "payment": "payment", "counterparty": "counterparty"}
        route = self._config.routes.get(kinds[record_type])
        return route is not None and route.inward.value != "off"


def registered(content: bytes) -> list[Registered]:
    """The entries of a SelectChanges feed. It has no XML declaration, and registers stand between the objects.

    Raises Permanent when it is no such feed.
    """
    found: list[Registered] = []
    entry: dict[str, str] = {}
    try:
        parsed = etree.iterparse(
            BytesIO(content), events=("end",), resolve_entities=False, no_network=True, huge_tree=True
        )
        for _, element in parsed:
            name = etree.QName(element).localname
            if name == "id":
                entry["id"] = element.text or ""
            elif name == _VERSION:
                entry["version"] = element.text or ""
            elif name == "entry":
                found += _entry(entry.get("id", ""), entry.get("version"))
                entry = {}
                element.clear()
            elif name == "deleted-entry":
                found += _entry(element.get("ref") or "", None)
    except etree.XMLSyntaxError:
        raise Permanent("SelectChanges: the answer is no feed", cause="SelectChanges no feed") from None
    return found


def _entry(address: str, version: str | None) -> list[Registered]:
    told = _ENTRY.search(address)
    return [Registered(told[1], told[2].lower(), version)] if told else []


def _versions(rows: Sequence[Raw]) -> dict[str, str]:
    return {str(row[KEY]).lower(): str(row.get(_VERSION) or "") for row in rows}


def _days(settings: Mapping[str, str]) -> int:
    said = settings.get("window_days", str(WINDOW_DAYS))
    if not said.isdecimal() or not int(said):
        raise ConfigError(f"settings.window_days: {said!r} is no number of days")
    return int(said)
