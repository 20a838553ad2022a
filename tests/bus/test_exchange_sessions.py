"""Sessions of an exchange: any process finds them, they end by themselves, and nobody else's is ours."""

from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bus.errors import Transient
from bus.exchange_sessions import Sessions


def test_a_session_is_found_as_it_was_begun(client: Any) -> None:
    begun = Sessions(client).begin("onec")
    assert Sessions(client).find(begun.token) == begun
    assert Sessions(client).find("another") is None
    assert len({begun.token, begun.sessid, begun.folder}) == 3


def test_what_a_session_learns_it_remembers(client: Any) -> None:
    sessions = Sessions(client)
    begun = sessions.begin("onec")
    sessions.shown(begun, "unf")
    sessions.insist(begun)
    folder = sessions.turn_over(begun)
    found = sessions.find(begun.token)
    assert found is not None
    assert (found.dialect, found.strict, found.folder) == ("unf", True, folder)
    assert folder != begun.folder


def test_a_session_lives_on_with_every_request_and_ends_without(client: Any) -> None:
    sessions = Sessions(client, life_s=3600)
    begun = sessions.begin("onec")
    client.pexpire(f"exchange:{begun.token}", 1000)
    assert sessions.find(begun.token) is not None
    assert client.pttl(f"exchange:{begun.token}") > 3_000_000
    client.delete(f"exchange:{begun.token}")
    assert sessions.find(begun.token) is None


def test_a_session_that_has_ended_does_not_come_back_in_part(client: Any) -> None:
    sessions = Sessions(client)
    begun = sessions.begin("onec")
    client.delete(f"exchange:{begun.token}")
    sessions.shown(begun, "unf")
    assert client.exists(f"exchange:{begun.token}") == 0


def test_without_redis_there_are_no_sessions_for_now() -> None:
    with redis.Redis(port=9, retry=Retry(NoBackoff(), 0)) as nobody, pytest.raises(Transient, match="sessions"):
        Sessions(nobody).begin("onec")
