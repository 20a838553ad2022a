"""Retry classes: for every method that we call, what it means that its answer is lost.

A request that was sent and not answered (or answered with "server error") may have taken effect or not. What that
means is the method's, not the error's: so each has its class here, and no adapter sends a method that has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bus.errors import BusError, Transient, UnknownOutcome, Unrepeatable


class RetryClass(StrEnum):
    """What may be done after a lost answer."""

    READ = "read"
    """Asked again."""
    IDEMPOTENT = "idempotent write"
    """Written again: the same value twice changes nothing. What a person set in between is read first."""
    PROBED = "create with probe"
    """Looked for by the key that it carries, and repeated only if it is not there."""
    KEYLESS = "create without key"
    """Never repeated by the bus: a person looks."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method's class and why: what a repeat does there, and what is asked first."""

    kind: RetryClass
    why: str


def _read(why: str) -> Method:
    return Method(RetryClass.READ, why)


def _idempotent(why: str) -> Method:
    return Method(RetryClass.IDEMPOTENT, why)


def _probed(why: str) -> Method:
    return Method(RetryClass.PROBED, why)


METHODS: Mapping[str, Method] = {
    "profile": _read("who the webhook is"),
    "scope": _read("what it may do"),
    "server.time": _read("whether it answers"),
    "crm.item.get": _read("one deal or company, hidden ones told from deleted ones"),
    "crm.item.list": _read("deals, contacts, companies; the probe of each, by originatorId and originId"),
    "crm.item.fields": _read("the fields of deals and companies"),
    "crm.item.productrow.list": _read("the product rows of a deal"),
    "crm.stagehistory.list": _read("the stages a deal has gone through, where an answer to a write of one was lost"),
    "crm.orderentity.list": _read("which orders deals are linked to"),
    "crm.duplicate.findbycomm": _read("the probe of contacts and counterparties, by phone and e-mail"),
    "crm.requisite.list": _read("requisites by owner, INN and time of change; the probe of requisites"),
    "crm.requisite.bankdetail.list": _read("accounts of requisites; the probe of accounts"),
    "crm.requisite.preset.list": _read("the templates of requisites"),
    "crm.address.list": _read("addresses of requisites"),
    "crm.status.list": _read("the stages"),
    "sale.order.get": _read("an order; the probe of its basket rows"),
    "sale.order.list": _read("orders by time of change; the probe of orders, by xmlId"),
    "sale.payment.get": _read("a payment"),
    "sale.payment.list": _read("the probe of payments, by xmlId"),
    "sale.property.list": _read("the ids of order properties"),
    "sale.status.list": _read("the statuses"),
    "sale.statuslang.list": _read("their names"),
    "crm.item.update": _idempotent("the same values again are no save and raise no event"),
    "crm.item.productrow.set": _idempotent("replaces all rows: the same rows again, with new row ids"),
    "crm.requisite.update": _idempotent("the same values again, though each is a save and an event"),
    "crm.requisite.bankdetail.update": _idempotent("the same values again, though each is a save and an event"),
    "crm.address.add": _idempotent("one of a type: a second is answered with TypeAddress exists, and updated instead"),
    "crm.address.update": _idempotent("the same values again"),
    "crm.orderentity.add": _idempotent("a link that is there is answered with 201650000001, which counts as done"),
    "sale.order.update": _idempotent("the same values again are no save and no new version"),
    "sale.payment.update": _idempotent("the same values again are no save and no new version"),
    "sale.propertyvalue.modify": _idempotent("sets all properties: the same values again are no save"),
    "user.get": _read("who works there"),
    "tasks.task.get": _read("whether a task is done"),
    "tasks.task.list": _read("the probe of tasks, by the mark in their titles"),
    "tasks.task.update": _idempotent("the same person, or done, once more"),
    "tasks.task.add": _probed("the mark in its title; under REST 3.0 an Idempotency-Key besides"),
    "crm.item.add": _probed("originatorId and originId; a contact also by its phone and e-mail"),
    "crm.requisite.add": _probed("its owner: a counterparty is read before each write, and has one that is ours"),
    "crm.requisite.bankdetail.add": _probed("its requisite and number: accounts are read before each write"),
    "sale.order.add": _probed("xmlId"),
    "sale.payment.add": _probed("xmlId"),
    "sale.basketitem.add": _probed("xmlId of the row, made of the order's key and the row's place"),
}
"""By name in lower case. Why a class holds stands in the vendor's docs of each method and in the kernel's source."""

VERBS: Mapping[str, Method] = {
    "odata.get": _read("objects and lists; the probe of what was created, by our key or our mark"),
    "odata.metadata": _read("what the base publishes"),
    "odata.changes": _read("SelectChanges: the same message number again gives the same, and what changed since"),
    "odata.received": _idempotent("NotifyChangesReceived: a change made since is registered anew, and stays"),
    "odata.create": _probed("Ref_Key of our choice; where the base does not take it, our mark in a text"),
    "odata.change": _idempotent("PATCH: the same values again; the version grows, and nothing else does"),
    "odata.post": _idempotent("posting a posted document writes the same movements anew"),
}
"""What we do at a 1C base's OData interface, by names of our own: there it is a verb and an address (facts 2.4)."""


def class_of(method: str) -> RetryClass:
    """The class of a method; one that is not in the table is treated as the worst."""
    known = METHODS.get(method.lower()) or VERBS.get(method)
    return known.kind if known else RetryClass.KEYLESS


def is_write(method: str) -> bool:
    """Whether a call may change anything."""
    return class_of(method) is not RetryClass.READ


def meant(error: BusError, method: str) -> BusError:
    """What an unknown outcome of a request means for one command in it; any other error as it is."""
    if not isinstance(error, UnknownOutcome):
        return error
    match class_of(method):
        case RetryClass.READ:
            return Transient(str(error), cause=error.cause, detail=error.detail)
        case RetryClass.IDEMPOTENT:
            say = f"{error}; it may have taken effect, and does no harm twice"
            return Transient(say, cause=error.cause, detail=error.detail)
        case RetryClass.PROBED:
            return error
        case RetryClass.KEYLESS:
            say = f"{error}; it may have taken effect: look there, then retry or discard"
            return Unrepeatable(say, cause=error.cause, detail=error.detail)
