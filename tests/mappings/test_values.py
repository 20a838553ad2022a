from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import values


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("8 (912) 345-67-89", "+79123456789"),
        ("+7 912 345-67-89", "+79123456789"),
        ("9123456789", "+79123456789"),
        ("+375 29 123-45-67", "+375291234567"),
        ("  доб. 12 ", "доб. 12"),
        ("112", "112"),
        ("8 912 345-67-89 доб. 4", "8 912 345-67-89 доб. 4"),
        ("", None),
        (None, None),
    ],
)
def test_a_phone_is_e164_where_it_parses_and_as_written_where_not(written, said):
    assert values.phone(written) == said


@settings(deadline=None)
@given(st.text(alphabet="+78912340(- )", max_size=20))
def test_a_normal_phone_stays_as_it_is(text):
    once = values.phone(text)
    assert values.phone(once) == once


def test_an_email_has_its_domain_in_lower_case():
    assert values.email(" Anna.S@Example.RU ") == "Anna.S@example.ru"
    assert values.email("не указан") == "не указан"


@pytest.mark.parametrize(
    ("rich", "plain"),
    [
        ("[p]Позвонить [b]до 18[/b][/p]и позже", "Позвонить до 18\nи позже"),
        ("Раз<br>два<br />три", "Раз\nдва\nтри"),
        ('<div style="a">5 &lt; 6 &amp; 7</div>', "5 < 6 & 7"),
        ("[url=https://x.ru/?a=1&copy=2]тут[/url]", "тут"),
        ("https://x.ru/?a=1&copy=2", "https://x.ru/?a=1&copy=2"),
        ("[срочно] 5 <6 и [1]", "[срочно] 5 <6 и [1]"),
        ("[list][*]раз[*]два[/list]", "раз\nдва"),
        ("&nbsp;", None),
        ("", None),
    ],
)
def test_rich_text_loses_its_tags_and_nothing_else(rich, plain):
    assert values.plain(rich) == plain


@pytest.mark.parametrize(
    ("written", "said"), [(12, "12"), (12.0, "12"), ("12.00", "12"), (0, None), ("", None), ("a", "a")]
)
def test_an_id_is_one_however_it_is_written(written, said):
    assert values.identifier(written) == said


def test_a_moment_has_one_spelling():
    assert values.moment(datetime(2026, 11, 20, 7, 44, 58, 999, UTC)) == "2026-11-20T07:44:58Z"
    assert not values.differing({"paid_at": "2026-11-20T10:44:58+03:00"}, {"paid_at": "2026-11-20T07:44:58Z"})


def test_a_line_without_a_name_is_called_by_its_product_and_not_lost():
    assert values.line("1486", None, Decimal("1.500"), None) == {
        "product": "1486",
        "name": "1486",
        "quantity": "1.5",
        "price": "0.00",
    }


def test_nothing_is_cleared_where_nothing_was_said():
    assert values.differing({"comment": None, "customer.name": None}, {"comment": "x"}) == {"comment": None}


def test_a_text_longer_than_its_field_is_cut_and_not_refused():
    assert values.short("я" * 300) == "я" * 255
    assert values.long("я" * 5000) == "я" * 4000
