import json

import pytest

from bus import contract
from bus.channels import ENTITY_CHANNELS
from bus.envelope import EVENT_TYPES


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def resolved(document, reference):
    """What a local reference points to; KeyError when nothing is there."""
    assert reference.startswith("#/")
    for key in reference[2:].split("/"):
        document = document[key]
    return document


def fits(value, schema, document):
    """As much of JSON Schema as the contract uses for shapes: types, names, constants, references."""
    if "$ref" in schema:
        return fits(value, resolved(document, schema["$ref"]), document)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return any(fits(value, choice, document) for choice in schema[word])
    types = {"object": dict, "array": list, "string": str, "number": int | float, "null": type(None)}
    of_type = "type" not in schema or isinstance(value, types[schema["type"]])
    if not of_type or value != schema.get("const", value) or value not in schema.get("enum", [value]):
        return False
    if isinstance(value, list):
        return all(fits(item, schema.get("items", {}), document) for item in value)
    return not isinstance(value, dict) or _object_fits(value, schema, document)


def _object_fits(value, schema, document):
    known = schema.get("properties", {})
    complete = set(schema.get("required", [])) <= set(value)
    closed = schema.get("additionalProperties", True) is not False or set(value) <= set(known)
    return complete and closed and all(fits(item, known.get(name, {}), document) for name, item in value.items())


MONEY = {"amount": "1990.00", "currency": "RUB"}
DATA = {
    "order": {
        "number": "236",
        "status": "new",
        "total": MONEY,
        "lines": [{"name": "Чай", "quantity": "1.5", "price": 100}],
    },
    "payment": {"order": {"number": "236"}, "amount": MONEY, "status": "paid", "paid_at": "2026-03-01T12:00:00Z"},
    "counterparty": {"name": "ООО Ромашка", "accounts": [{"account": "40702810900000000001"}], "phones": []},
}
KINDS = {"order": "order", "deal": "order", "payment": "payment", "counterparty": "counterparty"}


def example(event_type):
    head = event_type.partition(".")[0]
    return {"source": "onec", "type": event_type, "subject": f"{head}/1", "data": DATA[KINDS[head]]}


def test_every_event_type_has_a_schema():
    assert set(contract.json_schemas()) == set(EVENT_TYPES)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_schema_is_complete_in_itself(event_type):
    schema = contract.json_schemas()[event_type]
    found = set(references(schema))
    assert found
    for reference in found:
        assert resolved(schema, reference)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_valid_event_fits_its_schema_and_no_other(event_type):
    fitting = [name for name, schema in contract.json_schemas().items() if fits(example(event_type), schema, schema)]
    assert fitting == [event_type]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_wrong_event_does_not_fit(event_type):
    schema = contract.json_schemas()[event_type]
    without_source = {name: value for name, value in example(event_type).items() if name != "source"}
    for wrong in (without_source, example(event_type) | {"x": 1}, example(event_type) | {"data": {"nubmer": "236"}}):
        assert not fits(wrong, schema, schema)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_only_a_deletion_may_go_without_data(event_type):
    schema = contract.json_schemas()[event_type]
    bare = {name: value for name, value in example(event_type).items() if name != "data"}
    assert fits(bare, schema, schema) == event_type.endswith(".deleted")


def test_asyncapi_refers_to_nothing_that_is_not_there():
    document = contract.asyncapi()
    for reference in references(document):
        assert resolved(document, reference)


def test_asyncapi_has_every_channel_with_the_events_that_travel_on_it():
    document = contract.asyncapi()
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]) == set(ENTITY_CHANNELS)
    carried = {}
    for name, channel in document["channels"].items():
        [message] = (resolved(document, part["$ref"]) for part in channel["messages"].values())
        assert message["headers"]["properties"]["task"] == {"const": f"{name}.apply"}
        arguments = message["payload"]["items"][0]
        [events] = arguments["items"]
        carried[name] = {reference.rpartition("/")[2] for reference in references(events)}
    assert set().union(*carried.values()) == set(EVENT_TYPES)
    assert carried["deals"] == {"deal.changed", "deal.deleted"}


def test_asyncapi_operations_cover_both_directions():
    operations = contract.asyncapi()["operations"]
    assert set(operations) == {f"{action}.{name}" for action in ("send", "receive") for name in ENTITY_CHANNELS}


@pytest.mark.parametrize("make", [contract.json_schemas, contract.asyncapi, contract.components])
def test_the_documents_are_json_and_always_the_same(make):
    assert json.dumps(make()) == json.dumps(make())
