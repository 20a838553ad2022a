"""The exchange of an unmodified 1C with its "site": Bitrix's protocol of CommerceML, with the ledger behind it.

1C calls; nothing is ever sent to it. What it uploads is kept, imported by a worker, and answered with `progress` until
that is done. What is due to it is given at `query` and agreed on at `success`. Answers are plain text, lines end with
LF, there is no BOM, the status is 200 whatever is wrong (facts 1.3).
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from zoneinfo import ZoneInfo

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from bus import exchange_names, importing
from bus.config import Config
from bus.errors import BusError, ConfigError
from bus.exchange_sessions import Session, Sessions
from bus.intake import body
from bus.intake.exchange_call import COOKIE, Call, Failure, with_session
from bus.intake.exchange_login import KIND, Logins
from bus.intake.exchange_upload import STALL_S, Upload
from bus.ledger import exchange
from bus.ledger.database import Connection, Ledger
from bus.ledger.exchange import File, Place
from bus.model import OrderStatus
from bus.offering import Offering
from bus.ports import Mappings
from bus.systems import commerceml_writer as writer

PATHS = ("/bitrix/admin/1c_exchange.php", "/exchange/{system}")
"""Where 1C goes when it is given a host only, and an address of its own."""
FILE_LIMIT = 1_000_000
"""Bytes of a chunk, as 1C is told: what nginx lets through unless it is told otherwise."""
HOLD_S = 1.5
"""How long an answer to `import` waits for the import's end: some 1C ask again without any pause."""
LISTEN_S = 55.0
_LOOK_S, _LISTEN_LOOK_S = 0.1, 1.0
_LEASES = uuid.UUID("6a3f1e1c-52d4-4f7e-8c07-1f0d4a3c9e55")

_TEXT = "text/plain; charset=utf-8"
_XML = "application/xml; charset=utf-8"
_NO_LOGIN = "Ошибка авторизации. Проверьте имя пользователя и пароль."
_NO_TYPE = "Unknown command type."
_NO_MODE = "Неизвестная команда."

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

