import codecs
import resource
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.systems.commerceml import BrokenFile, Document, Reader, documents
from bus.systems.commerceml_raw import payments, requisite
from tests.bus.systems.leaves import leaves

SAMPLES = Path(__file__).parents[2] / "mappings" / "golden" / "commerceml"
READ_AT = datetime(2026, 10, 9, 12, tzinfo=UTC)


def file(*parts: str, version: str = "2.07", declared: str = "UTF-8") -> str:
    head = f'<?xml version="1.0" encoding="{declared}"?>\n'
    return f'{head}<КоммерческаяИнформация ВерсияСхемы="{version}">\n{"".join(parts)}</КоммерческаяИнформация>\n'


def order(number: str, more: str = "", operation: str = "Заказ товара") -> str:
    return (
        f"<Документ><Ид>i{number}</Ид><Номер>{number}</Номер><ХозОперация>{operation}</ХозОперация>{more}</Документ>\n"
    )


def read(text: str, **how: object) -> list[Document]:
    return list(documents([text.encode()], **how))


# --- what is in a file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.xml")), ids=lambda path: path.stem)
def test_every_element_of_a_sample_is_read_or_listed_as_unread(path):
    told: Counter[str] = Counter()
    for document in documents([path.read_bytes()]):
        told.update(document.mapped)
        told.update(document.unmapped)
    assert told == leaves(path)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("Заказ товара", "order"),
        ("заказ  ТОВАРА ", "order"),
        ("Goods order", "order"),
        ("Выплата безналичных денег", "payment"),
        ("Возврат наличных денег", "payment"),
        ("Эквайринговая операция", "payment"),
        ("Отпуск товара", "shipment"),
        ("Счет на оплату", "other"),
        ("", "other"),
    ],
)
def test_a_document_is_what_its_operation_makes_of_it(operation, kind):
    assert [one.type for one in read(file(order("1", operation=operation)))] == [kind]


@pytest.mark.parametrize(
    ("version", "namespace", "profile"),
    [
        ("2.03", "", "ut"),
        ("2.05", "", "ut"),
        ("2.07", "urn:1C.ru:commerceml_2", "ut"),
        ("2.08", "urn:1C.ru:commerceml_2", "unf"),
        ("2.10", "urn:1C.ru:commerceml_210", "unf"),
        ("2.05", "urn:1C.ru:commerceml_205", "unf"),
        ("3.1", "urn:1C.ru:commerceml_3", "bus"),
    ],
)
def test_a_file_shows_how_its_1c_speaks(version, namespace, profile):
    text = file(order("1"), version=version).replace("ВерсияСхемы", f'xmlns="{namespace}" ВерсияСхемы', 1)
    reader = Reader([text.encode()])
    assert [one.raw["@profile"] for one in reader] == [profile]
    assert (reader.root.version, reader.root.namespace, reader.root.profile) == (version, namespace, profile)


OURS = "bus-3b0f7c1e-95a2-4e4b-9a55-1f0d7c7a9e01"
GUID = "0f6a51f2-2a4e-11ee-9c1a-0050568b35ac"


@pytest.mark.parametrize(
    ("profile", "own", "number", "number_1c", "expected"),
    [
        ("ut", GUID, " 10057 ", "ТД-1", "10057"),
        ("ut", GUID, "", "", GUID),
        ("unf", GUID, "10057", "НФ-1", "10057"),
        ("unf", GUID, "НФ-1", "НФ-1", GUID),
        ("unf", OURS, "10057", "НФ-1", "10057"),
        ("bus", OURS, "10057", "ТД-1", "10057"),
        ("bus", GUID, "L319", "L319", GUID),
        ("bus", "L319", "L319", "", "L319"),
        ("bus", "", "L319", "", "L319"),
    ],
)
def test_an_order_is_known_by_the_sites_number_where_it_came_from_the_site(profile, own, number, number_1c, expected):
    said = f"<Наименование>Номер по 1С</Наименование><Значение>{number_1c}</Значение>"
    more = f"<ЗначенияРеквизитов><ЗначениеРеквизита>{said}</ЗначениеРеквизита></ЗначенияРеквизитов>"
    text = f"<Документ><Ид>{own}</Ид><Номер>{number}</Номер><ХозОперация>Заказ товара</ХозОперация>{more}</Документ>"
    assert [one.id for one in read(file(text), profile=profile)] == [expected]


def test_a_document_without_any_id_is_refused_alone_by_its_line():
    broken = "<Документ><ХозОперация>Заказ товара</ХозОперация></Документ>"
    first, second = read(file(broken, order("2")))
    assert first.record is None
    assert first.error == "line 3: neither Ид nor Номер says which order this is"
    assert second.record is not None


