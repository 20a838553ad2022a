"""Who wins each field, as the README's section Conflicts tells it; restated here, not read from the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Policy = Literal["owner", "newest", "priority", "status", "manual"]

#: The two that decide by the README's list of parts, first to last.
_TALKERS = ("crm", "shop", "onec")
_MONEY = ("onec", "bank", "shop", "crm")
_PARTIES = ("crm", "onec", "shop")


@dataclass(frozen=True)
class Rule:
    """One line of the README's table: the policy, and the parts it names in their order (an owner is the first)."""

    policy: Policy
    parts: tuple[str, ...]

    @property
    def owner(self) -> str | None:
        return self.parts[0] if self.policy == "owner" else None

    def rank(self, part: str) -> int:
        """The place of `part` in the list; those that the list does not name come last."""
        return self.parts.index(part) if part in self.parts else len(self.parts)


_SHOPS = Rule("owner", ("shop",))
_BOOKS = Rule("owner", ("onec",))
_NEWEST = Rule("newest", _TALKERS)
_FACT = Rule("priority", _MONEY)

RULES: dict[str, dict[str, Rule]] = {
    "order": {
        "number": _SHOPS,
        "status": Rule("status", ("shop", "crm", "onec")),
        "total": _SHOPS,
        "lines": _SHOPS,
        "delivery.method": _SHOPS,
        "customer.name": _NEWEST,
        "customer.phone": _NEWEST,
        "customer.email": _NEWEST,
        "delivery.address": _NEWEST,
        "comment": _NEWEST,
        "customer.company": _BOOKS,
        "customer.inn": _BOOKS,
        "customer.kpp": _BOOKS,
        "settled": _BOOKS,
    },
    "payment": {
        "amount": _FACT,
        "paid_at": _FACT,
        "external_number": _FACT,
        "method": Rule("newest", _MONEY),
        "status": Rule("status", _MONEY),
    },
    "counterparty": {
        "name": Rule("newest", _PARTIES),
        "phones": Rule("newest", _PARTIES),
        "emails": Rule("newest", _PARTIES),
        "type": _BOOKS,
        "legal_name": _BOOKS,
        "inn": _BOOKS,
        "kpp": _BOOKS,
        "ogrn": _BOOKS,
        "okpo": _BOOKS,
        "legal_address": _BOOKS,
        "accounts": _BOOKS,
        "credit_terms": _BOOKS,
        "address": Rule("manual", _PARTIES),
        "responsible": Rule("owner", ("crm",)),
    },
}

#: "When two records meet, their phones and e-mails are united once."
UNITED = frozenset({"phones", "emails"})

#: How far along each state is: "of two changes the further one wins". The closed ones have no step between them.
_FORWARD: dict[str, dict[str, frozenset[str]]] = {
    "order": {
        "new": frozenset({"accepted", "paid", "shipped", "completed", "cancelled"}),
        "accepted": frozenset({"paid", "shipped", "completed", "cancelled"}),
        "paid": frozenset({"shipped", "completed", "cancelled"}),
        "shipped": frozenset({"completed", "cancelled"}),
        "completed": frozenset(),
        "cancelled": frozenset(),
    },
    "payment": {
        "pending": frozenset({"paid", "refunded"}),
        "paid": frozenset({"refunded"}),
        "refunded": frozenset(),
        "refund": frozenset(),
    },
}

CLOSED = frozenset({"completed", "cancelled"})

#: "The CRM may reopen."
REOPENS = "crm"

#: "A paid order never becomes unpaid without a refund"; with one these steps back are open.
_REFUNDED = {"paid": frozenset({"new", "accepted"}), "shipped": frozenset({"new", "accepted"})}


def further(kind: str, one: str | None, other: str | None) -> bool:
    """Whether `other` lies ahead of `one`; any state lies ahead of nothing said."""
    return one is None or other in _FORWARD[kind][one]


def back_after_refund(kind: str, one: str | None, other: str | None) -> bool:
    """Whether the step back from `one` to `other` is one that a refund opens."""
    return kind == "order" and one is not None and other in _REFUNDED.get(one, frozenset())
