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
    if name == shape.REQUISITES:
        made[name] = _requisites(child)
    elif name in shape.LISTS:
        held = shape.LISTS[name]
        made[name] = [value_of(one) for one in child if local(one) == held]
        made |= {f"{name}/@{local_name(str(key))}": str(value).strip() for key, value in child.attrib.items()}
        for one in child:
            if local(one) != held:
                _add(made, f"{name}/{local(one)}", one)
    elif name in made:
        made[name] = [*(made[name] if isinstance(made[name], list) else [made[name]]), value_of(child)]
    else:
        made[name] = value_of(child)


def _requisites(element: Element) -> Raw:
    """Requisites by name; several of one name as a list."""
    made: Raw = {}
    for one in element:
        inside = {local(part): text(value_of(part)) for part in one}
        name, value = shape.requisite(inside.pop("Наименование", "")), inside.pop("Значение", "")
        made[name] = value if name not in made else [*_listed(made[name]), value]
        made |= {f"{name}/{part}": said for part, said in inside.items()}
    return made


def _listed(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def local(element: Element) -> str:
    """An element's name without its namespace."""
    return local_name(str(element.tag))


def local_name(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
