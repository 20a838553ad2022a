"""Slots: so many at a time over all workers; a holder that died is not waited for for ever."""

import pytest
import redis
from fakeredis import FakeRedis

from bus.errors import NotReady
from bus.slots import WAIT_S, Slots


def slots(client: FakeRedis, *, system: str = "onec", limit: int = 2, timeout_s: float = 1.0, sleep=None) -> Slots:
    return Slots(client, system, limit=limit, timeout_s=timeout_s, sleep=sleep or (lambda _: None))


def test_as_many_as_there_are_may_be_held_and_one_more_is_told_when_to_come_back():
    client = FakeRedis()
    first, second = slots(client), slots(client)
    with first.taken(), second.taken():
        with pytest.raises(NotReady, match="onec: 2 requests are under way there") as full, first.taken():
            pass
        assert full.value.cause == "onec slots"
    with first.taken():
        pass


def test_one_that_waits_gets_the_slot_that_is_given_back():
    client = FakeRedis()
    held = slots(client, limit=1).taken()
    held.__enter__()
    naps = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            held.__exit__(None, None, None)

    with slots(client, limit=1, sleep=sleep).taken():
        assert len(naps) == 3
        assert sum(naps) < WAIT_S


def test_a_slot_is_given_back_when_the_request_fails():
    client = FakeRedis()
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), slots(client, limit=1).taken():
            raise ValueError("broken")
    assert slots(client, limit=1).wait() == 0


def test_a_slot_whose_holder_died_is_free_when_its_lease_ends_which_is_longer_than_a_request():
    client = FakeRedis()
    held = slots(client, limit=1, timeout_s=180).taken()
    held.__enter__()
    lease_ms = client.pttl("bus:slots:onec")
    assert 180_000 < lease_ms < 240_000
    assert slots(client, limit=1).wait() > 0
    client.zadd("bus:slots:onec", dict.fromkeys(client.zrange("bus:slots:onec", 0, -1), 1))
    with slots(client, limit=1).taken():
        pass


def test_looking_takes_nothing_and_systems_share_none():
    client = FakeRedis()
    one = slots(client, limit=1)
    assert [one.wait() for _ in range(3)] == [0, 0, 0]
    with one.taken():
        assert one.wait() > 0
        with slots(client, system="onec-eu", limit=1).taken():
            pass


def test_without_redis_nothing_is_counted():
    class Away(FakeRedis):
        def eval(self, *_: object) -> object:
            raise redis.ConnectionError

    gone = slots(Away(), limit=1)
    with gone.taken(), gone.taken():
        assert gone.wait() == 0
