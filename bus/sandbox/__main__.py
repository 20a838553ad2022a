"""`python -m bus.sandbox bitrix24|shop|onec --port N`: serve one stand-in on 127.0.0.1.

A 1C serves its OData and, with `--site`, exchanges with that site as a CommerceML client; with `--once` it makes one
exchange, prints its report as JSON and ends: 0 when all went well, else 1.

SANDBOX_CODE and SANDBOX_PASSWORD in the environment are the webhook's code and the password of the bus's login at a 1C:
a command line is public.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from bus.sandbox.bitrix24 import Portal
from bus.sandbox.bitrix_cms import Shop
from bus.sandbox.onec import Base
from bus.sandbox.onec.cml_control import exchange_routes, statement_routes
from bus.sandbox.onec.cml_profile import PROFILES
from bus.sandbox.onec.cml_service import Schedule
from bus.sandbox.onec.exchange import Exchange
from bus.sandbox.server import create_app, serve
from bus.sandbox.site import Site

KINDS = ("bitrix24", "shop", "onec")
EVERY_SECONDS = 60.0


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and serve until interrupted."""
    chosen = _parser().parse_args(arguments)
    if chosen.kind != "onec":
        if chosen.user and not chosen.user.isdigit():
            _parser().error("--user is the webhook's user here: a number")
        serve(create_app(site(chosen)), chosen.port)
    elif chosen.once:
        sys.exit(_once(chosen))
    else:
        _serve_base(chosen)


def site(chosen: argparse.Namespace) -> Site:
    """The portal or shop that was asked for."""
    user = int(chosen.user or 1)
    if chosen.kind == "shop":
        return Shop(user=user, code=chosen.code)
    return Portal(user=user, code=chosen.code, cloud=not chosen.box)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bus.sandbox", description="A stand-in system over real HTTP.")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--user", help="the incoming webhook's user (1); of a 1C, its login at the site (bus)")
    code = os.environ.get("SANDBOX_CODE", "sandbox")
    parser.add_argument("--code", default=code, help="the incoming webhook's code")
    parser.add_argument("--box", action="store_true", help="a portal without limits")
    parser.add_argument("--password", default="secret", help="a 1C's password at the site")
    parser.add_argument("--profile", choices=tuple(PROFILES), default="ut", help="which 1C exchanges with the site")
    parser.add_argument("--site", help="the address that a 1C exchanges with")
    parser.add_argument("--every", type=float, default=EVERY_SECONDS, help="seconds between exchanges; 0: on request")
    parser.add_argument("--once", action="store_true", help="one exchange with --site, then end")
    return parser


def _once(chosen: argparse.Namespace) -> int:
    if not chosen.site:
        _parser().error("--once needs --site")
    report = _exchange(chosen, Base()).run()
    print(json.dumps(report.body(), ensure_ascii=False, indent=2))  # noqa: T201  # this is the command's output
    return 0 if report.ok else 1


def _serve_base(chosen: argparse.Namespace) -> None:
    base = Base(password=os.environ.get("SANDBOX_PASSWORD", "secret"))
    app = create_app(base)
    app.router.routes.extend(statement_routes(base))
    if not chosen.site:
        serve(app, chosen.port)
        return
    schedule = Schedule(_exchange(chosen, base), chosen.every)
    app.router.routes.extend(exchange_routes(schedule.exchange))
    schedule.start()
    try:
        serve(app, chosen.port)
    finally:
        schedule.close()


def _exchange(chosen: argparse.Namespace, base: Base) -> Exchange:
    return Exchange(chosen.site, chosen.user or "bus", chosen.password, chosen.profile, base)


if __name__ == "__main__":
    main()
