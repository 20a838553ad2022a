import pytest
import requests

from bus.sandbox import phpform

PREFIX = "BITRIX_REST_V3_EXCEPTION_"
NEW = {"title": "Decide", "creatorId": 1, "responsibleId": 7}


def task(crm, **fields):
    return crm.result("tasks.task.add", {"fields": {"TITLE": "Decide", "RESPONSIBLE_ID": 7, **fields}})["task"]


def titles(crm, **where):
    listed = crm.result("tasks.task.list", {"filter": where, "select": ["ID", "TITLE"]})
    return [row["title"] for row in listed["tasks"]]


def modern(crm, method, params=None, key=None):
    headers = {"Idempotency-Key": key} if key is not None else {}
    url = f"{crm.base}/rest/api/1/sandbox/{method}"
    return crm.session.post(url, json=params, headers=headers, timeout=10)


def error(answer, status=400):
    assert answer.status_code == status
    said = answer.json()["error"]
    assert "time" not in answer.json()
    return said["code"].removeprefix(PREFIX)


def test_an_old_task_is_strings_with_people(crm):
    made = task(crm, DESCRIPTION="x", DEADLINE="2023-12-31T23:59:59+03:00", UF_CRM_TASK=["D_10", "CO_5"])
    assert (made["id"], made["status"], made["createdBy"]) == ("8001", "2", "1")
    assert made["responsible"]["name"] == "Ivan Petrov"
    assert "ufCrmTask" not in made
    chosen = crm.result("tasks.task.get", {"taskId": made["id"], "select": ["ID", "DEADLINE", "UF_CRM_TASK"]})
    assert chosen["task"] == {
        "id": "8001",
        "deadline": "2023-12-31T23:59:59+03:00",
        "ufCrmTask": ["D_10", "CO_5"],
    }
    assert crm.result("tasks.task.get", {"taskId": 1}) == []


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({}, "100", "Could not find value for parameter {fields} (internal error)"),
        ({"RESPONSIBLE_ID": 7}, "ERROR_CORE", "Task title not specified<br>"),
        ({"TITLE": "x"}, "ERROR_CORE", "Assignee not specified<br>"),
        (
            {"TITLE": "x", "RESPONSIBLE_ID": 999},
            "ERROR_CORE",
            'User specified in the "Assignee" field not found<br>',
        ),
        ({"TITLE": "x", "RESPONSIBLE_ID": 7, "STATUS": 99}, "ERROR_CORE", "Invalid status<br>"),
    ],
)
def test_an_old_task_needs_a_title_and_a_person(crm, fields, code, text):
    answer = crm.rest("tasks.task.add", {"fields": fields})
    assert answer.status_code == 400
    assert answer.json() == {"error": code, "error_description": text}


def test_old_tasks_are_found_by_title_and_binding_newest_first(crm):
    for title, binding in (("conflict 1: name", "CO_5"), ("conflict 2: phone", "CO_5"), ("other", "CO_55")):
        task(crm, TITLE=title, UF_CRM_TASK=[binding])
    assert titles(crm, UF_CRM_TASK="CO_5") == ["conflict 2: phone", "conflict 1: name"]
    assert titles(crm, TITLE="conflict 1: name") == ["conflict 1: name"]
    assert titles(crm, TITLE="conflict%") == ["conflict 2: phone", "conflict 1: name"]
    assert titles(crm, RESPONSIBLE_ID=7, **{"!STATUS": 5, ">ID": 8002}) == ["other"]


def test_an_old_task_is_edited_and_completed(crm, listener):
    key = task(crm)["id"]
    crm.control("PUT", "webhooks", {"url": listener.url, "application_token": "t"})
    edited = crm.result("tasks.task.update", {"taskId": key, "fields": {"TITLE": "New", "RESPONSIBLE_ID": 9}})
    assert (edited["task"]["title"], edited["task"]["responsible"]["id"]) == ("New", "9")
    crm.result("tasks.task.update", {"taskId": key, "fields": {"TITLE": "New"}})
    done = crm.result("tasks.task.complete", {"taskId": key})["task"]
    assert (done["status"], done["closedBy"]) == ("5", "1")
    again = crm.rest("tasks.task.complete", {"taskId": key})
    assert again.json() == {"error": "0", "error_description": "Action on the task is not allowed"}
    assert titles(crm, REAL_STATUS=5) == ["New"]
    assert crm.result("tasks.task.delete", {"taskId": key}) == {"task": True}
    crm.control("POST", "events/flush", {})
    posts = [phpform.parse(post.body) for post in listener.posts]
    assert [post["event"] for post in posts] == ["ONTASKUPDATE", "ONTASKUPDATE", "ONTASKDELETE"]
    assert posts[0]["data"]["FIELDS_AFTER"] == {"ID": key}
    assert posts[2]["data"]["FIELDS_AFTER"] == "undefined"


