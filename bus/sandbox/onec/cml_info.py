"""What the site answers to `info`: its statuses, pay systems and deliveries."""

from __future__ import annotations

from bus.sandbox.onec.cml_session import Refused
from bus.sandbox.onec.cml_xml import children, local, parse, value

_NAMES = {
    "Cтатусы": "statuses",  # as Bitrix writes it: the first letter is a Latin C
    "Статусы": "statuses",
    "ПлатежныеСистемы": "pay_systems",
    "СлужбыДоставки": "deliveries",
}


def directories(text: str) -> dict[str, dict[str, str]]:
    """By kind: id → name; raises Refused when it is no Справочник."""
    try:
        root = parse(text)
    except ValueError as error:
        raise Refused("info", str(error)) from None
    if local(root) != "Справочник":
        raise Refused("info", f"the root is {local(root)!r}, not 'Справочник'")
    return {
        _NAMES[local(part)]: {value(one, "Ид"): value(one, "Название") for one in children(part, "Элемент")}
        for part in root
        if local(part) in _NAMES
    }
