"""Which operation a call is, and its answer: the interface's table of verbs and addresses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bus.sandbox.envelope import Row
from bus.sandbox.onec.odata import addresses, atom, errors, metadata, options
from bus.sandbox.onec.odata.addresses import Address, Key
from bus.sandbox.onec.odata.answers import Answer, Form, empty, metadata_page, plain, rows, service_document, xml
from bus.sandbox.onec.odata.published import ROOT, Published, address, published
from bus.sandbox.onec.odata.reading import Page, Reader
from bus.sandbox.onec.odata.shapes import shape
from bus.sandbox.onec.odata.writing import Conditions, Writer
from bus.sandbox.site import Hit

if TYPE_CHECKING:
    from bus.sandbox.onec.base import Base

_PLAN = {"SelectChanges", "NotifyChangesReceived"}
_CREATED = 201


@dataclass(frozen=True)
class Call:
    """What was asked, as it came; header names are in small letters."""

    verb: str
    path: str
    query: str
    body: bytes
    headers: Mapping[str, str]
    host: str

    @property
    def root(self) -> str:
        """The interface's whole address."""
        return f"{self.host}{ROOT}"

    @property
    def name(self) -> str:
        """The path without its key: `Document_ЗаказКлиента/Post`."""
        head, _, tail = self.path.partition(")/")
        return head.partition("(")[0] + (f"/{tail.partition('(')[0]}" if tail else "")

    @property
    def kind(self) -> str:
        """read, write, post or metadata: what an operation costs."""
        if self.name.endswith(("/Post", "/Unpost")):
            return "post"
        if self.name == "$metadata":
            return "metadata"
        return "read" if self.verb in ("GET", "HEAD") else "write"

    @cached_property
    def given(self) -> dict[str, str]:
        return options.pairs(self.query)


class Service:
    """One call against the base; whoever runs it holds the base's lock."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._published: Published = published(base.objects, base.switches)
        self._reader = Reader(self._published, base.switches)
        self._writer = Writer(self._reader)

    def run(self, call: Call, form: Form, hit: Hit) -> Answer:
        """Raises RestError with 1C's code and status."""
        name = call.path.strip("/")
        if not form.known:
            raise errors.not_supported(f"$format={call.given['$format']}")
        if name == "":
            return service_document(call.root, form, list(self._published.sets))
        if name == "$metadata":
            return metadata_page(metadata.document(self._published))
        if name in _PLAN:
            return self._exchange(name, call)
        at = addresses.read(name)
        if call.verb in ("GET", "HEAD"):
            return self._get(at, call, form, hit)
        return self._change(at, call, form)

    def _get(self, at: Address, call: Call, form: Form, hit: Hit) -> Answer:
        """A GET on Post posts too: 1C does not look at the verb there."""
        asked = options.read(call.given)
        if at.tail in ("Post", "Unpost"):
            return self._post(at)
        if at.tail == "$count" and at.key is None:
            return plain(str(self._reader.count(at.set, asked)))
        if at.tail in ("SliceLast", "SliceFirst"):
            page = self._reader.slice(at.set, at.arguments or {}, asked, last=at.tail == "SliceLast")
        elif at.tail and at.key is not None:
            page = self._reader.behind(at.set, at.key, at.tail, asked)
            return self._one(call, form, page)
        elif at.tail:
            raise errors.no_segment(at.tail)
        elif at.key is not None:
            page = self._reader.entity(at.set, at.key, asked)
            hit.seen.append(str(page.rows[0].get("Ref_Key")))
            return self._one(call, form, page)
        else:
            page = self._reader.page(at.set, asked)
        hit.seen.extend(str(row.get("Ref_Key")) for row in page.rows)
        return rows(call.root, self._base.objects.now(), form, page)

    def _change(self, at: Address, call: Call, form: Form) -> Answer:
        if at.tail in ("Post", "Unpost") and call.verb == "POST":
            return self._post(at)
        if at.tail:
            raise errors.no_segment(at.tail)
        conditions = Conditions(
            load=call.headers.get("1c_odata-dataloadmode", "").lower() == "true",
            if_match=call.headers.get("if-match", ""),
        )
        if at.key is None:
            return self._create(at, call, form, conditions)
        if call.verb == "DELETE":
            self._writer.delete(at.set, at.key, conditions)
            return empty(204)
        changes = {"PATCH": self._writer.change, "MERGE": self._writer.change, "PUT": self._writer.replace}
        if call.verb not in changes:
            raise errors.forbidden_verb(call.verb)
        row = changes[call.verb](at.set, at.key, self._body(call), conditions)
        return self._one(call, form, self._whole(at.set, row))

    def _create(self, at: Address, call: Call, form: Form, conditions: Conditions) -> Answer:
        if call.verb != "POST":
            raise errors.forbidden_verb(call.verb)
        row = self._writer.create(at.set, self._body(call), conditions)
        answer = self._one(call, form, self._whole(at.set, row))
        where = f"{call.root}/{address(self._published.of(at.set), row)}"
        return answer.located(where, _CREATED)

    def _post(self, at: Address) -> Answer:
        key: Key = at.key or {}
        self._writer.post(at.set, key, posted=at.tail == "Post")
        return empty(200)

    def _exchange(self, name: str, call: Call) -> Answer:
        if not self._base.switches.plan:
            raise errors.no_segment(name)
        if name == "SelectChanges":
            return xml(self._base.nodes.select(self._published, call.root, call.given))
        self._base.nodes.acknowledge(call.given)
        return empty(200)

    def _whole(self, name: str, row: Row) -> Page:
        schema = self._published.of(name)
        return Page(schema, shape(self._published, schema), [row])

    def _one(self, call: Call, form: Form, page: Page) -> Answer:
        return rows(call.root, self._base.objects.now(), form, page, single=True)

    def _body(self, call: Call) -> Row:
        """JSON, or an Atom entry; anything that cannot be read is an internal error, as with the real one."""
        if not call.body.strip():
            return {}
        if "xml" in call.headers.get("content-type", "") or call.body.lstrip()[:1] == b"<":
            return atom.read(call.body)
        try:
            sent: Any = json.loads(call.body)
        except ValueError:
            raise errors.internal("Ошибка чтения JSON") from None
        if not isinstance(sent, dict):
            raise errors.internal("Ошибка чтения JSON: ожидался объект")
        return sent