def test_a_container_joins_payments_and_shipments_to_the_order_they_name_whatever_stands_first():
    found = list(documents([(SAMPLES / "bus_orders.xml").read_bytes()], read_at=READ_AT))
    assert [(one.type, one.id) for one in found][:1] == [("order", "10063")]
    assert [requisite(one, "ПризнакВозврата") for one in payments(found[0].raw)] == ["", "true"]
    assert {one["@order"] for one in payments(found[0].raw)} == {"10063"}
    assert {one["@read_at"] for one in payments(found[0].raw)} == {READ_AT.isoformat()}


def test_what_is_marked_as_deleted_is_named_and_not_a_record():
    found = list(documents([(SAMPLES / "unf_orders.xml").read_bytes()]))
    assert found[0].removed == (("payment", "5a1d9003-2a4e-11ee-9c1a-0050568b35ac:10061"),)
    assert found[0].record is not None
    marked = order("7", "<ПометкаУдаления>true</ПометкаУдаления>")
    (gone,) = read(file(marked), profile="bus")
    assert (gone.removed, gone.record) == ((("order", "i7"),), None)


@pytest.mark.parametrize(
    ("operation", "requisite", "gone"),
    [
        ("Возврат безналичных денег", "Проведен=false", True),
        ("Возврат наличных денег", "Оплачен=false", True),
        ("Возврат наличных денег", "Отменен=true", True),
        ("Возврат безналичных денег", "Проведен=true", False),
        ("Возврат безналичных денег", "Номер чека=7", False),
        ("Выплата безналичных денег", "Проведен=false", False),
    ],
)
def test_money_that_is_not_given_back_yet_is_no_record(operation: str, requisite: str, gone: bool) -> None:
    name, _, value = requisite.partition("=")
    said = f"<ЗначениеРеквизита><Наименование>{name}</Наименование><Значение>{value}</Значение></ЗначениеРеквизита>"
    text = f"<Ид>{GUID}</Ид><ХозОперация>{operation}</ХозОперация><ЗначенияРеквизитов>{said}</ЗначенияРеквизитов>"
    (read_one,) = read(file(f"<Документ>{text}</Документ>"), profile="bus")
    assert (read_one.removed, read_one.record is None) == ((("payment", GUID),) if gone else (), gone)


def test_goods_are_counted_and_set_aside():
    catalog, goods = documents([(SAMPLES / "goods.xml").read_bytes()])
    assert [(one.type, one.raw["@count"], one.record) for one in (catalog, goods)] == [
        ("goods", 0, None),
        ("goods", 2, None),
    ]


def test_the_same_document_has_the_same_version_and_another_has_not():
    one, again, other = read(file(order("1"), order("1"), order("1", "<Комментарий>x</Комментарий>")))
    assert one.version == again.version != other.version
    assert one.version.startswith("h")


def test_1cs_own_version_of_an_object_is_its_version():
    (one,) = read(file(order("1", "<НомерВерсии>AAAC+wAAAAI=</НомерВерсии>")))
    assert one.version == "vAAAC+wAAAAI="


# --- encodings --------------------------------------------------------------------------------------------------------

TEXT = "Ёлка — «Ромашка»"


