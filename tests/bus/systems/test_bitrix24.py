import traceback
from datetime import UTC, datetime
from typing import Any

import fakeredis
import pytest

from bus.claims import RENEW
from bus.errors import ConfigError, NotReady, Permanent, SystemStopped, UnknownOutcome
from bus.ports import Failed, Write, Written
from bus.sandbox.bitrix24.portal import Portal
from bus.sandbox.envelope import RestError
from bus.systems.connect import Urgent
from tests.bus.systems.conftest import Connect

ROWS = [{"productName": "Чайник", "price": "980.00", "quantity": "1"}]
CUSTOMER = {"name": "Иван Петров", "phone": "+79991234567", "email": "ivan@example.com"}


def requests_of(portal: Portal) -> int:
    return int(portal.calls.summary()["requests"])


def create(origin: str = "o-1", **change: Any) -> Write:
    return Write("deal", origin, None, {"item": {"title": "Заказ №1", "stageId": "NEW"}, **change})


def update(deal: int | str, **change: Any) -> Write:
    return Write("deal", "o-1", str(deal), change)


def written(adapter: Urgent, *writes: Write) -> list[Written]:
    told = adapter.write(writes)
    assert all(isinstance(one, Written) for one in told), told
    return [one for one in told if isinstance(one, Written)]


def failed(adapter: Urgent, write: Write) -> Failed:
    told = adapter.write([write])[0]
    assert isinstance(told, Failed), told
    return told


def deal(portal: Portal, **fields: Any) -> int:
    return int(portal.act({"do": "create_deal", "fields": {"title": "A deal", **fields}})["id"])


def contact(portal: Portal, **fields: Any) -> int:
    return int(portal.act({"do": "create_contact", "fields": fields})["id"])


