from datetime import UTC, datetime
from typing import Any

import pytest

from bus.errors import ConfigError, Permanent, SystemStopped, UnknownOutcome
from bus.ports import Failed, Write, Written
from bus.sandbox.bitrix_cms.shop import Shop
from bus.systems.connect import Urgent

CUSTOMER = {"fio": "Иван Петров", "phone": "+79991234567", "email": "ivan@example.com"}


def placed(shop: Shop, **more: Any) -> dict[str, Any]:
    return shop.act({"do": "create_order", "customer": CUSTOMER, **more})


def written(adapter: Urgent, write: Write) -> Written:
    told = adapter.write([write])[0]
    assert isinstance(told, Written), told
    return told


def failed(adapter: Urgent, write: Write) -> Failed:
    told = adapter.write([write])[0]
    assert isinstance(told, Failed), told
    return told


def order(key: Any, **change: Any) -> Write:
    return Write("order", "o-1", str(key), change)


def payment(key: Any, **fields: Any) -> Write:
    return Write("payment", "p-1", str(key), {"fields": fields})


def properties(raw: dict[str, Any]) -> dict[str, Any]:
    return {row["code"]: row["value"] for row in raw["propertyValues"]}


def test_orders_come_as_the_shop_tells_them_and_missing_ones_are_absent(cms: Urgent, shop: Shop) -> None:
    ids = [str(placed(shop)["id"]) for _ in range(60)]
    found = cms.fetch("order", [*ids, "999999"])
    assert list(found) == ids
    assert found[ids[0]] == shop.orders.get(ids[0])
    assert shop.calls.summary()["requests"] == 2


