"""The judge of writes: what is explained passes, and each kind of unexplained write is seen when there is one."""

from datetime import UTC, datetime

import pytest

from tests.chaos.conductor import Struck
from tests.chaos.writes import LOST_S, NOTED_S, STALE_S, TWICE_S, Explained, Saw, Told, explain

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
ORDER, OTHER = "entity-1", "entity-2"
DEAL = {"system": "crm", "type": "deal", "external_id": "7", "entity_id": ORDER}


def save(after: float, of: str = "deals", key: int = 7, *, person: bool = False, **fields: object) -> dict:
    said = {"comments": "x"} | fields
    return {"of": of, "id": key, "unix": NOON + after, "fields": said, "person": person}


def line(after: float, what: str, value: object, system: str | None = "crm", **more: object) -> dict:
    at = datetime.fromtimestamp(NOON + after, UTC)
    made = {"id": int(after * 1000), "at": at, "entity_id": ORDER, "actor": "bus", "what": what, "system": system}
    return made | {"field": "comment", "new": value} | more


def call(after: float, *, status: int = 200, ms: float = 10.0, error: str | None = None) -> dict:
    return {"unix": NOON + after, "batch": None, "status": status, "ms": ms, "method": "batch", "error": error}


def judged(
    *changes: dict, history: list | None = None, calls: list | None = None, since: float = 0.0, **more: list
) -> Explained:
    told = Told(
        [line(0, "changed", "x", "shop"), *(history or [])],
        more.get("records", [DEAL]),
        more.get("entities", [{"id": ORDER, "merged_into": None, "parent_id": None}]),
    )
    return explain([Saw("crm", changes, calls or [])], told, more.get("struck", []), timeout_s=4.0, since=since)


def test_a_write_that_the_history_tells_of_is_explained() -> None:
    found = judged(save(1), history=[line(1.2, "written", "x")])
    assert (found.saves, found.noted, found.unexplained) == (1, 1, [])


def test_what_people_save_needs_no_explanation() -> None:
    assert judged(save(1, person=True)).saves == 0


@pytest.mark.parametrize("after", [-2.0, NOTED_S + 1])
def test_a_write_without_a_line_near_it_is_unexplained(after: float) -> None:
    found = judged(save(10), history=[line(10 + after, "written", "x")])
    assert [one.partition(" at ")[0] for one in found.unexplained] == ["crm deal/7"]


def test_a_part_of_a_creation_is_told_by_its_end_however_late() -> None:
    end = line(NOTED_S + 60, "created", "x")
    assert judged(save(1), history=[line(NOTED_S + 50, "changed", "x", "shop"), end]).unexplained == []


def test_what_the_release_before_saved_is_of_a_known_record_and_no_more_is_asked() -> None:
    found = judged(save(1), save(2, key=8), save(30), since=NOON + 10)
    assert found.of_before == 1
    assert [one.partition(" at ")[0] for one in found.unexplained] == [
        "crm deal/7",
        "crm deal/8: saved, and the ledger knows no such record",
    ]


def test_a_line_of_another_entity_explains_nothing() -> None:
    found = judged(
        save(1),
        history=[line(1.2, "written", "x", entity_id=OTHER), line(1.1, "changed", "x", "shop", entity_id=OTHER)],
    )
    assert len(found.unexplained) == 1


def test_a_record_that_the_ledger_does_not_know_is_told_once() -> None:
    found = judged(save(1, key=8), save(2, key=8))
    assert found.unexplained == ["crm deal/8: saved, and the ledger knows no such record"]


