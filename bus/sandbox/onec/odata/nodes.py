"""The exchange plan: what changed for each node, as a set with message numbers, not a history."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bus.sandbox.onec import catalogs, documents, predefined
from bus.sandbox.onec.objects import SCHEMA, Objects
from bus.sandbox.onec.odata import atom, errors
from bus.sandbox.onec.odata.published import Published, address
from bus.sandbox.onec.odata.shapes import shape
from bus.sandbox.onec.schema import ZERO_GUID, Row

CONTENT = (
    catalogs.COUNTERPARTIES.name,
    catalogs.PARTNERS.name,
    catalogs.GOODS.name,
    documents.ORDER.name,
    documents.RECEIPT.name,
    documents.WRITE_OFF.name,
    documents.SHIPMENT.name,
)
"""The sets in the plan; an object of another set is not registered."""
_POINT = re.compile(r"ExchangePlan_(?P<plan>\w+)\(guid'+(?P<key>[0-9a-fA-F-]{36})'+\)")


@dataclass
class Node:
    """One reader. An object's number is that of the message that last carried it; None: changed and not sent since."""

    registered: dict[tuple[str, str], int | None] = field(default_factory=dict)

    def select(self, number: int) -> list[tuple[str, str]]:
        """Everything that is not acknowledged, old and newly changed, under this number."""
        for at, sent in self.registered.items():
            if sent is None:
                self.registered[at] = number
        return list(self.registered)

    def acknowledge(self, number: int) -> None:
        """Forget what messages up to this one carried; what changed since then has no number and stays."""
        self.registered = {at: sent for at, sent in self.registered.items() if sent is None or sent > number}


class Nodes:
    """The plan's nodes; every write of the base is registered for each of them."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._nodes: dict[str, Node] = {}
        objects.watches.append(self._register)

    def open(self) -> None:
        """Set the plan up: its own node, and one for a reader, from now on registered for."""
        name = documents.PLAN.name
        if self._objects.row(name, predefined.READER):
            return
        self._objects.create(name, {"Ref_Key": predefined.THIS_NODE, "Code": "1", "Description": "Эта база"})
        self._objects.create(name, {"Ref_Key": predefined.READER, "Code": "2", "Description": "Читатель OData"})
        self._nodes[predefined.READER] = Node()

    def select(self, published: Published, root: str, given: dict[str, str]) -> str:
        """SelectChanges: an Atom feed without XML declaration of present states and tombstones."""
        key, number = self._asked(given)
        now = self._objects.now()
        shown = [self._shown(published, root, now, *at) for at in self._nodes[key].select(number)]
        self._numbered(key, SentNo=number)
        return atom.frame(root, "".join(shown))

    def acknowledge(self, given: dict[str, str]) -> None:
        """NotifyChangesReceived."""
        key, number = self._asked(given)
        self._nodes[key].acknowledge(number)
        self._numbered(key, ReceivedNo=number)

    def _asked(self, given: dict[str, str]) -> tuple[str, int]:
        for name in ("DataExchangePoint", "MessageNo"):
            if not given.get(name):
                raise errors.missing(name)
        match = _POINT.search(given["DataExchangePoint"])
        if match is None or f"ExchangePlan_{match['plan']}" != documents.PLAN.name:
            raise errors.bad_text("DataExchangePoint", given["DataExchangePoint"])
        key = match["key"].lower()
        if key not in self._nodes:
            raise errors.no_entity(documents.PLAN.name, key)
        if not given["MessageNo"].isdigit():
            raise errors.bad_text("MessageNo", given["MessageNo"])
        return key, int(given["MessageNo"])

    def _shown(self, published: Published, root: str, now: str, name: str, key: str) -> str:
        schema = published.sets.get(name)
        if schema is None:
            return ""  # in the plan but not published: nobody hears of it
        row = self._objects.row(name, key)
        if row is None:
            return atom.deleted(root, now, address(schema, {"Ref_Key": key}))
        whole = shape(published, schema)
        return atom.entry(root, now, schema, row, whole.of(row), whole.links)

    def _register(self, name: str, old: Row | None, new: Row | None) -> None:
        if name not in CONTENT or not SCHEMA[name].referable:
            return
        key = str((new or old or {"Ref_Key": ZERO_GUID})["Ref_Key"])
        for node in self._nodes.values():
            node.registered.pop((name, key), None)  # what changed last comes last
            node.registered[name, key] = None

    def _numbered(self, key: str, **numbers: int) -> None:
        """SentNo and ReceivedNo, as ExchangePlan_… shows them: the next message is ReceivedNo + 1."""
        self._objects.change(documents.PLAN.name, key, numbers)
