"""Calls to a base: lists by pages while rows come and go, slots and verbs; each verb has a retry class."""

import ast
import inspect
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.errors import NotReady, Permanent, Transient, UnknownOutcome
from bus.systems import onec_calls
from bus.systems.bitrix_rest import Unbroken
from bus.systems.onec_calls import KEY, Calls
from bus.systems.onec_errors import Exists, TooMuch
from bus.systems.onec_http import URL_LENGTH, Address, Answer
from bus.systems.retry_classes import VERBS, RetryClass, class_of


class Freely:
    """A throttle and slots that admit everything."""

    held = 0

    def acquire(self, *, urgent: bool) -> None:
        """Nothing is counted."""

    def wait(self, *, urgent: bool = False) -> float:
        del urgent
        return 0.0

    def left(self, *, urgent: bool) -> float:
        del urgent
        return 1.0

    @contextmanager
    def taken(self) -> Iterator[None]:
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1


class Table:
    """A base's interface over a list of keys, told page by page; `between` is what happens after each request."""

    address = Address("http://there/base/odata/standard.odata/")
    latency_s = 0.0

    def __init__(
        self, keys: list[str], between: Callable[[list[str]], None] = lambda _: None, most: int = 10**6
    ) -> None:
        self.keys, self.between, self.most = sorted(keys), between, most
        self.asked: list[dict[str, str]] = []

    def send(self, verb: str, path: str, query: dict[str, str], body: Any = None, **_: Any) -> Answer:
        del body
        assert (verb, path) == ("GET", "Catalog_X")
        self.asked.append(query)
        assert len(self.address.of(path, query)) <= URL_LENGTH
        top = int(query.get("$top", self.most))
        if top > self.most:
            raise TooMuch("too much")
        if " or " in query.get("$filter", "") or " eq guid" in query.get("$filter", ""):
            wanted = [key for key in self.keys if key in query["$filter"]]
        else:
            skip = int(query.get("$skip", 0))
            wanted = sorted(self.keys)[skip : skip + top]
        self.between(self.keys)
        return Answer(200, {"value": [{KEY: key} for key in wanted]})


def calls(gate: Any) -> Calls:
    return Calls("onec", gate, Freely(), Freely(), Freely(), Unbroken())  # type: ignore[arg-type]  # of a throttle, what is used


def keys(count: int) -> list[str]:
    rng = random.Random(count)
    return [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(count)]


def told(pages: Iterator[list[dict[str, Any]]]) -> list[str]:
    return [row[KEY] for page in pages for row in page]


def test_all_rows_come_once_where_nothing_moves() -> None:
    table = Table(keys(1050))
    assert told(calls(table).pages("Catalog_X", size=200)) == sorted(table.keys)
    assert len(table.asked) == 6


def test_a_page_that_is_too_much_is_asked_for_by_halves_from_then_on() -> None:
    table = Table(keys(500), most=100)
    assert told(calls(table).pages("Catalog_X", size=400)) == sorted(table.keys)
    assert [query["$top"] for query in table.asked].count("400") == 1


def test_a_base_that_cannot_answer_even_a_small_page_is_told_of() -> None:
    with pytest.raises(TooMuch):
        told(calls(Table(keys(50), most=1)).pages("Catalog_X", size=40))


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), gone=st.integers(0, 60), come=st.integers(0, 60))
def test_no_row_that_is_there_throughout_is_left_out_while_others_come_and_go(seed: int, gone: int, come: int) -> None:
    rng = random.Random(seed)
    first = keys(300)
    rounds = iter(range(6))

    def between(present: list[str]) -> None:
        if next(rounds, None) is None:
            return
        for _ in range(min(gone, len(present) - 50)):
            present.remove(rng.choice(present))
        present += [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(come)]

    table = Table(first, between)
    found = set(told(calls(table).pages("Catalog_X", size=50)))
    assert set(first) & set(table.keys) <= found


def test_objects_are_asked_for_by_as_many_keys_as_an_address_holds() -> None:
    table = Table(keys(200))
    found = calls(table).by_keys("Catalog_X", [*table.keys, "x' or 1 eq 1", table.keys[0]])
    assert sorted(row[KEY] for row in found) == sorted(table.keys)
    assert len(table.asked) < 10
    assert not [query for query in table.asked if "x'" in query["$filter"]]


class Refusing:
    """An interface that answers each call with one and the same error."""

    address = Address("http://there/base/odata/standard.odata/")

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.writes: list[bool] = []

    def send(self, *_: Any, writes: bool, **__: Any) -> Answer:
        self.writes.append(writes)
        raise self.error


DOING: dict[str, Callable[[Calls], object]] = {
    "odata.get": lambda one: one.rows("Catalog_X", {}),
    "odata.metadata": lambda one: one.metadata(),
    "odata.changes": lambda one: one.changes("ExchangePlan_X(guid'a')", 1),
    "odata.received": lambda one: one.received("ExchangePlan_X(guid'a')", 1),
    "odata.create": lambda one: one.create("Catalog_X", {}),
    "odata.change": lambda one: one.change("Catalog_X", "a", {}),
    "odata.post": lambda one: one.post("Document_X", "a"),
}
MEANS = {RetryClass.READ: Transient, RetryClass.IDEMPOTENT: Transient, RetryClass.PROBED: UnknownOutcome}


def test_every_verb_that_is_sent_has_a_class_and_no_other() -> None:
    tree = ast.parse(inspect.getsource(onec_calls))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert {text for text in texts if text.startswith("odata.") and len(text) > len("odata.")} == set(VERBS)
    assert set(DOING) == set(VERBS)


@pytest.mark.parametrize("verb", DOING)
def test_a_lost_answer_means_what_the_verbs_class_says(verb: str) -> None:
    gate = Refusing(UnknownOutcome("lost"))
    with pytest.raises(MEANS[class_of(verb)]):
        DOING[verb](calls(gate))
    assert gate.writes == [class_of(verb) is not RetryClass.READ]


@pytest.mark.parametrize("error", [Exists("there"), Permanent("no")])
def test_a_refusal_is_left_as_it_is_and_the_slot_is_given_back(error: Exception) -> None:
    slots = Freely()
    one = Calls("onec", Refusing(error), Freely(), slots, slots, Unbroken())  # type: ignore[arg-type]  # stand-ins
    with pytest.raises(type(error)):
        DOING["odata.create"](one)
    assert slots.held == 0


def test_of_all_that_write_one_at_a_time() -> None:
    slots, writing = Freely(), Freely()
    held: list[tuple[int, int]] = []

    class Looking(Refusing):
        def send(self, *args: Any, writes: bool, **more: Any) -> Answer:
            held.append((slots.held, writing.held))
            return super().send(*args, writes=writes, **more)

    one = Calls("onec", Looking(Permanent("no")), Freely(), slots, writing, Unbroken())  # type: ignore[arg-type]
    for verb in ("odata.get", "odata.change"):
        with pytest.raises(Permanent):
            DOING[verb](one)
    assert held == [(1, 0), (1, 1)]


def test_without_a_slot_nothing_is_sent() -> None:
    class Full(Freely):
        @contextmanager
        def taken(self) -> Iterator[None]:
            raise NotReady("full", until=datetime.now(UTC))
            yield

    gate = Refusing(Permanent("never asked"))
    with pytest.raises(NotReady):
        DOING["odata.get"](Calls("onec", gate, Freely(), Full(), Freely(), Unbroken()))  # type: ignore[arg-type]  # stand-ins
    assert gate.writes == []
