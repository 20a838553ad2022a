"""Do the books have every order of the shop, each once, with its sum, and no money but what was entered? Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bus.demo.agreement import Difference, Verdict

Row = dict[str, Any]
FIELDS = ("order in 1C", "sum in 1C", "money in 1C")
_ORDERS, _NUMBER, _SUM = "Document_ЗаказКлиента", "НомерПоДаннымКлиента", "СуммаДокумента"
_RECEIPTS = "Document_ПоступлениеБезналичныхДенежныхСредств"


def judge(verdict: Verdict, shop: Row, onec: Row, *, entered: int) -> None:
    """Add to the verdict. `shop` and `onec` are what the stand-ins hold, `entered` the payments of the accountant."""
    documents: dict[str, list[Row]] = {}
    for document in onec[_ORDERS]:
        if not document["DeletionMark"]:
            documents.setdefault(document[_NUMBER], []).append(document)
    for order in shop["orders"]:
        _judge_order(verdict, order, documents.get(str(order["accountNumber"]), []))
    receipts = [one for one in onec[_RECEIPTS] if not one["DeletionMark"]]
    verdict.compared["money in 1C"] += len(receipts)
    if len(receipts) != entered:
        found = verdict.duplicates if len(receipts) > entered else verdict.lost
        found.append(Difference(None, "money in 1C", None, len(receipts), entered))


def _judge_order(verdict: Verdict, order: Row, there: list[Row]) -> None:
    key = int(order["id"])
    verdict.compared["order in 1C"] += 1
    if len(there) != 1:
        found = verdict.duplicates if there else verdict.lost
        found.append(Difference(key, "order in 1C", order["accountNumber"], len(there), 1))
        return
    if order["canceled"] == "Y":
        return  # 1C counts no cancelled rows
    verdict.compared["sum in 1C"] += 1
    ours, theirs = (Decimal(str(value)).quantize(Decimal("0.01")) for value in (order["price"], there[0][_SUM]))
    if ours != theirs:
        verdict.differences.append(Difference(key, "sum in 1C", ours, theirs))
