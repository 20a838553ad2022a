import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import BadInput
from bus.intake import strict_json
from bus.intake.problems import Refused

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    # NUL and surrogates are what is refused
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc\u0416", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(documents, st.booleans())
def test_sane_json_is_read_as_it_is(document, ascii_only):
    assert strict_json.loads(json.dumps(document, ensure_ascii=ascii_only)) == document


@pytest.mark.parametrize(
    "text",
    [
        *["", "{", "[1,]", "'a'", "\ufeff{}", "{} {}", '"\x00"', '"\n"', "01", "NaN", "[Infinity]", "-Infinity"],
        *["1e400", "-1e400", "9" * 20, "-" + "9" * 20, "9" * 5000, '{"a":1,"a":1}', '[{"b":{"a":1,"a":2}}]'],
        *["[" * 33 + "]" * 33, '{"a":' * 33 + "1" + "}" * 33, "[" * 100_000, "[" * 100_000 + "]" * 100_000],
    ],
)
def test_what_readers_disagree_on_is_refused(text):
    with pytest.raises(Refused) as refused:
        strict_json.loads(text)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["[" * 32 + "]" * 32, '{"a":' * 32 + "1" + "}" * 32, "9" * 19, "-" + "9" * 19])
def test_the_last_that_is_taken(text):
    assert strict_json.loads(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "root", "field"),
    [
        (r'{"data":{"name":"a\u0000b"}}', "", "data.name"),
        (r'[{},{"lines":[{"name":"\ud800"}]}]', "events", "events[1].lines[0].name"),
        (r'{"data":{"a\u0000":1}}', "", "a name in data"),
        (r'{"a":"\uDC00\ud83d"}', "", "a"),
        (r'"\u0000"', "", "body"),
    ],
)
def test_what_the_ledger_cannot_hold_is_refused_by_name(text, root, field):
    with pytest.raises(BadInput) as refused:
        strict_json.loads(text, root)
    assert refused.value.field == field


def test_a_whole_pair_of_surrogates_is_a_character():
    assert strict_json.loads(r'"\ud83d\ude00\\u0000"') == "\U0001f600\\u0000"
