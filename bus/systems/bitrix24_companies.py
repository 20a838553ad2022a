"""The company of a deal: read with its INN and KPP, and found by them for a new deal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bus.errors import BusError, Permanent
from bus.ports import Raw
from bus.systems.bitrix24_items import COMPANY, lists_of
from bus.systems.bitrix24_requisites import REQUISITES, by_owner, chosen, of_owners, rows_where, whole
from bus.systems.bitrix_rest import Rest
from bus.systems.jobs import Job, chunks

_INNS = 20
_PERSON = 12
"""Digits of a sole trader's INN, whom it tells alone; a legal entity's branches share one."""


class Companies:
    """Reads the companies of deals, and finds those of new ones. Deals without one cost nothing."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def read(self, raws: Iterable[Raw]) -> None:
        """Put its company beside each deal, {"item", "requisite"}: all in one request.

        What the webhook's user may not see stays unsaid: None would say that there is none.
        """
        raws = list(raws)
        wanted = sorted({_company_id(raw) for raw in raws} - {0})
        try:
            companies = self._companies(wanted)
        except Permanent:
            companies = {}
        for raw in raws:
            one = _company_id(raw)
            if one == 0 or one in companies:
                raw["company"] = companies.get(one)

    def find(self, jobs: Iterable[Job]) -> None:
        """Of new deals that say whose INN and KPP their company has, the one company that has them, as "company_id".

        Where several have them, or none has, the deal is made without one: never a guess. Where the question cannot be
        answered now, neither is the deal made now.
        """
        asked = [job for job in jobs if job.creates and job.change.get("company")]
        inns = sorted({str(job.change["company"]["inn"]) for job in asked})
        commands = [
            rows_where(REQUISITES, {"ENTITY_TYPE_ID": COMPANY, "@RQ_INN": page}) for page in chunks(inns, _INNS)
        ]
        try:
            rows = [row for page in whole(self._rest, commands) for row in page]
        except Permanent:  # the webhook's user may not read requisites: that is no reason to make no deal
            return
        except BusError as error:
            for job in asked:
                job.fail(error)
            return
        for job in asked:
            found = {int(row["ENTITY_ID"]) for row in rows if _has(row, job.change["company"])}
            if len(found) == 1:
                job.answers["company_id"] = found.pop()

    def _companies(self, ids: list[int]) -> dict[int, Raw]:
        lists = lists_of(COMPANY, ids, ["id", "title", "originatorId", "originId"])
        rows = whole(self._rest, [*lists, *of_owners([(COMPANY, one) for one in ids])])
        items = {int(item["id"]): item for _ in lists for item in next(rows)}
        requisites = by_owner([row for page in rows for row in page])
        return {
            one: {"item": item, "requisite": chosen(requisites.get((COMPANY, one), []), item)}
            for one, item in items.items()
        }


def _company_id(raw: Raw) -> int:
    return int(raw["item"].get("companyId") or 0)


def _has(row: Raw, wanted: Mapping[str, str | None]) -> bool:
    """The same INN and KPP; a sole trader has no KPP."""
    inn, kpp = str(wanted["inn"]), wanted.get("kpp")
    if str(row.get("RQ_INN")) != inn:
        return False
    return len(inn) == _PERSON or (bool(kpp) and str(row.get("RQ_KPP") or "") == kpp)
