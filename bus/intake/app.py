"""The application: routes, refusals and measurements put together around one door."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from fastapi import FastAPI

from bus.config import Config, Mode
from bus.intake import bitrix24, events, onec, openapi, operations, problems, shop
from bus.intake.body import Bodies
from bus.intake.commits import GroupCommit
from bus.intake.desk import Desk
from bus.intake.exchange_login import Logins
from bus.intake.metrics import Meters
from bus.intake.observed import Observed
from bus.intake.signatures import Keyring
from bus.model import Kind
from bus.ports import Door, Mappings
from bus.rotation import Follower


def utcnow() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def always() -> None:
    """Ready without asking anyone."""


def create_app(
    config: Config,
    door: Door,
    mappings: Mappings,
    *,
    ready: Callable[[], None] = always,
    now: Callable[[], datetime] = utcnow,
    meters: Meters | None = None,
    exchange: onec.Exchange | None = None,
    follow: Callable[[Follower], None] = lambda _: None,
    takes: Callable[[str, Kind], bool] | None = None,
) -> FastAPI:
    """The public door as an ASGI application. Raises ConfigError for a key that cannot be one.

    `ready` is asked by GET /ready and raises Transient or NotReady; `door` and `ready` may block: they run in threads,
    `door` in one of its own. `exchange`: what a 1C that takes us for a site is served from. `follow` is handed whatever
    is to hear of keys, tokens and logins that change while the door is open. `takes`: which kinds of which systems are
    taken in, where that may be otherwise than in `config`; it must not block.
    """

    def configured(system: str, kind: Kind) -> bool:
        return config.route(system, kind).inward is not Mode.OFF

    meters = meters or Meters()
    bodies = Bodies(config.limits.body_bytes)
    keyring, logins = Keyring(config, now), Logins(config)
    follow(keyring.follow)
    follow(logins.follow)
    desk = Desk(config, bodies, GroupCommit(door, meters), mappings, keyring, meters, now, takes or configured)
    app = FastAPI(
        title="Integration bus", version=openapi.VERSION, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    for routes in (events.router(desk), bitrix24.router(desk), shop.router(desk), operations.router(meters, ready)):
        app.include_router(routes)
    if exchange is not None:
        app.include_router(onec.router(config, mappings, exchange, logins))
    problems.install(app, now)
    app.add_middleware(Observed, meters=meters)
    openapi.install(app, ShopEvent=shop.ShopEvent.model_json_schema())
    return app