def records(portal: Portal, of: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = portal.state({"of": of})[of]
    return found


def test_a_deal_comes_with_rows_contact_and_links(crm: Urgent, portal: Portal) -> None:
    person = contact(portal, name="Иван", fm=[{"typeId": "PHONE", "value": "+79990000000"}])
    key = deal(portal, contactId=person, UF_CRM_ORDER_ID="236")
    portal.act({"do": "set_rows", "id": key, "rows": ROWS})
    portal.call("crm.orderentity.add", {"fields": {"orderId": 236, "ownerId": key, "ownerTypeId": 2}})
    raw = crm.fetch("deal", [str(key)])[str(key)]
    assert raw["item"]["UF_CRM_ORDER_ID"] == "236"
    assert [row["productName"] for row in raw["rows"]] == ["Чайник"]
    assert raw["contact"]["fm"][0]["value"] == "+79990000000"
    assert raw["order_ids"] == ["236"]


def test_forty_five_deals_with_contacts_cost_two_requests(crm: Urgent, portal: Portal) -> None:
    ids = [str(deal(portal, contactId=contact(portal, name=f"{at}"))) for at in range(45)]
    assert set(crm.fetch("deal", ids)) == set(ids)
    assert requests_of(portal) == 2


def test_bare_deals_cost_one_request_and_say_that_they_are_bare(crm: Urgent, portal: Portal) -> None:
    key = str(deal(portal))
    raw = crm.fetch("deal", [key])[key]
    assert (raw["rows"], raw["contact"], raw["order_ids"]) == ([], None, [])
    assert requests_of(portal) == 1


def test_a_deal_that_is_gone_is_absent(crm: Urgent, portal: Portal) -> None:
    here, gone = deal(portal), deal(portal)
    portal.act({"do": "delete_deal", "id": gone})
    assert set(crm.fetch("deal", [str(here), str(gone), "nonsense"])) == {str(here)}


def test_a_deal_that_is_hidden_from_us_is_not_taken_for_deleted(crm: Urgent, portal: Portal) -> None:
    hidden = deal(portal)
    portal.act({"do": "delete_deal", "id": hidden})
    portal.faults.add({"kind": "refuse", "method": "crm.item.get", "status": 403, "error": "ACCESS_DENIED", "text": ""})
    with pytest.raises(Permanent, match="rights"):
        crm.fetch("deal", [str(hidden)])


def test_more_rows_than_a_page_come_whole(crm: Urgent, portal: Portal) -> None:
    key = deal(portal)
    portal.act({"do": "set_rows", "id": key, "rows": [{"productName": f"{at}", "price": 1} for at in range(120)]})
    assert len(crm.fetch("deal", [str(key)])[str(key)]["rows"]) == 120


def test_links_that_cannot_be_read_are_not_said_to_be_none(crm: Urgent, portal: Portal) -> None:
    key = str(deal(portal))
    del portal.methods["crm.orderentity.list"]
    assert "order_ids" not in crm.fetch("deal", [key])[key]


def test_one_deal_whose_rows_may_not_be_read_does_not_hide_the_others(crm: Urgent, portal: Portal) -> None:
    keys = [str(deal(portal)), str(deal(portal))]
    rows = portal.methods["crm.item.productrow.list"]

    def guarded(params: Any, hit: Any) -> Any:
        if str(params["filter"]["=ownerId"]) == keys[0]:
            raise RestError("ACCESS_DENIED", "Access denied", 403)
        return rows(params, hit)

    portal.methods["crm.item.productrow.list"] = guarded
    found = crm.fetch("deal", keys)
    assert ["rows" in found[key] for key in keys] == [False, True]


def test_a_new_deal_gets_our_key_rows_contact_and_link(crm: Urgent) -> None:
    [told] = written(crm, create(rows=ROWS, contact=CUSTOMER, order_id="236"))
    item = told.raw["item"]
    assert (item["originatorId"], item["originId"], str(item["id"])) == ("integration-bus", "o-1", told.id)
    assert item["opportunity"] == 980
    assert told.raw["order_ids"] == ["236"]
    assert told.raw["contact"]["name"] == "Иван Петров"
    assert {row["value"] for row in told.raw["contact"]["fm"]} == {"+79991234567", "ivan@example.com"}


def company(portal: Portal, *, inn: str = "7707083893", kpp: str | None = "773601001") -> int:
    requisite = {"preset": "legal", "RQ_INN": inn, "RQ_KPP": kpp}
    act = {"do": "create_company", "fields": {"title": "Ромашка"}, "requisites": [requisite]}
    return int(portal.act(act)["id"])


@pytest.mark.parametrize(
    ("there", "wanted", "linked"),
    [
        ([{}], {"inn": "7707083893", "kpp": "773601001"}, True),
        ([{}, {"kpp": "770701001"}], {"inn": "7707083893", "kpp": "773601001"}, True),
        ([{}], {"inn": "7707083893", "kpp": "770701001"}, False),
        ([{}], {"inn": "7707083893", "kpp": None}, False),
        ([{"kpp": None}], {"inn": "7707083893", "kpp": None}, False),
        ([{}, {}], {"inn": "7707083893", "kpp": "773601001"}, False),
        ([{"inn": "500100732259", "kpp": None}], {"inn": "500100732259", "kpp": None}, True),
        ([], {"inn": "7707083893", "kpp": "773601001"}, False),
    ],
)
def test_a_new_deal_is_linked_to_the_one_company_that_has_its_requisites(
    crm: Urgent, portal: Portal, there: list[Any], wanted: Any, linked: bool
) -> None:
    ids = [company(portal, **one) for one in there]
    [told] = written(crm, create(company=wanted, order_id="236"))
    assert told.raw["item"]["companyId"] == (ids[0] if linked else 0)
    if linked:
        assert told.raw["company"]["item"]["title"] == "Ромашка"
        assert told.raw["company"]["requisite"]["RQ_INN"] == wanted["inn"]
    else:
        assert told.raw["company"] is None


def test_requisites_of_new_deals_cost_one_request_for_all_and_nothing_without(crm: Urgent, portal: Portal) -> None:
    company(portal)
    written(crm, *[create(f"o-{at}") for at in range(40)])
    assert requests_of(portal) == 1
    whose = {"inn": "7707083893", "kpp": "773601001"}
    written(crm, *[create(f"p-{at}", company=whose if at % 2 else {}) for at in range(40)])
    assert requests_of(portal) == 3


def test_requisites_that_may_not_be_read_keep_no_deal_back(crm: Urgent, portal: Portal) -> None:
    key = deal(portal, companyId=company(portal))
    del portal.methods["crm.requisite.list"]
    [told] = written(crm, create(company={"inn": "7707083893", "kpp": "773601001"}))
    assert told.raw["item"]["companyId"] == 0
    assert "company" not in crm.fetch("deal", [str(key)])[str(key)]


def test_a_new_deal_waits_where_its_company_cannot_be_asked_for_now(crm: Urgent, portal: Portal) -> None:
    busy = {
        "kind": "refuse",
        "method": "crm.requisite.list",
        "status": 429,
        "error": "OPERATION_TIME_LIMIT",
        "text": "",
    }
    portal.faults.add(busy)
    told = crm.write([create("o-1", company={"inn": "7707083893", "kpp": "773601001"}), create("o-2")])
    assert isinstance(told[0], Failed)
    assert isinstance(told[0].error, NotReady)
    assert isinstance(told[1], Written)
    assert [one["originId"] for one in records(portal, "deals")] == ["o-2"]


def test_a_new_deal_goes_into_the_configured_funnel(connected: Any, portal: Portal, portal_url: str) -> None:
    portal.settings({"categories": [{"id": 1, "name": "Shop"}]})
    crm = connected("bitrix24", portal_url, settings={"category": "1"})
    [told] = written(crm, Write("deal", "o-1", None, {"item": {"stageId": "C1:NEW"}}))
    assert (told.raw["item"]["categoryId"], told.raw["item"]["stageId"]) == (1, "C1:NEW")


def test_forty_five_plain_updates_cost_one_request_and_are_their_own_read_back(crm: Urgent, portal: Portal) -> None:
    ids = [deal(portal) for _ in range(45)]
    told = written(crm, *[update(key, item={"comments": f"{key}"}) for key in ids])
    assert requests_of(portal) == 1
    assert [one.raw["item"]["comments"] for one in told] == [f"{key}" for key in ids]
    assert set(told[0].raw) == {"item"}


def test_a_stage_that_the_portal_silently_dropped_shows_in_the_read_back(crm: Urgent, portal: Portal) -> None:
    key = deal(portal)
    [told] = written(crm, update(key, item={"stageId": "NO_SUCH_STAGE"}))
    assert told.raw["item"]["stageId"] == "NEW"


def test_rows_are_replaced_and_may_all_be_taken_away(crm: Urgent, portal: Portal) -> None:
    key = deal(portal)
    [told] = written(crm, update(key, rows=ROWS))
    assert told.raw["item"]["opportunity"] == 980
    [told] = written(crm, update(key, rows=[]))
    assert told.raw["rows"] == []


def test_one_bad_write_does_not_spoil_the_others(crm: Urgent, portal: Portal) -> None:
    key = deal(portal)
    bad, good = crm.write([update(999999, item={"comments": "x"}), update(key, item={"comments": "x"})])
    assert isinstance(bad, Failed)
    assert isinstance(bad.error, Permanent)
    assert bad.call == "crm.item.update"
    assert bad.answered["error"] == "NOT_FOUND"
    assert isinstance(good, Written)


def test_an_order_that_is_linked_already_is_no_failure(crm: Urgent) -> None:
    [told] = written(crm, create(order_id="236"))
    [again] = written(crm, update(told.id, order_id="236"))
    assert again.raw["order_ids"] == ["236"]


class Emptied(fakeredis.FakeRedis):
    """Redis that loses all it has right before claims are looked at once more."""

    def eval(self, script: str, *args: Any) -> Any:  # type: ignore[override]
        if script == RENEW:
            self.flushall()
        return super().eval(script, *args)


def test_a_customer_whose_claim_lapsed_before_he_was_added_is_not_added(
    portal: Portal, portal_url: str, connected: Connect
) -> None:
    """Whoever stood still between the search and the add: another may have made him since."""
    crm = connected("bitrix24", portal_url, redis=Emptied())
    bad = failed(crm, create(contact=CUSTOMER))
    assert isinstance(bad.error, NotReady)
    assert records(portal, "contacts") == []


def test_a_known_customer_is_linked_and_not_doubled(crm: Urgent, portal: Portal) -> None:
    row = {"typeId": "PHONE", "value": "8 (999) 123-45-67"}
    known = contact(portal, name="Петров", lastName="Иван Ильич", fm=[row])
    [told] = written(crm, create(contact=CUSTOMER))
    assert told.raw["item"]["contactId"] == known
    assert told.raw["contact"]["name"] == "Петров"
    assert len(records(portal, "contacts")) == 1


def test_a_contact_that_knows_only_a_part_of_the_name_hears_all_of_it(crm: Urgent, portal: Portal) -> None:
    known = contact(portal, lastName="Петров", fm=[{"typeId": "PHONE", "value": CUSTOMER["phone"]}])
    [told] = written(crm, create(contact=CUSTOMER))
    assert (told.raw["item"]["contactId"], told.raw["contact"]["name"]) == (known, "Иван Петров")


def test_a_contact_with_a_second_name_keeps_its_name_in_parts(crm: Urgent, portal: Portal) -> None:
    parts = {"name": "Иван", "secondName": "Ильич", "lastName": "Петров"}
    known = contact(portal, **parts, fm=[{"typeId": "PHONE", "value": CUSTOMER["phone"]}])
    [told] = written(crm, create(contact={**CUSTOMER, "name": "Петров Иван Ильич"}))
    assert told.raw["item"]["contactId"] == known
    assert {part: told.raw["contact"][part] for part in parts} == parts


def test_a_contact_that_is_named_anew_has_no_part_of_the_name_twice(crm: Urgent, portal: Portal) -> None:
    row = {"typeId": "PHONE", "value": CUSTOMER["phone"]}
    contact(portal, name="Иван", secondName="Ильич", fm=[row])
    [told] = written(crm, create(contact={**CUSTOMER, "name": "Петров Иван Ильич"}))
    assert [told.raw["contact"][part] for part in ("name", "secondName", "lastName")] == [
        "Петров Иван Ильич",
        None,
        None,
    ]


def test_somebody_else_with_the_same_phone_is_a_contact_of_his_own(crm: Urgent, portal: Portal) -> None:
    anna = contact(portal, name="Анна", lastName="Белова", fm=[{"typeId": "PHONE", "value": CUSTOMER["phone"]}])
    [told] = written(crm, create(contact=CUSTOMER))
    assert told.raw["item"]["contactId"] != anna
    assert told.raw["contact"]["name"] == "Иван Петров"


def test_what_an_interrupted_attempt_of_ours_left_is_told_what_the_order_says_now(crm: Urgent, portal: Portal) -> None:
    rows = [{"typeId": "PHONE", "value": PHONE}]
    left = contact(portal, name="Анна", originatorId="integration-bus", originId="o-1", fm=rows)
    [told] = written(crm, create(contact=CUSTOMER))
    assert told.raw["item"]["contactId"] == left
    assert told.raw["contact"]["name"] == "Иван Петров"
    assert [(row["typeId"], row["value"]) for row in told.raw["contact"]["fm"]] == [("PHONE", NEW), ("EMAIL", MAIL)]


def test_two_of_one_phone_and_two_names_in_one_request_are_two(crm: Urgent, portal: Portal) -> None:
    told = written(crm, create("o-1", contact=CUSTOMER), create("o-2", contact={**CUSTOMER, "name": "Анна Белова"}))
    assert [one.raw["contact"]["name"] for one in told] == ["Иван Петров", "Анна Белова"]
    assert len(records(portal, "contacts")) == 2


def test_a_contact_whose_making_is_unclear_is_made_again_only_when_no_late_call_can_have_made_it(
    crm: Urgent, portal: Portal
) -> None:
    one, other = deal(portal), deal(portal)
    portal.faults.add({"kind": "drop_before", "method": "crm.item.add", "count": 1})
    assert isinstance(failed(crm, update(one, contact=CUSTOMER)).error, UnknownOutcome)
    for again in (
        update(one, contact=CUSTOMER),
        update(one, contact={**CUSTOMER, "phone": PHONE}),
        Write("deal", "o-2", str(other), {"contact": CUSTOMER}),
    ):
        error = failed(crm, again).error
        assert isinstance(error, NotReady)
        assert 55 < (error.until - datetime.now(UTC)).total_seconds() <= 60
    assert records(portal, "contacts") == []
    late = contact(portal, name="Иван Петров", originatorId="integration-bus", originId="o-1")
    [told] = written(crm, update(one, contact={**CUSTOMER, "phone": PHONE}))
    assert told.raw["item"]["contactId"] == late


def test_a_contact_that_surely_was_not_made_is_made_again_at_once(crm: Urgent, portal: Portal) -> None:
    refusal = {"error": "CONNECTION_ERROR", "text": "no OAuth server", "status": 500}
    portal.faults.add({"kind": "refuse", "method": "crm.item.add", "count": 1, **refusal})
    one = deal(portal)
    assert not isinstance(failed(crm, update(one, contact=CUSTOMER)).error, UnknownOutcome)
    [told] = written(crm, update(one, contact=CUSTOMER))
    assert told.raw["contact"]["name"] == "Иван Петров"


PHONE, NEW, MAIL = "+79990000001", CUSTOMER["phone"], CUSTOMER["email"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([("EMAIL", MAIL)], [("EMAIL", MAIL), ("PHONE", NEW)]),
        ([("PHONE", PHONE), ("EMAIL", MAIL)], [("PHONE", NEW), ("EMAIL", MAIL), ("PHONE", PHONE)]),
        ([("PHONE", PHONE), ("PHONE", NEW), ("EMAIL", MAIL)], [("PHONE", NEW), ("PHONE", PHONE), ("EMAIL", MAIL)]),
        ([("PHONE", "8 999 123-45-67")], [("PHONE", "8 999 123-45-67"), ("EMAIL", MAIL)]),
    ],
    ids=["lacks the phone", "another phone", "second phone", "otherwise typed"],
)
def test_a_found_contact_hears_the_latest_phone_and_keeps_the_old_one(
    crm: Urgent, portal: Portal, before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    known = contact(
        portal, name="Иван", lastName="Петров", fm=[{"typeId": kind, "value": value} for kind, value in before]
    )
    [told] = written(crm, create(contact=CUSTOMER))
    assert (told.raw["item"]["contactId"], told.raw["contact"]["name"]) == (known, "Иван")
    assert [(row["typeId"], row["value"]) for row in told.raw["contact"]["fm"]] == after
    assert len(records(portal, "contacts")) == 1


def test_a_found_contact_that_says_all_that_is_not_written(crm: Urgent, portal: Portal) -> None:
    contact(
        portal,
        name="Иван",
        lastName="Петров",
        fm=[{"typeId": "PHONE", "value": NEW}, {"typeId": "EMAIL", "value": MAIL}],
    )
    written(crm, create(contact=CUSTOMER))
    assert portal.calls.summary()["by_method"]["crm.item.update"] == 1, "the link alone"


def test_two_orders_of_one_new_customer_make_one_contact(crm: Urgent, portal: Portal) -> None:
    told = written(crm, create("o-1", contact=CUSTOMER), create("o-2", contact=CUSTOMER))
    assert told[0].raw["item"]["contactId"] == told[1].raw["item"]["contactId"]
    assert len(records(portal, "contacts")) == 1


def test_a_customer_without_phone_is_not_doubled_by_a_second_attempt(crm: Urgent, portal: Portal) -> None:
    key = deal(portal)
    portal.faults.add({"kind": "drop_after", "count": 1, "after": 3})
    only_a_name = {"name": "Иван", "phone": None, "email": None}
    assert isinstance(failed(crm, update(key, contact=only_a_name)).error, UnknownOutcome)
    [told] = written(crm, update(key, contact=only_a_name))
    assert told.raw["contact"]["name"] == "Иван"
    assert len(records(portal, "contacts")) == 1


def test_a_linked_contact_is_changed_in_place(crm: Urgent, portal: Portal) -> None:
    multi = [{"typeId": "PHONE", "value": "+7111"}, {"typeId": "PHONE", "value": "+7222"}]
    person = contact(portal, name="Иван", lastName="Петров", fm=multi)
    key = deal(portal, contactId=person)
    [told] = written(crm, update(key, contact={"name": "Пётр Иванов", "phone": "+7333", "email": "p@example.com"}))
    values = [(row["typeId"], row["value"]) for row in told.raw["contact"]["fm"]]
    assert values == [("PHONE", "+7333"), ("PHONE", "+7222"), ("EMAIL", "p@example.com")]
    assert (told.raw["contact"]["name"], told.raw["contact"]["lastName"]) == ("Пётр Иванов", None)


def test_a_linked_contact_that_says_all_is_not_written(crm: Urgent, portal: Portal) -> None:
    rows = [{"typeId": "PHONE", "value": NEW}, {"typeId": "EMAIL", "value": MAIL}]
    key = deal(portal, contactId=contact(portal, name="Иван Петров", fm=rows))
    written(crm, update(key, contact=CUSTOMER))
    assert "crm.item.update" not in portal.calls.summary()["by_method"]


def test_a_cleared_phone_leaves_the_contact(crm: Urgent, portal: Portal) -> None:
    person = contact(portal, name="Иван", fm=[{"typeId": "PHONE", "value": "+7111"}])
    key = deal(portal, contactId=person)
    [told] = written(crm, update(key, contact={"phone": None}))
    assert told.raw["contact"]["fm"] == []
    assert told.raw["contact"]["name"] == "Иван"


def test_a_create_whose_answer_was_lost_is_unknown_and_can_be_found(crm: Urgent, portal: Portal) -> None:
    portal.faults.add({"kind": "drop_after", "count": 1})
    lost = failed(crm, create(rows=ROWS, order_id="236"))
    assert isinstance(lost.error, UnknownOutcome)
    found = crm.find("deal", ["o-1", "o-2"])
    assert set(found) == {"o-1"}
    assert found["o-1"].raw["item"]["title"] == "Заказ №1"
    assert len(records(portal, "deals")) == 1


def test_a_deal_created_without_its_rows_is_probed_and_never_created_again(crm: Urgent, portal: Portal) -> None:
    portal.faults.add({"kind": "error_before", "method": "crm.item.productrow.set", "count": 1})
    half = failed(crm, create(rows=ROWS))
    assert isinstance(half.error, UnknownOutcome)
    assert "created as" in str(half.error)
    assert set(crm.find("deal", ["o-1"])) == {"o-1"}


def test_nothing_is_written_for_a_deal_that_was_not_created(crm: Urgent, portal: Portal) -> None:
    portal.faults.add({"kind": "error_before", "method": "crm.item.add", "count": 1})
    assert isinstance(failed(crm, create(rows=ROWS, contact=CUSTOMER, order_id="236")).error, UnknownOutcome)
    assert set(portal.calls.summary()["by_method"]) == {"crm.item.add"}


def test_find_prefers_the_older_of_two_and_is_not_deceived_by_others(crm: Urgent, portal: Portal) -> None:
    first = deal(portal, originatorId="integration-bus", originId="o-1")
    deal(portal, originatorId="integration-bus", originId="o-1")
    deal(portal, originatorId="another", originId="o-2")
    assert {key: record.id for key, record in crm.find("deal", ["o-1", "o-2"]).items()} == {"o-1": str(first)}


def test_changed_deals_come_complete_and_oldest_first(crm: Urgent, portal: Portal, clock: Any) -> None:
    clock.now = 1_800_000_000.0
    old = deal(portal)
    clock.now += 10
    ids = []
    for _ in range(60):
        clock.now += 1
        ids.append(deal(portal))
    clock.now += 1
    portal.act({"do": "edit_deal", "id": ids[0], "fields": {"title": "New"}})
    pages = list(crm.changed("deal", datetime.fromtimestamp(1_800_000_005, UTC)))
    told = [record.id for page in pages for record in page]
    assert told == [str(key) for key in [*ids[1:], ids[0]]]
    assert str(old) not in told
    assert all(set(record.raw) == {"item", "rows", "order_ids", "contact", "company"} for record in pages[0])


def test_a_deal_whose_contact_was_edited_counts_as_changed(crm: Urgent, portal: Portal, clock: Any) -> None:
    clock.now = 1_800_000_000.0
    person, other = contact(portal, name="Иван"), contact(portal, name="Олег")
    key, _, fresh = deal(portal, contactId=person), deal(portal, contactId=other), deal(portal, contactId=person)
    clock.now += 60
    portal.act({"do": "edit_contact", "id": person, "fields": {"name": "Пётр"}})
    portal.act({"do": "edit_deal", "id": fresh, "fields": {"title": "New"}})
    pages = list(crm.changed("deal", datetime.fromtimestamp(1_800_000_030, UTC)))
    told = [(record.id, record.raw["contact"]["name"]) for page in pages for record in page]
    assert told == [(str(fresh), "Пётр"), (str(key), "Пётр")], "each once"


def test_reading_everything_asks_for_no_contacts_besides(crm: Urgent, portal: Portal) -> None:
    deal(portal, contactId=contact(portal, name="Иван"))
    assert len(list(crm.changed("deal", datetime(1970, 1, 1, tzinfo=UTC)))) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "burst_503", "count": 1}, NotReady),
        ({"kind": "method_429", "method": "crm.item.list", "count": 1}, NotReady),
        ({"kind": "auth_revoked"}, SystemStopped),
    ],
)
def test_a_read_that_is_refused_says_when_to_come_back(
    crm: Urgent, portal: Portal, secret: str, fault: dict[str, Any], expected: type[NotReady]
) -> None:
    key = str(deal(portal))
    portal.faults.add(fault)
    with pytest.raises(expected) as raised:
        crm.fetch("deal", [key])
    assert raised.value.until > datetime.now(UTC)
    assert secret not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "error_after", "auth_revoked", "burst_503", "down"])
