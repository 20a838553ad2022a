import pytest

from bus.envelope import EVENT_TYPES, Event, derived_id, may_go_back, parse, version_order
from bus.errors import BadInput

SAID = {
    "source": "shop",
    "type": "order.changed",
    "subject": "order/236",
    "time": "2026-10-05T10:00:00Z",
    "sourceversion": "17",
    "data": {"status": "new"},
}


def test_an_event_knows_its_channel_kind_and_record() -> None:
    event = parse(SAID | {"type": "deal.changed", "subject": "deal/759", "source": "crm"})
    assert (event.channel, event.kind, event.record_type, event.external_id) == ("deals", "order", "deal", "759")
    assert not event.deleted


def test_an_external_id_may_hold_a_slash() -> None:
    assert parse(SAID | {"subject": "order/2026/17"}).external_id == "2026/17"


def test_a_deletion_needs_no_data() -> None:
    event = parse({"source": "crm", "type": "deal.deleted", "subject": "deal/7"})
    assert event.deleted
    assert event.data is None


def test_the_same_change_always_gets_the_same_id() -> None:
    assert parse(SAID).id == parse(dict(reversed(SAID.items()))).id
    assert parse(SAID | {"data": {"status": "new"}}).id == parse(SAID).id


@pytest.mark.parametrize(
    "other",
    [
        {"source": "shop-2"},
        {"type": "deal.changed"},
        {"subject": "order/237"},
        {"sourceversion": "18"},
        {"data": {"status": "paid"}},
        {"data": {"status": "new", "comment": None}},
    ],
)
def test_another_change_gets_another_id(other: dict) -> None:
    assert parse(SAID | other).id != parse(SAID).id


def test_a_producers_own_id_is_kept() -> None:
    assert parse(SAID | {"id": "abc"}).id == "abc"


def test_the_order_of_keys_in_the_data_is_no_difference() -> None:
    one, two = {"comment": "a", "number": "1"}, {"number": "1", "comment": "a"}
    assert derived_id(SAID | {"data": one}) == derived_id(SAID | {"data": two})


def test_the_same_state_at_another_time_is_another_event_where_there_is_no_version() -> None:
    plain = {name: value for name, value in SAID.items() if name != "sourceversion"}
    assert parse(plain).id != parse(plain | {"time": "2026-10-05T10:00:01Z"}).id


def test_without_version_and_time_a_state_that_came_back_is_an_event_of_its_own() -> None:
    plain = {name: value for name, value in SAID.items() if name not in ("sourceversion", "time")}
    assert parse(plain).id != parse(plain).id


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "Shop"}, "source"),
        ({"source": ""}, "source"),
        ({"type": "order.created"}, "type"),
        ({"subject": "order"}, "subject"),
        ({"subject": "order/"}, "subject"),
        ({"subject": "order/ 1"}, "subject"),
        ({"subject": "Order/1"}, "subject"),
        ({"subject": "order/1\n"}, "subject"),
        ({"time": "2026-10-05T10:00:00"}, "time"),
        ({"time": "soon"}, "time"),
        ({"specversion": "0.3"}, "specversion"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"data": {"status": "gone"}}, "data.status"),
        ({"data": {"comments": "typo"}}, "data.comments"),
        ({"data": {"total": {"amount": "x", "currency": "RUB"}}}, "data.total.amount"),
        ({"data": [1]}, "data"),
        ({"data": None}, "event"),
        ({"colour": "red"}, "colour"),
        ({"id": "x" * 256}, "id"),
    ],
)
def test_bad_input_names_its_field(change: dict, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(SAID | change)
    assert refused.value.field == field


def test_a_complaint_never_repeats_the_value() -> None:
    with pytest.raises(BadInput) as refused:
        parse(SAID | {"data": {"customer": {"phone": ["+79991234567"]}}})
    assert "+7999" not in str(refused.value)


@pytest.mark.parametrize("document", [None, 1, "text", [], [SAID], {}])
def test_what_is_no_event_is_refused(document: object) -> None:
    with pytest.raises(BadInput):
        parse(document)


@pytest.mark.parametrize("field", ["id", "actor", "correlationid", "causationid", "sourceversion", "partitionkey"])
def test_no_attribute_may_hold_nul_which_cannot_be_stored(field: str) -> None:
    with pytest.raises(BadInput):
        parse(SAID | {field: "a\x00b"})


@pytest.mark.parametrize("change", [{"subject": "order/\x00"}, {"data": {"comment": "a\x00b"}}, {"data": {"a\x00": 1}}])
def test_neither_subject_nor_data_may_hold_nul(change: dict) -> None:
    with pytest.raises(BadInput):
        parse(SAID | change)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+03:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_the_ledger_could_never_read_back_is_refused(time: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(SAID | {"time": time})
    assert refused.value.field == "time"


@pytest.mark.parametrize(
    ("version", "order"),
    [
        ("17", 17),
        ("1736405807#a1", 1736405807),
        ("007", 7),
        ("t17", None),
        ("", None),
        (None, None),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("١٢", None),
    ],
)
def test_a_version_is_ordered_by_the_integer_it_starts_with(version: str | None, order: int | None) -> None:
    assert version_order(version) == order


def test_a_version_of_a_part_of_its_record_may_go_back() -> None:
    assert may_go_back("1736405807#502")
    assert may_go_back("1736405807#"), "no part of the kind is left"
    assert not any(may_go_back(version) for version in ("17", "17-a1", "t17", "", None))


def test_every_type_has_both_verbs() -> None:
    assert {name.partition(".")[0] for name in EVENT_TYPES} == {"order", "deal", "payment", "counterparty"}
    assert len(EVENT_TYPES) == 8


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Event.model_validate(SAID).source = "crm"
