"""A world for stories: a portal, a shop and the intake over real HTTP, a real ledger, and the bus between.

Bells are rung in the test's own thread (`settle`), so that a story is quick and says itself when things happen; stories
about the queue itself run Celery workers instead (tests/stories/test_queue.py).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic, time
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from bus.config import Settings, from_document
from bus.envelope import Event
from bus.intake import create_app as create_intake
from bus.ledger import journal
from bus.sandbox.bitrix24 import Portal
from bus.sandbox.bitrix24 import create_app as create_site
from bus.sandbox.bitrix_cms import Shop
from bus.sandbox.onec import Base
from bus.sandbox.server import create_app as create_base
from bus.sandbox.server import rest_url, running
from workers.bootstrap import Wiring

SHOP_KEY = "whsec_c2hvcHNob3BzaG9wc2hvcHNob3BzaG9wc2hvcHNob3A="
BANK_KEY = "whsec_YmFua2JhbmtiYW5rYmFua2JhbmtiYW5rYmFua2Jhbms="
TOKEN = "portal-token"

ROUTES: dict[str, Any] = {
    "crm": {"order": {"in": "full", "out": "full"}},
    "shop": {"order": {"in": "full", "out": "update-only"}, "payment": {"in": "full", "out": "full"}},
    "bank": {"payment": {"in": "full"}},
    "bankfile": {"payment": {"in": "full"}},
    "onec": {
        "order": {"in": "update-only", "out": "full"},
        "payment": {"in": "full"},
        "counterparty": {"in": "full", "out": "full"},
    },
    "books crm": {"order": {"in": "full", "out": "full"}, "counterparty": {"in": "full", "out": "full"}},
}
OWN_ACCOUNT = "40702810400000012345"
RETAIL = "0f1a2b3c-0000-4000-8000-00000000b0b0"
"""The counterparty of the books that stands for every buyer without an INN."""
DELIVERY = "0f1a2b3c-0000-4000-8000-00000000d0d0"
BOOKS_SETTINGS = {"create_goods": "yes", "retail_counterparty": RETAIL, "delivery_item": DELIVERY}


@dataclass
class HandBells:
    """Bells that a story rings by hand."""

    published: list[Event] = field(default_factory=list)
    rung: set[tuple[str, bool]] = field(default_factory=set)

    def publish(self, events: Sequence[Event]) -> None:
        self.published += events

    def ring(self, system: str, *, urgent: bool) -> None:
        self.rung.add((system, urgent))


@dataclass
class Clock:
    """The clock on both systems' walls."""

    ahead_s: float = 0.0

    def __call__(self) -> float:
        return time() + self.ahead_s


