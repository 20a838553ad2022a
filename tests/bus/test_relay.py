"""The relay: what is committed goes out soon, fuller in a burst, payments first; a slow broker holds nobody up."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic

import pytest
from structlog.testing import capture_logs

from bus.app import create_app
from bus.bells import CeleryBells
from bus.envelope import Event
from bus.relay import Relay
from tests.bus.ledger.middle import order, payment, rub, to_order
from tests.bus.test_bells import body, messages


@dataclass
class Broker:
    """Bells that take as long as the test says."""

    turns: list[list[Event]] = field(default_factory=list)
    rung: list[tuple[str, bool]] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    busy: threading.Event = field(default_factory=threading.Event)
    broken: Exception | None = None

    def publish(self, events: Sequence[Event]) -> None:
        self.busy.set()
        assert self.free.wait(10)
        self.turns.append(list(events))
        if self.broken:
            raise self.broken

    def ring(self, system: str, *, urgent: bool) -> None:
        self.rung.append((system, urgent))

    def subjects(self) -> list[str]:
        return [event.subject for turn in self.turns for event in turn]


@pytest.fixture
def broker() -> Broker:
    made = Broker()
    made.free.set()
    return made


@pytest.fixture
def relay(broker: Broker) -> Iterator[Relay]:
    made = Relay(broker)
    yield made
    broker.free.set()
    made.close()


@pytest.fixture
def held(broker: Broker, relay: Relay) -> Broker:
    """The broker in the middle of a message that does not end before the test says so."""
    broker.free.clear()
    relay.publish([order(1)])
    assert broker.busy.wait(10)
    return broker


def until(what: Callable[[], bool]) -> None:
    end, tick = monotonic() + 10, threading.Event()
    while not what():
        assert monotonic() < end
        tick.wait(0.005)


def test_a_lone_event_goes_out(broker: Broker, relay: Relay) -> None:
    relay.publish([order(1)])
    until(lambda: broker.subjects() == ["order/1"])
    assert relay.waiting() == 0


def test_what_comes_during_a_message_goes_together_in_the_next(held: Broker, relay: Relay) -> None:
    for number in range(2, 252):
        relay.publish([order(number)])
    assert relay.waiting() == 250
    held.free.set()
    until(lambda: len(held.subjects()) == 251)
    assert [len(turn) for turn in held.turns] == [1, 250]


def test_a_producer_does_not_wait_for_the_broker(held: Broker, relay: Relay) -> None:
    relay.publish([order(2)])
    relay.ring("crm", urgent=False)
    assert (held.turns, held.rung) == ([], [])


def test_a_payment_goes_before_the_orders_that_waited_longer(held: Broker, relay: Relay) -> None:
    relay.publish([order(number) for number in range(2, 5)])
    relay.publish([payment(5, order=to_order(1), amount=rub(1))])
    held.free.set()
    until(lambda: len(held.subjects()) == 5)
    assert held.subjects()[1] == "payment/5"


def test_a_great_burst_goes_in_turns_so_that_a_payment_comes_between(held: Broker, relay: Relay) -> None:
    relay.publish([order(number) for number in range(2, 2502)])
    held.free.set()
    until(lambda: len(held.subjects()) == 2501)
    assert [len(turn) for turn in held.turns] == [1, 1000, 1000, 500]


def test_a_bell_that_has_not_gone_out_stands_for_all_that_follow(held: Broker, relay: Relay) -> None:
    for _ in range(5):
        relay.ring("crm", urgent=False)
        relay.ring("crm", urgent=True)
    assert relay.waiting() == 2
    held.free.set()
    until(lambda: len(held.rung) == 2)
    assert held.rung == [("crm", True), ("crm", False)]


def test_a_bell_after_one_that_went_out_is_rung_again(broker: Broker, relay: Relay) -> None:
    for times in (1, 2):
        relay.ring("crm", urgent=False)
        until(lambda times=times: broker.rung == [("crm", False)] * times)


@pytest.mark.usefixtures("held")
def test_what_finds_no_room_is_left_to_the_sweep_and_told_once(relay: Relay) -> None:
    with capture_logs() as lines:
        relay.publish([order(number) for number in range(6000)])
        relay.publish([payment(5, order=to_order(1), amount=rub(1))])
    assert (relay.waiting(), relay.lost) == (5001, 1000)
    assert [line["event"] for line in lines] == ["relay.full"]


def test_what_waits_at_the_end_still_goes_out(held: Broker, relay: Relay) -> None:
    relay.publish([order(2)])
    relay.ring("crm", urgent=False)
    held.free.set()
    relay.close()
    assert (held.subjects(), held.rung) == (["order/1", "order/2"], [("crm", False)])


def test_an_unforeseen_fault_does_not_end_it(broker: Broker, relay: Relay) -> None:
    broker.broken = RuntimeError("Key (phone)=(+79991234567)")
    with capture_logs() as lines:
        relay.publish([order(1)])
        until(lambda: bool(lines))
    assert (lines[0]["event"], "+7999" in repr(lines)) == ("relay.failed", False)
    broker.broken = None
    relay.publish([order(2)])
    until(lambda: broker.subjects() == ["order/1", "order/2"])


def test_a_burst_is_a_few_full_messages_on_the_real_queue(broker_url: str) -> None:
    relay = Relay(CeleryBells(create_app(broker_url, ["shop"])))
    for number in range(300):
        relay.publish([order(number)])
    relay.close()
    told = messages(broker_url, "orders")
    assert sum(len(body(message)) for message in told) == 300
    assert len(told) < 30
