"""The doors under fuzz: the real app, a real ledger; answers as documented, nothing half-stored after a refusal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import quote_plus

from hypothesis import strategies as st

from tests.bus.intake.asgi import Answer, Header
from tests.fuzz import house, plans
from tests.fuzz.house import MEMBER, SIGNED, TOKEN, UNSIGNED, House
from tests.fuzz.target import Check, Target, must

Opened = Callable[[], AbstractContextManager[Check]]
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
EVENT_TYPES = (JSON, "application/cloudevents+json", "application/cloudevents-batch+json")


def on(check: Callable[[House, Any], str]) -> Opened:
    """A check with a house of its own."""

    @contextmanager
    def opened() -> Iterator[Check]:
        with house.standing() as made:
            yield lambda plan: check(made, plan)

    return opened


def documented(made: House, method: str, path: str, answer: Answer) -> None:
    """Status, media type and shape are those that /openapi.json tells of this route."""
    said = made.app.openapi()["paths"][path][method.lower()]["responses"]
    must(str(answer.status) in said, f"{method} {path} answers {answer.status}, which is not documented")
    content = said[str(answer.status)].get("content", {})
    must(answer.media_type in content, f"{answer.status} as {answer.media_type or 'nothing'}, which is not documented")
    if answer.status >= 400:
        shown = json.loads(answer.body)
        must(shown["status"] == answer.status and shown["detail"], "a refusal that does not say what is wrong")
    if answer.status == 503:
        must(answer.headers.get("retry-after", "").isdigit(), "not now, and not when")


def posted(made: House, path: str, url: str, headers: list[Header], plan: Any) -> str:
    """Post a body; nothing is stored unless the answer says so, and then what the answer says."""
    body = plan["body"].encode("utf-8", "surrogatepass")
    size = plan["chunk"] or len(body) or 1
    chunks = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    before = made.stored()
    answer = made.ask("POST", url, headers=headers, chunks=chunks, cut=plan["cut"])
    documented(made, "POST", path, answer)
    after = made.stored()
    if answer.status in (200, 202):
        new = json.loads(answer.body)["new"]
        must(int(str(after[0])) - int(str(before[0])) == new, f"{new} are said to be new, other rows were stored")
    else:
        must(before == after, f"{answer.status}, and something was stored")
    made.bells.published.clear()
    return str(answer.status)


def events(made: House, plan: Any) -> str:
    """POST /events."""
    headers = [(b"content-type", plan["type"].encode()), *house.signature(_text(plan), plan["sign"])]
    status = posted(made, "/events", "/events", headers, plan)
    must(plan["sign"] in SIGNED or status != "200", "taken without a signature that counts")
    return status


def shop(made: House, plan: Any) -> str:
    """POST /shop/{system}."""
    headers = [(b"content-type", plan["type"].encode()), *house.signature(_text(plan), plan["sign"], "shop")]
    status = posted(made, "/shop/{system}", f"/shop/{plan['system']}", headers, plan)
    must(plan["sign"] in SIGNED or status != "200", "taken without a signature that counts")
    return status


def bitrix24(made: House, plan: Any) -> str:
    """POST /bitrix24/{system}."""
    headers = [(b"content-type", plan["type"].encode())]
    status = posted(made, "/bitrix24/{system}", f"/bitrix24/{plan['system']}", headers, plan)
    must(status != "200" or TOKEN in plan["body"], "taken without the portal's token")
    return status


def _text(plan: Any) -> str:
    return plan["body"].encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _sent(bodies: Any, types: tuple[str, ...], **more: Any) -> Any:
    usual = {
        "body": bodies,
        "type": st.sampled_from([*types * 4, "text/plain", f"{types[0]}; charset=cp1251", ""]),
        "chunk": st.sampled_from([0, 0, 0, 1, 7, 1000]),
        "cut": st.sampled_from([False, False, False, True]),
    }
    return st.fixed_dictionaries(usual | more)


def _written(documents: Any) -> Any:
    """JSON texts: right ones, those of other readers, and cut or doubled ones."""
    right = documents.map(lambda one: json.dumps(one, ensure_ascii=False))
    spoiled = st.builds(
        lambda text, at, junk: text[: at % (len(text) + 1)] + junk + text[at % (len(text) + 1) :],
        right,
        st.integers(0, 2000),
        st.sampled_from(["", "\x00", "\\u0000", "\\ud800", '"', "{", "[" * 40, "1" * 30, '"a":1,"a":2,', "\ufeff"]),
    )
    return right | right | spoiled | st.just("[" + "0," * 1100 + "0]") | st.just(" " * 100_001)


_SIGN = st.sampled_from([*SIGNED, *SIGNED, *UNSIGNED])


def event_plans() -> Any:
    return _sent(_written(plans.events), EVENT_TYPES, sign=_SIGN)


def shop_plans() -> Any:
    return _sent(
        _written(plans.order), (JSON,), sign=_SIGN, system=st.sampled_from(["shop", "shop", "crm", "nobody", "%00"])
    )


_NAMES = ("event", "data[FIELDS][ID]", "data[FIELDS][ANCHOR_ID]", "data[FIELDS][ANCHOR_TYPE_ID]", "ts", "auth", "a[]")
_VALUES = (
    "ONCRMDEALUPDATE",
    "ONCRMDEALDELETE",
    "ONCRMCOMPANYADD",
    "ONCRMADDRESSREGISTER",
    "ONTASKADD",
    "759",
    "0",
    "3",
)


def form_plans() -> Any:
    pair = st.tuples(st.sampled_from(_NAMES) | st.text(max_size=6), st.sampled_from(_VALUES) | st.text(max_size=6))
    auth = [("auth[application_token]", TOKEN), ("auth[member_id]", MEMBER)]
    told = [*auth, ("event", "ONCRMDEALUPDATE"), ("data[FIELDS][ID]", "759")]
    more = st.lists(pair, max_size=6) | st.just([])
    pairs = st.builds(lambda known, some: known + some, st.sampled_from([told, told, auth, told[1:], []]), more)
    right = pairs.map(lambda some: "&".join(f"{_quoted(name)}={_quoted(text)}" for name, text in some))
    raw = pairs.map(lambda some: "&".join(f"{name}={text}" for name, text in some))
    return _sent(right | right | raw, (FORM,), system=st.sampled_from(["crm"] * 8 + ["shop", "x"]))


def _quoted(text: str) -> str:
    return quote_plus(text.encode("utf-8", "surrogatepass"))


PROMISE = "no fault of ours, answers as /openapi.json says, nothing stored unless said"
TARGETS = [
    Target("events", f"POST /events: {PROMISE}", on(events), plans=event_plans, seconds=5),
    Target("shop", f"POST /shop/…: {PROMISE}", on(shop), plans=shop_plans, seconds=5),
    Target("bitrix24", f"POST /bitrix24/…: {PROMISE}", on(bitrix24), plans=form_plans, seconds=5),
]
