"""The table of retry classes, walked: each method alone and in a batch, cut off before and after the commit."""

import ast
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import unquote_plus

import pytest
from pydantic import SecretStr

from bus.config import Limits, System
from bus.errors import BusError, Permanent, Transient, UnknownOutcome, Unrepeatable
from bus.model import Json
from bus.ports import Adapter, Failed, Write, Written
from bus.retry import Again, GiveUp, decide
from bus.sandbox.bitrix24.portal import Portal
from bus.sandbox.bitrix_cms.shop import Shop
from bus.systems import (
    bitrix24,
    bitrix24_companies,
    bitrix24_contacts,
    bitrix24_deals,
    bitrix24_items,
    bitrix24_parties,
    bitrix24_party_writes,
    bitrix24_requisites,
    bitrix24_tasks,
    bitrix_cms,
    findings,
)
from bus.systems.bitrix_errors import Duplicate
from bus.systems.bitrix_rest import Command, Outcome, Rest, Result
from bus.systems.connect import BITRIX
from bus.systems.http import Answer, Hook
from bus.systems.retry_classes import METHODS, RetryClass, class_of, is_write, meant

LOST = ["drop_before", "drop_after", "error_before", "error_after"]
KEYLESS = "crm.timeline.comment.add"
"""What no adapter sends: it stands for every method that is not in the table."""
MEANS: dict[RetryClass, type[BusError]] = {
    RetryClass.READ: Transient,
    RetryClass.IDEMPOTENT: Transient,
    RetryClass.PROBED: UnknownOutcome,
    RetryClass.KEYLESS: Unrepeatable,
}


BITRIX24 = (
    bitrix24,
    bitrix24_companies,
    bitrix24_contacts,
    bitrix24_deals,
    bitrix24_items,
    bitrix24_parties,
    bitrix24_party_writes,
    bitrix24_requisites,
    bitrix24_tasks,
)


class Freely:
    """A throttle that admits everything."""

    def acquire(self, *, urgent: bool) -> None:
        """Nothing is counted."""

    def wait(self, *, urgent: bool) -> float:
        del urgent
        return 0.0

    def refused(self) -> None:
        """Nothing is slowed."""

    def spent(self, methods: Any) -> None:
        """Nothing is added up."""

    def park(self, method: str, until: datetime) -> None:
        """Nothing is parked."""

    def parked(self, methods: Any, *, urgent: bool) -> dict[str, datetime]:
        del methods, urgent
        return {}


@pytest.fixture
def hooked() -> Iterator[Callable[..., Rest]]:
    """Makes a Rest to a webhook's URL; `hook` may be another class of hook."""
    made: list[Rest] = []

    def make(url: str, hook: type[Hook] = Hook) -> Rest:
        made.append(Rest("there", hook(SecretStr(url), timeout_s=5), Freely()))
        return made[-1]

    yield make
    for rest in made:
        rest.close()


@dataclass
class There:
    """Both stand-ins with a deal 1001, a company 301 and all that hangs on it, and an order 1; and their webhooks."""

    portal: Portal
    shop: Shop
    crm: Rest
    cms: Rest
    urls: dict[str, str]
    """By kind."""

    def of(self, method: str) -> tuple[Portal | Shop, Rest]:
        return (self.portal, self.crm) if method.startswith(("crm.", "tasks.")) else (self.shop, self.cms)

    def state(self) -> str:
        """All that both hold, but for the numbers of rows, which are new at each setting."""
        deals = [{**deal, "productRows": _unnumbered(deal["productRows"])} for deal in self.portal.state({})["deals"]]
        parties = self.portal.state({"of": "requisites,bankdetails,addresses"})
        return repr((deals, parties, self.portal.state({})["links"], self.shop.state({})))


@pytest.fixture
def there(portal: Portal, portal_url: str, shop: Shop, _shop: tuple[Shop, str], hooked: Callable[..., Rest]) -> There:
    portal.act({"do": "create_deal", "fields": {"title": "A"}})
    requisite = {"accounts": [{"RQ_ACC_NUM": "9"}], "addresses": [{"TYPE_ID": 1, "ADDRESS_1": "A"}]}
    portal.act({"do": "create_company", "fields": {}, "requisites": [{"preset": "legal", **requisite}]})
    portal.act({"do": "create_task", "fields": {"TITLE": "T", "RESPONSIBLE_ID": 7}})
    shop.act({"do": "create_order"})
    urls = {"bitrix24": portal_url, "bitrix_cms": _shop[1]}
    return There(portal, shop, hooked(portal_url), hooked(_shop[1]), urls)


def _unnumbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "id"} for row in rows]


