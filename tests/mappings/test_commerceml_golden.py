import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bus import translate
from bus.config import from_document
from bus.model import flatten
from bus.systems.commerceml import Document, documents
from bus.systems.commerceml_writer import Outgoing, write_orders
from mappings.check import shown
from mappings.registry import Registry

FOLDER = Path(__file__).parent / "golden" / "commerceml"
SAMPLES = [path for path in sorted(FOLDER.glob("*.xml")) if not path.stem.startswith("given_")]
READ_AT = datetime(2026, 10, 9, 12, tzinfo=UTC)


def registry_of(**settings: str) -> Registry:
    onec = {"kind": "commerceml", "user": "1c", "password": "secret", "settings": settings}
    crm = {"kind": "bitrix24", "url": "https://crm.example/rest/1/a/", "application_token": "t"}
    shop = {"kind": "bitrix_cms", "url": "https://shop.example/rest/1/a/"}
    return Registry(from_document({"systems": {"shop": shop, "crm": crm, "onec": onec}}, {}))


REGISTRY = registry_of()
TABLES = REGISTRY.tables("onec", "commerceml")


def said(document: Document) -> dict:
    """A document as a golden sample writes it down."""
    whole = [document.record, *REGISTRY.parts("commerceml", document.record)] if document.record else []
    return {
        "type": document.type,
        "id": document.id,
        "line": document.line,
        "removed": [list(one) for one in document.removed],
        "unmapped": dict(document.unmapped),
        "records": [
            {
                "record": f"{one.type}/{one.id}",
                **shown(REGISTRY.translator("commerceml", one.type).to_canonical(one.raw, TABLES)),
            }
            for one in whole
        ],
    }


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_file_says_what_is_written_down(path):
    found = [said(one) for one in documents([path.read_bytes()], read_at=READ_AT)]
    assert found == json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_what_a_file_says_is_an_event_is_carried_and_needs_no_writing_back(path):
    for document in documents([path.read_bytes()], read_at=READ_AT):
        if document.record is None:
            continue
        entries = translate.entries("onec", "commerceml", document.record, REGISTRY)
        whole = [document.record, *REGISTRY.parts("commerceml", document.record)]
        assert [one.event.subject for one in entries] == [f"{one.type}/{one.id}" for one in whole]
        for one in whole:
            translator = REGISTRY.translator("commerceml", one.type)
            fields = flatten(translator.KIND, translator.to_canonical(one.raw, TABLES).data)
            assert fields.keys() <= translator.carries(TABLES)
            assert translator.from_canonical(fields, one.raw, TABLES) == {}


def test_the_samples_have_every_type_of_record():
    everything = [one for path in SAMPLES for one in json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))]
    found = {one["record"].partition("/")[0] for document in everything for one in document["records"]}
    assert found == {"order", "payment", "counterparty"}


# --- what 1C is given -------------------------------------------------------------------------------------------------

COMPANY = {
    "number": "10057",
    "status": "accepted",
    "total": {"amount": "1500.00", "currency": "RUB"},
    "lines": [
        {"product": "f06588ab-7924-11df-b33a-0011955cba6b", "name": "Чайник", "quantity": "2", "price": "600.00"},
        {"product": "437", "name": "Кружка & ложка", "quantity": "0.5", "price": "200.00"},
    ],
    "comment": "Домофон\n12",
    "customer.company": 'ООО "Ромашка"',
    "customer.inn": "7707083893",
    "customer.kpp": "773601001",
    "customer.name": "Анна Ромашкина",
    "customer.phone": "+79991234567",
    "customer.email": "anna@example.ru",
    "delivery.method": "Курьер",
    "delivery.address": "Тверь, ул. Новая, 1",
    "payment_status": "paid",
    "settled": True,
    "@origin": "3b0f7c1e-95a2-4e4b-9a55-1f0d7c7a9e01",
    "@at": "2026-10-05T08:58:03+00:00",
}
PERSON = {
    "status": "cancelled",
    "total": {"amount": "10.00", "currency": "EUR"},
    "lines": [{"product": None, "name": "Открытка", "quantity": "1", "price": "10.00"}],
    "customer.name": "Пётр Ильин",
    "payment_status": "unpaid",
    "@origin": "4c1f7c1e-95a2-4e4b-9a55-1f0d7c7a9e02",
    "@records": {"crm": {"deal": "759"}},
    "@at": "2026-10-05T22:00:00+00:00",
}
PAID = {
    "amount": {"amount": "1500.00", "currency": "RUB"},
    "status": "paid",
    "method": "Картой онлайн",
    "paid_at": "2026-10-06T06:30:00Z",
    "external_number": "417",
    "@origin": "5d2f7c1e-95a2-4e4b-9a55-1f0d7c7a9e03",
    "@parent": "10057",
}
NOW = datetime(2026, 10, 9, 15, tzinfo=ZoneInfo("Europe/Moscow"))


def given(profile: str) -> bytes:
    registry = registry_of(profile=profile, vat="20" if profile == "ut" else "")
    tables = registry.tables("onec", "commerceml")
    order, payment = (registry.translator("commerceml", kind) for kind in ("order", "payment"))
    paid = payment.from_canonical(PAID, None, tables)
    company = Outgoing(order.from_canonical(COMPANY, None, tables), (paid,))
    return write_orders([company, Outgoing(order.from_canonical(PERSON, None, tables))], profile, NOW)


@pytest.mark.parametrize("profile", ["ut", "unf", "bus"])
def test_1c_is_given_what_is_written_down(profile):
    assert given(profile).decode() == (FOLDER / f"given_{profile}.xml").read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", ["ut", "unf", "bus"])
def test_what_1c_is_given_says_the_same_when_it_comes_back(profile):
    registry = registry_of(profile=profile)
    tables = registry.tables("onec", "commerceml")
    first, second = documents([given(profile)], profile=profile, read_at=READ_AT)
    assert [first.id, second.id] == ["10057", "C759"]
    for document, fields in ((first, COMPANY), (second, PERSON)):
        translation = registry.translator("commerceml", "order").to_canonical(document.raw, tables)
        back = flatten("order", translation.data)
        told = {name: value for name, value in fields.items() if name[0] != "@"}
        assert {name: back[name] for name in back if name != "settled"} == {
            name: told[name] for name in back if name != "settled"
        }
        assert translation.data["records"][0] == {"system": "bus", "type": "order", "id": fields["@origin"]}
        assert not set(told) - set(back) - {"payment_status", "settled"}


@pytest.mark.parametrize("profile", ["unf", "bus"])
def test_a_payment_that_1c_is_given_comes_back_as_ours(profile):
    registry = registry_of(profile=profile)
    first, _ = documents([given(profile)], profile=profile, read_at=READ_AT)
    (payment,) = [one for one in registry.parts("commerceml", first.record) if one.type == "payment"]
    assert payment.id == "bus-5d2f7c1e-95a2-4e4b-9a55-1f0d7c7a9e03"
    tables = registry.tables("onec", "commerceml")
    data = registry.translator("commerceml", "payment").to_canonical(payment.raw, tables).data
    assert data.pop("records")[0] == {"system": "bus", "type": "payment", "id": PAID["@origin"]}
    assert data.pop("order") == {"system": "onec", "type": "order", "id": "10057"}
    assert data == {name: value for name, value in PAID.items() if name[0] != "@"}
