"""Names and archives of an exchange: what is ours to read, and what is refused before it is unpacked."""

import io
import struct
import zipfile
from collections.abc import Iterable

import pytest

from bus import exchange_archives
from bus.errors import BadInput
from bus.exchange_names import cleaned, is_archive, is_read


@pytest.mark.parametrize(
    ("type_", "name", "read"),
    [
        ("sale", "orders-6c1f_1.xml", True),
        ("sale", "ORDERS.XML", True),
        ("sale", "picture.jpg", False),
        ("catalog", "contragents_1_abc.xml", True),
        ("catalog", "webdata/documents_1.xml", True),
        ("catalog", "import0_1.xml", False),
        ("catalog", "offers0_1.xml", False),
        ("reference", "contragents.xml", False),
    ],
)
def test_which_files_hold_something_of_ours(type_: str, name: str, read: bool) -> None:
    assert is_read(type_, name) is read


def test_an_archive_is_known_by_its_name() -> None:
    assert is_archive("v8_1A_2.ZIP")
    assert not is_archive("orders.xml")


def test_a_name_is_never_longer_than_the_ledger_shows() -> None:
    assert cleaned("/".join(["a" * 200, "b" * 200])) == "a" * 54 + "/" + "b" * 200
    assert cleaned(None) == ""


def packed(*files: tuple[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name, body in files:
            made.writestr(name, body)
    return archive.getvalue()


def read(body: bytes, most: int = 100_000_000) -> dict[str, bytes]:
    chunks = (body[start : start + 100] for start in range(0, len(body), 100))
    return {name: b"".join(pieces) for name, pieces in exchange_archives.files(chunks, _xml, most=most)}


def _xml(name: str) -> bool:
    return name.endswith(".xml")


def test_the_wanted_files_come_out_in_the_order_of_their_names() -> None:
    body = packed(("b.xml", b"2"), ("a/", b""), ("a/a.xml", b"1" * 1_000_000), ("c.jpg", b"3"))
    assert read(body) == {"a/a.xml": b"1" * 1_000_000, "b.xml": b"2"}


def test_a_russian_name_in_the_dos_code_page_is_read() -> None:
    body = packed(("????.xml", b"1")).replace(b"????", "Счет".encode("cp866"))
    assert list(read(body)) == ["Счет.xml"]


def bomb() -> bytes:
    return packed(("a.xml", b"\0" * 20_000_000))


def lying(body: bytes) -> bytes:
    """An archive that says of its file that nothing is in it."""
    at = body.rindex(b"PK\x01\x02")
    return body[: at + 24] + struct.pack("<I", 0) + body[at + 28 :]


def encrypted() -> bytes:
    body = bytearray(packed(("a.xml", b"1")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        body[body.index(mark) + offset] |= 1
    return bytes(body)


def damaged() -> bytes:
    body = bytearray(packed(("a.xml", bytes(range(256)) * 40)))
    body[60:80] = b"\0" * 20
    return bytes(body)


@pytest.mark.parametrize(
    ("body", "say"),
    [
        (b"", "not a whole ZIP"),
        (packed(("a.xml", b"1"))[:-1], "not a whole ZIP"),
        (bomb(), "300 bytes"),
        (packed(*((f"{n}.xml", b"1" * 20_000_000) for n in range(2))), "300 bytes"),
        (encrypted(), "password"),
        (damaged(), "damaged"),
    ],
    ids=["empty", "cut", "bomb", "bombs", "encrypted", "damaged"],
)
def test_what_is_no_archive_of_1cs_is_refused(body: bytes, say: str) -> None:
    with pytest.raises(BadInput, match=say):
        read(body)


def test_what_an_archive_says_of_its_sizes_is_not_believed() -> None:
    with pytest.raises(BadInput):
        read(lying(packed(("a.xml", bytes(range(256)) * 4000))), most=1000)


def test_the_files_of_an_archive_together_have_a_limit() -> None:
    body = packed(("a.xml", b"1" * 600), ("b.xml", b"2" * 600))
    with pytest.raises(BadInput, match="more than 1000 bytes"):
        read(body, most=1000)


def test_too_many_files_are_refused_before_any_is_read() -> None:
    names: Iterable[str] = (f"{n}.xml" for n in range(20_001))
    with pytest.raises(BadInput, match="20000 files"):
        read(packed(*((name, b"") for name in names)))
