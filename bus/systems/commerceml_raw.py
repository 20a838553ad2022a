"""Raw records of CommerceML: the texts and flags in them, what they are known by, and which state of them this is."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Literal

from bus.model import Json
from bus.ports import Raw
from bus.systems import commerceml_shape as shape
from bus.systems.commerceml_shape import DocumentType

Profile = Literal["auto", "ut", "unf", "bus"]

OURS = re.compile(r"bus-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""The Ид of what we gave out: it names our entity."""

_TRUE = frozenset({"true", "истина", "1", "да", "yes", "y"})
_FALSE = frozenset({"false", "ложь", "0", "нет", "no", "n"})
_GIVES_BACK = "возврат"


def record_id(kind: DocumentType, raw: Raw, profile: Profile) -> str:
    """The external id of a document's record.

    An order is known by the site's number where it came from the site, else by its Ид: UT gives out site orders only,
    under its own GUID; UNF too, and an order born there has its own number for the site's; BUS keeps the site's Ид. A
    payment may pay several orders, so that the order is part of its id.
    """
    own, number = text(raw.get("Ид")), text(raw.get("Номер"))
    if kind == "order":
        return number or own if _from_site(own, number, raw, profile) else own or number
    if kind == "payment":
        order = text(raw.get("@order")) or text(raw.get("Основание"))
        named = own or text(raw.get("Номер1С")) or number
        return named if OURS.fullmatch(named) or not (order and named) else f"{named}:{order}"
    return own


def born_there(raw: Raw) -> bool:
    """Whether an order was made in 1C, so that its Номер is 1C's own and no site's."""
    own, number = text(raw.get("Ид")), text(raw.get("Номер"))
    return not _from_site(own, number, raw, raw.get("@profile", "ut"))


def _from_site(own: str, number: str, raw: Raw, profile: Profile) -> bool:
    if OURS.fullmatch(own) or profile == "ut":
        return True
    if profile == "unf":
        return number != requisite(raw, "Номер по 1С")
    return False


def version_of(raw: Raw) -> str:
    """1C's own version of the object, where it says one; else a hash of what the document says."""
    said = text(raw.get("НомерВерсии"))
    if said:
        return f"v{said}"
    plain = {name: value for name, value in raw.items() if not name.startswith("@")}
    canonical = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"h{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"


def text(value: Json) -> str:
    """The text of an element; "" where there is none."""
    if isinstance(value, dict):
        value = value.get("#")
    return value.strip() if isinstance(value, str) else ""


def requisite(raw: Raw, name: str) -> str:
    """A requisite's value, the first that is not empty."""
    values = raw.get(shape.REQUISITES)
    said = values.get(name) if isinstance(values, dict) else None
    return next((text(one) for one in (said if isinstance(said, list) else [said]) if text(one)), "")


def is_true(value: str) -> bool:
    """A flag as 1C and sites write it."""
    return value.strip().lower() in _TRUE


def is_false(value: str) -> bool:
    """The same, said to be off; what is not said is neither."""
    return value.strip().lower() in _FALSE


def gone(kind: DocumentType, raw: Raw) -> bool:
    """Whether a document is no record: marked for deletion, or money given back that has not happened."""
    if kind != "payment" or not gives_back(text(raw.get("ХозОперация"))):
        return deleted(raw)
    paid = requisite(raw, "Оплачен") or requisite(raw, "Оплачено")
    return deleted(raw) or not happened(paid, requisite(raw, "Отменен"), requisite(raw, "Проведен"))


def gives_back(operation: str) -> bool:
    """Whether a payment's document is one that gives money back; one that took it is only marked as returned."""
    return operation.lower().startswith(_GIVES_BACK)


def happened(paid: str, cancelled: str, posted: str) -> bool:
    """Of a payment's flags: what 1C has not posted, or says is not paid, is expected; what it is silent of is done."""
    return not (is_false(paid) or is_true(cancelled) or is_false(posted))


def deleted(raw: Raw) -> bool:
    """Whether a document bears 1C's deletion mark, as an element or as a requisite."""
    return is_true(text(raw.get("ПометкаУдаления"))) or is_true(requisite(raw, "ПометкаУдаления"))


def payments(order: Raw) -> list[Raw]:
    """The payments in an order's raw record, each knowing its order by "@order"."""
    inside = order.get(shape.PARTS)
    known = record_id("order", order, order.get("@profile", "ut"))
    ours = {name: value for name, value in order.items() if name in ("@profile", "@read_at")}
    return [
        {**one, **ours, "@order": known, "@version": version_of(one)}
        for one in (inside if isinstance(inside, list) else [])
        if isinstance(one, dict) and shape.document_type(text(one.get("ХозОперация"))) == "payment"
    ]