def test_a_person_does_with_tasks_what_the_bus_must_notice(crm):
    key = crm.act("create_task", fields={"TITLE": "Call", "UF_CRM_TASK": ["CO_5"]})["id"]
    crm.act("complete_task", id=key)
    kept = crm.control("GET", "state")["tasks"][0]
    assert (kept["status"], kept["closedBy"], kept["ufCrmTask"]) == (5, 7, ["CO_5"])
    crm.act("edit_task", id=key, fields={"STATUS": 2})
    crm.act("delete_task", id=key)
    assert crm.control("GET", "state")["tasks"] == []


def test_a_new_task_is_typed_and_both_versions_see_it(crm):
    fields = {**NEW, "crmItemIds": ["CO_5"], "deadline": "2023-12-31T23:59:59+03:00"}
    answer = modern(crm, "tasks.task.add", {"fields": fields})
    item = answer.json()["result"]["item"]
    assert (item["id"], item["status"], item["crmItemIds"], item["responsibleId"]) == (8001, "pending", ["CO_5"], 7)
    assert "time" in answer.json()
    assert titles(crm, UF_CRM_TASK="CO_5") == ["Decide"]
    changed = {"id": 8001, "fields": {"status": "completed", "priority": "high"}}
    assert modern(crm, "tasks.task.update", changed).json()["result"] == {"result": True}
    chosen = {"id": 8001, "select": ["status", "priority", "nope", "responsible.name"]}
    item = modern(crm, "tasks.task.get", chosen).json()["result"]["item"]
    assert item == {"status": "completed", "priority": "high", "responsible": {"name": "Ivan"}}
    assert modern(crm, "tasks.task.delete", {"id": 8001}).json()["result"] == {"result": True}


def test_new_tasks_are_listed_by_id_only(crm):
    for number in range(5):
        modern(crm, "tasks.task.add", {"fields": {**NEW, "title": f"t{number}"}})

    def listed(**params):
        return [item["id"] for item in modern(crm, "tasks.task.list", params).json()["result"]["items"]]

    assert listed(filter=[["id", ">", 8003]]) == [8004, 8005]
    assert listed(filter=[["id", [8001, 8002]]], order={"id": "DESC"}) == [8002, 8001]
    assert listed(pagination={"page": 2, "limit": 2}) == [8003, 8004]
    by_title = {"filter": [["title", "=", "t1"]]}
    assert error(modern(crm, "tasks.task.list", by_title)) == "VALIDATION_REQUESTVALIDATIONEXCEPTION"
    assert error(modern(crm, "tasks.task.list", {"filter": [["nope", 1]]})) == "UNKNOWNDTOPROPERTYEXCEPTION"
    assert error(modern(crm, "tasks.task.list", {"filter": [["id", "~", 1]]})) == "UNKNOWNFILTEROPERATOREXCEPTION"


@pytest.mark.parametrize(
    ("method", "params", "status", "code"),
    [
        ("tasks.task.get", {"id": 1}, 400, "ENTITYNOTFOUNDEXCEPTION"),
        ("tasks.task.update", {"id": 1, "fields": {"title": "x"}}, 403, "ACCESSDENIEDEXCEPTION"),
        ("tasks.task.complete", {"id": 1}, 404, "METHODNOTFOUNDEXCEPTION"),
        ("tasks.task.list", {"pagination": {"limit": "abc"}}, 400, "INVALIDPAGINATIONEXCEPTION"),
    ],
)
def test_the_new_door_has_its_own_errors(crm, method, params, status, code):
    assert error(modern(crm, method, params), status) == code


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"title": "x"}, ["creatorId", "responsibleId"]),
        ({**NEW, "responsibleId": "7"}, ["responsibleId"]),
        ({**NEW, "deadline": "soon"}, ["deadline"]),
        ({**NEW, "responsibleId": 999}, ["responsibleId"]),
        ({}, ["fields"]),
    ],
)
def test_the_new_door_names_the_wrong_fields(crm, fields, wrong):
    answer = modern(crm, "tasks.task.add", {"fields": fields})
    assert error(answer) == "VALIDATION_REQUESTVALIDATIONEXCEPTION"
    assert [entry["field"] for entry in answer.json()["error"]["validation"]] == wrong


