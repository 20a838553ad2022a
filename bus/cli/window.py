"""Window: Flower inside our process, told by its options and not by a command line that anyone on the host may read."""

from __future__ import annotations

import logging

import structlog
from celery import Celery
from flower.app import Flower
from flower.options import options
from flower.urls import settings
from pydantic import SecretStr

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

USER = "bus"

_OPTIONS = {
    "read_only": True,  # whoever may post could run any task
    "max_tasks": 10_000,  # 9 kB each
    "purge_offline_workers": 3600,
    "inspect_timeout": 2000.0,
}


def serve(app: Celery, address: str, port: int, password: SecretStr | None) -> None:
    """Serve until SystemExit or Ctrl-C. /metrics and /healthcheck are open to everyone who reaches the address."""
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    chosen = {**_OPTIONS, "address": address, "port": port}
    if password:
        chosen["basic_auth"] = [f"{USER}:{password.get_secret_value()}"]
    for name, value in chosen.items():
        setattr(options, name, value)
    flower = Flower(capp=app, options=options, **settings)
    flower.start_http_server()
    log.info("flower.listening", address=address, port=port)
    try:
        flower.start()
    finally:
        flower.stop()
