"""Plans: documents that are nearly right, made by hypothesis out of right ones."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import seeds

_TEXTS = ["", "0", "-1", "1e400", "NaN", "order/1", "2026-03-01T12:00:00Z", "0001-01-01T00:00:00+23:59", "\u2028", "٣"]
plain = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from(_TEXTS)
value = st.recursive(
    plain | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_AMOUNT = {"amount": "1990.00", "currency": "RUB"}
_PARTY = {"name": "Роза", "inn": "7707083893", "kpp": "773601001", "phones": ["+79120000100"], "emails": ["a@b.ru"]}
_LINE = {"product": "p", "name": "Чайник", "quantity": "1", "price": "1990.00"}
EVENTS: list[Any] = [
    seeds.EVENT,
    seeds.EVENT | {"type": "order.changed", "subject": "order/236", "sourceversion": "17", "data": {"number": "236"}},
    seeds.EVENT
    | {
        "type": "order.changed",
        "subject": "order/7",
        "data": {"number": "7", "total": _AMOUNT, "status": "paid", "lines": [_LINE], "customer": _PARTY},
    },
    seeds.EVENT | {"type": "counterparty.changed", "subject": "counterparty/9", "data": _PARTY},
    seeds.EVENT | {"type": "deal.deleted", "subject": "deal/759", "data": None},
]
ORDER: dict[str, Any] = {
    "id": "0b4e9f0a",
    "event": "order.saved",
    "occurred_at": "2026-03-01T14:59:00+03:00",
    "user_id": 7,
    "order": {
        "id": 236,
        "accountNumber": "236",
        "statusId": "N",
        "price": 1990.5,
        "currency": "RUB",
        "dateInsert": "2026-03-01T14:00:00+03:00",
        "dateUpdate": "2026-03-01T14:59:00+03:00",
        "payments": [
            {"id": 12, "paid": "Y", "sum": 1990.5, "currency": "RUB", "datePaid": "2026-03-01T14:59:00+03:00"}
        ],
        "basketItems": [{"id": 1, "productId": 5, "name": "Чайник", "quantity": 1, "price": 1990.5}],
        "propertyValues": [{"id": 1, "code": "PHONE", "value": "+79120000100"}],
    },
}


def edited(document: Any, edits: list[tuple[list[int], int, Any]]) -> Any:
    """A copy with changes: each walks down by numbers, and there sets, deletes, wraps or adds."""
    made = copy.deepcopy(document)
    for way, what, new in edits:
        node, above, key = made, None, None
        for step in way:
            keys = [*node] if isinstance(node, dict) else [*range(len(node))] if isinstance(node, list) else []
            if not keys:
                break
            above, key = node, keys[step % len(keys)]
            node = node[key]
        if above is None:
            continue
        if what == 0:
            above[key] = new
        elif what == 1:
            del above[key]
        elif what == 2:
            above[key] = [node, new]
        elif isinstance(above, dict):
            above[f"{key}x"] = new
        else:
            above.append(new)
    return made


edits = st.lists(st.tuples(st.lists(st.integers(0, 12), min_size=1, max_size=5), st.integers(0, 3), value), max_size=4)
event = st.builds(edited, st.sampled_from(EVENTS), edits)
events = event | st.lists(event, max_size=5) | value
order = st.builds(edited, st.just(ORDER), edits) | value
