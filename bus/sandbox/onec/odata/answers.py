"""The forms of an answer: JSON or Atom, texts, errors; with the header that names a new object in raw UTF-8."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from starlette.responses import Response

from bus.sandbox.envelope import RestError
from bus.sandbox.onec.odata import atom, errors, jsons
from bus.sandbox.onec.odata.reading import Page

if TYPE_CHECKING:
    from bus.sandbox.onec.odata.service import Call

_JSON = "application/json;charset=utf-8"
_XML = "application/xml;charset=utf-8"
_FEED = "application/atom+xml;type=feed;charset=utf-8"
_ENTRY = "application/atom+xml;type=entry;charset=utf-8"


@dataclass(frozen=True)
class Form:
    """What the client asked to be answered in; Atom unless it said JSON, by $format or by Accept."""

    json: bool
    level: str = jsons.MINIMAL
    known: bool = True


@dataclass(frozen=True)
class Answer:
    """What goes out when nothing goes wrong."""

    body: bytes = b""
    status: int = 200
    content_type: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def located(self, where: str, status: int) -> Answer:
        return replace(self, status=status, headers={"location": where})


def form(call: Call) -> Form:
    """$format wins over Accept, and only it can ask for something that is not known."""
    asked = call.given.get("$format", "")
    said = asked or call.headers.get("accept", "")
    if "json" not in said:
        return Form(json=False, known=not asked or "atom" in asked or "xml" in asked)
    level = next((one for one in (jsons.NONE, jsons.FULL) if one in said), jsons.MINIMAL)
    return Form(json=True, level=level)


def rows(root: str, now: str, asked: Form, page: Page, *, single: bool = False) -> Answer:
    """A set, or one entity."""
    if asked.json:
        body = (jsons.single if single else jsons.collection)(root, asked.level, page)
        return Answer(_packed(body), content_type=_JSON)
    text = (atom.single if single else atom.feed)(root, now, page)
    return Answer(text.encode(), content_type=_ENTRY if single else _FEED)


def plain(text: str) -> Answer:
    return Answer(text.encode(), content_type="text/plain;charset=utf-8")


def xml(text: str) -> Answer:
    return Answer(text.encode(), content_type=_FEED)


def metadata_page(text: str) -> Answer:
    return Answer(text.encode(), content_type=_XML)


def empty(status: int) -> Answer:
    return Answer(status=status)


def service_document(root: str, asked: Form, names: list[str]) -> Answer:
    """The list of sets at the interface's root."""
    if asked.json:
        listed = [{"name": name, "url": name} for name in names]
        return Answer(_packed({"odata.metadata": f"{root}/$metadata", "value": listed}), content_type=_JSON)
    sets = "".join(f"<collection href={quoteattr(name)}><atom:title>{name}</atom:title></collection>" for name in names)
    head = 'xmlns="http://www.w3.org/2007/app" xmlns:atom="http://www.w3.org/2005/Atom"'
    text = f"{atom.DECLARATION}<service {head} xml:base={quoteattr(root + '/')}><workspace>{sets}</workspace></service>"
    return Answer(text.encode(), content_type=_XML)


def page(asked: Form, answer: Answer) -> Response:
    """The HTTP response; Location goes out in raw UTF-8, as 1C sends it."""
    del asked
    response = Response(answer.body, answer.status)
    response.headers["dataserviceversion"] = "3.0"
    if answer.content_type:
        response.headers["content-type"] = answer.content_type
    for name, value in answer.headers.items():
        response.raw_headers.append((name.encode(), value.encode()))
    return response


def refusal(asked: Form, error: RestError) -> Response:
    """The error envelope in the form that was asked for."""
    body = _packed(errors.as_json(error)) if asked.json else errors.as_xml(error).encode()
    response = Response(body, error.status)
    response.headers["content-type"] = _JSON if asked.json else _XML
    response.headers["dataserviceversion"] = "3.0"
    return response


def _packed(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
