import time
from pathlib import Path

import pytest
import requests
from lxml import etree

from tests.bus.sandbox.books import GOODS, NOBODY, ORDERS, PARTIES, PARTNERS, RATES, RECEIPTS, STATES, at

ATOM = "{http://www.w3.org/2005/Atom}"
DATA = "{http://schemas.microsoft.com/ado/2007/08/dataservices}"
META = "{http://schemas.microsoft.com/ado/2007/08/dataservices/metadata}"
REAL_METADATA = Path(__file__).parents[4] / "shared" / "data" / "odata_ut_metadata.xml"


@pytest.fixture
def order(onec):
    party = onec.act("create_counterparty", name="Ромашка ООО", inn="7707083893", phones=["+7 495 1234567"])["id"]
    lines = [{"name": "Чайник", "price": "333.33", "quantity": 3}]
    return onec.act("create_order", counterparty=party, client_number="1001", lines=lines)


def test_a_set_in_json_has_context_count_and_whole_rows(onec, order):
    body = onec.json("GET", ORDERS, inlinecount="allpages", top=1)
    assert body["odata.metadata"] == f"{onec.root}$metadata#{ORDERS}"
    assert body["odata.count"] == "1"
    row = body["value"][0]
    assert (row["Ref_Key"], row["Number"], row["DataVersion"]) == (order["id"], "ТДЦБ-000001", "AAAAAAAAAAE=")
    assert (row["СуммаДокумента"], row["Posted"], row["Договор_Key"]) == (999.99, True, NOBODY)
    assert (row["ДатаОтгрузки"], row["ДокументОснование"], row["ДокументОснование_Type"]) == (
        "0001-01-01T00:00:00",
        "",
        "StandardODATA.Undefined",
    )
    line = row["Товары"][0]
    assert (line["Ref_Key"], line["LineNumber"], line["КодСтроки"]) == (order["id"], "1", "1")
    assert (line["Сумма"], line["СуммаНДС"], line["СтатусУказанияСерий"]) == (999.99, 166.67, 0)
    assert row["Контрагент@navigationLinkUrl"] == f"{at(ORDERS, order['id'])}/Контрагент"
    assert row["ИдентификаторПлатежа"] == "ЗК2311ТДЦБ0000010000"


def test_one_entity_stands_flat(onec, order):
    body = onec.json("GET", at(ORDERS, order["id"]))
    assert body["odata.metadata"] == f"{onec.root}$metadata#{ORDERS}/@Element"
    assert (body["Ref_Key"], "value" in body) == (order["id"], False)


@pytest.mark.parametrize(
    ("asked", "context", "link", "identity"),
    [
        ("application/json", True, True, False),
        ("application/json;odata=minimalmetadata", True, True, False),
        ("application/json;odata=fullmetadata", True, True, True),
        ("application/json;odata=nometadata", False, False, False),
    ],
)
@pytest.mark.parametrize("where", ["accept", "$format"])
def test_the_level_of_metadata_is_asked_for(onec, order, where, asked, context, link, identity):
    if where == "accept":
        answer = onec.ask("GET", at(ORDERS, order["id"]), headers={"Accept": asked})
    else:
        answer = onec.ask("GET", at(ORDERS, order["id"]), {"$format": asked})
    body = answer.json()
    assert ("odata.metadata" in body, "Контрагент@navigationLinkUrl" in body, "odata.id" in body) == (
        context,
        link,
        identity,
    )
    assert (answer.headers["Content-Type"], answer.headers["DataServiceVersion"]) == (
        "application/json;charset=utf-8",
        "3.0",
    )


def test_a_form_that_1c_does_not_have_is_not_supported(onec):
    answer = onec.ask("GET", PARTNERS, {"$format": "csv"})
    assert (answer.status_code, etree.fromstring(answer.content).findtext(f"{META}code")) == (501, "0")