@pytest.mark.parametrize(
    ("encoding", "declared", "mark", "expected"),
    [
        ("utf-8", "UTF-8", b"", "utf-8"),
        ("utf-8", "UTF-8", codecs.BOM_UTF8, "utf-8"),
        ("utf-8", "windows-1251", codecs.BOM_UTF8, "utf-8"),
        ("utf-8", "windows-1251", b"", "utf-8"),
        ("cp1251", "windows-1251", b"", "windows-1251"),
        ("cp1251", "UTF-8", b"", "cp1251"),
        ("cp1251", "no-such-encoding", b"", "cp1251"),
        ("cp866", "cp866", b"", "cp866"),
        ("utf-16-le", "utf-16", codecs.BOM_UTF16_LE, "utf-16-le"),
        ("utf-16-be", "utf-16", codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_text_is_read_by_its_mark_then_by_itself_then_by_its_declaration(encoding, declared, mark, expected):
    said = TEXT if encoding != "cp866" else "Елка"
    text = file(order("1", f"<Комментарий>{said}</Комментарий>"), declared=declared)
    reader = Reader([mark + text.encode(encoding)])
    assert [one.raw["Комментарий"] for one in reader] == [said]
    assert reader.root.encoding == expected


def test_a_file_without_a_declaration_is_read_by_its_bytes():
    text = file(order("1", f"<Комментарий>{TEXT}</Комментарий>")).partition("\n")[2]
    assert [one.raw["Комментарий"] for one in documents([text.encode("cp1251")])] == [TEXT]


@pytest.mark.parametrize("size", [1, 3, 7, 4096])
def test_chunks_may_be_cut_anywhere(size):
    body = (SAMPLES / "unf_orders.xml").read_bytes()
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    assert list(documents(chunks)) == list(documents([body]))


# --- broken files -----------------------------------------------------------------------------------------------------


def until_broken(body: bytes) -> tuple[list[str], str]:
    kept: list[str] = []
    with pytest.raises(BrokenFile) as broken:
        kept.extend(one.id for one in documents([body]))
    return kept, str(broken.value)


@pytest.mark.parametrize(
    ("body", "kept", "say"),
    [
        (file(order("1"), order("2")).encode()[:-60], ["1"], "let 1C send it again"),
        (file(order("1"), "<Документ><Ид>2</Номер></Документ>").encode(), ["1"], "line 4: not well-formed XML"),
        (file(order("1"), order("2", "<К>\x02</К>")).encode(), ["1"], "line 4: not well-formed XML"),
        (file(order("1"), order("2", "<К>&nbsp;</К>")).encode(), ["1"], "line 4: not well-formed XML"),
        (file(order("1")).encode() + b"<more/>", ["1"], "behind its end"),
        (b"", [], "the file is empty"),
        (b"  \n", [], "the file is empty"),
        (b"<html><body>503</body></html>", [], "begins with <html>"),
        (b"not xml at all", [], "this is not CommerceML"),
        (b"1CClientBankExchange\r\n" * 9000, [], "this is not CommerceML"),
    ],
)
def test_a_broken_file_is_told_by_its_line_and_what_came_before_is_kept(body, kept, say):
    got, told = until_broken(body)
    assert got == kept
    assert say in told


def test_bytes_that_fit_no_encoding_are_told_by_their_line():
    body = file(order("1"), "<!-- -->" * 2000 + "\n", order("2")).encode() + b"\xff\xfe"
    kept, told = until_broken(body)
    assert kept == ["1", "2"]
    assert told.startswith("line 7: bytes that are not utf-8")


@pytest.mark.parametrize(
    "dtd",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "http://example.com/x.dtd">',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        " " * 5000 + '<!DOCTYPE x [<!ENTITY a "aaaa">]>',
    ],
)
def test_a_document_type_is_refused_before_anything_of_it_is_followed(dtd):
    body = file(order("1", "<Комментарий>&a;</Комментарий>")).replace("?>\n", f"?>\n{dtd}\n", 1)
    kept, told = until_broken(body.encode())
    assert kept == []
    assert "document type (DTD)" in told


def test_a_complaint_tells_nothing_of_what_the_file_says():
    body = file(order("1", "<Контрагенты><Контрагент><ИНН>7707083893</ИНН><Иванов")).encode()
    _, told = until_broken(body)
    assert "7707083893" not in told


# --- memory -----------------------------------------------------------------------------------------------------------


def big(chunks: int, one: str, before: str = "", after: str = "", size: int = 1_000_000) -> Iterator[bytes]:
    head, _, tail = file("@").partition("@")
    yield (head + before).encode()
    chunk = (one * (size // len(one.encode()))).encode()
    for _ in range(chunks):
        yield chunk
    yield (after + tail).encode()


ITEM = f"<Товар><Ид>1</Ид><Наименование>{'Чайник ' * 20}</Наименование><Цена>1</Цена></Товар>\n"


@pytest.mark.parametrize(
    ("one", "before", "after"),
    [
        (order("1", f"<Товары>{ITEM * 3}</Товары>"), "", ""),
        (ITEM, "<Каталог><Товары>", "</Товары></Каталог>"),
        (
            "<Контрагент><Ид>1</Ид><Наименование>Ромашка</Наименование></Контрагент>\n",
            "<Контрагенты>",
            "</Контрагенты>",
        ),
    ],
    ids=["orders", "goods", "contragents"],
)
def test_memory_does_not_grow_with_the_file(one, before, after):
    def peak(tenths: int) -> int:
        tracemalloc.start()
        for _ in documents(big(tenths, one, before, after, size=100_000)):
            pass
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return python

    assert peak(12) < peak(3) + 300_000


def test_a_text_without_end_is_refused_and_not_held():
    with pytest.raises(BrokenFile, match="not well-formed XML"):
        list(documents(big(12, "\n" * 1000)))


def test_fifty_megabytes_take_no_more_memory_than_five():
    def resident(megabytes: int) -> int:
        for _ in documents(big(megabytes, ITEM, "<Каталог><Товары>", "</Товары></Каталог>")):
            pass
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = resident(5)
    assert (resident(50) - before) * 1024 < 10_000_000
