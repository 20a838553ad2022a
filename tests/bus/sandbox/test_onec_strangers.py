"""Other people's OData clients take the stand-in base for a real one."""

import asyncio
from typing import ClassVar
from uuid import UUID

import pytest
import requests
from pydantic import Field
from PyOData1C.http import Connection
from PyOData1C.models import ODataModel
from PyOData1C.odata import OData, Q
from python_1c_odata import (
    Catalog,
    ConcurrencyError,
    Document,
    EntityNotFound,
    F,
    Infobase,
    InformationRegister,
    ODataError,
    PostingMode,
)
from requests.auth import HTTPBasicAuth

from tests.bus.sandbox.books import ORDERS, PARTIES, at


@pytest.fixture
def people(onec):
    """Five counterparties and an order of the first, paid in part."""
    acts = [{"do": "create_counterparty", "name": f"Клиент {n}", "inn": f"770708389{n}"} for n in range(5)]
    ids = [one["id"] for one in onec.control("POST", "act", {"acts": acts})["results"]]
    order = onec.act("create_order", counterparty=ids[0], client_number="1001")
    onec.act("create_payment", order=order["id"], amount=100)
    return onec, ids, order


def in_base(onec, work, **options):
    """Run `work(infobase)` with python-1c-odata."""

    async def run():
        async with Infobase(onec.url, "base", "bus", "secret", **options) as infobase:
            return await work(infobase)

    return asyncio.run(run())


@pytest.mark.parametrize("form", ["json", "atom", "auto"])
def test_python_1c_odata_reads_pages_and_single_ones(people, form):
    onec, ids, _ = people

    async def work(infobase):
        parties = Catalog(infobase, "Контрагенты")
        seen = [row["Ref_Key"] async for row in parties.iterate(page_size=2, orderby="Description")]
        return seen, await parties.count(odata_filter=F("ИНН") != "7707083890"), await parties.get(ids[1])

    seen, count, one = in_base(onec, work, format=form)
    assert (seen, count) == (ids, 4)
    assert (one["Ref_Key"], one["ИНН"]) == (ids[1], "7707083891")


def test_python_1c_odata_filters_expands_and_selects(people):
    onec, ids, order = people

    async def work(infobase):
        orders = Document(infobase, "ЗаказКлиента")
        page = await orders.query(
            odata_filter=(F("Контрагент_Key") == UUID(ids[0])) & F("Товары").any(F("Цена") > 900),
            select=["Number", "Контрагент"],
            expand="Контрагент",
            inlinecount=True,
        )
        like = await Catalog(infobase, "Контрагенты").where(F("Description").contains("клиент 3")).execute()
        shown = await orders.get(order["id"], presentations=True)
        return page, like, shown

    page, like, shown = in_base(onec, work)
    assert (page.count, page.value[0]["Контрагент"]["ИНН"]) == (1, "7707083890")
    assert [row["Ref_Key"] for row in like.value] == [ids[3]]
    assert shown["Контрагент____Presentation"] == "Клиент 0"


def test_python_1c_odata_reads_the_metadata_and_a_register(people):
    onec, _, order = people

    async def work(infobase):
        sets = await infobase.entity_sets()
        described = await infobase.entity_type_for_set(PARTIES)
        states = await InformationRegister(infobase, "СостоянияЗаказовКлиентов").query()
        return sets, described, states

    sets, described, states = in_base(onec, work)
    assert {PARTIES, ORDERS, f"{ORDERS}_Товары"} <= set(sets)
    assert (described.keys, "Партнер" in described.navigation_properties) == (("Ref_Key",), True)
    assert [row["Заказ"] for row in states.value] == [order["id"]]


@pytest.mark.parametrize("form", ["json", "atom"])
def test_python_1c_odata_writes_posts_and_deletes(onec, form):
    party = onec.act("create_counterparty", name="А")

    async def work(infobase):
        orders = Document(infobase, "ЗаказКлиента")
        made = await orders.create({"Date": "2026-10-05T00:00:00", "Контрагент_Key": party["id"]})
        edited = await orders.edit(made["Ref_Key"], {"Комментарий": "x" * 10})
        with pytest.raises(ODataError, match="Не заполнено поле") as refusal:
            await orders.post(made["Ref_Key"], PostingMode.POST)
        await orders.delete(made["Ref_Key"])
        with pytest.raises(EntityNotFound):
            await orders.get(made["Ref_Key"])
        return edited, refusal.value

    edited, refusal = in_base(onec, work, format=form)
    assert (edited["Комментарий"], edited["Number"]) == ("x" * 10, "ЦБ-00000001")
    assert (refusal.status, refusal.internal_code) == (500, "-1")


