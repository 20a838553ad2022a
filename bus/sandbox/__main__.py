"""`python -m bus.sandbox bitrix24|shop --port N`: serve one stand-in on 127.0.0.1."""

from __future__ import annotations

import argparse

from bus.sandbox.bitrix24 import Portal
from bus.sandbox.bitrix_cms import Shop
from bus.sandbox.server import create_app, serve
from bus.sandbox.site import Site


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m bus.sandbox", description="A stand-in system over real HTTP.")
    parser.add_argument("kind", choices=("bitrix24", "shop"))
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--user", type=int, default=1, help="the incoming webhook's user")
    parser.add_argument("--code", default="sandbox", help="the incoming webhook's code")
    parser.add_argument("--box", action="store_true", help="a portal without limits")
    chosen = parser.parse_args(arguments)
    serve(create_app(site(chosen)), chosen.port)


def site(chosen: argparse.Namespace) -> Site:
    """The site that was asked for."""
    if chosen.kind == "shop":
        return Shop(user=chosen.user, code=chosen.code)
    return Portal(user=chosen.user, code=chosen.code, cloud=not chosen.box)


if __name__ == "__main__":
    main()
