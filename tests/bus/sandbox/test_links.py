def test_an_order_has_one_owner_and_a_new_one_takes_its_place(crm):
    one, two = (crm.act("create_deal")["id"] for _ in range(2))
    link = {"orderId": 55, "ownerId": one, "ownerTypeId": 2}
    assert crm.result("crm.orderentity.add", {"fields": link}) == {"dealOrder": link}
    again = crm.rest("crm.orderentity.add", {"fields": link})
    assert (again.status_code, again.json()["error"]) == (400, "201650000001")
    crm.result("crm.orderentity.add", {"fields": {**link, "ownerId": two}})
    asked = {"filter": {"=orderId": 55}, "select": ["orderId", "ownerId"]}
    assert crm.result("crm.orderentity.list", asked) == {"orderEntity": [{"orderId": 55, "ownerId": two}]}
    absent = crm.rest("crm.orderentity.deletebyfilter", {"fields": link})
    assert absent.json()["error"] == "201640400004"
    assert crm.result("crm.orderentity.deleteByFilter", {"fields": {**link, "ownerId": two}}) is True
    assert crm.result("crm.orderentity.list", {"start": -1}) == {"orderEntity": []}


def test_a_link_goes_with_its_deal(crm):
    deal = crm.act("create_deal")["id"]
    crm.result("crm.orderentity.add", {"fields": {"orderId": 1, "ownerId": deal, "ownerTypeId": 2}})
    crm.act("delete_deal", id=deal)
    assert crm.control("GET", "state")["links"] == []


def test_payments_of_a_deal(crm):
    deal = crm.act("create_deal", fields={"opportunity": 100})["id"]
    owner = {"entityId": deal, "entityTypeId": 2}
    payment = crm.result("crm.item.payment.add", owner)
    assert crm.result("crm.item.payment.pay", {"id": payment}) is True
    paid = crm.result("crm.item.payment.list", owner)
    assert [(row["id"], row["paid"], row["sum"]) for row in paid] == [(payment, "Y", 100)]
    crm.result("crm.item.payment.unpay", {"id": payment})
    assert crm.result("crm.item.payment.list", {**owner, "filter": {"paid": "Y"}}) == []


def test_comments_and_tasks(crm):
    comment = {"ENTITY_ID": 1, "ENTITY_TYPE": "deal", "COMMENT": "The bus changed the stage"}
    assert isinstance(crm.result("crm.timeline.comment.add", {"fields": comment}), int)
    task = crm.result("tasks.task.add", {"fields": {"TITLE": "Decide", "RESPONSIBLE_ID": 7, "UF_CRM_TASK": ["D_10"]}})
    assert task["task"]["title"] == "Decide"
    state = crm.control("GET", "state")
    assert (state["comments"][0]["COMMENT"], len(state["tasks"])) == ("The bus changed the stage", 1)