def test_python_1c_odata_posts_a_whole_document(onec):
    order = onec.act("create_order", post=False)["id"]

    async def work(infobase):
        orders = Document(infobase, "ЗаказКлиента")
        await orders.post(order, PostingMode.OPER)
        posted = await orders.get(order)
        await orders.unpost(order)
        return posted["Posted"], (await orders.get(order))["Posted"]

    assert in_base(onec, work) == (True, False)


def test_python_1c_odata_sees_a_conflict_only_where_the_base_honours_if_match(onec):
    partner = onec.act("create_partner", name="А")["id"]

    async def work(infobase):
        return await Catalog(infobase, "Партнеры").edit(partner, {"Description": "Б"}, if_match="AAAAAAAAAAk=")

    assert in_base(onec, work)["Description"] == "Б"
    onec.set(if_match=True)
    with pytest.raises(ConcurrencyError):
        in_base(onec, work)


class PartnerModel(ODataModel):
    uid: UUID = Field(alias="Ref_Key", exclude=True)
    code: str = Field(alias="Code", max_length=11)


class PartyModel(ODataModel):
    uid: UUID = Field(alias="Ref_Key", exclude=True)
    name: str = Field(alias="Description", max_length=100)
    inn: str = Field(alias="ИНН", max_length=12)
    partner: PartnerModel = Field(alias="Партнер")

    nested_models: ClassVar = {"partner": PartnerModel}


class Parties(OData):
    database = "base"
    entity_model = PartyModel
    entity_name = PARTIES


class OrderModel(ODataModel):
    uid: UUID = Field(alias="Ref_Key", exclude=True)
    number: str = Field(alias="Number", max_length=11)
    posted: bool = Field(alias="Posted")


class Orders(OData):
    database = "base"
    entity_model = OrderModel
    entity_name = ORDERS


class GoodModel(ODataModel):
    uid: UUID = Field(alias="Ref_Key", exclude=True)
    name: str = Field(alias="Description")


class Goods(OData):
    database = "base"
    entity_model = GoodModel
    entity_name = "Catalog_Номенклатура"


@pytest.fixture
def connection(onec):
    with Connection(onec.url.removeprefix("http://"), "http", HTTPBasicAuth("bus", "secret")) as opened:
        yield opened


def test_pyodata1c_reads_with_nested_models(people, connection):
    _, ids, _ = people
    found = Parties.manager(connection).expand("partner").filter(Q(inn__in=["7707083891", "7707083893"])).all()
    assert {str(one.uid) for one in found} == {ids[1], ids[3]}
    assert {one.partner.code for one in found} == {"00-00000002", "00-00000004"}
    assert len(Parties.manager(connection).expand("partner").skip(1).top(2).all()) == 2


def test_pyodata1c_finds_by_reference_and_negation(people, connection):
    _, ids, order = people
    found = Orders.manager(connection).filter(uid__eq__guid=order["id"]).all()
    assert [one.number for one in found] == ["ТДЦБ-000001"]
    others = Parties.manager(connection).expand("partner").filter(~Q(inn="7707083890")).all()
    assert {str(one.uid) for one in others} == set(ids[1:])


def test_pyodata1c_creates_and_changes(connection):
    made = Goods.manager(connection).create({"Description": "Чайник"})
    changed = Goods.manager(connection).update(str(made.uid), {"Description": "Чашка"})
    assert (changed.uid, Goods.manager(connection).get(str(made.uid)).name) == (made.uid, "Чашка")


def test_pyodata1c_posts_and_unposts(onec, connection):
    order = onec.act("create_order", post=False)["id"]
    manager = Orders.manager(connection)
    manager.post_document(order)
    assert manager.get(order).posted is True
    manager.unpost_document(order)
    assert manager.get(order).posted is False


def test_a_plain_browser_can_look_too(people):
    onec, ids, _ = people
    answer = requests.get(f"{onec.root}{at(PARTIES, ids[0])}", auth=("bus", "secret"), timeout=5)
    assert answer.text.startswith("<?xml")
