import pytest
from fastapi import FastAPI

from bus.errors import Transient
from bus.intake import create_app


def test_a_living_process_is_healthy_even_without_a_ledger(caller, readiness):
    readiness.append(Transient("away"))
    assert caller.http.get("/health").json() == {"status": "ok"}


def test_ready_follows_what_it_asks(caller, readiness):
    assert caller.http.get("/ready").status_code == 200
    readiness.append(Transient("postgresql://bus:pw@host is away"))
    answer = caller.http.get("/ready")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "pw@host" not in answer.text


def test_it_counts_what_was_taken_known_and_refused(caller, event):
    for document in (event(), event(), event(type="x")):
        caller.signed("/events", document)
    caller.signed("/shop/nobody", {})
    caller.http.get("/made/up")
    told = caller.http.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    for line in (
        'bus_intake_accepted_total{route="/events",system="onec"} 1.0',
        'bus_intake_known_total{route="/events",system="onec"} 1.0',
        'bus_intake_refused_total{route="/events",status="422",system="onec"} 1.0',
        'bus_intake_refused_total{route="/shop/{system}",status="404",system="none"} 1.0',
        'bus_intake_refused_total{route="none",status="404",system="none"} 1.0',
        'bus_intake_seconds_count{route="/events"} 3.0',
    ):
        assert line in told.text
    assert "nobody" not in told.text
    assert "made" not in told.text


def test_two_apps_in_one_process_count_apart(config, journal, clock):
    first, second = (create_app(config, journal, None, now=clock) for _ in range(2))
    assert isinstance(first, FastAPI)
    assert first is not second


@pytest.fixture
def openapi(caller):
    return caller.http.get("/openapi.json").json()


def test_openapi_describes_every_route(openapi):
    assert set(openapi["paths"]) == {
        "/events",
        "/bitrix24/{system}",
        "/shop/{system}",
        "/health",
        "/ready",
        "/metrics",
    }
    post = openapi["paths"]["/events"]["post"]
    assert set(post["requestBody"]["content"]) == {
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
    }
    assert {"200", "400", "401", "403", "408", "413", "415", "422", "500", "503"} == set(post["responses"])
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} == {part["name"] for part in post["parameters"]}


def test_openapi_promises_problem_documents_for_every_refusal(openapi):
    refusals = [
        (route, status, answer)
        for route, methods in openapi["paths"].items()
        for method in methods.values()
        for status, answer in method["responses"].items()
        if status >= "400"
    ]
    assert refusals
    for route, status, answer in refusals:
        assert list(answer["content"]) == ["application/problem+json"], (route, status)


def test_openapi_refers_to_nothing_that_is_not_there(openapi):
    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            for item in node.values():
                yield from references(item)
        elif isinstance(node, list):
            for item in node:
                yield from references(item)

    found = set(references(openapi))
    assert "#/components/schemas/ShopEvent" in found
    assert {reference.rpartition("/")[2] for reference in found} <= set(openapi["components"]["schemas"])
