from hypothesis import given, settings
from hypothesis import strategies as st

from bus.sandbox import phpform

names = st.text(alphabet="abcXYZ_19", min_size=1, max_size=5).filter(lambda name: not name.isdigit())
values = st.recursive(
    st.text(max_size=8),
    lambda children: (
        st.lists(children, min_size=1, max_size=3) | st.dictionaries(names, children, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def test_brackets_become_nested_values():
    form = "fields[TITLE]=A%20b&fields[PHONE][0][VALUE]=%2B7&filter[%3EID]=10&select[]=ID&select[]=TITLE&start=50"
    assert phpform.parse(form) == {
        "fields": {"TITLE": "A b", "PHONE": [{"VALUE": "+7"}]},
        "filter": {">ID": "10"},
        "select": ["ID", "TITLE"],
        "start": "50",
    }


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(names, values, min_size=1, max_size=4))
def test_what_is_encoded_is_read_back(data):
    assert phpform.parse(phpform.encode(data)) == data


def test_a_php_array_is_a_list_only_with_keys_from_zero():
    assert phpform.php_array({}) == []
    assert phpform.php_array({"0": "a", "1": "b"}) == ["a", "b"]
    assert phpform.php_array({"1": "b"}) == {"1": "b"}
    assert phpform.php_array({"1": "b", "0": "a"}) == {"1": "b", "0": "a"}
