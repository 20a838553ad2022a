"""Payments as they are made in a 1C base: documents of money for one order; and how one is split otherwise."""

from __future__ import annotations

from bus.errors import Permanent
from bus.ports import Raw
from bus.systems.onec_calls import KEY
from bus.systems.onec_figures import exact
from bus.systems.onec_making import Job, Maker
from bus.systems.onec_shelf import EMPTY


class Payments:
    """Makes documents of money, and changes what of one is for an order."""

    def __init__(self, maker: Maker) -> None:
        self._maker = maker

    def new(self, job: Job) -> Raw:
        """A document of money for one order: whom it is of, and by which organisation, the order says."""
        change, thing, need = job.write.change, job.thing, self._maker.names
        if not job.write.parent:
            raise Permanent("a payment needs the order it belongs to", cause="payment without order")
        if thing == "refund" and not self._maker.posts:
            say = "a refund counts only when it is posted, which settings.post does not let us: say post: yes"
            raise Permanent(say, cause="refund not posted")
        if "amount" not in change:
            raise Permanent("a payment needs its amount", cause="payment without amount")
        order = self._maker.calls.one(need.need("order"), job.write.parent)
        amount = float(exact(change["amount"]))
        body = self._maker.document(thing)
        for role in ("counterparty", "partner", "organisation"):
            name, of_order = need.get(thing, role), need.get("order", role)
            if name and of_order and order.get(of_order, EMPTY) != EMPTY:
                body[name] = order[of_order]
        body |= self._maker.currency(thing, change) | dict(change.get("fields") or {})
        body[need.need(thing, "total")] = amount
        if (operation := need.get(thing, "operation")) and (value := need.get(thing, "operation_is")):
            body[operation] = value
        body[need.need(thing, "rows")] = [self._split_row(thing, job.write.parent, amount, body)]
        return body | self._maker.marked(job, body)

    def _split_row(self, thing: str, order: str, amount: float, body: Raw) -> Raw:
        need = self._maker.names
        reference = need.need(thing, "row_order")
        row: Raw = {"LineNumber": "1", reference: order, need.need(thing, "row_amount"): amount}
        if not reference.endswith("_Key"):
            row[f"{reference}_Type"] = f"StandardODATA.{need.need('order')}"
        partner, of_body = need.get(thing, "row_partner"), need.get(thing, "partner")
        return row | ({partner: body[of_body]} if partner and of_body in body else {})

    def resplit(self, job: Job, row: Raw) -> Raw:
        """The rows of one order come to another sum; the document's is more by the difference."""
        thing, need = job.thing, self._maker.names
        section, field_, total = (need.need(thing, role) for role in ("rows", "row_amount", "total"))
        order, wanted = str(job.write.id).partition(":")[2], exact(job.write.change["amount"])
        rows = [{name: value for name, value in part.items() if name != KEY} for part in row.get(section) or []]
        settled = self._maker.reader.settled_by(thing, [row])
        mine = [part for part in rows if self._maker.reader.order_of(thing, part, settled) == order]
        more = wanted - sum((exact(part.get(field_)) for part in mine), exact(0))
        if not more:
            return {}
        mine[0][field_] = float(exact(mine[0].get(field_)) + more)
        return {section: rows, total: float(exact(row.get(total)) + more)}
