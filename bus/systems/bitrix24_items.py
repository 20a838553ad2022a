"""Items of Bitrix24 (crm.item): lists packed many to a request, and hidden items told from deleted ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bus.model import Json
from bus.ports import Raw
from bus.systems.bitrix_errors import NotFound
from bus.systems.bitrix_rest import PAGE, Command, Outcome, Rest, rows_of
from bus.systems.jobs import chunks, value_of

ORIGINATOR = "integration-bus"
DEAL, CONTACT, COMPANY = 2, 3, 4
"""entityTypeId."""
ADD, UPDATE, GET, LIST = "crm.item.add", "crm.item.update", "crm.item.get", "crm.item.list"


def list_of(kind: int, where: Raw, select: Sequence[str]) -> Command:
    """Items of a kind, at most a page of them."""
    params = {"entityTypeId": kind, "filter": where, "select": list(select), "useOriginalUfNames": "Y", "start": -1}
    return LIST, {**params, "order": {"id": "ASC"}}


def lists_of(kind: int, ids: Sequence[int], select: Sequence[str]) -> list[Command]:
    """Items by id, each list a page."""
    return [list_of(kind, {"@id": page}, select) for page in chunks(ids, PAGE)]


def items_of(outcomes: Iterable[Outcome]) -> dict[int, Raw]:
    """What lists answered, by id. Raises the error of any that failed: half a list would pass for deletions."""
    return {int(item["id"]): item for outcome in outcomes for item in rows_of(value_of(outcome), "items")}


def asked_for_by_name(rest: Rest, kind: int, missing: Sequence[int]) -> dict[int, Raw]:
    """A list leaves out what the webhook's user may not see, as if it were deleted; only `get` tells the two apart.

    Raises Permanent for an item that is there and hidden: taken for deleted, it would be removed elsewhere.
    """
    params = {"entityTypeId": kind, "useOriginalUfNames": "Y"}
    outcomes = rest.each([(GET, {**params, "id": one}) for one in missing])
    told = zip(missing, outcomes, strict=True)
    return {one: value_of(outcome)["item"] for one, outcome in told if not isinstance(outcome, NotFound)}


def multi(kind: str, value: Json) -> Raw:
    """A phone or e-mail to be added."""
    return {"typeId": kind, "valueType": "WORK", "value": value}