Step = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the door stands on; handed in by the composition root."""

    ledger: Ledger
    sessions: Sessions
    offering: Callable[[], Offering]
    """Made when first asked for: the door opens while the ledger is away."""
    ring: Callable[[], None]
    """Wakes whoever imports; a bell that is lost is rung again by the sweep."""
    file_bytes: int
    """What a file may have, all chunks together."""
    now: Callable[[], datetime]
    hold_s: float = HOLD_S
    listen_s: float = LISTEN_S
    stall_s: float = STALL_S


def router(config: Config, mappings: Mappings, behind: Exchange, logins: Logins) -> APIRouter:
    """The routes. Raises ConfigError for a setting that means nothing."""
    routes, site = APIRouter(include_in_schema=False), Site(config, mappings, behind, logins)

    async def exchange(request: Request, system: str | None = None) -> Response:
        return await site.answer(request, system)

    for path in PATHS:
        routes.add_api_route(path, exchange, methods=["GET", "POST"])
    return routes


class Site:
    """What a 1C takes for a site."""

    def __init__(self, config: Config, mappings: Mappings, behind: Exchange, logins: Logins) -> None:
        self._config, self._mappings, self._behind, self._logins = config, mappings, behind, logins
        check(config)
        upload = {"init": self.init, "file": self.file, "import": self.import_}
        give = {"query": self.query, "success": self.success}
        begin = {"checkauth": self.checkauth}
        self._steps: Mapping[str, Mapping[str, Step]] = {
            "sale": begin | upload | give | {"info": self.info},
            "catalog": begin | upload | {"deactivate": self.deactivate, "complete": self.complete},
            "reference": begin | upload,
            "get_catalog": begin | {"init": self.init, "query": self.no_goods, "success": self.complete},
        }

    async def answer(self, request: Request, system: str | None) -> Response:
        """Whatever it comes to, 1C gets an answer that it can read."""
        mode = request.query_params.get("mode", "")
        try:
            return await self._answer(request, system, mode)
        except Failure as failure:
            return _failed(request, mode, str(failure), "refused")
        except BusError as error:
            say = "Шина временно недоступна, ничего не потеряно. Повторите обмен позже."
            return _failed(request, mode, say, f"{type(error).__name__}: {error}")

    async def _answer(self, request: Request, system: str | None, mode: str) -> Response:
        name = self._logins.system(request.headers.get("authorization"))
        if name is None or system not in (None, name):
            raise Failure(_NO_LOGIN)
        request.state.system = name
        call = Call(request, name, self._config.systems[name], request.query_params.get("type", ""), mode)
        if call.type == "listen":
            return await self.listen(call)
        steps = self._steps.get(call.type)
        if steps is None:
            raise Failure(_NO_TYPE)
        if mode not in steps:
            raise Failure(_NO_MODE)
        if mode != "checkauth":
            call = await run_in_threadpool(with_session, call, self._behind.sessions)
        return await steps[mode](call)

    # --- beginning ---------------------------------------------------------------------------------------------------

    async def checkauth(self, call: Call) -> Response:
        """A session. The moment comes back in `deactivate`."""
        session = await run_in_threadpool(self._behind.sessions.begin, call.system)
        lines = ["success", COOKIE, session.token, f"sessid={session.sessid}"]
        if call.type == "catalog":
            lines.append(f"timestamp={int(self._behind.now().timestamp())}")
        return _text(*lines)

    async def init(self, call: Call) -> Response:
        """How files are to be sent, and an empty folder for them.

        Two lines for who announces no version: the oldest 1C takes no more; four for who does.
        """
        session = call.open
        await run_in_threadpool(self._turn_over, session)
        archive = call.config.settings.get("zip", "no")
        lines = [f"zip={'yes' if archive == 'yes' else 'no'}", f"file_limit={FILE_LIMIT}"]
        if call.asked("version") is not None:
            lines += [f"sessid={session.sessid}", f"version={call.version or '2.09'}"]
        return _text(*lines)

    def _turn_over(self, session: Session) -> None:
        self._behind.sessions.turn_over(session)
        self._behind.ledger.run(lambda connection: exchange.empty(connection, session.system, session.folder))

    # --- what 1C sends -----------------------------------------------------------------------------------------------

    async def file(self, call: Call) -> Response:
        """A chunk of a file. Answered after the commit."""
        if body.is_coded(call.request):
            raise Failure(
                "Сжатые запросы (Content-Encoding) не принимаются. Отправляйте файл как есть или в архиве zip."
            )
        place = self._place(call)
        behind = self._behind
        upload = Upload(behind.ledger, place, call.dialect, most=behind.file_bytes, stall_s=behind.stall_s)
        await upload.take(call.request)
        return _text("success")

    def _place(self, call: Call) -> Place:
        name = exchange_names.cleaned(call.asked("filename"))
        if not name:
            raise Failure("Не указано имя файла.")
        return Place(call.system, call.open.folder, call.type, name)

    async def import_(self, call: Call) -> Response:
        """Have a file imported; `progress` while it is, with a pause of ours since some 1C make none."""
        place, behind = self._place(call), self._behind
        end = monotonic() + behind.hold_s
        files = await run_in_threadpool(self._called_up, place)
        while _going_on(files) and monotonic() < end:
            await asyncio.sleep(_LOOK_S)
            files = await run_in_threadpool(self._files, place)
        if _going_on(files):
            return _text("progress", f"Загружено документов: {sum(file.report.get('documents', 0) for file in files)}")
        if failed := next((file for file in files if file.state == "failed"), None):
            raise Failure(f"{failed.place.name}: {failed.error}")
        return _text("success")

    def _called_up(self, place: Place) -> list[File]:
        """What is asked for, and waits from now on. Raises Failure when nothing of that name was sent."""

        def call(connection: Connection) -> bool:
            waits = False
            for file in _found(connection, place):
                if file.state == "receiving" and not file.bytes:
                    raise Failure(f"{file.place.name}: файл пуст.")
                if not importing.wanted(file):
                    exchange.set_aside(connection, file.id)
                elif exchange.await_import(connection, file.id):
                    waits = True
            return waits

        waits = self._behind.ledger.run(call)
        files = self._files(place)
        if waits:
            self._behind.ring()
        if not files:
            raise Failure(f"{place.name}: файл не был передан. Начните обмен заново.")
        return files

    def _files(self, place: Place) -> list[File]:
        with self._behind.ledger.transaction() as connection:
            return _found(connection, place)

    # --- what 1C fetches ---------------------------------------------------------------------------------------------

    async def query(self, call: Call) -> Response:
        """The orders that are due there, noted as told before the answer leaves."""
        lease = _lease(call.open.token)
        offer = await run_in_threadpool(self._behind.offering().offer, call.system, call.dialect, lease)
        return Response(offer.xml, media_type=_XML)

    async def success(self, call: Call) -> Response:
        """1C has taken what it was given. The ledger knows what that was, even when the session is forgotten."""
        token = call.session.token if call.session else call.request.cookies.get(COOKIE, "")
        profile = call.dialect if call.session else None
        done = await run_in_threadpool(self._behind.offering().acknowledge, call.system, profile, _lease(token))
        if not done and call.session is None:
            return _text("failure", "Сеанс обмена неизвестен. Начните обмен заново.")
        return _text("success")

    async def info(self, call: Call) -> Response:
        """The statuses that this 1C may send, from the tables."""
        tables = self._mappings.tables(call.system, call.config.kind)
        statuses: dict[str, str] = {}
        for status in OrderStatus:
            try:
                statuses |= {code: code for code in tables.codes("order_status", status.value, field="status")}
            except BusError:
                continue
        return Response(writer.write_statuses(statuses, {}, {}), media_type=_XML)

    async def no_goods(self, call: Call) -> Response:
        """The site's catalogue: there is none here."""
        now = self._behind.now().astimezone(ZoneInfo(call.config.zone))
        return Response(writer.write_orders([], call.dialect, now), media_type=_XML)

    async def listen(self, call: Call) -> Response:
        """Wait for something to fetch; 304 when nothing came."""
        end = monotonic() + self._behind.listen_s
        while not await run_in_threadpool(self._behind.offering().waiting, call.system):
            if monotonic() >= end:
                return Response(status_code=304)
            await asyncio.sleep(_LISTEN_LOOK_S)
        return Response("success\n", media_type=_TEXT)

    # --- the end of a catalogue --------------------------------------------------------------------------------------

    async def deactivate(self, call: Call) -> Response:
        """Goods that were not in the export would be switched off: there are none here."""
        if not call.asked("timestamp"):
            raise Failure("Не указано время начала обмена (timestamp).")
        return await self.complete(call)

    async def complete(self, call: Call) -> Response:
        """The end of it."""
        _ = call.open
        return _text("success")