@pytest.mark.parametrize(
    "lost",
    [
        {"calls": [call(1.1, status=0)]},
        {"calls": [call(1.1, status=500)]},
        {"calls": [call(1.1, error="INTERNAL_SERVER_ERROR")]},
        {"calls": [call(5.1, ms=4_100)]},
        {"struck": [Struck("kill", "worker-lanes-crm", NOON + 1.1, NOON + 1.2)]},
        {"struck": [Struck("stopped", "worker-payments", NOON + 0.9, NOON + 15)]},
        {"struck": [Struck("cut", "crm", NOON + 1.5, NOON + 4)]},
        {"struck": [Struck("disk full", "disk", NOON + 2, NOON + 9)]},
        {"struck": [Struck("power cut", "all", NOON + 1.1, NOON + 1.2)]},
    ],
)
def test_an_answer_that_was_lost_just_then_explains_why_nothing_was_noted(lost: dict) -> None:
    found = judged(save(1), **lost)
    assert (found.answer_lost, found.unexplained) == (1, [])


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"calls": [call(1.1)]},
        {"calls": [call(-30, status=0)]},
        {"struck": [Struck("kill", "worker-lanes-shop", NOON + 1.1, NOON + 1.2)]},
        {"struck": [Struck("kill", "worker-lanes-crm", NOON - 20, NOON - 19)]},
        {"struck": [Struck("kill", "worker-lanes-crm", NOON + LOST_S + 2, NOON + LOST_S + 3)]},
        {"struck": [Struck("hole", "onec", NOON + 1.1, NOON + 9)]},
        {"struck": [Struck("killed valkey", "valkey", NOON + 1.1, NOON + 3)]},
    ],
)
def test_a_fault_of_something_else_or_of_another_time_explains_nothing(elsewhere: dict) -> None:
    assert len(judged(save(1), **elsewhere).unexplained) == 1


def test_a_requisite_is_its_companys_and_a_contact_its_deals() -> None:
    party = {"system": "crm", "type": "party", "external_id": "company:5", "entity_id": OTHER}
    found = judged(
        save(1, "requisites", 9, entityTypeId=4, entityId=5),
        save(1, "contacts", 3),
        save(1.1, contactId=3),
        records=[DEAL, party],
        entities=[{"id": key, "merged_into": None, "parent_id": None} for key in (ORDER, OTHER)],
        history=[line(1.2, "created", "x"), line(1.2, "created", "x", entity_id=OTHER, field="inn"),
                 line(1.0, "changed", "x", "onec", entity_id=OTHER, field="inn")],
    )  # fmt: skip
    assert (found.noted, found.unexplained) == (3, [])


def test_a_payment_is_written_into_its_order_and_a_united_entity_is_one() -> None:
    entities = [
        {"id": ORDER, "merged_into": None, "parent_id": None},
        {"id": "payment", "merged_into": None, "parent_id": "before"},
        {"id": "before", "merged_into": ORDER, "parent_id": None},
    ]
    told = [
        line(0.9, "changed", "paid", "bank", entity_id="payment"),
        line(1.2, "written", "paid", entity_id="payment"),
    ]
    assert judged(save(1), history=told, entities=entities).unexplained == []


def test_a_value_that_nobody_said_is_unexplained() -> None:
    found = judged(history=[line(1, "written", "from nowhere")])
    assert [one.rpartition(": ")[2] for one in found.unexplained] == ["a value that nobody says"]


def test_an_old_value_may_win_a_race_but_not_come_back_long_after() -> None:
    history = [line(1, "changed", "y", "shop")]
    assert judged(history=[*history, line(1 + STALE_S - 1, "written", "x")]).unexplained == []
    assert len(judged(history=[*history, line(1 + STALE_S + 1, "written", "x")]).unexplained) == 1


def test_the_same_written_twice_is_unexplained_unless_something_happened_in_between() -> None:
    once = [line(1, "written", "x"), line(1 + TWICE_S + 1, "written", "x")]
    assert [one.rpartition(": ")[2] for one in judged(history=once).unexplained] == [
        "written again, and nothing had happened"
    ]
    between = line(5, "overruled", "z", actor="user:7")
    assert judged(history=[once[0], between, once[1]]).unexplained == []


def test_two_holders_of_one_claim_may_write_the_same_once_and_not_again_and_again() -> None:
    told = [line(at, "written", "x") for at in (1, 5, 9)]
    assert judged(history=told[:2]).unexplained == []
    assert len(judged(history=told).unexplained) == 1
