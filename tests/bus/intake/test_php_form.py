import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.intake import php_form
from bus.intake.problems import Refused


def test_brackets_become_nested_fields():
    form = b"event=X&data[FIELDS][ID]=759&auth%5Bdomain%5D=a%20b+c&&empty=&bare"
    assert php_form.parse(form) == {
        "event": "X",
        "data": {"FIELDS": {"ID": "759"}},
        "auth": {"domain": "a b c"},
        "empty": "",
        "bare": "",
    }


def test_empty_brackets_count_on_as_in_php():
    assert php_form.parse(b"a[]=x&a[5]=y&a[]=z&b[][c]=1&b[][c]=2") == {
        "a": {"0": "x", "5": "y", "6": "z"},
        "b": {"0": {"c": "1"}, "1": {"c": "2"}},
    }


@pytest.mark.parametrize(
    "junk",
    [
        *[b"a=%", b"a=%4", b"a=%zz", b"%=1", b"a=%ff", b"a=\xff", b"a=%00", b"%00=1", b"a=%ed%a0%80"],
        *[b"a[=1", b"a]=1", b"a[b]c=1", b"a[[b]]=1", b"[a]=1", b"=1"],
        *[b"a=1&a=2", b"a[b]=1&a[b]=2", b"a=1&a[b]=2", b"a[b]=1&a=2"],
        *[b"a" + b"[b]" * 8 + b"=1", b"&".join(b"a%d=" % at for at in range(201)), b"&" * 300 + b"a=1"],
    ],
)
def test_a_form_that_two_readers_would_read_differently_is_refused(junk):
    with pytest.raises(Refused) as refused:
        php_form.parse(junk)
    assert refused.value.status == 400


def test_text_under_a_path_is_empty_where_there_is_none():
    form = php_form.parse(b"a[b]=1&c=2")
    assert [php_form.text(form, *path) for path in (("a", "b"), ("a",), ("c", "d"), ("x",))] == ["1", "", "", ""]


@given(st.binary(max_size=300) | st.text("a[]=&%0+", max_size=80).map(str.encode))
def test_whatever_comes_is_read_or_refused(body):
    try:
        form = php_form.parse(body)
    except Refused as refused:
        form = {} if refused.status == 400 else None
    assert isinstance(form, dict)
