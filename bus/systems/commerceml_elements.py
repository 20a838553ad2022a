"""Elements of XML as JSON: text, dictionaries by local names, lists where CommerceML has lists."""

from __future__ import annotations

from lxml.etree import _Element as Element

from bus.model import Json
from bus.ports import Raw
from bus.systems import commerceml_shape as shape
from bus.systems.commerceml_raw import text


def value_of(element: Element) -> Json:
    """An element as JSON: text, or a dictionary of what is in it; lists and requisites in their own form."""
    made: Raw = {f"@{local_name(str(name))}": str(value).strip() for name, value in element.attrib.items()}
    children = list(element)
    said = (element.text or "").strip()
    if not children:
        return {**made, "#": said} if made else said
    for child in children:
        _add(made, local(child), child)
    return made


def _add(made: Raw, name: str, child: Element) -> None:
    """What stands there twice is there twice: a second list goes on where the first ended."""
    if name == shape.REQUISITES:
        made[name] = _requisites(child, made.get(name) or {})
        _add_own(made, name, child)
    elif name in shape.LISTS:
        held = shape.LISTS[name]
        made[name] = [*(made.get(name) or []), *(value_of(one) for one in child if local(one) == held)]
        _add_own(made, name, child)
        for one in child:
            if local(one) != held:
                _add(made, f"{name}/{local(one)}", one)
    else:
        _put(made, name, value_of(child))


def _add_own(made: Raw, name: str, child: Element) -> None:
    """Attributes of a list itself, and a text that stands in the place of one."""
    for key, value in child.attrib.items():
        _put(made, f"{name}/@{local_name(str(key))}", str(value).strip())
    if len(child) == 0 and (child.text or "").strip():
        _put(made, f"{name}/#", (child.text or "").strip())


def _put(made: Raw, name: str, value: Json) -> None:
    made[name] = value if name not in made else [*_listed(made[name]), value]


def _requisites(element: Element, made: Raw) -> Raw:
    """Requisites by name, after those that are known already; several of one name as a list."""
    for one in element:
        found = value_of(one)
        inside = found if isinstance(found, dict) else {"#": found} if found else {}
        name = shape.requisite(_said(inside, "Наименование"))
        _put(made, name, _said(inside, "Значение"))
        for part, said in inside.items():
            _put(made, f"{name}/{part}", said)
    return made


def _said(inside: Raw, part: str) -> str:
    """The text of a part, which is taken out; what it says besides, or says again, is left in."""
    first, *more = _listed(inside.pop(part, ""))
    if isinstance(first, dict):
        more = [{key: value for key, value in first.items() if key != "#"}, *more]
    if more:
        inside[part] = more
    return text(first)


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return local_name(str(element.tag))


def local_name(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