def test_a_client_that_says_nothing_gets_atom(onec, order):
    answer = onec.ask("GET", ORDERS, {"$inlinecount": "allpages"}, headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"].startswith("application/atom+xml")
    assert answer.content.startswith(b"<?xml")
    feed = etree.fromstring(answer.content)
    assert (feed.tag, feed.findtext(f"{META}count")) == (f"{ATOM}feed", "1")
    properties = feed.find(f"{ATOM}entry/{ATOM}content/{META}properties")
    fields = {etree.QName(child).localname: child for child in properties}
    assert (fields["Number"].text, fields["Комментарий"].text, fields["Posted"].text) == ("ТДЦБ-000001", None, "true")
    lines = fields["Товары"]
    assert lines.get(f"{META}type") == f"Collection(StandardODATA.{ORDERS}_Товары_RowType)"
    assert lines.findtext(f"{DATA}element/{DATA}LineNumber") == "1"
    assert lines.find(f"{DATA}element/{DATA}Ref_Key") is None
    assert fields["СкидкиНаценки"].get(f"{META}type").startswith("Collection(")
    one = etree.fromstring(onec.ask("GET", at(ORDERS, order["id"])).content)
    assert one.tag == f"{ATOM}entry"


@pytest.mark.parametrize(
    ("select", "names"),
    [
        ("Number,Date", {"Number", "Date"}),
        ("Number, Товары/Цена", {"Number", "Товары"}),
        ("Number,Контрагент", {"Number", "Контрагент@navigationLinkUrl"}),
        ("Контрагент_Key", {"Контрагент_Key"}),
        ("Number,Контрагент____Presentation", {"Number", "Контрагент____Presentation"}),
    ],
)
@pytest.mark.usefixtures("order")
def test_select_shows_what_it_names(onec, select, names):
    assert set(onec.rows(ORDERS, select=select)[0]) == names


@pytest.mark.usefixtures("order")
def test_stars_show_everything_with_and_without_sections(onec):
    everything, heads = (set(onec.rows(ORDERS, select=stars)[0]) for stars in ("*", "**"))
    assert {"Товары", "ЭтапыГрафикаОплаты", "СкидкиНаценки", "ДополнительныеРеквизиты"} == everything - heads
    assert "Number" in heads


@pytest.mark.usefixtures("order")
def test_lines_may_be_shown_in_part(onec):
    assert onec.rows(ORDERS, select="Товары/Цена,Товары/LineNumber")[0]["Товары"] == [
        {"LineNumber": "1", "Цена": 333.33}
    ]


@pytest.mark.usefixtures("order")
def test_expand_wants_the_field_in_select_too(onec):
    without = onec.rows(ORDERS, select="Number", expand="Контрагент")[0]
    assert "Контрагент" not in without
    named = onec.rows(ORDERS, select="Number,Контрагент", expand="Контрагент")[0]
    assert (named["Контрагент"]["ИНН"], named["Контрагент"]["КонтактнаяИнформация"][0]["LineNumber"]) == (
        "7707083893",
        "1",
    )
    assert onec.rows(ORDERS, expand="Контрагент")[0]["Контрагент"]["ИНН"] == "7707083893"
    part = onec.rows(ORDERS, select="Контрагент/ИНН,Контрагент/Партнер/Code", expand="Контрагент/Партнер")[0]
    assert part["Контрагент"] == {
        "ИНН": "7707083893",
        "Партнер": {"Code": "00-00000001"},
        **{key: value for key, value in part["Контрагент"].items() if "@" in key},
    }


def test_an_empty_reference_expands_to_nothing(onec):
    onec.act("create_partner", name="A")
    assert onec.rows(PARTNERS, select="Description,Parent", expand="Parent")[0]["Parent"] is None


def test_expand_says_nothing_on_a_single_entity(onec, order):
    body = onec.json("GET", at(ORDERS, order["id"]), expand="Контрагент")
    assert "Контрагент" not in body


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("select", "Нету"),
        ("select", "Товары/Нету"),
        ("select", "Number/Нету"),
        ("expand", "Товары"),
        ("expand", "Нету"),
        ("orderby", "Нету desc"),
    ],
)
def test_names_that_are_not_there_are_refused(onec, option, value):
    assert onec.code("GET", ORDERS, **{option: value}) == (400, "10")


@pytest.mark.parametrize(
    ("option", "value"), [("top", "-1"), ("top", "many"), ("skip", "1.5"), ("orderby", "Number up")]
)
def test_options_that_cannot_be_read_are_refused(onec, option, value):
    assert onec.code("GET", ORDERS, **{option: value}) == (400, "14")


@pytest.fixture
def partners(onec):
    for name in ("в", "А", "б", "Г"):
        onec.act("create_partner", name=name)
    return onec


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"orderby": "Description"}, "АбвГ"),
        ({"orderby": "Description desc"}, "ГвбА"),
        ({"orderby": "ЮрФизЛицо asc,Code desc"}, "ГбАв"),
        ({"orderby": "Description", "skip": 1, "top": 2}, "бв"),
        ({"orderby": "Description", "skip": 9}, ""),
        ({"orderby": "Description", "top": 0}, ""),
        ({"orderby": "Parent/Description,Description"}, "АбвГ"),
    ],
)
def test_order_then_skip_then_top(partners, options, found):
    assert "".join(row["Description"] for row in partners.rows(PARTNERS, **options)) == found


def test_counts(partners):
    answer = partners.ask("GET", f"{PARTNERS}/$count", {"$filter": "Description ne 'А'"})
    assert (answer.text, answer.headers["Content-Type"]) == ("3", "text/plain;charset=utf-8")
    body = partners.json("GET", PARTNERS, inlinecount="allpages", top=0)
    assert (body["odata.count"], body["value"]) == ("4", [])


