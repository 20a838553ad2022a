from pathlib import Path

import pytest

from bus.errors import BadInput
from bus.files import columns
from bus.files.columns import fold, placed, wanted


def test_a_header_is_known_without_regard_to_case_blanks_and_signs():
    assert {fold(one) for one in ("E-mail", "e mail", " EMAIL ", "E_Mail")} == {"email"}
    assert fold("Расчётный счёт") == fold("расчетный счет")
    assert fold("№") != ""


@pytest.mark.parametrize("table", ["counterparties", "payments"])
def test_no_header_means_two_fields(table):
    fields: dict[str, set[str]] = {}
    for name, headers in columns.usual(table).items():
        for header in headers:
            fields.setdefault(fold(header), set()).add(name)
    assert {header: names for header, names in fields.items() if len(names) > 1} == {}


def test_texts_are_taken_from_their_columns_and_what_is_empty_is_not_said():
    found = placed("counterparties", ["ИНН", "Телефон", "Имя", "Мобильный", "Цвет"], {})
    assert found.texts(["1", "8 912", "", "8 913"]) == {"inn": "1", "phones": "8 912; 8 913"}
    assert (found.unread, found.width) == (("Цвет",), 5)


def test_of_two_columns_for_one_field_the_first_that_says_something_counts():
    found = placed("counterparties", ["Наименование", "Название"], {})
    assert [found.texts(row)["name"] for row in (["a", "b"], ["", "b"])] == ["a", "b"]


def test_a_field_of_your_map_is_read_from_its_columns_only():
    own = {"name": ("Клиент",)}
    assert placed("counterparties", ["Наименование", "Клиент"], own).places == {"name": (1,)}
    assert wanted("counterparties", own)(["Наименование", "ИНН"]) == 1


def test_a_column_of_your_map_that_is_not_there_is_told():
    with pytest.raises(BadInput, match="--map: no column for okpo; the file has: ИНН, КПП"):
        placed("counterparties", ["ИНН", "", "КПП"], {"okpo": ("ОКПО 2",)})


MAPS = {
    "a field that is none": ("surname: x", "surname is no field of counterparties; there are: id, type, name"),
    "no header": ("inn: 5", "inn: write the header of its column"),
    "an empty list": ("inn: []", "inn: write the header of its column"),
    "no map": ("- inn", "write one field a line"),
    "no YAML": ("inn: [", "not YAML"),
}


@pytest.mark.parametrize(("text", "why"), MAPS.values(), ids=MAPS.keys())
def test_a_map_that_is_none_is_refused_in_plain_words(tmp_path: Path, text, why):
    path = tmp_path / "map.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=why):
        columns.load(path, "counterparties")


def test_a_map_names_one_header_or_several(tmp_path: Path):
    path = tmp_path / "map.yaml"
    path.write_text('inn: ["ИНН", "Налоговый номер"]\nname: Клиент\n', encoding="utf-8")
    assert columns.load(path, "counterparties") == {"inn": ("ИНН", "Налоговый номер"), "name": ("Клиент",)}


WORDS = {
    ("type", "Юридическое  лицо"): "legal_entity",
    ("type", "ИП"): "sole_trader",
    ("status", "Проведён"): "paid",
    ("status", "Возврат"): "refund",
    ("currency", "643"): "RUB",
    ("currency", "руб."): "RUB",
}


@pytest.mark.parametrize(("said", "value"), WORDS.items(), ids=str)
def test_a_word_means_what_it_means(said, value):
    assert columns.meant(*said) == value


def test_an_unknown_word_is_never_taken_for_a_known_one():
    with pytest.raises(BadInput, match="status: the word is not known; known: оплачен, возврат, ожидает"):
        columns.meant("status", "наверное")
