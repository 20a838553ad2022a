from collections.abc import Iterator

import pytest

from bus import switches
from bus.config import Config, Mode
from bus.errors import BadInput, Transient
from bus.model import Kind
from bus.switches import Switched
from tests.bus.ledger.middle import Middle, built, config, order


@pytest.fixture
def middle(database_url: str) -> Iterator[Middle]:
    with built(database_url) as made:
        yield made


def effective(middle: Middle, file: Config | None = None) -> Config:
    with middle.ledger.transaction() as connection:
        return switches.effective(connection, file or middle.wiring.file)


def turn(middle: Middle, system: str, kind: str, direction: str, mode: Mode) -> None:
    switches.turn(middle.ledger, middle.wiring.file, system, kind, direction, mode, "olga")


def test_without_a_switch_the_file_stands(middle: Middle) -> None:
    assert effective(middle) == middle.wiring.file


def test_a_switch_lies_over_the_file_one_direction_at_a_time(middle: Middle) -> None:
    turn(middle, "crm", "order", "out", Mode.OFF)
    route = effective(middle).route("crm", "order")
    assert (route.inward, route.outward) == (Mode.FULL, Mode.OFF)
    assert effective(middle).route("shop", "order").outward is Mode.FULL
    turn(middle, "crm", "order", "out", Mode.UPDATE_ONLY)
    assert effective(middle).route("crm", "order").outward is Mode.UPDATE_ONLY


def test_a_route_that_the_file_does_not_have_may_be_turned_on(middle: Middle) -> None:
    turn(middle, "bank", "order", "in", Mode.FULL)
    assert effective(middle).route("bank", "order").inward is Mode.FULL


def test_who_turned_it_is_written_down(middle: Middle) -> None:
    turn(middle, "crm", "order", "in", Mode.OFF)
    assert middle.one("SELECT actor, action, target, detail FROM operator_action") == {
        "actor": "olga", "action": "switch", "target": "crm order in", "detail": {"mode": "off"}
    }  # fmt: skip


def test_a_process_that_starts_afterwards_obeys(middle: Middle, database_url: str) -> None:
    turn(middle, "crm", "order", "out", Mode.OFF)
    with built(database_url) as restarted:
        restarted.take(order(1, comment="x"))
        assert restarted.due() == set()


@pytest.mark.parametrize(
    ("system", "kind", "direction", "field"),
    [("gone", "order", "in", "system"), ("crm", "order", "both", "direction"), ("crm", "ordr", "in", "kind")],
)
def test_what_there_is_nothing_of_cannot_be_turned(
    middle: Middle, system: str, kind: str, direction: str, field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        turn(middle, system, kind, direction, Mode.OFF)
    assert refused.value.field == field
    assert middle.rows("SELECT 1 FROM switch") == []


def test_what_a_systems_kind_cannot_do_is_not_turned_on(middle: Middle) -> None:
    file = config(onec={"kind": "commerceml", "user": "1c", "password": "secret"})
    with pytest.raises(BadInput, match="CommerceML tells counterparties inside orders only"):
        switches.turn(middle.ledger, file, "onec", "counterparty", "out", Mode.FULL, "olga")
    switches.turn(middle.ledger, file, "onec", "counterparty", "in", Mode.FULL, "olga")
    assert [row["mode"] for row in middle.rows("SELECT mode FROM switch")] == ["full"]


def test_a_switch_of_a_system_that_left_the_file_does_no_harm(middle: Middle) -> None:
    turn(middle, "bank", "payment", "in", Mode.OFF)
    left = config().model_copy(update={"systems": {"shop": config().systems["shop"]}})
    assert set(effective(middle, left).systems) == {"shop"}


def test_a_door_that_opens_without_a_ledger_takes_everything_until_it_is_told(middle: Middle) -> None:
    told: list[Config] = []

    def read() -> Config:
        if not told:
            raise Transient("the ledger cannot be reached")
        return told[0]

    switched = Switched(read)
    with pytest.raises(Transient):
        switched.look()
    assert switched.takes("crm", "counterparty")
    turn(middle, "crm", "order", "in", Mode.OFF)
    turn(middle, "crm", "counterparty", "in", Mode.UPDATE_ONLY)
    told.append(effective(middle))
    switched.look()
    kinds: tuple[Kind, ...] = ("order", "payment", "counterparty")
    assert [switched.takes("crm", kind) for kind in kinds] == [False, False, True]
