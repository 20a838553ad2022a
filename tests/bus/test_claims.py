"""Claims: one at a time, over all workers; a holder that died is not waited for for ever."""

from collections.abc import Collection

import pytest
from fakeredis import FakeRedis

from bus import leased
from bus.claims import Claims
from bus.errors import NotReady


def test_a_claim_is_held_by_one_and_given_back_by_its_holder_only() -> None:
    redis = FakeRedis()
    first, second = Claims(redis, "crm"), Claims(redis, "crm")
    assert first.take("+79123456789")
    assert not second.take("+79123456789")
    second.drop("+79123456789")
    assert not second.take("+79123456789")
    first.drop("+79123456789")
    assert second.take("+79123456789")


def test_a_claim_lapses_and_systems_do_not_share_any() -> None:
    redis = FakeRedis()
    assert Claims(redis, "crm", life_s=30).take("a")
    assert 0 < redis.pttl(redis.keys()[0]) <= 30_000
    assert Claims(redis, "crm-eu").take("a")


def test_a_name_that_is_kept_is_nobodys_for_as_long_as_a_lost_call_may_be_at_work() -> None:
    redis = FakeRedis()
    claims = Claims(redis, "crm", late_s=60)
    assert claims.take("a")
    assert claims.kept("a") == claims.kept("b") == 0
    claims.keep("a")
    claims.drop("a")
    assert not claims.take("a")
    assert 59 < claims.kept("a") <= 60


def test_the_claim_of_one_that_died_outlasts_what_he_asked_for() -> None:
    redis = FakeRedis()
    assert Claims(redis, "crm", life_s=30, late_s=90).take("a")
    assert redis.pttl(redis.keys()[0]) > 89_000


def sends(claims: Claims, names: Collection[str]) -> bool:
    """Does what writes go out under these claims?"""
    with leased.held(claims.lease(names)):
        try:
            leased.check()
        except NotReady:
            return False
    return True


def test_what_is_made_under_claims_is_sent_while_all_of_them_are_its_maker_s() -> None:
    redis = FakeRedis()
    first, second = Claims(redis, "crm"), Claims(redis, "crm")
    assert first.take("a")
    assert first.take("b")
    assert sends(first, ["a", "b"])
    first.drop("b")
    assert second.take("b")
    assert not sends(first, ["a", "b"])
    assert sends(first, ["a"])
    assert sends(first, [])


def test_claims_under_which_something_is_sent_last_a_life_more() -> None:
    redis = FakeRedis()
    claims = Claims(redis, "crm", life_s=30)
    assert claims.take("a")
    redis.pexpire(redis.keys()[0], 100)
    assert sends(claims, ["a"])
    assert redis.pttl(redis.keys()[0]) > 29_000


@pytest.mark.parametrize("held", [True, False])
def test_a_claim_that_lapsed_while_its_maker_stood_still_lets_nothing_go(held: bool) -> None:
    redis = FakeRedis()
    claims = Claims(redis, "crm")
    assert claims.take("a")
    if not held:
        redis.flushall()
    assert sends(claims, ["a"]) is held


def test_no_name_of_a_person_stands_in_redis() -> None:
    redis = FakeRedis()
    Claims(redis, "crm").take("+79123456789")
    assert all(b"79123456789" not in key for key in redis.scan_iter())
