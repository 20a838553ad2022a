import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree
from openpyxl import Workbook

from bus.cli.inspect import RECOGNISERS
from tests.bus.cli.house import Bus
from tests.bus.systems.leaves import leaves

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "tests" / "mappings" / "golden" / "commerceml"
REAL = Path(os.environ.get("BUS_REAL_DATA", ROOT.parent / "shared" / "data"))
FEED = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0"
 xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices"
 xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata">
 <entry><id>http://h/Document_ЗаказПокупателя(guid'1')</id><category term="StandardODATA.Document_ЗаказПокупателя"/>
 <content type="application/xml"><m:properties><d:Ref_Key>1</d:Ref_Key><d:Number>НФ-1</d:Number><d:Своё/>
 <d:Запасы m:type="Collection(X)"><d:element><d:Количество>1</d:Количество><d:Склад_Key/></d:element></d:Запасы>
 </m:properties></content></entry><at:deleted-entry ref="x"/></feed>"""
METADATA = """<edmx:Edmx xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" Version="1.0"><edmx:DataServices>
 <Schema xmlns="http://schemas.microsoft.com/ado/2009/11/edm">
 <EntityType Name="Catalog_Контрагенты"><Property Name="Ref_Key"/><Property Name="ИНН"/><Property Name="Своё"/>
 </EntityType>
 <ComplexType Name="Catalog_Контрагенты_КонтактнаяИнформация_RowType"><Property Name="Тип"/><Property Name="Город"/>
 </ComplexType><EntityContainer><EntitySet Name="Catalog_Контрагенты"/></EntityContainer></Schema>
 </edmx:DataServices></edmx:Edmx>"""
STATEMENT = """1CClientBankExchange
ВерсияФормата=1.03
Кодировка=Windows
РасчСчет=40702810400000000225
СекцияДокумент=Платежное поручение
Номер=1
Дата=05.10.2026
Сумма=10.00
ПлательщикСчет=40702810400000000226
ПолучательСчет=40702810400000000225
ДатаПоступило=05.10.2026
Очередность=5
КонецДокумента
КонецФайла
"""


@pytest.fixture
def desk(tmp_path: Path) -> Bus:
    """A desk without a ledger, a broker or a configuration."""
    return Bus(tmp_path, {"BUS_CONFIG": str(tmp_path / "bus.yaml"), "BUS_DATABASE_URL": "", "BUS_BROKER_URL": ""})


def told(desk: Bus, path: Path, *options: str) -> dict:
    result = desk("inspect", path, "--json", *options)
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)


def elements(found: dict) -> Counter[str]:
    return Counter(found["mapped"]) + Counter(found["unmapped"])


# --- an independent count of what stands in a file -------------------------------------------------------------------


def places(path: Path) -> Counter[str]:
    """Every leaf, and what the root says of itself."""
    root = etree.parse(path).getroot()
    return leaves(path) + Counter(f"{etree.QName(root).localname}/@{key}" for key in root.attrib)


def properties(path: Path) -> int:
    """Properties of entries that hold nothing else, and of rows of sections; of metadata, all of them."""
    root = etree.parse(path).getroot()
    space = "{http://schemas.microsoft.com/ado/2007/08/dataservices}"
    plain = [one for one in root.iter(f"{space}*") if len(one) == 0]
    return len(plain) or sum(1 for one in root.iter("{*}Property"))


def keys(path: Path) -> int:
    """Keys that say something, once in each section."""
    found, section = 0, set()
    for line in path.read_bytes().decode("cp1251").splitlines():
        key, equals, value = line.partition("=")
        if key.strip() in ("СекцияРасчСчет", "СекцияДокумент", "КонецРасчСчет", "КонецДокумента"):
            section = set()
        elif equals and value.strip() and key.strip().lower() not in section:
            section.add(key.strip().lower())
            found += 1
    return found


# --- every file, ours and real ones -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.stem)
def test_every_element_of_our_samples_is_read_or_listed(desk, path):
    found = told(desk, path)
    assert found["what"].startswith("CommerceML ")
    assert found["troubles"] == []
    assert elements(found) == places(path)


@pytest.mark.skipif(not REAL.is_dir(), reason="real files are not here; BUS_REAL_DATA names their folder")
@pytest.mark.parametrize("path", sorted(REAL.glob("*.[xt][mx][lt]")) if REAL.is_dir() else [], ids=lambda one: one.name)
def test_every_element_of_a_real_file_is_read_or_listed(desk, path):
    found = told(desk, path)
    counted = elements(found)
    if found["what"].startswith("CommerceML"):
        assert counted == places(path)
    elif found["what"].startswith("OData"):
        assert counted.total() == properties(path)
    else:
        assert found["what"].startswith("bank statement")
        assert counted.total() == keys(path)
    assert found["mapped"]
    assert found["troubles"] == []


@pytest.mark.parametrize(
    ("name", "body", "what", "found"),
    [
        ("orders.xml", None, "CommerceML 3.1, in the manner of the 1C-Bitrix module (bus)", {"order": 3}),
        ("feed.xml", FEED, "OData feed of changes", {"Document_ЗаказПокупателя": 1, "deleted": 1}),
        ("metadata.xml", METADATA, "OData $metadata", {"entity sets": 1}),
        ("kl_to_1c.txt", STATEMENT, "bank statement 1CClientBankExchange 1.03", {"document": 1}),
        ("parties.csv", "Наименование;ИНН;Пол\nРомашка;7707083893;-\n", "table of counterparties", {"row": 1}),
    ],
)
def test_a_file_is_known_by_how_it_begins(desk, name, body, what, found):
    path = desk.folder / name
    path.write_bytes((SAMPLES / "bus_orders.xml").read_bytes() if body is None else body.encode())
    document = told(desk, path)
    assert document["what"].startswith(what)
    assert document["found"].items() >= found.items()
    assert document["mapped"]
    assert document["unmapped"]


def test_a_workbook_is_told_by_its_columns(desk):
    book = Workbook()
    book.active.append(["Наименование", "ИНН", "Любимый цвет"])
    book.active.append(["Ромашка", "7707083893", "синий"])
    path = desk.folder / "parties.xlsx"
    book.save(path)
    document = told(desk, path)
    assert (document["found"], document["unmapped"]) == ({"row": 1}, {"Любимый цвет": 1})


def test_properties_of_a_feed_are_those_of_the_configuration_that_knows_its_sets(desk):
    path = desk.folder / "feed.xml"
    path.write_text(FEED, encoding="utf-8")
    document = told(desk, path)
    own = "Document_ЗаказПокупателя"
    assert document["facts"] == {"configuration": "unf"}
    assert document["mapped"] == {f"{own}/Ref_Key": 1, f"{own}/Number": 1, f"{own}/Запасы/Количество": 1}
    assert document["unmapped"] == {f"{own}/Своё": 1, f"{own}/Запасы/Склад_Key": 1}


def test_names_that_a_base_does_not_publish_are_told(desk):
    path = desk.folder / "metadata.xml"
    path.write_text(METADATA, encoding="utf-8")
    result = desk("inspect", path)
    assert result.exit_code == 0
    assert "order.set: the base does not publish Document_ЗаказКлиента; the bus cannot do without it" in result.stdout


# --- what the screen says ---------------------------------------------------------------------------------------------


def test_the_screen_shows_what_is_read_what_is_not_and_what_would_wait(desk):
    result = desk("inspect", SAMPLES / "unf_orders.xml")
    assert result.exit_code == 0
    for said in (
        "CommerceML 2.10, in the manner of УНФ (unf)",
        "payment record",
        "payment gone (marked as deleted, or a refund not posted)",
        "Документ/Товары/Товар/ЦенаЗаЕдиницу",
        "Документ/Товары/Товар/Коэффициент",
        "status: order_status 'В пути'",
    ):
        assert said in result.stdout


def test_nothing_of_what_a_file_says_of_people_is_shown(desk):
    for path in SAMPLES.glob("*.xml"):
        for options in ((), ("--json",), ("--all",)):
            shown = desk("inspect", path, *options).stdout
            for personal in ("Ромашк", "Ильин", "7707083893", "500100732259", "123-45", "example.ru", "Вавилова"):
                assert personal not in shown


def test_a_broken_file_is_told_with_what_was_read_before(desk):
    path = desk.folder / "cut.xml"
    path.write_bytes((SAMPLES / "ut_orders.xml").read_bytes()[:-400])
    result = desk("inspect", path)
    assert result.exit_code == 1
    assert "let 1C send it again" in result.stdout
    assert "order record" in result.stdout


def test_a_sum_that_cannot_be_read_is_told_by_line_and_element(desk):
    body = (SAMPLES / "ut_orders.xml").read_text(encoding="utf-8").replace("1 350,50", "много")
    path = desk.folder / "orders.xml"
    path.write_text(body, encoding="utf-8")
    result = desk("inspect", path)
    assert result.exit_code == 1
    assert "line 3: Сумма: not a number" in result.stdout
    assert "много" not in result.stdout


@pytest.mark.parametrize(
    ("name", "body", "say"),
    [
        ("empty.xml", b"", "the file is empty"),
        ("page.html", b"<html><body>503</body></html>", "begins with <html>"),
        ("noise.bin", b"\x00\x01\x02" * 50, "noise.bin"),
    ],
)
def test_a_file_that_nobody_knows_is_refused_in_plain_words(desk, name, body, say):
    path = desk.folder / name
    path.write_bytes(body)
    result = desk("inspect", path)
    assert result.exit_code == 1
    assert say in result.output


def test_an_archive_is_to_be_unpacked_first(desk):
    path = desk.folder / "v8_1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("orders.xml", "<x/>")
    result = desk("inspect", path)
    assert result.exit_code == 1
    assert "unpack it" in result.output


# --- by whose tables --------------------------------------------------------------------------------------------------

ONE = "systems: {books: {kind: commerceml, user: u, password: p, settings: {profile: unf}}}\nmappings: %s\n"


def test_the_tables_of_the_only_exchange_are_meant(desk):
    own = desk.folder / "mappings"
    own.mkdir()
    (own / "tables.yaml").write_text("commerceml: {codes: {order_status: {В пути: shipped}}}", encoding="utf-8")
    desk.configure(ONE % own)
    document = told(desk, SAMPLES / "unf_orders.xml")
    assert document["held"] == {}


def test_a_profile_that_is_configured_stands_above_what_the_file_shows(desk):
    desk.configure(ONE.replace("mappings: %s", ""))
    assert "(unf)" in told(desk, SAMPLES / "ut_orders.xml")["what"]


@pytest.mark.parametrize("words", [("--system", "books"), ("--system", "nobody")])
def test_a_system_that_is_no_exchange_is_refused(desk, words):
    desk.configure("systems: {books: {kind: events}}\n")
    result = desk("inspect", SAMPLES / "ut_orders.xml", *words)
    assert result.exit_code == 1
    assert "--system must name an exchange of bus.yaml" in result.output


def test_without_a_configuration_there_is_no_system_to_name(desk):
    result = desk("inspect", SAMPLES / "ut_orders.xml", "--system", "books")
    assert result.exit_code == 1
    assert "no system 'books'" in result.output


def test_the_last_recogniser_knows_anything():
    assert RECOGNISERS[-1][0](b"")
