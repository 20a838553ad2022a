import pytest
import requests


def test_the_golden_answers(crm):
    deal = crm.act(
        "create_deal",
        user=1,
        fields={"title": "Deal", "stageId": "PREPARATION", "opportunity": 1000, "isManualOpportunity": "Y"},
    )["id"]
    body = crm.rest("crm.deal.get", {"id": deal}).json()
    expected = {
        "ID": str(deal),
        "TITLE": "Deal",
        "STAGE_ID": "PREPARATION",
        "OPPORTUNITY": "1000.00",
        "IS_MANUAL_OPPORTUNITY": "Y",
        "CATEGORY_ID": "0",
        "STAGE_SEMANTIC_ID": "P",
        "MODIFY_BY_ID": "1",
        "MOVED_BY_ID": "1",
        "ORIGINATOR_ID": None,
        "ORIGIN_ID": None,
        "LEAD_ID": None,
    }
    assert expected.items() <= body["result"].items()
    assert {"start", "finish", "duration", "processing", "date_start", "date_finish"} == set(body["time"])


@pytest.mark.parametrize(
    ("method", "params", "status", "error"),
    [
        ("crm.deal.get", {"id": 999999}, 400, {"error": "", "error_description": "Not found"}),
        ("crm.deal.get", {"id": ""}, 400, {"error": "", "error_description": "ID is not defined or invalid."}),
        ("crm.deal.add", {"fields": "x"}, 400, {"error": "", "error_description": "Parameter 'fields' must be array."}),
        ("crm.item.get", {"entityTypeId": 2, "id": 1}, 400, {"error": "NOT_FOUND"}),
        (
            "crm.item.get",
            {"entityTypeId": 999, "id": 1},
            400,
            {"error": "NOT_FOUND", "error_description": "SPA not found"},
        ),
        ("crm.item.get", {"entityTypeId": 5, "id": 1}, 400, {"error": "ENTITY_TYPE_NOT_SUPPORTED"}),
        ("crm.item.get", {"id": 1}, 400, {"error": "100"}),
        ("crm.item.list", {"entityTypeId": 2, "filter": {"nope": 1}}, 400, {"error": "INVALID_ARG_VALUE"}),
        ("crm.nothing", {}, 404, {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}),
    ],
)
def test_refusals(crm, method, params, status, error):
    answer = crm.rest(method, params)
    assert answer.status_code == status
    assert error.items() <= answer.json().items()
    assert "time" not in answer.json()


def test_a_wrong_code_has_no_credentials(crm):
    answer = requests.post(f"{crm.base}/rest/1/wrong/profile", timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize("name", ["crm.deal.add", "CRM.Deal.Add", "crm.deal.add.json"])
def test_names_and_suffixes(crm, name):
    assert isinstance(crm.result(name, {"fields": {"TITLE": "A"}}), int)


def test_json_form_and_query_say_the_same(crm):
    url = f"{crm.base}/rest/1/sandbox/crm.deal.add"
    sent = [
        requests.post(url, json={"fields": {"TITLE": "A", "UF_CRM_ORDER_ID": "7"}}, timeout=5),
        requests.post(url, data={"fields[TITLE]": "A", "fields[UF_CRM_ORDER_ID]": "7"}, timeout=5),
        requests.get(url, params={"fields[TITLE]": "A", "fields[UF_CRM_ORDER_ID]": "7"}, timeout=5),
    ]
    deals = [crm.result("crm.deal.get", {"id": answer.json()["result"]}) for answer in sent]
    assert {(deal["TITLE"], deal["UF_CRM_ORDER_ID"]) for deal in deals} == {("A", "7")}


def test_the_system_methods(crm, store):
    for client in (crm, store):
        assert client.result("profile")["ID"] == "1"
        assert client.result("user.current")["ID"] == "1"
        assert client.result("server.time").endswith("+03:00")
        assert client.result("scope")
        assert client.result("app.info")["LICENSE"] == "ru_box"
        assert client.result("method.get", {"name": "batch"}) == {"isExisting": True, "isAvailable": True}


def test_the_log_has_requests_and_commands(crm):
    crm.batch(a="crm.deal.add?fields[TITLE]=A", b="crm.deal.get?id=1")
    lines = crm.control("GET", "calls")
    assert [(line["method"], line["batch"], line["error"]) for line in lines] == [
        ("crm.deal.add", "a", None),
        ("crm.deal.get", "b", "Not found"),
        ("batch", None, None),
    ]
    assert crm.control("GET", f"calls?since={lines[1]['seq']}")[0]["method"] == "batch"
    summary = crm.control("GET", "calls/summary")
    assert (summary["requests"], summary["commands"], summary["writes"]) == (1, 2, 1)
