"""Deliveries: the row is the lease, and only its holder may finish it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from uuid import UUID, uuid4

import pytest

from bus.channels import BULK, NORMAL, URGENT
from bus.ledger import deliveries, entities, records
from bus.ledger.database import Connection, Row
from bus.ledger.deliveries import Due
from tests.bus.ledger.middle import Middle, built


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


@pytest.fixture
def entity(connection: Connection) -> UUID:
    return made(connection)


def made(connection: Connection) -> UUID:
    entity = uuid4()
    entities.save(connection, [entities.begun(entity, "order")])
    return entity


def mark(connection: Connection, entity: UUID, priority: int = NORMAL, system: str = "crm") -> None:
    deliveries.mark(connection, [Due(entity, system, priority, 1)])


def claim(
    connection: Connection, *, seconds: int = 60, urgent: bool = False, limit: int = 50, system: str = "crm"
) -> list[Row]:
    return deliveries.claim(connection, system, uuid4(), seconds=seconds, limit=limit, urgent=urgent)


def row(connection: Connection, entity: UUID) -> Row:
    found = connection.execute("SELECT * FROM delivery WHERE entity_id = %s AND system = 'crm'", [entity]).fetchone()
    assert found is not None
    return found


def done(connection: Connection, claimed: Row, *, wrote: bool = True, left_over: bool = False) -> str | None:
    end = deliveries.Done(
        claimed["entity_id"], claimed["system"], claimed["lease"], claimed["wanted"], wrote, left_over
    )
    ended = deliveries.done(connection, [end], window_s=600)
    return ended[0]["state"] if ended else None


def postpone(connection: Connection, claimed: Row, until: datetime, *, counts: bool, error: str) -> None:
    place = (claimed["entity_id"], claimed["system"], claimed["lease"], claimed["due_at"])
    later = deliveries.Later(*place, until, counts, error)
    deliveries.postpone(connection, [later])


def test_what_is_marked_is_claimed_once_and_done(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    assert claim(connection) == []
    assert done(connection, claimed) == "idle"
    assert claim(connection) == []


def test_marking_again_before_it_is_taken_is_one_delivery(connection: Connection, entity: UUID) -> None:
    for _ in range(3):
        mark(connection, entity)
    (claimed,) = claim(connection)
    assert done(connection, claimed) == "idle"


def test_what_is_marked_while_it_is_in_flight_is_due_again_afterwards(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    mark(connection, entity)
    assert claim(connection) == []
    assert done(connection, claimed) == "due"
    assert len(claim(connection)) == 1


def test_a_lapsed_lease_goes_to_someone_else_and_the_first_may_not_finish_it(
    connection: Connection, entity: UUID
) -> None:
    mark(connection, entity)
    (first,) = claim(connection, seconds=-1)
    (second,) = claim(connection)
    assert second["lease"] != first["lease"]
    assert done(connection, first) is None
    assert deliveries.stop(connection, first, "dead", "late") is False
    postpone(connection, first, datetime.now(UTC) + timedelta(days=1), counts=True, error="late")
    assert row(connection, entity)["lease"] == second["lease"]
    assert row(connection, entity)["attempts"] == 0
    assert done(connection, second) == "idle"


def test_a_postponed_delivery_comes_back_at_its_time_and_counts_only_what_counts(
    connection: Connection, entity: UUID
) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    postpone(connection, claimed, datetime.now(UTC) - timedelta(seconds=1), counts=True, error="500")
    (again,) = claim(connection)
    assert again["attempts"] == 1
    postpone(connection, again, datetime.now(UTC) + timedelta(hours=1), counts=False, error="limit")
    assert row(connection, entity)["attempts"] == 1
    assert claim(connection) == []


def test_backing_off_keeps_its_time_unless_something_more_urgent_comes(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    postpone(connection, claimed, datetime.now(UTC) + timedelta(hours=1), counts=True, error="500")
    mark(connection, entity)
    assert claim(connection) == []
    mark(connection, entity, URGENT)
    assert len(claim(connection, urgent=True)) == 1
    assert row(connection, entity)["attempts"] == 1


def test_what_came_while_a_claim_was_held_is_not_put_off_with_it(connection: Connection, entity: UUID) -> None:
    waiting, other = entity, made(connection)
    mark(connection, waiting)
    mark(connection, other)
    connection.execute("UPDATE delivery SET due_at = now() - interval '1 s'")  # a transaction knows one moment
    held = claim(connection)
    deliveries.hasten(connection, [(waiting, "crm")])
    mark(connection, other, URGENT)
    for one in held:
        postpone(connection, one, datetime.now(UTC) + timedelta(hours=1), counts=False, error="waits")
    assert [one["entity_id"] for one in claim(connection)] == [waiting]
    assert [one["entity_id"] for one in claim(connection, urgent=True)] == [other]


def test_each_lane_takes_its_own_the_urgent_and_the_ordinary(connection: Connection) -> None:
    some = {priority: made(connection) for priority in (BULK, NORMAL, URGENT)}
    for priority, entity in some.items():
        mark(connection, entity, priority)
    assert [one["entity_id"] for one in claim(connection, limit=1)] == [some[NORMAL]]
    assert [one["entity_id"] for one in claim(connection)] == [some[BULK]]
    assert [one["entity_id"] for one in claim(connection, urgent=True)] == [some[URGENT]]


def test_a_payment_takes_its_order_from_a_round_that_has_not_sent_it_yet(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    mark(connection, entity, URGENT)
    (taken,) = claim(connection, urgent=True)
    launched = deliveries.launch(connection, claimed["lease"], "crm", [entity], seconds=60)
    assert launched == {}
    assert done(connection, claimed) is None
    assert done(connection, taken) == "idle"


def test_what_is_on_its_way_is_taken_by_nobody(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    assert deliveries.launch(connection, claimed["lease"], "crm", [entity], seconds=60).keys() == {entity}
    mark(connection, entity, URGENT)
    assert claim(connection, urgent=True) == []
    assert done(connection, claimed) == "due"
    (urgent,) = claim(connection, urgent=True)
    assert claim(connection, urgent=True) == []
    assert done(connection, urgent) == "idle"


def test_what_is_being_created_is_left_to_whoever_began_it(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    claim(connection)
    records.begin_creating(connection, [entity], "crm", "deal")
    mark(connection, entity, URGENT)
    assert claim(connection, urgent=True) == []


def test_a_released_claim_is_as_if_it_had_not_been_made(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    deliveries.release(connection, claimed["lease"], "crm", [entity])
    (again,) = claim(connection)
    assert (again["due_at"], again["attempts"]) == (claimed["due_at"], claimed["attempts"])


def test_what_no_payments_worker_takes_is_taken_by_the_ordinary_lane(connection: Connection, entity: UUID) -> None:
    mark(connection, entity, URGENT)
    assert claim(connection) == []
    connection.execute("UPDATE delivery SET due_at = now() - make_interval(secs => %s)", [deliveries.LEFT_ALONE_S + 1])
    assert len(claim(connection)) == 1


def test_what_a_payments_write_left_to_say_is_due_first_in_the_ordinary_lane(connection: Connection) -> None:
    paid, other = made(connection), made(connection)
    mark(connection, other)
    mark(connection, paid, URGENT)
    (claimed,) = claim(connection, urgent=True)
    assert done(connection, claimed, left_over=True) == "due"
    assert claim(connection, urgent=True) == []
    assert [one["entity_id"] for one in claim(connection)] == [paid, other]


def test_the_next_moment_of_a_lane_is_that_of_its_own_waiting_work(connection: Connection, entity: UUID) -> None:
    assert deliveries.next_due(connection, "crm", urgent=False) is None
    mark(connection, entity)
    (claimed,) = claim(connection)
    postpone(connection, claimed, datetime.now(UTC) + timedelta(seconds=30), counts=False, error="limit")
    soon = deliveries.next_due(connection, "crm", urgent=False)
    assert soon is not None
    assert 25 < soon < 35
    assert deliveries.next_due(connection, "crm", urgent=True) is None
    assert deliveries.next_due(connection, "shop", urgent=False) is None


def test_a_parked_delivery_stays_parked_and_a_dead_one_lives_again_with_the_next_change(connection: Connection) -> None:
    parked, dead = made(connection), made(connection)
    for entity, state in ((parked, "parked"), (dead, "dead")):
        mark(connection, entity)
        (claimed,) = claim(connection)
        assert deliveries.stop(connection, claimed, state, "why")
        mark(connection, entity)
    assert [one["entity_id"] for one in claim(connection)] == [dead]
    assert deliveries.revive(connection, parked, "crm") is True
    assert [one["entity_id"] for one in claim(connection)] == [parked]
    assert deliveries.revive(connection, parked, "crm") is False


def test_a_change_that_came_while_the_call_was_failing_is_not_buried_with_it(
    connection: Connection, entity: UUID
) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection)
    mark(connection, entity)
    deliveries.stop(connection, claimed, "dead", "refused")
    assert len(claim(connection)) == 1


def test_what_is_settled_is_not_due_and_what_is_in_flight_is_due_once_more_after_it(connection: Connection) -> None:
    waiting, flying = made(connection), made(connection)
    mark(connection, flying)
    (claimed,) = claim(connection)
    mark(connection, waiting)
    deliveries.settle(connection, [(waiting, "crm"), (flying, "crm")])
    assert row(connection, waiting)["state"] == "idle"
    assert row(connection, flying)["state"] == "due"
    assert done(connection, claimed) == "due", "its lane may have written what was wanted before"
    (claimed,) = claim(connection)
    assert done(connection, claimed) == "idle"


def test_writes_are_counted_in_their_window(connection: Connection, entity: UUID) -> None:
    for expected in (1, 2):
        mark(connection, entity)
        (claimed,) = claim(connection)
        done(connection, claimed)
        assert row(connection, entity)["writes"] == expected
    mark(connection, entity)
    (claimed,) = claim(connection)
    done(connection, claimed, wrote=False)
    assert row(connection, entity)["writes"] == 2
    connection.execute("UPDATE delivery SET writes_since = now() - interval '1 hour'")
    mark(connection, entity)
    (claimed,) = claim(connection)
    done(connection, claimed)
    assert row(connection, entity)["writes"] == 1


def test_lanes_that_have_work_are_named_with_their_urgency(connection: Connection) -> None:
    mark(connection, made(connection), URGENT)
    mark(connection, made(connection), NORMAL, "shop")
    mark(connection, made(connection), NORMAL, "onec")
    assert claim(connection, system="onec", seconds=60)
    assert {(one["system"], one["urgent"], one["normal"]) for one in deliveries.ready(connection)} == {
        ("crm", True, False), ("shop", False, True)
    }  # fmt: skip


def test_a_lapsed_claim_is_work_again(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    claim(connection, seconds=-1)
    assert [one["system"] for one in deliveries.ready(connection)] == ["crm"]


def test_what_waits_is_counted_for_people(connection: Connection, entity: UUID) -> None:
    mark(connection, entity, URGENT)
    (lane,) = deliveries.lanes(connection)
    assert (lane["system"], lane["due"], lane["urgent"], lane["in_flight"], lane["dead"]) == ("crm", 1, 1, 0, 0)


def test_claims_at_once_share_the_work_and_take_nothing_twice(middle: Middle) -> None:
    with middle.ledger.transaction() as connection:
        for _ in range(60):
            mark(connection, made(connection))
    taken: list[list[UUID]] = []

    def take() -> None:
        with middle.ledger.transaction() as connection:
            taken.append([one["entity_id"] for one in claim(connection, limit=25)])

    at_once(*[take] * 4)
    everything = [one for some in taken for one in some]
    assert len(everything) == len(set(everything))
    with middle.ledger.transaction() as connection:
        rest = claim(connection, limit=100)
    assert len(everything) + len(rest) == 60


def at_once(*work: Callable[[], None]) -> None:
    barrier = Barrier(len(work))

    def run(job: Callable[[], None]) -> None:
        barrier.wait(10)
        job()

    threads = [Thread(target=run, args=[job]) for job in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_a_claim_that_is_renewed_is_nobody_else_s_for_as_long_again(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (claimed,) = claim(connection, seconds=-1)
    assert deliveries.renew(connection, claimed["lease"], "crm", [entity], seconds=60) == 1
    assert claim(connection) == []


def test_one_that_is_another_s_by_now_is_not_renewed(connection: Connection, entity: UUID) -> None:
    mark(connection, entity)
    (first,) = claim(connection, seconds=-1)
    (second,) = claim(connection, seconds=-1)
    assert deliveries.renew(connection, first["lease"], "crm", [entity], seconds=60) == 0
    (third,) = claim(connection)
    assert third["lease"] != second["lease"]


def test_what_somebody_is_at_just_now_is_passed_over_where_nobody_waits_for_it(middle: Middle) -> None:
    with middle.ledger.transaction() as connection:
        entity = made(connection)
        mark(connection, entity)
        (claimed,) = claim(connection)
    with middle.ledger.transaction() as one, middle.ledger.transaction() as other:
        one.execute("SELECT FROM delivery WHERE entity_id = %s FOR UPDATE", [entity])
        assert deliveries.renew(other, claimed["lease"], "crm", [entity], seconds=60, passing=True) == 0
        one.rollback()
        assert deliveries.renew(other, claimed["lease"], "crm", [entity], seconds=60, passing=True) == 1
