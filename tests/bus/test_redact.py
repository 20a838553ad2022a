import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.redact import redact


@pytest.mark.parametrize(
    "code", ["C1:PREPARATION", "UF_CRM_ORDER_ID", "759", "12.50", "ACCESS_DENIED", "2026-10-05", "a1b2-c3"]
)
def test_codes_ids_and_amounts_are_shown(code: str) -> None:
    assert redact({"field": code}) == {"field": code}


@pytest.mark.parametrize(
    "personal",
    [
        "+79991234567",
        "8 (999) 123-45-67",
        "89991234567",
        "8.999.123.45.67",
        "ivan@example.ru",
        "ivan.petrov@example.ru",
        "Иван",
        "Иван Петров",
        "Ivan Petrov",
        "Пермь, Мира 1",
        "Call him back, please",
        "x" * 41,
    ],
)
def test_a_persons_data_is_masked_wherever_it_stands(personal: str) -> None:
    shown = json.dumps(redact({"a": personal, "b": [personal], "c": {"d": [{"e": personal}]}}), ensure_ascii=False)
    assert personal not in shown
    assert f"<{len(personal)} characters>" in shown


@pytest.mark.parametrize("key", ["name", "NAME", "lastName", "LAST_NAME", "fio"])
def test_one_latin_word_is_a_name_where_names_stand(key: str) -> None:
    assert "Petrov" not in json.dumps(redact({key: "Petrov"}))


@pytest.mark.parametrize("value", [79991234567, "tel89991234567"])
def test_a_phone_is_no_number(value: object) -> None:
    assert "9991234567" not in json.dumps(redact({"PHONE": value}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 99) | st.text(),
        lambda some: st.lists(some) | st.dictionaries(st.text(), some),
        max_leaves=20,
    )
)
def test_the_shape_stays(value: object) -> None:
    def shape(one: object) -> object:
        if isinstance(one, dict):
            return {key: shape(item) for key, item in one.items()}
        return [shape(item) for item in one] if isinstance(one, list) else None

    assert shape(redact(value)) == shape(value)


@given(st.from_regex(r"\A\+?7[ (-]?9\d\d[) -]?\d{3}[ -]?\d\d[ -]?\d\d\Z"))
def test_no_way_to_write_a_phone_gets_through(phone: str) -> None:
    assert redact(phone) != phone


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Не указан партнер контрагента", "Не указан партнер контрагента"),
        ("Не указан ИНН контрагента Иванов Иван", "Не указан … контрагента …"),
        ('Контрагент "Ромашка" с ИНН 7707083893 уже есть!', "Контрагент … с … уже есть!"),
        ("Required field 'TITLE' of UF_CRM_17 (INN) is missing", "Required field TITLE of UF_CRM_17 INN is missing"),
        ("Contact 'Anna Karenina' exists as Anna Karenina", "Contact … exists as …"),
        ("Период закрыт. Обратитесь к anna@example.ru", "Период закрыт. Обратитесь к …"),
    ],
)
def test_of_a_systems_own_words_only_plain_ones_are_shown(said: str, shown: str) -> None:
    assert redact({"code": "-1", "said": said}) == {"code": "-1", "said": shown}