def test_a_payment_comes_with_its_order(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    key = str(made["payments"][0])
    assert cms.fetch("payment", [key, "999999"])[key]["orderId"] == made["id"]


def test_a_status_is_set_and_the_order_read_back(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    told = written(cms, order(made["id"], fields={"statusId": "F"}))
    assert told.before is not None
    assert (told.before["statusId"], told.raw["statusId"]) == ("N", "F")
    assert told.raw == shop.orders.get(made["id"])
    assert shop.calls.summary()["requests"] == 1


def test_cancelling_is_a_flag_with_its_reason(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    told = written(cms, order(made["id"], fields={"canceled": "Y", "reasonCanceled": "Не нужен"}))
    assert (told.raw["canceled"], told.raw["reasonCanceled"], told.raw["statusId"]) == ("Y", "Не нужен", "N")


def test_setting_one_property_erases_no_other(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    told = written(cms, order(made["id"], properties={"DEAL_ID": "759"}))
    assert properties(told.raw)["DEAL_ID"] == "759"
    assert properties(told.raw)["FIO"] == "Иван Петров"
    assert properties(told.raw)["PHONE"] == "+79991234567"


def test_properties_that_are_so_already_are_not_written(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    told = written(cms, order(made["id"], properties={"FIO": "Иван Петров"}))
    assert told.raw["version"] == 1
    assert "sale.propertyvalue.modify" not in shop.calls.summary()["by_method"]


def test_a_property_that_the_shop_does_not_have_is_named(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    told = failed(cms, order(made["id"], properties={"NO_SUCH": "1"}))
    assert isinstance(told.error, Permanent)
    assert "NO_SUCH" in str(told.error)
    assert shop.orders.get(made["id"])["version"] == 1


def test_before_shows_what_a_person_changed_meanwhile(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    edit = {"do": "edit_order", "fields": {"comments": "Позвонить"}}
    shop.faults.add({"kind": "user_edit_between", "method": "sale.order.get", "count": 1, "edit": edit})
    told = written(cms, order(made["id"], fields={"statusId": "F"}, properties={"DEAL_ID": "759"}))
    assert told.before is not None
    assert (told.before["comments"], told.before["version"]) == ("Позвонить", 2)
    assert told.raw["comments"] == "Позвонить"


def test_an_unknown_status_is_refused_and_the_other_order_goes_on(cms: Urgent, shop: Shop) -> None:
    one, other = placed(shop)["id"], placed(shop)["id"]
    bad, good = cms.write([order(one, fields={"statusId": "ZZ"}), order(other, fields={"statusId": "P"})])
    assert isinstance(bad, Failed)
    assert isinstance(bad.error, Permanent)
    assert bad.call == "sale.order.update"
    assert isinstance(good, Written)


def test_a_payment_is_paid_and_keeps_its_pay_system(cms: Urgent, shop: Shop) -> None:
    made = placed(shop, paySystemId=1)
    told = written(cms, payment(made["payments"][0], paid="Y", payVoucherNum="17"))
    assert told.before is not None
    assert (told.before["paid"], told.raw["paid"]) == ("N", "Y")
    assert (told.raw["paySystemId"], told.raw["payVoucherNum"]) == (1, "17")
    assert shop.orders.get(made["id"])["payed"] == "Y"


def test_a_payment_from_elsewhere_is_added_to_its_order(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    write = Write("payment", "p-9", None, {"fields": {"sum": 500, "paid": "Y"}}, parent=str(made["id"]))
    told = written(cms, write)
    assert (told.raw["xmlId"], told.raw["paid"], told.raw["paySystemId"]) == ("p-9", "Y", 2)
    assert told.raw["orderId"] == made["id"]
    assert cms.find("payment", ["p-9"])["p-9"].id == told.id


def test_a_payment_without_an_order_or_pay_system_is_refused_in_words(cms: Urgent, connected: Any) -> None:
    orphan = failed(cms, Write("payment", "p-9", None, {"fields": {"sum": 500}}))
    assert "needs the order" in str(orphan.error)
    bare = connected("bitrix_cms", "http://127.0.0.1:1/rest/1/x/")
    told = failed(bare, Write("payment", "p-9", None, {"fields": {"sum": 500}}, parent="1"))
    assert "pay_system" in str(told.error)


def test_a_sum_in_another_currency_than_the_orders_is_refused_before_it_is_told(cms: Urgent, shop: Shop) -> None:
    made = shop.orders.get(placed(shop, currency="USD")["id"])
    foreign = {"fields": {"sum": 500, "paid": "Y"}, "currency": "RUB"}
    new = failed(cms, Write("payment", "p-9", None, foreign, parent=str(made["id"])))
    known = failed(cms, Write("payment", "p-1", str(made["payments"][0]["id"]), foreign, parent=str(made["id"])))
    for told in (new, known):
        assert isinstance(told.error, Permanent)
        assert "amount: RUB is told, and the order here is in USD" in str(told.error)
    assert (new.call, known.call) == ("", "")
    assert [one["sum"] for one in shop.orders.get(made["id"])["payments"]] == [made["payments"][0]["sum"]]


def test_a_sum_in_the_orders_currency_is_told_and_a_gone_order_is_said(cms: Urgent, shop: Shop) -> None:
    made = placed(shop, currency="USD")
    change = {"fields": {"sum": 500}, "currency": "USD"}
    assert written(cms, Write("payment", "p-9", None, change, parent=str(made["id"]))).raw["sum"] == 500
    assert written(cms, Write("payment", "p-1", str(made["payments"][0]), change)).raw["sum"] == 500
    assert isinstance(failed(cms, Write("payment", "p-8", None, change, parent="999999")).error, Permanent)


def test_a_lost_answer_to_a_new_payment_is_unknown_and_it_can_be_found(cms: Urgent, shop: Shop) -> None:
    made = placed(shop)
    shop.faults.add({"kind": "drop_after", "count": 1})
    write = Write("payment", "p-9", None, {"fields": {"sum": 500}}, parent=str(made["id"]))
    assert isinstance(failed(cms, write).error, UnknownOutcome)
    assert set(cms.find("payment", ["p-9", "p-10"])) == {"p-9"}


def test_a_new_order_gets_our_key_goods_and_properties(cms: Urgent) -> None:
    change = {
        "fields": {"comments": "Из CRM"},
        "properties": {"FIO": "Иван", "DEAL_ID": "759"},
        "basket": [{"productId": 348, "name": "Чайник", "price": 980, "quantity": 2}],
    }
    told = written(cms, Write("order", "o-9", None, change))
    assert (told.raw["xmlId"], told.raw["price"], told.raw["comments"]) == ("o-9", 1960, "Из CRM")
    assert properties(told.raw)["DEAL_ID"] == "759"
    assert cms.find("order", ["o-9"])["o-9"].raw == told.raw


def test_an_order_created_without_its_goods_is_probed_and_never_created_again(cms: Urgent, shop: Shop) -> None:
    shop.faults.add({"kind": "error_before", "method": "sale.basketitem.add", "count": 1})
    half = failed(cms, Write("order", "o-9", None, {"basket": [{"productId": 348, "quantity": 1, "price": 1}]}))
    assert isinstance(half.error, UnknownOutcome)
    assert set(cms.find("order", ["o-9"])) == {"o-9"}


BASKET = [
    {"productId": 348, "name": "Чайник", "price": "980.00", "quantity": "1"},
    {"name": "Чашка", "price": "150.50", "quantity": "6"},
    {"name": "Чашка", "price": "150.50", "quantity": "6"},
]


def goods(raw: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(item["name"], item["price"], item["quantity"], item["xmlId"]) for item in raw["basketItems"]]


WHOLE = [("Чайник", 980, 1, "o-9/1"), ("Чашка", 150.5, 6, "o-9/2"), ("Чашка", 150.5, 6, "o-9/3")]


def test_each_row_of_a_new_order_has_a_key_and_our_price(cms: Urgent) -> None:
    told = written(cms, Write("order", "o-9", None, {"basket": BASKET}))
    assert goods(told.raw) == WHOLE
    assert {item["customPrice"] for item in told.raw["basketItems"]} == {"Y"}


@pytest.mark.parametrize("after", range(4))
def test_an_order_that_was_begun_gets_what_it_lacks_and_nothing_twice(cms: Urgent, shop: Shop, after: int) -> None:
    shop.faults.add({"kind": "drop_before", "method": "sale.basketitem.add", "after": after, "count": 1})
    cms.write([Write("order", "o-9", None, {"basket": BASKET})])
    begun = Write("order", "o-9", cms.find("order", ["o-9"])["o-9"].id, {}, begun={"basket": BASKET})
    assert goods(written(cms, begun).raw) == WHOLE
    assert goods(written(cms, begun).raw) == WHOLE
    assert shop.calls.summary()["by_method"]["sale.order.add"] == 1


def test_goods_that_a_person_has_put_in_by_hand_count_as_ours(cms: Urgent, shop: Shop) -> None:
    made = placed(
        shop, lines=[{"name": "Чашка", "price": 140, "quantity": 6}, {"name": "Ложка", "price": 1, "quantity": 2}]
    )
    told = written(cms, Write("order", "o-9", str(made["id"]), {}, begun={"basket": BASKET}))
    assert sorted(item["name"] for item in told.raw["basketItems"]) == ["Ложка", "Чайник", "Чашка", "Чашка"]


def test_an_order_of_many_rows_is_finished_in_several_requests(cms: Urgent, shop: Shop) -> None:
    basket = [{"name": f"Товар {at}", "price": "1.00", "quantity": "1"} for at in range(120)]
    shop.faults.add({"kind": "drop_before", "method": "sale.basketitem.add", "after": 70, "count": 1})
    cms.write([Write("order", "o-9", None, {"basket": basket})])
    made = cms.find("order", ["o-9"])["o-9"]
    assert len(made.raw["basketItems"]) == 70
    told = written(cms, Write("order", "o-9", made.id, {"fields": {"comments": "x"}}, begun={"basket": basket}))
    assert sorted(item["name"] for item in told.raw["basketItems"]) == sorted(line["name"] for line in basket)
    assert (told.raw["price"], told.raw["comments"]) == (120, "x")


def test_a_row_that_the_shop_refuses_is_named_once_the_order_is_there(cms: Urgent, shop: Shop) -> None:
    refusal = {"error": "200140400007", "text": "basket item is not saved - bad data"}
    shop.faults.add({"kind": "refuse", "method": "sale.basketitem.add", **refusal})
    first = failed(cms, Write("order", "o-9", None, {"basket": BASKET}))
    assert isinstance(first.error, UnknownOutcome)
    begun = Write("order", "o-9", cms.find("order", ["o-9"])["o-9"].id, {}, begun={"basket": BASKET})
    told = failed(cms, begun)
    assert isinstance(told.error, Permanent)
    assert told.error.cause == "sale.basketitem.add 200140400007"


def test_an_order_is_made_in_the_currency_of_its_goods(cms: Urgent) -> None:
    told = written(cms, Write("order", "o-9", None, {"basket": [{**BASKET[0], "currency": "EUR"}]}))
    assert (told.raw["currency"], told.raw["basketItems"][0]["currency"]) == ("EUR", "EUR")


def test_forty_updates_take_few_requests(cms: Urgent, shop: Shop) -> None:
    writes = [order(placed(shop)["id"], fields={"comments": f"{at}"}) for at in range(40)]
    told = cms.write(writes)
    assert [one.raw["comments"] for one in told if isinstance(one, Written)] == [f"{at}" for at in range(40)]
    assert shop.calls.summary()["requests"] == 3


def test_changed_orders_come_whole_with_their_payments(cms: Urgent, shop: Shop) -> None:
    began = datetime.now(UTC)
    ids = [str(placed(shop)["id"]) for _ in range(70)]
    pages = list(cms.changed("order", began))
    assert [record.id for page in pages for record in page] == ids
    assert all(record.raw["payments"] for page in pages for record in page)
    assert list(cms.changed("payment", began)) == []


def test_a_revoked_webhook_stops_the_shop(cms: Urgent, shop: Shop, secret: str) -> None:
    shop.faults.add({"kind": "auth_revoked"})
    with pytest.raises(SystemStopped) as raised:
        cms.fetch("order", ["1"])
    assert secret not in repr(raised.value)
    assert isinstance(failed(cms, order(1, fields={"statusId": "P"})).error, SystemStopped)


def test_check_reads_an_order_list(cms: Urgent, shop: Shop) -> None:
    assert all(finding.ok for finding in cms.check())
    del shop.methods["sale.order.list"]
    assert [finding.what for finding in cms.check() if not finding.ok] == ["orders"]


def test_codes_are_the_order_statuses(cms: Urgent, shop: Shop) -> None:
    shop.settings({"statuses": [{"id": "SB", "sort": 150, "name": "Собирается"}]})
    codes = cms.codes("order_status")
    assert {"N", "P", "F", "SB"} <= set(codes)
    assert "DN" not in codes


def test_an_unknown_record_type_is_a_fault_of_configuration(cms: Urgent) -> None:
    with pytest.raises(ConfigError):
        cms.write([Write("deal", "o-1", "1", {})])