def test_pages_by_skip_shift_when_rows_come_in_between(onec):
    acts = [{"do": "create_partner", "name": str(number)} for number in range(40)]
    onec.control("POST", "act", {"acts": acts})
    first = [row["Ref_Key"] for row in onec.rows(PARTNERS, top=20)]
    onec.control("POST", "act", {"acts": acts})
    second = [row["Ref_Key"] for row in onec.rows(PARTNERS, top=20, skip=20)]
    assert set(first) & set(second), "a row was read twice"
    by_key = [row["Ref_Key"] for row in onec.rows(PARTNERS, orderby="Ref_Key")]
    assert by_key != sorted(by_key), "the order of references is not that of their GUIDs"


def test_behind_a_reference_stands_its_entity(onec, order):
    found = onec.json("GET", f"{at(ORDERS, order['id'])}/Контрагент", select="ИНН")
    assert found["ИНН"] == "7707083893"
    assert onec.code("GET", f"{at(ORDERS, order['id'])}/Договор") == (404, "6")


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        (at(PARTIES, "11111111-1111-1111-1111-111111111111"), (404, "9")),
        (f"{PARTIES}(guid'nonsense')", (400, "1")),
        (f"{RATES}(Period=datetime'2026-01-01T00:00:00')", (400, "7")),
        ("Catalog_Неведомый", (404, "6")),
        (f"{PARTIES}/Balance", (404, "6")),
        (f"{PARTIES}/SliceLast()", (404, "11")),
        ("a/b/c", (404, "6")),
    ],
)
def test_addresses_that_lead_nowhere(onec, path, refusal):
    assert onec.code("GET", path) == refusal


def test_errors_come_in_the_form_that_was_asked_for(onec):
    path = at(PARTIES, "11111111-1111-1111-1111-111111111111")
    body = onec.json("GET", path, status=404)
    assert body["odata.error"]["message"]["lang"] == "ru"
    said = etree.fromstring(onec.ask("GET", path).content)
    assert (said.tag, said.findtext(f"{META}code")) == (f"{META}error", "9")


def test_sections_are_sets_for_reading_only(onec, order):
    name = f"{ORDERS}_Товары"
    assert onec.rows(name, filter="Цена gt 333")[0]["Ref_Key"] == order["id"]
    line = onec.json("GET", f"{name}(Ref_Key=guid'{order['id']}',LineNumber=1)")
    assert line["Количество"] == 3
    assert onec.code("POST", name, {"Цена": 1}) == (400, "13")


def test_registers_are_read_by_their_dimensions(onec, order):
    row = onec.rows(STATES)[0]
    assert (row["Заказ"], row["Заказ_Type"]) == (order["id"], f"StandardODATA.{ORDERS}")
    assert (row["Состояние"], row["ПроцентОплаты"]) == ("ГотовКОбеспечению", 0)
    key = f"{STATES}(Заказ='{order['id']}', Заказ_Type='StandardODATA.{ORDERS}')"
    assert onec.json("GET", key)["Состояние"] == "ГотовКОбеспечению"


def test_a_slice_takes_the_nearest_row_of_each_dimension(onec):
    usd = onec.rows("Catalog_Валюты", filter="Code eq '840'")[0]["Ref_Key"]
    for day, rate in (("01", 90), ("10", 91.5), ("20", 93)):
        body = {"Period": f"2026-10-{day}T00:00:00", "Валюта_Key": usd, "Курс": rate, "Кратность": 1}
        onec.json("POST", RATES, body, status=201)

    def rates(call: str) -> list[float]:
        return [row["Курс"] for row in onec.rows(f"{RATES}/{call}")]

    assert rates("SliceLast()") == [93]
    assert rates("SliceLast(Period=datetime'2026-10-15T00:00:00')") == [91.5]
    assert rates("SliceFirst(Period=datetime'2026-10-02T00:00:00')") == [91.5]
    assert rates(f"SliceLast(Condition='Валюта_Key ne guid''{usd}''')") == []


def test_presentations_on_demand(onec, order):
    paid = onec.act("create_payment", order=order["id"], amount=1)["id"]
    shown = onec.json("GET", at(ORDERS, order["id"]), select="*____Presentation")
    assert (shown["Контрагент____Presentation"], shown["Договор____Presentation"]) == ("Ромашка ООО", "")
    invoice = {"Date": "2026-10-05T00:00:00", "Организация_Key": paid}
    key = onec.json("POST", "Document_СчетНаОплатуКлиенту", invoice, status=201)["Ref_Key"]
    told = onec.json("GET", at("Document_СчетНаОплатуКлиенту", key), select="Организация____Presentation")
    assert told["Организация____Presentation"] == f"<Объект не найден> ({paid})"


