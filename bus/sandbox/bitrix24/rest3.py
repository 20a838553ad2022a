"""The REST 3.0 door: /rest/api/{user}/{code}/{method}, JSON only, its own errors, Idempotency-Key (Bitrix24 docs)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from bus.sandbox.envelope import Params, RestError, Row, unknown_method
from bus.sandbox.rest import Door, Exchange, Json
from bus.sandbox.site import Method, is_write

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.sandbox.bitrix24.portal import Portal

MODES = ("full", "no_keys", "off")
KEPT_SECONDS = 24 * 3600
_PREFIX = "BITRIX_REST_V3_EXCEPTION_"
_KEY_LENGTH = 255
_PRINTABLE = range(32, 127)


class Refusal(RestError):
    """An error in the words of REST 3.0; `code` without its long prefix, `validation` as (field, message)."""

    def __init__(
        self, code: str, text: str, status: int = 400, validation: list[tuple[str, str]] | None = None
    ) -> None:
        super().__init__(f"{_PREFIX}{code}", text, status)
        self.validation = validation

    def body(self) -> Row:
        said: Row = {"code": self.code, "message": self.text}
        if self.validation:
            said["validation"] = [{"message": message, "field": field} for field, message in self.validation]
        return {"error": said}


def invalid(*wrong: tuple[str, str]) -> Refusal:
    """Fields that are missing or of a wrong type."""
    text = "Error during request object validation"
    return Refusal("VALIDATION_REQUESTVALIDATIONEXCEPTION", text, 400, list(wrong))


@dataclass(frozen=True)
class Kept:
    """The answer to a call that succeeded, for a repeat under the same key."""

    at: float
    params: Params
    answer: Any


class Replays:
    """Answers by user, method and key, for 24 hours."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[tuple[int, str, str], Kept] = {}

    def find(self, scope: tuple[int, str, str], params: Params) -> Kept | None:
        """Raises when the key came before with another body."""
        kept = self._kept.get(scope)
        if kept is None or self._clock() - kept.at >= KEPT_SECONDS:
            return None
        if kept.params != params:
            text = "The idempotency key was already used with a different request body"
            raise Refusal("IDEMPOTENCYKEYREUSEDEXCEPTION", text, 422)
        return kept

    def keep(self, scope: tuple[int, str, str], params: Params, answer: Any) -> None:
        self._kept[scope] = Kept(self._clock(), params, answer)


class ModernDoor(Door):
    """The door beside the old one, with the same limits, faults and log.

    `portal.rest3` says what the portal is: "full"; "no_keys" (the header is ignored, as on a box of May 2026);
    "off" (no such door: an old portal's 404 in the old envelope).
    """

    version = 3

    def __init__(self, portal: Portal) -> None:
        super().__init__(portal)
        self._portal = portal

    async def read(self, request: Request, exchange: Exchange) -> None:
        """Parameters stand in a JSON body and nowhere else."""
        if self._portal.rest3 == "off":
            raise unknown_method()
        exchange.key = request.headers.get("idempotency-key") if self._portal.rest3 == "full" else None
        body = await request.body()
        if request.method != "POST" or not body:
            return
        try:
            sent = json.loads(body) if "json" in request.headers.get("content-type", "") else None
        except ValueError:
            sent = None
        if not isinstance(sent, dict):
            raise Refusal("INVALIDJSONEXCEPTION", "The request body is not a valid JSON")
        exchange.params = sent

    def handlers(self) -> Mapping[str, Method]:
        return self._portal.modern

    def execute(self, exchange: Exchange) -> Any:
        """With a key, a repeat of what succeeded does not run again; a call that failed does."""
        if exchange.key is None or not is_write(exchange.method):
            exchange.key = None
            return self._call(exchange, exchange.method, exchange.params, inner=False)
        if not 1 <= len(exchange.key) <= _KEY_LENGTH or any(ord(char) not in _PRINTABLE for char in exchange.key):
            raise Refusal("INVALIDIDEMPOTENCYKEYEXCEPTION", "The idempotency key is not valid")
        scope = (self._portal.user, exchange.method, exchange.key)
        kept = self._portal.replays.find(scope, exchange.params)
        if kept:
            exchange.replayed = True
            return kept.answer
        answer = self._call(exchange, exchange.method, exchange.params, inner=False)
        self._portal.replays.keep(scope, exchange.params, answer)
        return answer

    def refused(self, error: RestError) -> Response:
        if isinstance(error, Refusal) or self._portal.rest3 == "off":
            return Json(error.body(), error.status)
        if error.code == "ERROR_METHOD_NOT_FOUND":
            return self.refused(Refusal("METHODNOTFOUNDEXCEPTION", error.text, error.status))
        return Json({"error": {"code": str(error.code), "message": error.text}}, error.status)

    def answered(self, body: Row, exchange: Exchange) -> Response:
        response = Json(body)
        if exchange.key is not None:
            response.headers["Idempotency-Key"] = exchange.key
        if exchange.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response