def check(config: Config) -> None:
    """Raises ConfigError for a setting of an exchanging 1C that means nothing."""
    allowed = {"profile": ("auto", "ut", "unf", "bus"), "zip": ("yes", "no")}
    for name, system in config.systems.items():
        if system.kind != KIND:
            continue
        for setting, values in allowed.items():
            if system.settings.get(setting, values[0]) not in values:
                raise ConfigError(f"systems.{name}.settings.{setting}: write one of {', '.join(values)}")
        if not re.fullmatch("[1-9][0-9]{0,3}", system.settings.get("batch", "1")):
            raise ConfigError(f'systems.{name}.settings.batch: write how many records an answer may have, e.g. "50"')
        if (base := system.settings.get("base")) and getattr(config.systems.get(base), "kind", None) != "onec":
            raise ConfigError(f"systems.{name}.settings.base: {base} is no system of kind onec")


def _found(connection: Connection, place: Place) -> list[File]:
    """The file of that name, or else the archives that it may be in: 1C asks by the names within."""
    file = exchange.find(connection, place)
    return [file] if file else exchange.archives(connection, place)


def _going_on(files: list[File]) -> bool:
    return any(file.state in ("waiting", "importing") for file in files)


def _lease(token: str) -> uuid.UUID:
    """Under which a session's offers are claimed: it follows from the cookie, and needs no memory but 1C's own."""
    return uuid.uuid5(_LEASES, token)


def _text(*lines: str) -> Response:
    """Without a LF at the end: the oldest 1C counts lines."""
    return Response("\n".join(lines).encode(), media_type=_TEXT)


def _failed(request: Request, mode: str, text: str, reason: str) -> Response:
    system = getattr(request.state, "system", "none")
    log.warning("exchange.failed", system=system, mode=mode[:20], reason=reason, said=text)
    return _text("failure", text.replace("\n", " "))
