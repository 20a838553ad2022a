"""The intake's own OpenAPI under schemathesis: requests that fit it or do not, signed rightly and wrongly."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
from hypothesis import strategies as st

from bus.config import from_document
from bus.intake import create_app
from tests.bus.intake.asgi import Answer, Header
from tests.fuzz import house
from tests.fuzz.doors import documented
from tests.fuzz.house import MEMBER, SIGNED, TOKEN, UNSIGNED, House
from tests.fuzz.target import Check, Target, must

_SYSTEMS = {"/shop/{system}": "shop", "/bitrix24/{system}": "crm"}


@cache
def _operations() -> dict[str, Any]:
    """What schemathesis makes of our document, by "POST /events"."""
    import schemathesis

    app = create_app(from_document(house.DOCUMENT, {}), None, None)  # type: ignore[arg-type]  # only asked what it is
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


def plans() -> Any:
    """Requests of every operation, half of them against its schema; those to a system mostly to one there is."""
    from schemathesis.generation import GenerationMode

    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    cases = [one.as_strategy(generation_mode=mode) for one in _operations().values() for mode in modes]
    sign = st.sampled_from([*SIGNED, *SIGNED, *UNSIGNED])
    return st.builds(_plan, st.one_of(cases), sign, st.booleans())


def _plan(case: Any, sign: str, ours: bool) -> dict[str, Any]:
    """A case as it goes over the wire; `ours`: it names a system that is here, and its token."""
    path = case.operation.path
    if ours and path in _SYSTEMS:
        case.path_parameters = {"system": _SYSTEMS[path]}
    if ours and path == "/bitrix24/{system}" and isinstance(case.body, dict):
        case.body |= {"auth[application_token]": TOKEN, "auth[member_id]": MEMBER, "event": "ONCRMDEALUPDATE"}
    if ours and path == "/events":
        for event in case.body if isinstance(case.body, list) else [case.body]:
            if isinstance(event, dict):
                event["source"] = "bank"
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://bus.example")).prepare()
    body = sent.body.encode() if isinstance(sent.body, str) else sent.body or b""
    return {
        "operation": case.operation.label,
        "method": case.method,
        "url": sent.url,
        "headers": [
            [name, value if isinstance(value, str) else value.decode("latin-1")] for name, value in sent.headers.items()
        ],
        "body": base64.b64encode(bytes(body)).decode(),
        "sign": sign,
    }


def ask(made: House, plan: Any) -> str:
    """A documented answer in its documented shape; nothing stored unless it says so."""
    operation = _operations()[plan["operation"]]
    body = base64.b64decode(plan["body"])
    url = urlsplit(plan["url"])
    before = made.stored()
    answer = made.ask(
        plan["method"],
        unquote(url.path),
        query=url.query.encode(),
        headers=_headers(plan, operation, body),
        chunks=[body],
    )
    if answer.status not in (404, 405) or plan["method"].lower() == operation.method:
        documented(made, operation.method, operation.path, answer)
        operation.validate_response(_response(plan, answer))
    after = made.stored()
    new = json.loads(answer.body).get("new", 0) if answer.status in (200, 202) and operation.method == "post" else 0
    must(int(str(after[0])) - int(str(before[0])) == new, f"{answer.status}: other rows than the answer says")
    must(before == after or new, f"{answer.status}, and something was stored")
    made.bells.published.clear()
    return str(answer.status)


def _headers(plan: Any, operation: Any, body: bytes) -> list[Header]:
    """Those of the case; with signatures of ours where the operation wants one, unless the case is to bring its own."""
    own = [
        (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
        for name, value in plan["headers"]
    ]
    if "webhook-signature" not in str(operation.definition.raw) or plan["sign"] == "absent":
        return own
    system = "shop" if operation.path.startswith("/shop") else "bank"
    signed = house.signature(body.decode("utf-8", "replace"), plan["sign"], system)
    return [header for header in own if not header[0].startswith(b"webhook-")] + signed


def _response(plan: Any, answer: Answer) -> Any:
    """The answer, as schemathesis looks at answers."""
    from schemathesis import Response

    request = requests.Request(plan["method"], "http://bus.example/").prepare()
    headers = {name: [value] for name, value in answer.headers.items()}
    return Response(answer.status, headers, answer.body, request, elapsed=0.0, verify=False)


@contextmanager
def opened() -> Iterator[Check]:
    """A house of its own."""
    with house.standing() as made:
        yield lambda plan: ask(made, plan)


TARGETS = [
    Target(
        "openapi",
        "answers as /openapi.json says, in status, media type and shape; no fault of ours; nothing half-stored",
        opened,
        plans=plans,
        seconds=5,
    ),
]
