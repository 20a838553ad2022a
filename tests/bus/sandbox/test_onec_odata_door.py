import base64
import threading
import time

import pytest
import requests

from bus.sandbox.onec import Base
from bus.sandbox.server import create_app, running
from tests.bus.sandbox.books import ORDERS, PARTIES, PARTNERS, at

DROPPED = requests.exceptions.ConnectionError


def count(onec):
    return len(onec.site.objects.rows(PARTNERS))


def create(onec, **more):
    return onec.ask("POST", PARTNERS, {"$format": "json"}, json={"Description": "А"}, **more)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer x",
        "Basic ???",
        "Basic " + base64.b64encode(b"bus:wrong").decode(),
        "Basic " + base64.b64encode(b"secret").decode(),
    ],
)
def test_nobody_enters_without_the_login(onec, header):
    answer = requests.get(f"{onec.root}$metadata", headers={"Authorization": header}, timeout=5)
    assert (answer.status_code, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_cyrillic_login_must_come_in_utf8():
    base = Base(login="Шина", password="пароль")
    with running(create_app(base)) as url:

        def asked(encoding):
            sent = base64.b64encode("Шина:пароль".encode(encoding)).decode()
            headers = {"Authorization": f"Basic {sent}"}
            return requests.get(base.entry(url), headers=headers, timeout=5).status_code

        assert (asked("utf-8"), asked("cp1251")) == (200, 401)


@pytest.mark.parametrize(("kind", "left"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_before_and_after_the_commit(onec, kind, left):
    onec.fault(kind, method=f"post {PARTNERS}", count=1)
    with pytest.raises(DROPPED):
        create(onec)
    assert count(onec) == left
    assert create(onec).status_code == 201


@pytest.mark.parametrize(("kind", "left"), [("error_before", 0), ("error_after", 1)])
def test_a_server_error_before_and_after_the_commit(onec, kind, left):
    onec.fault(kind, count=1)
    answer = create(onec)
    assert (answer.status_code, answer.json()["odata.error"]["code"]) == (500, "-1")
    assert count(onec) == left


@pytest.mark.parametrize("verb", ["POST", "GET"])
def test_a_fault_may_be_of_one_operation_of_one_set(onec, verb):
    order = onec.act("create_order", post=False)["id"]
    onec.fault("refuse", method="* document_заказклиента/post", status=500, error="-1", text="Не проведен")
    answer = onec.ask(verb, f"{at(ORDERS, order)}/Post", {"$format": "json"})
    assert (answer.status_code, answer.json()["odata.error"]["message"]["value"]) == (500, "Не проведен")
    assert onec.json("GET", at(ORDERS, order))["Posted"] is False


@pytest.mark.parametrize(
    ("kind", "options", "status"),
    [
        ("html_page", {}, 200),
        ("maintenance", {}, 503),
        ("maintenance", {"status": 500}, 500),
        ("auth_revoked", {}, 401),
    ],
)
def test_pages_for_people_come_where_data_was_asked_for(onec, kind, options, status):
    onec.fault(kind, count=1, **options)
    answer = create(onec)
    assert (answer.status_code, answer.headers["Content-Type"].startswith("text/html")) == (status, True)
    assert count(onec) == 0


def test_the_nightly_lock_says_that_sessions_are_forbidden(onec):
    onec.fault("maintenance", duration=60)
    assert "Начало сеанса" in create(onec).text
    onec.site.clock.now += 61
    assert create(onec).status_code == 201


def test_a_base_that_is_down_refuses_the_connection_or_answers_for_its_gateway(onec):
    onec.fault("down", count=1)
    with pytest.raises(DROPPED):
        create(onec)
    onec.fault("down", count=1, status=502)
    assert create(onec).status_code == 502


@pytest.mark.parametrize("status", [400, 404])
def test_a_session_may_be_lost_on_the_way(onec, status):
    onec.fault("session_lost", count=1, status=status)
    assert create(onec).status_code == status
    assert create(onec).status_code == 201


def test_a_lost_session_does_not_come_back(onec):
    onec.set(ib_session=True)
    start(onec)
    onec.fault("session_lost", count=1, status=400)
    assert [create(onec).status_code for _ in range(2)] == [400, 404]


@pytest.mark.parametrize("status", [406, 503])
def test_licences_run_out_on_demand(onec, status):
    onec.fault("no_licence", count=1, status=status)
    assert (create(onec).status_code, count(onec)) == (status, 0)


def test_more_requests_at_once_than_licences_are_turned_away(onec):
    onec.set(licences=1, licence_status=503, latency={"write": 0.3})
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(own(onec))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 503, 503]
    assert create(onec).status_code == 201


def own(onec):
    """The status of a create over a connection of its own."""
    answer = requests.post(f"{onec.root}{PARTNERS}", json={}, auth=("bus", "secret"), timeout=5)
    return answer.status_code


def start(onec):
    return onec.ask("GET", "", headers={"IBSession": "start"})


def test_a_publication_may_ignore_sessions(onec):
    assert "ibsession" not in start(onec).cookies


def test_a_kept_session_costs_a_licence_until_it_is_finished(onec):
    onec.set(ib_session=True, licences=1)
    assert start(onec).cookies["ibsession"]
    assert create(onec).status_code == 201
    assert own(onec) == 406
    assert onec.ask("GET", "", headers={"IBSession": "finish"}).status_code == 200
    onec.session.cookies.clear()
    assert own(onec) == 201


def test_an_idle_session_ends_and_is_missed(onec):
    onec.set(ib_session=True, session_life=20)
    start(onec)
    for _ in range(2):
        onec.site.clock.now += 19
        assert create(onec).status_code == 201
    onec.site.clock.now += 21
    assert create(onec).status_code == 404
    onec.session.cookies.clear()
    assert create(onec).status_code == 201


def test_the_first_request_after_a_while_wakes_the_base(onec):
    onec.set(cold_start=0.15, idle=600)

    def took():
        began = time.monotonic()
        onec.ask("GET", "")
        return time.monotonic() - began

    assert took() >= 0.15
    assert took() < 0.15
    onec.site.clock.now += 601
    assert took() >= 0.15


@pytest.mark.parametrize(
    ("kind", "verb", "path"),
    [("read", "GET", PARTNERS), ("write", "POST", PARTNERS), ("metadata", "GET", "$metadata")],
)
def test_each_kind_of_operation_takes_its_time(onec, kind, verb, path):
    onec.set(latency={kind: 0.15})
    began = time.monotonic()
    onec.ask(verb, path)
    assert time.monotonic() - began >= 0.15


def test_a_person_may_edit_between_our_read_and_our_write(onec):
    one, two = (onec.act("create_counterparty", name=name)["id"] for name in "АБ")
    edit = {"do": "edit_counterparty", "inn": "7707083893"}
    onec.fault("user_edit_between", method=f"get {PARTIES}", id=two, count=1, edit=edit)
    seen = [onec.json("GET", at(PARTIES, key))["ИНН"] for key in (one, two)]
    assert seen == ["", ""]
    assert [onec.json("GET", at(PARTIES, key))["ИНН"] for key in (one, two)] == ["", "7707083893"]


def test_addresses_that_are_too_long_do_not_reach_the_base(onec):
    answer = onec.ask("GET", "А" * 261)
    assert (answer.status_code, "html" in answer.headers["Content-Type"]) == (400, True)
    onec.set(query_limit=2048)
    answer = onec.ask("GET", PARTNERS, {"$filter": "Description eq '" + "А" * 400 + "'"})
    assert (answer.status_code, "404.15" in answer.text) == (404, True)


def test_calls_are_logged_by_verb_and_set_without_keys(onec):
    order = onec.act("create_order", post=False)["id"]
    onec.ask("POST", f"{at(ORDERS, order)}/Post", {"PostingModeOperational": "false"})
    onec.ask("PATCH", at(ORDERS, order), json={})
    onec.ask("GET", f"{PARTNERS}/$count")
    onec.ask("GET", "Нету")
    lines = [(line["method"], line["status"], line["error"], line["write"]) for line in onec.control("GET", "calls")]
    assert lines == [
        (f"POST {ORDERS}/Post", 200, None, True),
        (f"PATCH {ORDERS}", 200, None, True),
        (f"GET {PARTNERS}/$count", 200, None, False),
        ("GET Нету", 404, "6", False),
    ]


def test_an_unknown_setting_is_named(onec):
    answer = requests.post(f"{onec.url}/_sandbox/settings", json={"speed": 1}, timeout=5)
    assert answer.status_code == 400
    assert "unknown setting 'speed'" in answer.json()["error_description"]
    assert onec.set(if_match=True)["if_match"] is True


def test_a_base_calls_nobody(onec):
    answer = requests.post(f"{onec.url}/_sandbox/webhooks", json={"url": "http://127.0.0.1:9"}, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "NO_WEBHOOKS")


def test_the_base_is_known_by_its_kind(onec):
    assert onec.control("GET", "health")["kind"] == "onec"
