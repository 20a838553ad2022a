"""Bitrix24: one adapter for deals and counterparties, its checks and its directories."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from bus.config import System
from bus.errors import BusError, ConfigError
from bus.ports import Alike, Failed, Finding, Raw, RawRecord, Write, Written
from bus.systems.bitrix24_deals import Deals
from bus.systems.bitrix24_items import COMPANY, DEAL
from bus.systems.bitrix24_parties import Parties
from bus.systems.bitrix24_requisites import Presets
from bus.systems.bitrix_called import Called
from bus.systems.bitrix_rest import Outcome, Rest, Result, rows_of
from bus.systems.findings import scope_finding, user_finding, users_finding

_STAGES, _USERS = "crm.status.list", "user.get"
_FIELDS = {"deal_fields": DEAL, "party_fields": COMPANY}
"""Directories of fields, by the items that have them."""


class Bitrix24(Called):
    """Adapter of kind "bitrix24", record types "deal" (bitrix24_deals) and "party" (bitrix24_parties)."""

    kind = "bitrix24"
    batch = 49
    reach = 490
    """Ten lists of a page in one request; the updates are ten requests more."""

    def __init__(self, system: str, config: System, rest: Rest, presets: Presets | None = None) -> None:
        super().__init__(rest)
        self.system = system
        self._config, self._presets = config, presets or Presets()
        self._category = config.settings.get("category")
        self._parties = Parties(rest, self._presets)
        self._deals = Deals(rest, self._category)

    def with_urgency(self, urgent: bool) -> Bitrix24:
        """A copy that shares connections and limits, and may (or may not) use the payments' reserve."""
        return Bitrix24(self.system, self._config, self._rest.with_urgency(urgent), self._presets)

    def portion(self, record_type: str) -> int:
        """Rows of deals take a command each; parts of counterparties go by lists, and are read by the hundred."""
        return self.reach if record_type == "party" else self.batch

    def fetch(self, record_type: str, ids: Sequence[str], parts: Collection[str] | None = None) -> dict[str, Raw]:
        """Present records by id, by lists packed into batches."""
        return self._of(record_type).fetch(ids, parts)

    def alike(self, record_type: str, wanted: Mapping[str, Alike]) -> dict[str, list[RawRecord]]:
        """Counterparties that may be there already: by INN first, then by phone and e-mail."""
        return self._of(record_type).alike(wanted)

    def glance(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        """When each deal was last saved, and by whom; of counterparties nothing."""
        return self._of(record_type).glance(ids)

    def retrace(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        """Which stages each deal has gone through."""
        del record_type
        return self._deals.retrace(ids)

    def find(self, record_type: str, origins: Sequence[str]) -> dict[str, RawRecord]:
        """Records created under our keys; should one key have two, the older."""
        return self._of(record_type).find(origins)

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        """Records by time of change, complete as `fetch` reads them."""
        return self._of(record_type).changed(since)

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """Carry out writes; never raises for the call as a whole."""
        told: dict[int, Written | Failed] = {}
        for record_type in dict.fromkeys(write.record_type for write in writes):
            places = [at for at, write in enumerate(writes) if write.record_type == record_type]
            answers = self._of(record_type).write([writes[at] for at in places])
            told |= dict(zip(places, answers, strict=True))
        return [told[at] for at in range(len(writes))]

    def check(self) -> Iterable[Finding]:
        """Reachable, as whom, with which scopes, and whether deals are there."""
        commands = [("profile", {}), ("scope", {}), ("crm.item.fields", {"entityTypeId": DEAL})]
        try:
            profile, scope, fields = self._rest.batch(commands)
        except BusError as error:
            return [Finding("connection", ok=False, say=str(error))]
        return [
            Finding("connection", ok=True, say="the portal answers"),
            user_finding(profile, self._config.integration_user),
            scope_finding(scope, "crm"),
            _fields_finding(fields),
            *([users_finding(scope)] if "counterparty" in self._config.routes else []),
        ]

    def codes(self, table: str) -> Mapping[str, str]:
        """Stages of the common funnel and of the configured one; users; or the fields that items have here."""
        if table in _FIELDS:
            asked = {"entityTypeId": _FIELDS[table], "useOriginalUfNames": "Y"}
            fields = self._rest.call("crm.item.fields", asked)["fields"]
            return {name: str(about.get("title") or name) for name, about in fields.items()}
        if table == "users":
            return self._users()
        return self._stages() if table == "deal_stage" else {}

    def _stages(self) -> dict[str, str]:
        funnels = ["DEAL_STAGE", *([f"DEAL_STAGE_{self._category}"] if self._category not in (None, "0") else [])]
        found: dict[str, str] = {}
        for funnel in funnels:
            rows = self._rest.call(_STAGES, {"order": {"SORT": "ASC"}, "filter": {"ENTITY_ID": funnel}})
            found |= {str(row["STATUS_ID"]): str(row["NAME"]) for row in rows_of(rows, "statuses")}
        return found

    def _users(self) -> dict[str, str]:
        """Everybody who works or has worked here, by e-mail, or by name where the webhook may not see e-mails.

        Needs the scope user_basic or user; user_brief shows no e-mails.
        """
        found: dict[str, str] = {}
        while True:
            page = rows_of(self._rest.call(_USERS, {"sort": "ID", "order": "ASC", "start": len(found)}), "users")
            fresh = {str(row["ID"]): _called(row) for row in page if str(row["ID"]) not in found}
            found |= fresh
            if not fresh or len(page) < 50:  # noqa: PLR2004 - a page
                return found

    def _of(self, record_type: str) -> Deals | Parties:
        if record_type == "deal":
            return self._deals
        if record_type == "party":
            return self._parties
        raise ConfigError(f"bitrix24 has no records of type {record_type!r}, only 'deal' and 'party'")


def _called(user: Raw) -> str:
    names = (str(user.get(name) or "").strip() for name in ("NAME", "LAST_NAME"))
    return str(user.get("EMAIL") or "").strip().lower() or " ".join(name for name in names if name)


def _fields_finding(fields: Outcome) -> Finding:
    if not isinstance(fields, Result):
        return Finding("deals", ok=False, say=str(fields))
    return Finding("deals", ok=True, say=f"{len(fields.value.get('fields', {}))} fields")
