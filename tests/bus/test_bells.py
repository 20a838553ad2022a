"""Bells over a real broker: committed events in messages of a hundred, and trouble that is left to the sweep."""

import json
import socket
from time import monotonic

import redis
from structlog.testing import capture_logs

from bus import channels, embedded
from bus.app import create_app
from bus.bells import CeleryBells, shown
from tests.bus.ledger.middle import deal, order, payment, rub, to_order
from tests.stories.world import eventually


def messages(url: str, queue: str) -> list[dict]:
    with redis.Redis.from_url(url) as client:
        return [json.loads(item) for item in reversed(client.lrange(f"bus:{queue}", 0, -1))]


def body(message: dict) -> list:
    import base64

    return json.loads(base64.b64decode(message["body"]))[0][0]


def test_events_go_to_their_channels_a_hundred_a_message(broker_url: str) -> None:
    some = [order(number) for number in range(205)] + [deal(7)]
    CeleryBells(create_app(broker_url, ["shop"])).publish(some)
    told = messages(broker_url, "orders")
    assert [len(body(message)) for message in told] == [100, 100, 5]
    assert [len(body(message)) for message in messages(broker_url, "deals")] == [1]
    assert {message["headers"]["task"] for message in told} == {"orders.apply"}


def test_a_cleared_field_travels_as_null(broker_url: str) -> None:
    CeleryBells(create_app(broker_url, [])).publish([order(1, comment=None, number="1")])
    assert body(messages(broker_url, "orders")[0])[0]["data"] == {"comment": None, "number": "1"}


def test_a_lane_is_woken_on_its_own_queue(broker_url: str) -> None:
    bells = CeleryBells(create_app(broker_url, ["crm"]))
    bells.ring("crm", urgent=False)
    bells.ring("crm", urgent=True)
    assert [len(messages(broker_url, queue)) for queue in ("lane.crm", "lane.crm.payments")] == [1, 1]


def test_messages_can_be_read_in_flower_and_hold_no_eta(broker_url: str) -> None:
    CeleryBells(create_app(broker_url, [])).publish([order(1, customer={"phone": "+79991234567"})])
    headers = messages(broker_url, "orders")[0]["headers"]
    assert headers["argsrepr"] == "(1 events: shop order/1)"
    assert headers["eta"] is None
    assert "9991234567" not in json.dumps(headers)


def test_many_subjects_are_told_in_short() -> None:
    assert shown([order(number) for number in range(7)]).endswith("shop order/4 and 2 more")


def test_a_broker_that_is_away_is_no_error_of_the_producer() -> None:
    bells = CeleryBells(create_app("redis://127.0.0.1:1/0", ["crm"]))
    bells.publish([payment(5, order=to_order(1), amount=rub(1))])
    bells.ring("crm", urgent=True)


def test_an_outage_is_told_once_and_its_end_with_what_was_lost() -> None:
    with embedded.valkey(appendonly=False) as server, capture_logs() as lines:
        bells = CeleryBells(create_app(server.url, ["crm"]))
        bells.ring("crm", urgent=True)
        server.stop()
        for _ in range(3):
            bells.ring("crm", urgent=True)
        bells.publish([order(1)])
        assert (lines[0]["event"], len(lines), bells.lost) == ("broker.away", 1, 4)
        server.restart()
        eventually(lambda: bells.ring("crm", urgent=True) or messages(server.url, "lane.crm.payments"))
    assert (lines[1]["event"], lines[1]["lost"]) == ("broker.back", bells.lost)


def test_nobody_waits_again_for_a_broker_that_has_just_failed() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as silent:
        app = create_app(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", ["crm"])
        app.conf.broker_transport_options |= {"socket_timeout": 0.2, "socket_connect_timeout": 0.2}
        bells = CeleryBells(app)
        bells.ring("crm", urgent=True)
        begun = monotonic()
        for _ in range(100):
            bells.ring("crm", urgent=True)
        assert monotonic() - begun < 0.2
    assert bells.lost == 101


def test_several_messages_go_over_a_connection_that_died_idle() -> None:
    some = [order(number) for number in range(205)]
    with embedded.valkey(appendonly=False) as server:
        bells = CeleryBells(create_app(server.url, []))
        bells.publish(some)
        server.restart()
        bells.publish(some)
        assert [len(body(message)) for message in messages(server.url, "orders")] == [100, 100, 5]


def test_a_system_that_left_the_configuration_is_no_error_of_the_sweep(broker_url: str) -> None:
    CeleryBells(create_app(broker_url, ["crm"])).ring("gone", urgent=False)


def test_every_channel_has_a_queue_to_go_to(broker_url: str) -> None:
    app = create_app(broker_url, [])
    assert {queue.name for queue in app.conf.task_queues} >= set(channels.ENTITY_CHANNELS)