@dataclass
class World:
    """Both systems, the bus, and the means to let it all come to rest."""

    portal: Portal
    shop: Shop
    wiring: Wiring
    bells: HandBells
    clock: "Clock"
    crm_url: str = ""
    shop_url: str = ""
    base: Base | None = None
    """The 1C, in a world that has one."""

    @property
    def books(self) -> Base:
        assert self.base is not None, "build the world with books=True"
        return self.base

    def settle(self, deadline_s: float = 20.0) -> None:
        """Let everything that is on its way arrive; fails when it does not come to rest in time."""
        end = monotonic() + deadline_s
        while True:
            self.portal.outbox.flush(5)
            self.shop.outbox.flush(5)
            moved = self.step()
            if not moved and not self._busy() and not self._outboxes():
                return
            assert monotonic() < end, f"no rest: {self.rows('SELECT * FROM delivery')} {self.open_events()}"

    def settle_lanes(self) -> None:
        """Let the lanes work off what they have, and deliver no message but theirs."""
        self.portal.outbox.flush(5)
        self.step()

    def step(self) -> bool:
        """Hand over what was published and drain the lanes once."""
        events, self.bells.published = self.bells.published, []
        self.wiring.pipeline.process(events)
        turn = datetime.now(UTC) + timedelta(seconds=2)
        self.wiring.reconcile.poll()
        for system in self.wiring.file.called:
            for urgent in (True, False):
                self.wiring.lane(system, urgent).drain(until=turn)
        return bool(events) or bool(self.bells.published)

    def _outboxes(self) -> bool:
        return self.portal.outbox.waiting() + self.shop.outbox.waiting() > 0

    def _busy(self) -> bool:
        with self.wiring.ledger.transaction() as connection:
            return journal.busy(connection)

    def open_events(self) -> list[dict[str, Any]]:
        return self.rows("SELECT source, subject, type, state, error FROM event WHERE state <> 'done'")

    def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        with self.wiring.ledger.transaction() as connection:
            return list(connection.execute(query, params).fetchall())

    def order(self, **act: Any) -> int:
        """A customer orders in the shop; the order's id."""
        return int(self.shop.act({"do": "create_order", **act})["id"])

    def deal_of(self, order: int) -> dict[str, Any]:
        """The one deal of an order, as the portal holds it."""
        deals = self.deals_of(order)
        assert len(deals) == 1, f"order {order} has {len(deals)} deals"
        return deals[0]

    def deals_of(self, order: int) -> list[dict[str, Any]]:
        return [deal for deal in self.portal.state({})["deals"] if deal["UF_CRM_ORDER_ID"] == str(order)]

    def shop_order(self, order: int) -> dict[str, Any]:
        return next(one for one in self.shop.state({})["orders"] if one["id"] == order)

    def move(self, order: int, stage: str) -> None:
        """A manager moves the order's deal."""
        self.portal.act({"do": "move_deal", "id": self.deal_of(order)["id"], "stage": stage})

    def writes(self) -> int:
        """Writing calls that both systems have seen."""
        return int(self.portal.calls.summary()["writes"]) + int(self.shop.calls.summary()["writes"])

    def letters(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM dead_letter WHERE state = 'open' ORDER BY id")

    def outcomes(self, subject: str) -> list[str]:
        return [
            row["outcome"] for row in self.rows("SELECT outcome FROM event WHERE subject = %s ORDER BY seq", subject)
        ]


def raw_config(crm_url: str, shop_url: str, onec_url: str | None = None, **changes: Any) -> dict[str, Any]:
    """The bus's configuration for these systems, as the YAML file says it."""
    limits = {"backoff_base_s": 0.01, "backoff_cap_s": 0.05, "breaker_open_s": 0.1, **changes.pop("limits", {})}
    shop_settings = {"pay_system": "3"}
    systems: dict[str, Any] = {
        "crm": {"kind": "bitrix24", "url": crm_url, "application_token": TOKEN, "integration_user": "1"},
        "shop": {"kind": "bitrix_cms", "url": shop_url, "keys": [SHOP_KEY], "settings": shop_settings},
        "bank": {"kind": "events", "keys": [BANK_KEY]},
    }
    if onec_url:
        login = {"user": "bus", "password": "secret", "settings": BOOKS_SETTINGS}
        systems["onec"] = {"kind": "onec", "url": onec_url, **login}
        systems["bankfile"] = {"kind": "bank", "accounts": [OWN_ACCOUNT]}
    for name, system in systems.items():
        system |= {"timeout_s": 5, "late_s": 0.05, "routes": ROUTES[name], **changes.get(name, {})}
    return {"systems": systems, "limits": limits, **changes.get("top", {})}


@contextmanager
def build(
    database_url: str, broker_url: str, *, ring: bool = False, books: bool = False, **changes: Any
) -> Iterator[World]:
    """Start a world; everything in it ends with the test.

    `ring`: bells go over the real queue, to real workers. `books`: there is a 1C too, and the CRM keeps companies.
    """
    with ExitStack() as stack:
        clock = Clock()
        portal, shop = Portal(cloud=False, clock=clock), Shop(clock=clock)
        portal.settings({"fields": {"UF_CRM_ORDER_NUMBER": "string"}})
        shop.settings(
            {"statuses": [{"id": "A", "sort": 120, "name": "Accepted"}, {"id": "S", "sort": 170, "name": "Sent"}]}
        )
        crm_url = rest_url(stack.enter_context(running(create_site(portal))), portal)
        shop_url = rest_url(stack.enter_context(running(create_site(shop))), shop)
        base = Base(clock=clock) if books else None
        onec_url = f"{stack.enter_context(running(create_base(base)))}/base/odata/standard.odata/" if base else None
        if base:
            base.act({"do": "create_counterparty", "name": "Розничный покупатель", "fields": {"Ref_Key": RETAIL}})
            base.act({"do": "create_product", "name": "Доставка", "fields": {"Ref_Key": DELIVERY}})
            changes = {**changes, "crm": {"routes": ROUTES["books crm"]} | changes.get("crm", {})}
        settings = Settings(database_url=SecretStr(database_url), broker_url=SecretStr(broker_url))
        wiring = Wiring(settings, from_document(raw_config(crm_url, shop_url, onec_url, **changes), {}))
        bells = HandBells()
        if not ring:
            wiring.__dict__["bells"] = bells
        intake = stack.enter_context(running_intake(wiring))
        portal.webhooks.append({"id": 201, "url": f"{intake}/bitrix24/crm", "application_token": TOKEN})
        shop.webhooks.append({"id": 201, "url": f"{intake}/shop/shop", "secret": SHOP_KEY})
        stack.callback(wiring.close)
        yield World(portal, shop, wiring, bells, clock, crm_url, shop_url, base)


@contextmanager
def running_intake(wiring: Wiring) -> Iterator[str]:
    app: FastAPI = create_intake(wiring.config, wiring.publisher, wiring.mappings)
    app.state.site = _NoSite()
    with running(app) as base:  # type: ignore[arg-type]  # it serves any ASGI application
        yield base


class _NoSite:
    def close(self) -> None:
        """The intake has nothing of a sandbox to close."""


def eventually(what: Callable[[], Any], deadline_s: float = 30.0) -> Any:
    """Wait until `what` holds, at most so long; returns what it returned."""
    from threading import Event as Tick

    end, tick = monotonic() + deadline_s, Tick()
    while not (found := what()):
        assert monotonic() < end, f"it did not come to pass in {deadline_s} s"
        tick.wait(0.02)
    return found
