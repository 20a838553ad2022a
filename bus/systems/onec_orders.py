"""Orders as they are made and changed in a 1C base: for whom, of what goods, in which state."""

from __future__ import annotations

from bus.errors import Permanent
from bus.ports import Raw
from bus.systems.onec_finding import Finder
from bus.systems.onec_goods import Goods
from bus.systems.onec_making import Job, Maker
from bus.systems.onec_parties import Parties


class Orders:
    """Makes orders, and says what a change is in the base's own fields."""

    def __init__(self, maker: Maker, finder: Finder, parties: Parties) -> None:
        self._maker, self._parties = maker, parties
        self._goods = Goods(maker, finder)

    def new(self, job: Job) -> Raw:
        """A new order: its prices have their tax in them, as a shop's have; its number there is of its date."""
        change, names = job.write.change, self._maker.names
        body = self.plain(change) | self._maker.document("order") | self._maker.currency("order", change)
        body |= self._parties.buyer(dict(change.get("buyer") or {}))
        if flag := names.get("order", "price_with_tax"):
            body[flag] = True
        if names.get("order", "number") in body and (day := names.get("order", "number_date")):
            body[day] = body[names.need("order", "at")]
        return body | self._goods.new(change) | self._maker.marked(job, body)

    def changed(self, job: Job, row: Raw) -> Raw:
        """The native fields of a change to a present order."""
        return self.plain(job.write.change) | self._goods.changed(row, job.write.change)

    def plain(self, change: Raw) -> Raw:
        """Fields that need no look-up but a state of УНФ's orders, which is named."""
        fields = dict(change.get("fields") or {})
        return {
            name: self._state(value["@state"]) if isinstance(value, dict) else value for name, value in fields.items()
        }

    def _state(self, called: str) -> str:
        reader = self._maker.reader
        key = next((key for key, row in reader.states().items() if row.get("Description") == called), None)
        if key is None:
            reader.shelf.forget("states")
            say = f"{reader.names.need('states')}: there is no state {called!r}: correct order_state in tables.yaml"
            raise Permanent(say, cause=f"no state {called}")
        return key