def test_hidden_rows_refuse_unless_only_the_allowed_are_asked_for(onec):
    keys = [onec.act("create_partner", name=name)["id"] for name in "АБ"]
    onec.set(hidden=keys[:1])
    assert onec.code("GET", PARTNERS) == (401, "20")
    assert onec.code("GET", at(PARTNERS, keys[0])) == (401, "20")
    rows = onec.ask("GET", PARTNERS, {"$format": "json", "allowedOnly": "true"}).json()["value"]
    assert [row["Ref_Key"] for row in rows] == keys[1:]


@pytest.mark.usefixtures("order")
def test_what_is_not_published_is_not_there(onec):
    onec.set(unpublished=[PARTNERS, "Catalog_Пользователи"], without=[f"{ORDERS}.НомерПоДаннымКлиента"])
    assert onec.code("GET", PARTNERS) == (404, "6")
    row = onec.rows(ORDERS)[0]
    assert "НомерПоДаннымКлиента" not in row
    assert ("Партнер_Key" in row, "Партнер@navigationLinkUrl" in row) == (True, False)
    assert row["Автор_Type"].startswith("UnavailableEntities.UnavailableEntity_")
    assert onec.code("GET", ORDERS, select="НомерПоДаннымКлиента") == (400, "10")
    listed = onec.json("GET", "")["value"]
    assert {"name": ORDERS, "url": ORDERS} in listed
    assert PARTNERS not in {one["name"] for one in listed}


def test_the_list_of_sets_is_xml_by_default(onec):
    assert b"<collection" in onec.ask("GET", "").content


def test_metadata_is_xml_whatever_is_asked_and_the_same_every_time(onec):
    first, second = (onec.ask("GET", "$metadata", {"$format": "json"}).content for _ in range(2))
    assert first == second
    onec.set(without=[f"{ORDERS}.Комментарий"])
    assert onec.ask("GET", "$metadata").content != first


def described(text):
    """Of a CSDL document: properties of each type with their Edm types, keys, navigation."""
    tree = etree.fromstring(text)
    edm = "{http://schemas.microsoft.com/ado/2009/11/edm}"
    types = [*tree.iter(f"{edm}EntityType"), *tree.iter(f"{edm}ComplexType")]
    return {
        one.get("Name"): {
            "properties": {row.get("Name"): row.get("Type") for row in one.iter(f"{edm}Property")},
            "keys": [row.get("Name") for row in one.iter(f"{edm}PropertyRef")],
            "links": [row.get("Name") for row in one.iter(f"{edm}NavigationProperty")],
        }
        for one in types
    }


def test_every_set_and_reference_stands_in_the_metadata(onec):
    told = described(onec.ask("GET", "$metadata").content)
    party = told[PARTIES]
    assert party["keys"] == ["Ref_Key"]
    assert (party["properties"]["ИНН"], party["properties"]["Партнер_Key"]) == ("Edm.String", "Edm.Guid")
    assert "Партнер" in party["links"]
    rows = f"{PARTIES}_КонтактнаяИнформация_RowType"
    assert party["properties"]["КонтактнаяИнформация"] == f"Collection(StandardODATA.{rows})"
    assert told[rows]["properties"]["LineNumber"] == "Edm.Int64"
    assert told[STATES]["keys"] == ["Заказ", "Заказ_Type"]
    for name in (ORDERS, PARTIES, GOODS, RECEIPTS, STATES):
        onec.rows(name)


@pytest.mark.skipif(not REAL_METADATA.exists(), reason="the recording is not here")
@pytest.mark.parametrize(
    "name", [ORDERS, PARTIES, GOODS, f"{ORDERS}_Товары_RowType", "Document_РеализацияТоваровУслуг"]
)
def test_our_sets_are_those_of_a_real_base(onec, name):
    ours, real = (described(text)[name] for text in (onec.ask("GET", "$metadata").content, REAL_METADATA.read_bytes()))
    shared = {field: kind for field, kind in ours["properties"].items() if field in real["properties"]}
    assert set(ours["properties"]) - set(real["properties"]) == set()
    assert shared == {field: real["properties"][field] for field in shared}
    assert ours["keys"] == real["keys"]


def test_a_page_of_many_is_quick(onec):
    acts = [{"do": "create_counterparty", "name": f"К{number}", "inn": str(number)} for number in range(2000)]
    onec.control("POST", "act", {"acts": acts, "quiet": True})
    began = time.monotonic()
    rows = onec.rows(PARTIES, filter="ИНН eq '1999' or ИНН eq '7'", orderby="Description", top=500)
    assert [row["ИНН"] for row in rows] == ["1999", "7"]
    assert time.monotonic() - began < 2


def test_the_address_of_the_interface_needs_no_slash_at_its_end(onec):
    answer = requests.get(onec.root.rstrip("/"), auth=("bus", "secret"), timeout=5)
    assert answer.status_code == 200
