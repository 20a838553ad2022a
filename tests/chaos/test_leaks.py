"""Leaks: what was planted is found in every spelling and place, and nothing else is."""

import base64
import json
from urllib.parse import quote

import pytest

from tests.chaos.leaks import Leak, Planted, of_message, of_rows

CODE, KEY, PASSWORD = "q3Zf-webhook_code", "whsec_cGxhbnRlZC1rZXktb2YtdGhlLXNob3A=", "p@ss/w0rd+x"
PLANTED = Planted(
    secrets={"webhook code": CODE, "shop key": KEY, "password": PASSWORD},
    people={
        "phone": ["9097455328", "4951234567"],
        "name": ["Морозов Борис"],
        "email": ["buyer8@example.test"],
        "address": ["Тверь, ул. Полевая, д. 51, кв. 145"],
    },
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"POST /rest/1/{CODE}/crm.item.add", "webhook code"),
        (f"key={KEY}", "shop key"),
        (KEY.removeprefix("whsec_"), "shop key"),
        (f"redis://:{PASSWORD}@127.0.0.1/0", "password"),
        (f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1/0", "password"),
        (base64.b64encode(f"bus:{PASSWORD}".encode()).decode(), "password"),
        ("phone +7 (909) 745-53-28 is busy", "phone"),
        ("8 (909) 745-53-28", "phone"),
        ('"+79097455328"', "phone"),
        ("9097455328", "phone"),
        ("customer Морозов Борис", "name"),
        (json.dumps({"name": "Морозов Борис"}), "name"),
        (json.dumps(json.dumps({"name": "Морозов Борис"})), "name"),
        (quote("Морозов Борис"), "name"),
        ("sent to buyer8@example.test.", "email"),
        ('{"at": "Тверь, ул. Полевая, д. 51, кв. 145"}', "address"),
    ],
)
def test_what_was_planted_is_found_in_every_spelling(text: str, found: str) -> None:
    assert PLANTED.find(f"a line before\n{text}\na line after") == {found}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "order 9097 was written in 45532 ms",
        "buyer88@example.test, buyer8@example.tes",
        "Борис Морозов" + "a",
        "Тверь, ул. Полевая, д. 51, кв. 14",
        "/rest/1/***/crm.item.add",
        "2026-11-22T12:39:53.009 delivery.written entity=0f1a2b3c-0000-4000-8000-00000000b0b0",
    ],
)
def test_nothing_is_found_that_was_not_planted(text: str) -> None:
    assert PLANTED.find(text) == set()


def test_people_may_be_where_events_are_and_secrets_may_not() -> None:
    assert PLANTED.find(f"Морозов Борис {CODE}", people=False) == {"webhook code"}


def test_a_leak_is_told_by_its_name_and_never_by_its_value() -> None:
    leaks = PLANTED.within("worker.log", f"{CODE} Морозов Борис")
    assert leaks == {Leak("worker.log", "webhook code"), Leak("worker.log", "name")}


def test_a_celery_message_is_parted_into_the_event_and_the_rest() -> None:
    body = base64.b64encode(json.dumps([[{"data": {"name": "Морозов Борис"}}], {}, {}]).encode()).decode()
    message = json.dumps({"body": body, "headers": {"argsrepr": f"('{CODE}',)"}})
    event, rest = of_message(message)
    assert PLANTED.find(event) == {"name"}
    assert PLANTED.find(rest) == {"webhook code"}


@pytest.mark.parametrize("value", ["not JSON", "[]", "7", '{"headers": {}}', '{"body": "%%%"}'])
def test_what_is_no_message_is_looked_at_whole(value: str) -> None:
    assert of_message(value) == ("", value)


def test_rows_of_the_ledger_are_looked_at_with_all_that_hangs_in_them() -> None:
    rows = [{"id": 1, "sent": {"fields": {"FIO": "Морозов Борис"}}}, {"id": 2, "reason": f"/rest/1/{CODE}/"}]
    assert PLANTED.find(of_rows(rows)) == {"name", "webhook code"}


def test_what_is_too_short_to_be_looked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="too short to be looked for: password"):
        Planted(secrets={"password": "1234"}, people={})
