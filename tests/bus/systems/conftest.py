"""A stand-in portal and a stand-in shop over real HTTP, once for all tests here, blank before each."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import fakeredis
import pytest
from pydantic import SecretStr

from bus.config import System
from bus.sandbox.bitrix24.portal import Portal
from bus.sandbox.bitrix_cms.shop import Shop
from bus.sandbox.onec import Base
from bus.sandbox.server import create_app, rest_url, running
from bus.systems.connect import Urgent, connect

SECRET = "s3cr3tc0de"

Connect = Callable[..., Urgent]


class Clock:
    """The portal's clock: the real one, until a test sets `now`."""

    now: float | None = None

    def __call__(self) -> float:
        return time.time() if self.now is None else self.now


@pytest.fixture(scope="session")
def _clock() -> Clock:
    return Clock()


@pytest.fixture
def secret() -> str:
    """The code of both webhooks: nothing may ever tell it."""
    return SECRET


@pytest.fixture(scope="session")
def _portal(_clock: Clock) -> Iterator[tuple[Portal, str]]:
    site = Portal(code=SECRET, clock=_clock)
    with running(create_app(site)) as base:
        yield site, rest_url(base, site)


@pytest.fixture(scope="session")
def _shop() -> Iterator[tuple[Shop, str]]:
    site = Shop(code=SECRET)
    with running(create_app(site)) as base:
        yield site, rest_url(base, site)


@pytest.fixture
def clock(_clock: Clock) -> Iterator[Clock]:
    yield _clock
    _clock.now = None


@pytest.fixture
def portal(_portal: tuple[Portal, str]) -> Portal:
    _portal[0].reset()
    return _portal[0]


@pytest.fixture
def shop(_shop: tuple[Shop, str]) -> Shop:
    _shop[0].reset()
    return _shop[0]


@pytest.fixture
def portal_url(portal: Portal, _portal: tuple[Portal, str]) -> str:
    del portal  # it is only to be blank
    return _portal[1]


@pytest.fixture
def connected() -> Iterator[Connect]:
    """Makes adapters: `connected("bitrix24", url, breaker=…, settings={…})`; closes them at the end."""
    with ExitStack() as stack:

        def make(
            kind: str, url: str, *, breaker: Any = None, redis: fakeredis.FakeRedis | None = None, **more: Any
        ) -> Urgent:
            said = {"kind": kind, "url": SecretStr(url), "application_token": SecretStr("t"), "integration_user": "1"}
            adapter = connect("there", System(**{**said, **more}), redis or fakeredis.FakeRedis(), breaker=breaker)
            stack.callback(adapter.close)
            return adapter

        yield make


@pytest.fixture
def crm(portal_url: str, connected: Connect) -> Urgent:
    return connected("bitrix24", portal_url)


@pytest.fixture
def cms(shop: Shop, _shop: tuple[Shop, str], connected: Connect) -> Urgent:
    del shop  # it is only to be blank
    return connected("bitrix_cms", _shop[1], settings={"pay_system": "2"})


@pytest.fixture(scope="session")
def _books() -> Iterator[tuple[Base, str]]:
    site = Base()
    with running(create_app(site)) as base:
        yield site, site.entry(base)


@pytest.fixture
def books(_books: tuple[Base, str]) -> Base:
    _books[0].reset()
    return _books[0]


@pytest.fixture
def books_url(books: Base, _books: tuple[Base, str]) -> str:
    del books  # it is only to be blank
    return _books[1]


@pytest.fixture
def onec(books_url: str, connected: Connect) -> Urgent:
    return connected("onec", books_url, user="bus", password=SecretStr("secret"))
