"""The control API of the exchange and of the bank: run now, look at the runs, break them, fetch a statement."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bus.sandbox.onec import statement
from bus.sandbox.onec.base import Base
from bus.sandbox.onec.cml_registry import ORDERS, PARTIES
from bus.sandbox.onec.exchange import Exchange
from bus.sandbox.rest import Json

Action = Callable[[dict[str, Any]], Any]
_FIRST_DAY, _LAST_DAY = "2000-01-01", "2099-12-31"


def exchange_routes(exchange: Exchange) -> list[BaseRoute]:
    """GET exchange; POST exchange/run, exchange/check, exchange/settings, exchange/faults; DELETE exchange/faults."""
    table: list[tuple[str, str, Action]] = [
        ("GET", "", lambda _: _described(exchange)),
        ("POST", "/run", lambda _: exchange.run().body()),
        ("POST", "/check", lambda _: exchange.check().body()),
        ("POST", "/settings", lambda body: _configured(exchange, body)),
        ("POST", "/faults", lambda body: exchange.faults.read(body).body()),
        ("DELETE", "/faults", lambda _: {"cleared": exchange.faults.clear()}),
    ]
    return [Route(f"/_sandbox/exchange{path}", _endpoint(act), methods=[verb]) for verb, path, act in table]


def statement_routes(base: Base) -> list[BaseRoute]:
    """GET statement?since=2026-10-05&until=2026-10-06 and the names of a Style: the file, made of the base's money."""

    async def endpoint(request: Request) -> Response:
        try:
            content = await run_in_threadpool(_statement, base, dict(request.query_params))
        except (ValueError, TypeError) as error:
            return _refused(error)
        named = {"Content-Disposition": 'attachment; filename="kl_to_1c.txt"'}
        return Response(content, media_type="application/octet-stream", headers=named)

    return [Route("/_sandbox/statement", endpoint, methods=["GET"])]


def _described(exchange: Exchange) -> dict[str, Any]:
    with exchange.base.lock:
        waiting = {of: len(exchange.registry.waiting(of)) for of in (ORDERS, PARTIES)}
    return {
        "profile": exchange.profile.name,
        "settings": asdict(exchange.settings),
        "waiting": waiting,
        "faults": exchange.faults.list(),
        "reports": [one.body() for one in exchange.reports.list()],
    }


def _configured(exchange: Exchange, body: dict[str, Any]) -> dict[str, Any]:
    exchange.settings.configure(body)
    return asdict(exchange.settings)


def _statement(base: Base, query: Mapping[str, str]) -> bytes:
    asked = dict(query)
    since, until = (date.fromisoformat(asked.pop(*one)) for one in (("since", _FIRST_DAY), ("until", _LAST_DAY)))
    found, accounts = statement.movements(base)
    days = [one.on for one in found if since <= one.on <= until] or [since]
    return statement.write(
        found, accounts, since=max(since, min(days)), until=min(until, max(days)), style=_style(asked)
    )


def _style(asked: Mapping[str, str]) -> statement.Style:
    """Texts from a query string to the types of a Style; raises ValueError for a name or value that is none."""
    known = {one.name: type(getattr(statement.DEFAULT, one.name)) for one in fields(statement.Style)}
    for name in asked.keys() - known.keys():
        raise ValueError(f"unknown {name!r}; known: since, until, {', '.join(known)}")
    try:
        return statement.Style(**{name: _typed(known[name], text) for name, text in asked.items()})
    except InvalidOperation:
        raise ValueError("total_error is no amount") from None


def _typed(kind: type, text: str) -> Any:
    if kind is bool:
        return text.lower() in {"1", "true", "yes"}
    return Decimal(text) if kind is Decimal else kind(text)


def _endpoint(act: Action) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            body = json.loads(raw) if raw else {}
            return await run_in_threadpool(lambda: Json(act(body)))
        except (ValueError, KeyError, TypeError) as error:
            return _refused(error)

    return endpoint


def _refused(error: Exception) -> Response:
    return Json({"error": "BAD_CONTROL_CALL", "error_description": f"{type(error).__name__}: {error}"}, 400)