def test_the_new_door_reads_json_bodies_only(crm):
    url = f"{crm.base}/rest/api/1/sandbox/tasks.task.get"
    form = crm.session.post(url, data={"id": 1}, timeout=5)
    assert error(form) == "INVALIDJSONEXCEPTION"
    query = crm.session.get(url, params={"id": 1}, timeout=5)
    assert error(query) == "VALIDATION_REQUESTVALIDATIONEXCEPTION"
    documented = crm.session.get(f"{crm.base}/rest/api/1/sandbox/rest.documentation.openapi", timeout=5)
    assert "/tasks.task.add" in documented.json()["result"]["paths"]
    stranger = crm.session.post(f"{crm.base}/rest/api/1/wrong/tasks.task.get", json={"id": 1}, timeout=5)
    assert error(stranger, 401) == "INVALID_CREDENTIALS"


def test_the_same_key_and_body_make_one_task(crm, clock):
    first = modern(crm, "tasks.task.add", {"fields": NEW}, key="conflict-1")
    second = modern(crm, "tasks.task.add", {"fields": NEW}, key="conflict-1")
    assert first.json()["result"] == second.json()["result"]
    assert "Idempotent-Replayed" not in first.headers
    assert (second.headers["Idempotent-Replayed"], second.headers["Idempotency-Key"]) == ("true", "conflict-1")
    other = modern(crm, "tasks.task.add", {"fields": {**NEW, "title": "x"}}, key="conflict-1")
    assert error(other, 422) == "IDEMPOTENCYKEYREUSEDEXCEPTION"
    clock.now += 24 * 3600
    modern(crm, "tasks.task.add", {"fields": NEW}, key="conflict-1")
    assert len(titles(crm)) == 2


def test_a_call_that_failed_runs_again_under_its_key(crm):
    wrong = {"fields": {"title": "x"}}
    for _ in range(2):
        answer = modern(crm, "tasks.task.add", wrong, key="k")
        assert error(answer) == "VALIDATION_REQUESTVALIDATIONEXCEPTION"
    assert error(modern(crm, "tasks.task.add", {"fields": NEW}, key="")) == "INVALIDIDEMPOTENCYKEYEXCEPTION"
    assert error(modern(crm, "tasks.task.add", {"fields": NEW}, key="k" * 256)) == "INVALIDIDEMPOTENCYKEYEXCEPTION"
    assert "Idempotency-Key" not in modern(crm, "tasks.task.list", {}, key="k").headers


@pytest.mark.parametrize("key", ["conflict-1", None])
def test_an_answer_that_is_lost_makes_no_second_task_only_with_a_key(crm, key):
    crm.fault("drop_after", method="tasks.task.add", count=1)
    with pytest.raises(requests.ConnectionError):
        modern(crm, "tasks.task.add", {"fields": NEW}, key=key)
    modern(crm, "tasks.task.add", {"fields": NEW}, key=key)
    assert len(titles(crm)) == (1 if key else 2)


def test_an_old_task_survives_a_lost_answer_and_is_found_by_its_binding(crm):
    crm.fault("drop_after", method="tasks.task.add", count=1)
    with pytest.raises(requests.ConnectionError):
        task(crm, UF_CRM_TASK=["CO_5"])
    assert titles(crm, UF_CRM_TASK="CO_5") == ["Decide"]


def test_a_box_may_not_know_the_key(crm):
    crm.control("POST", "settings", {"rest3": "no_keys"})
    for _ in range(2):
        answer = modern(crm, "tasks.task.add", {"fields": NEW}, key="conflict-1")
        assert "Idempotency-Key" not in answer.headers
    assert len(titles(crm)) == 2


def test_an_old_portal_has_no_new_door(crm):
    crm.control("POST", "settings", {"rest3": "off"})
    answer = modern(crm, "tasks.task.add", {"fields": NEW}, key="conflict-1")
    assert (answer.status_code, answer.json()["error"]) == (404, "ERROR_METHOD_NOT_FOUND")
    assert titles(crm) == []
    bad = crm.session.post(f"{crm.base}/_sandbox/settings", json={"rest3": "maybe"}, timeout=5)
    assert bad.status_code == 400


def test_both_doors_are_one_in_limits_faults_and_log(crm):
    crm.fault("burst_503", count=1)
    assert error(modern(crm, "tasks.task.list", {}), 503) == "QUERY_LIMIT_EXCEEDED"
    modern(crm, "tasks.task.list", {})
    crm.result("tasks.task.list")
    assert crm.control("GET", "calls/summary")["by_method"]["tasks.task.list"] == 3
    assert [line["version"] for line in crm.control("GET", "calls")] == [3, 3, 2]