def test_no_failure_of_a_write_tells_the_webhooks_code(crm: Urgent, portal: Portal, secret: str, kind: str) -> None:
    portal.faults.add({"kind": kind, "count": 1})
    told = failed(crm, create())
    assert secret not in repr(told) + str(told.error) + "".join(traceback.format_exception(told.error))


def test_check_tells_of_user_scope_and_deals(crm: Urgent, portal: Portal, connected: Any, portal_url: str) -> None:
    assert all(finding.ok for finding in crm.check())
    stranger = connected("bitrix24", portal_url, integration_user="7")
    assert [finding.what for finding in stranger.check() if not finding.ok] == ["user"]
    unnamed = connected("bitrix24", portal_url, integration_user=None)
    assert 'integration_user: "1"' in "".join(finding.say for finding in unnamed.check())
    portal.faults.add({"kind": "auth_revoked"})
    assert [finding.ok for finding in crm.check()] == [False]


def test_codes_are_the_stages_of_both_funnels(connected: Any, portal: Portal, portal_url: str) -> None:
    portal.settings({"categories": [{"id": 1, "name": "Shop"}]})
    codes = connected("bitrix24", portal_url, settings={"category": "1"}).codes("deal_stage")
    assert {"NEW", "WON", "C1:NEW", "C1:WON"} <= set(codes)
    assert connected("bitrix24", portal_url).codes("something else") == {}


def test_an_unknown_record_type_is_a_fault_of_configuration(crm: Urgent) -> None:
    with pytest.raises(ConfigError):
        crm.fetch("order", ["1"])
