"""For those who run it: is the process alive, can it take events, what has it counted."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from bus.intake import openapi
from bus.intake.metrics import Meters


def router(meters: Meters, ready: Callable[[], None]) -> APIRouter:
    """The routes. `ready` returns when events can be taken and raises Transient or NotReady when not."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/health", summary="The process is alive")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @routes.get("/ready", summary="Events can be taken", responses=openapi.problems(503))
    async def is_ready() -> dict[str, str]:
        await run_in_threadpool(ready)
        return {"status": "ok"}

    @routes.get("/metrics", summary="Prometheus metrics", response_class=PlainTextResponse, **openapi.metrics())
    async def metrics() -> Response:
        told = await run_in_threadpool(generate_latest, meters.registry)  # some of it is asked of Redis and the ledger
        return Response(told, media_type=CONTENT_TYPE_LATEST)

    return routes
