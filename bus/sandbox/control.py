"""The control API under /_sandbox/: set up, act as a person, break things, look inside. Loopback only, no password."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bus.sandbox.envelope import RestError, Row
from bus.sandbox.rest import Json
from bus.sandbox.site import Site

Action = Callable[[Row, Row], Any]
"""Takes the JSON body and the query, gives what is answered."""


def routes(site: Site) -> list[BaseRoute]:
    """The control routes of one site."""
    control = Control(site)
    table: list[tuple[str, str, Action]] = [
        ("GET", "health", control.health),
        ("POST", "reset", control.reset),
        ("GET", "webhooks", control.webhooks),
        ("PUT", "webhooks", control.set_webhook),
        ("POST", "webhooks", control.add_webhook),
        ("GET", "faults", control.faults),
        ("POST", "faults", control.add_fault),
        ("DELETE", "faults", control.clear_faults),
        ("DELETE", "faults/{id:int}", control.clear_faults),
        ("GET", "limits", control.limits),
        ("POST", "limits", control.set_limits),
        ("GET", "settings", control.settings),
        ("POST", "settings", control.settings),
        ("GET", "state", control.state),
        ("GET", "calls", control.calls),
        ("GET", "calls/summary", control.summary),
        ("GET", "changes", control.changes),
        ("POST", "act", control.act),
        ("GET", "events", control.events),
        ("POST", "events/flush", control.flush),
    ]
    return [Route(f"/_sandbox/{path}", _endpoint(action), methods=[verb]) for verb, path, action in table]


class Control:
    """The actions; each takes (body, query)."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def health(self, body: Row, query: Row) -> Row:
        del body, query
        return {"ok": True, "kind": self._site.kind, "now": self._site.clock()}

    def reset(self, body: Row, query: Row) -> Row:
        del query
        self._site.reset(keep_webhooks="webhooks" in (body.get("keep") or []))
        return {"ok": True}

    def webhooks(self, body: Row, query: Row) -> list[Row]:
        del body, query
        return self._site.webhooks

    def set_webhook(self, body: Row, query: Row) -> list[Row]:
        self._site.webhooks.clear()
        return self.add_webhook(body, query)

    def add_webhook(self, body: Row, query: Row) -> list[Row]:
        """A listener; an empty body with PUT removes them all."""
        del query
        if body.get("url"):
            self._site.check_webhook(body)
            self._site.webhooks.append({"id": 201 + len(self._site.webhooks), **body})
        self._site.outbox.senders = int(body.get("senders", self._site.outbox.senders))
        return self._site.webhooks

    def faults(self, body: Row, query: Row) -> list[Row]:
        del body, query
        return self._site.faults.list()

    def add_fault(self, body: Row, query: Row) -> Row:
        del query
        try:
            return self._site.faults.add(body).body()
        except ValueError as error:
            raise RestError("UNKNOWN_FAULT", str(error)) from None

    def clear_faults(self, body: Row, query: Row) -> Row:
        del body
        fault_id = int(query["id"]) if query.get("id") else None
        return {"cleared": self._site.faults.clear(fault_id, query.get("kind"))}

    def limits(self, body: Row, query: Row) -> Row:
        del body, query
        return self._site.limits.describe()

    def set_limits(self, body: Row, query: Row) -> Row:
        del query
        return self._site.limits.configure(body)

    def settings(self, body: Row, query: Row) -> Row:
        del query
        with self._site.lock:
            return self._site.settings(body)

    def state(self, body: Row, query: Row) -> Row:
        del body
        with self._site.lock:
            return self._site.state(query)

    def calls(self, body: Row, query: Row) -> list[Row]:
        del body
        return self._site.calls.since(int(query.get("since", 0)), int(query.get("limit", 10_000)))

    def summary(self, body: Row, query: Row) -> Row:
        del body, query
        return self._site.calls.summary()

    def changes(self, body: Row, query: Row) -> list[Row]:
        """`since`, `limit`; `fields`: only saves that changed one of them."""
        del body
        fields = str(query["fields"]).split(",") if query.get("fields") else ()
        return self._site.changes.since(int(query.get("since", 0)), int(query.get("limit", 10_000)), fields)

    def act(self, body: Row, query: Row) -> Row:
        """One act, or many: `{"acts": [...]}` answers `{"results": [...]}` in the same order.

        `"quiet": true` tells nobody: no events, no line in the log of changes; for setting up by the thousand.
        """
        del query
        quiet = bool(body.get("quiet"))
        if "acts" in body:
            return {"results": [self._site.act(act, quiet=quiet) for act in body["acts"]]}
        return self._site.act(body, quiet=quiet)

    def events(self, body: Row, query: Row) -> Row:
        del body, query
        return self._site.outbox.describe()

    def flush(self, body: Row, query: Row) -> Row:
        """Wait until every event was sent, or until the deadline (seconds, default 10)."""
        del query
        flushed = self._site.outbox.flush(float(body.get("deadline", 10)))
        return {"flushed": flushed, **self._site.outbox.describe()}


def _endpoint(action: Action) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        try:
            body = json.loads(raw) if raw else {}
            query = {**request.query_params, **request.path_params}
            return await run_in_threadpool(lambda: Json(action(body, query)))
        except RestError as error:
            return Json(error.body(), error.status)
        except (ValueError, KeyError, TypeError) as error:
            return Json({"error": "BAD_CONTROL_CALL", "error_description": f"{type(error).__name__}: {error}"}, 400)

    return endpoint