ROWS = [{"productName": "Чайник", "price": 980, "quantity": 1}]
CALLS: dict[str, dict[str, Json]] = {
    "crm.item.get": {"entityTypeId": 2, "id": 1001},
    "crm.item.add": {"entityTypeId": 2, "fields": {"title": "B", "originatorId": "integration-bus", "originId": "o-1"}},
    "crm.item.update": {"entityTypeId": 2, "id": 1001, "fields": {"stageId": "WON"}},
    "crm.item.productrow.set": {"ownerType": "D", "ownerId": 1001, "productRows": ROWS},
    "crm.orderentity.add": {"fields": {"orderId": 1, "ownerId": 1001, "ownerTypeId": 2}},
    "crm.requisite.list": {"filter": {"ID": 501}},
    "crm.requisite.add": {
        "fields": {"ENTITY_TYPE_ID": 4, "ENTITY_ID": 301, "PRESET_ID": 1, "NAME": "R", "RQ_INN": "1"}
    },
    "crm.requisite.update": {"id": 501, "fields": {"RQ_KPP": "695001001"}},
    "crm.requisite.bankdetail.add": {"fields": {"ENTITY_ID": 501, "NAME": "B", "RQ_ACC_NUM": "1"}},
    "crm.requisite.bankdetail.update": {"id": 601, "fields": {"ACTIVE": "N"}},
    "crm.address.add": {"fields": {"TYPE_ID": 6, "ENTITY_TYPE_ID": 8, "ENTITY_ID": 501, "ADDRESS_1": "T"}},
    "crm.address.update": {"fields": {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": 501, "ADDRESS_1": "T"}},
    "tasks.task.add": {"fields": {"TITLE": "T", "RESPONSIBLE_ID": 7}},
    "tasks.task.update": {"taskId": 8001, "fields": {"RESPONSIBLE_ID": 9}},
    "sale.order.get": {"id": 1},
    "sale.order.add": {"fields": {"lid": "s1", "personTypeId": 1, "currency": "RUB", "xmlId": "o-1"}},
    "sale.order.update": {"id": 1, "fields": {"statusId": "F"}},
    "sale.payment.add": {"fields": {"orderId": 1, "paySystemId": 2, "sum": 500, "xmlId": "p-1"}},
    "sale.payment.update": {"id": 501, "fields": {"paySystemId": 2, "paid": "Y"}},
    "sale.propertyvalue.modify": {
        "fields": {"order": {"id": 1, "propertyValues": [{"orderPropsId": 1, "value": "Иван"}]}}
    },
    "sale.basketitem.add": {
        "fields": {"orderId": 1, "productId": 0, "name": "Cup", "quantity": 1, "price": 5, "currency": "RUB"}
    },
    KEYLESS: {"fields": {"ENTITY_ID": 1001, "ENTITY_TYPE": "deal", "COMMENT": "x"}},
}
"""Every write, a read of each system, and a create without key."""


def ask(rest: Rest, command: Command, batched: bool) -> Outcome:
    if batched:
        return rest.each([command])[0]
    try:
        return Result(rest.call(*command))
    except BusError as error:
        return error


def test_every_method_that_an_adapter_can_send_has_a_class_and_no_other() -> None:
    probe = {"server.time"}  # of bitrix_rest, which sends nothing else by itself
    assert sent_by(*BITRIX24, bitrix_cms, findings) | probe == set(METHODS)


def test_every_write_and_every_class_is_walked() -> None:
    assert {method for method in METHODS if is_write(method)} <= set(CALLS)
    assert {class_of(method) for method in CALLS} == set(RetryClass)


@pytest.mark.parametrize("batched", [False, True], ids=["alone", "in a batch"])
@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize("method", CALLS)
def test_a_lost_answer_means_what_the_methods_class_says(there: There, method: str, kind: str, batched: bool) -> None:
    site, rest = there.of(method)
    site.faults.add({"kind": kind, "method": method, "count": 1})
    lost = ask(rest, (method, CALLS[method]), batched)
    assert type(lost) is MEANS[class_of(method)]
    again = decide(lost, 0, Limits(), datetime.now(UTC), random.Random(1))
    assert isinstance(again, GiveUp if class_of(method) is RetryClass.KEYLESS else Again)


@pytest.mark.parametrize("method", [name for name in CALLS if class_of(name) is RetryClass.IDEMPOTENT])
def test_an_idempotent_write_may_be_written_again(there: There, method: str, clock: Any) -> None:
    clock.now = 1_790_000_000.0
    site, rest = there.of(method)
    site.faults.add({"kind": "drop_after", "method": method, "count": 1})
    assert isinstance(ask(rest, (method, CALLS[method]), batched=True), Transient)
    once = there.state()
    assert isinstance(ask(rest, (method, CALLS[method]), batched=True), Result | Duplicate)
    assert there.state() == once


def test_in_one_lost_batch_each_command_has_its_own_class(there: There) -> None:
    there.portal.faults.add({"kind": "drop_after", "method": "batch", "count": 1})
    commands = [(method, CALLS[method]) for method in CALLS if method.startswith("crm.")]
    told = there.crm.each(commands)
    assert [type(outcome) for outcome in told] == [MEANS[class_of(method)] for method, _ in commands]


def test_an_error_that_says_what_happened_is_left_alone() -> None:
    refused = Permanent("no")
    assert meant(refused, KEYLESS) is refused


class Halved(Hook):
    """A webhook whose first batch answers nothing of its third command."""

    whole = False

    def post(self, method: str, params: Mapping[str, Json], **more: Any) -> Answer:
        answer = super().post(method, params, **more)
        if method == "batch" and not self.whole:
            self.whole = True
            answer.body["result"]["result"].pop("c0003", None)
        return answer


class Listening(Hook):
    """A webhook that keeps what is sent in batches."""

    sent: ClassVar[list[str]] = []

    def post(self, method: str, params: Mapping[str, Json], **more: Any) -> Answer:
        self.sent.extend(unquote_plus(text) for text in params.get("cmd", {}).values())
        return super().post(method, params, **more)


def adapter(rest: Rest, kind: str) -> Adapter:
    said = {"kind": kind, "url": SecretStr("http://there/rest/1/x/"), "application_token": SecretStr("t")}
    return BITRIX[kind]("there", System(**said), rest)


def test_a_batch_that_answers_half_is_taken_apart(portal: Portal, portal_url: str, hooked: Callable[..., Rest]) -> None:
    ids = [portal.act({"do": "create_deal", "fields": {}})["id"] for _ in range(4)]
    portal.faults.add({"kind": "refuse", "method": "crm.item.update", "after": 2, "count": 1, "error": "ACCESS_DENIED"})
    writes = [Write("deal", f"o-{one}", str(one), {"item": {"stageId": "WON"}}) for one in ids]
    told = adapter(hooked(portal_url, Halved), "bitrix24").write(writes)  # behind the list that looks first
    ends = [type(one.error) if isinstance(one, Failed) else type(one) for one in told]
    assert ends == [Written, Transient, Permanent, Written]


def test_a_creation_that_a_batch_says_nothing_of_is_probed_and_nothing_is_added_to_it(
    portal: Portal, portal_url: str, hooked: Callable[..., Rest]
) -> None:
    writes = [Write("deal", f"o-{at}", None, {"item": {"title": "x"}, "rows": ROWS}) for at in range(4)]
    crm = adapter(hooked(portal_url, Halved), "bitrix24")
    told = crm.write(writes)
    assert [isinstance(one, Written) for one in told] == [True, True, False, True]
    assert isinstance(told[2], Failed)
    assert isinstance(told[2].error, UnknownOutcome)
    assert (told[2].error.cause, told[2].call) == ("crm.item.add unanswered", "crm.item.add")
    assert len(portal.state({})["deals"]) == 4
    assert crm.find("deal", ["o-2"])["o-2"].raw["rows"] == []


TEXT = "$result[c0001][item][id]"


def test_no_command_refers_to_the_result_of_another(there: There, hooked: Callable[..., Rest]) -> None:
    Listening.sent.clear()
    crm, cms = (adapter(hooked(url, Listening), kind) for kind, url in there.urls.items())
    contact = {"name": TEXT, "phone": "+79991234567"}
    rows = [{"productName": TEXT, "price": 1, "quantity": 1}]
    change = {"item": {"title": TEXT}, "rows": rows, "contact": contact, "order_id": "1"}
    told = [
        *crm.write([Write("deal", "o-1", None, change), Write("deal", "o-2", "1001", change)]),
        *crm.write(
            [Write("party", "p-1", None, PARTY), Write("party", "p-2", "company:301", {"item": {"title": TEXT}})]
        ),
        *cms.write([Write("order", "o-1", None, ORDER), Write("order", "o-2", "1", {"fields": {"comments": TEXT}})]),
    ]
    assert all(isinstance(one, Written) for one in told)
    assert Listening.sent
    assert not [text for text in Listening.sent if "$result" in text]
    assert [deal["title"] for deal in there.portal.state({})["deals"]] == [TEXT, TEXT]
    assert [order["comments"] for order in there.shop.state({})["orders"]] == [TEXT, TEXT]
    assert [company["title"] for company in there.portal.state({"of": "companies"})["companies"]] == [TEXT, TEXT]


PARTY = {
    "type": "company",
    "item": {"title": TEXT},
    "requisite": {"id": None, "preset": "1", "fields": {"NAME": TEXT, "RQ_INN": "1"}},
    "accounts": [{"id": None, "fields": {"NAME": TEXT, "RQ_ACC_NUM": "1"}}],
    "addresses": [{"there": False, "fields": {"TYPE_ID": "6", "ADDRESS_1": TEXT}}],
}
ORDER = {
    "fields": {"comments": TEXT},
    "properties": {"FIO": TEXT},
    "basket": [{"name": TEXT, "quantity": 1, "price": 1}],
}


def sent_by(*modules: ModuleType) -> set[str]:
    """Every method that the modules name, in lower case; `sale.{record_type}.get` is as many as there are types."""
    return {
        text.replace("{}", kind).lower()
        for module in modules
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        for text in [_text(node)]
        for kind in (["order", "payment"] if "{}" in text else [""])
        if text in ("profile", "scope", "user.get")
        or (text.startswith(("crm.", "sale.", "tasks.")) and text.count(".") > 1 and " " not in text)
    }


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
