"""JSON as 1C writes it since 8.3.6: `odata.metadata`, counts as strings, links in minimal and full metadata."""

from __future__ import annotations

from typing import Any

from bus.sandbox.onec.odata.published import address
from bus.sandbox.onec.odata.reading import Page
from bus.sandbox.onec.schema import Row

NONE, MINIMAL, FULL = "nometadata", "minimalmetadata", "fullmetadata"


def collection(root: str, level: str, page: Page) -> Row:
    """`root` is the interface's whole address."""
    body: dict[str, Any] = {}
    if level != NONE:
        body["odata.metadata"] = f"{root}/$metadata#{page.schema.name}"
    if page.total is not None:
        body["odata.count"] = str(page.total)
    return body | {"value": [_entity(root, level, page, row) for row in page.rows]}


def single(root: str, level: str, page: Page) -> Row:
    """The fields stand beside `odata.metadata`, without a `value`."""
    head = {} if level == NONE else {"odata.metadata": f"{root}/$metadata#{page.schema.name}/@Element"}
    return head | _entity(root, level, page, page.rows[0])


def _entity(root: str, level: str, page: Page, row: Row) -> Row:
    shown = page.shape.of(row)
    if level == NONE:
        return shown
    at = address(page.schema, row)
    links = {f"{name}@navigationLinkUrl": f"{at}/{name}" for name in page.shape.links}
    if level == MINIMAL:
        return shown | links
    return {"odata.type": page.schema.type_name, "odata.id": f"{root}/{at}", "odata.editLink": at} | shown | links
