import pytest

from tests.bus.sandbox.books import NOBODY, ORDERS, PARTIES, RECEIPTS


@pytest.fixture
def three(onec):
    """Three counterparties, two orders (ТДЦБ-000001 of Ромашка), a payment of the first."""
    ids = {
        name: onec.act("create_counterparty", name=name, inn=inn, kpp=kpp, emails=[mail])["id"]
        for name, inn, kpp, mail in (
            ("Ромашка ООО", "7707083893", "773601001", "a@example.com"),
            ("О'Коннор", "500100732259", "", "b@example.com"),
            ("Без ИНН", "", "", "c@example.com"),
        )
    }
    first = onec.act(
        "create_order",
        counterparty=ids["Ромашка ООО"],
        date="2026-10-05T12:30:00",
        lines=[{"name": "Чайник", "price": 980, "quantity": 2}, {"name": "Чашка", "price": "0.5"}],
    )["id"]
    second = onec.act("create_order", counterparty=ids["О'Коннор"], date="2026-11-06T00:00:00", post=False)["id"]
    onec.act("create_payment", order=first, amount=500, date="2026-10-06")
    return onec, {**ids, "first": first, "second": second}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("ИНН eq '7707083893'", {"Ромашка ООО"}),
        ("ИНН ne '7707083893'", {"О'Коннор", "Без ИНН"}),
        ("Description eq 'О''Коннор'", {"О'Коннор"}),
        ("ИНН eq ''", {"Без ИНН"}),
        ("Description eq 'РОМАШКА ооо'", {"Ромашка ООО"}),
        ("substringof('ромаш', Description)", {"Ромашка ООО"}),
        ("startswith(Description, 'Без') eq true", {"Без ИНН"}),
        ("endswith(Description,'ор')", {"О'Коннор"}),
        ("like(Description,'%О_Кон%')", {"О'Коннор"}),
        ("like(ИНН, '[57]%')", {"Ромашка ООО", "О'Коннор"}),
        ("concat(ИНН, КПП) eq '7707083893773601001'", {"Ромашка ООО"}),
        ("substring(ИНН, 0, 2) eq '50'", {"О'Коннор"}),
        ("not (ИНН eq '') and DeletionMark eq false", {"Ромашка ООО", "О'Коннор"}),
        ("ИНН eq '' or КПП eq '773601001' and ЮрФизЛицо eq 'ЮрЛицо'", {"Ромашка ООО", "Без ИНН"}),
        ("(ИНН eq '' or КПП eq '773601001') and not substringof('ООО', Description)", {"Без ИНН"}),
        ("ЮрФизЛицо eq 'ИндивидуальныйПредприниматель'", {"О'Коннор"}),
        ("Партнер/Description eq 'О''Коннор'", {"О'Коннор"}),
        ("Партнер/Parent/Description eq 'x'", set()),
        ("Партнер_Key eq guid'00000000-0000-0000-0000-000000000000'", set()),
        ("КонтактнаяИнформация/any(d: d/АдресЭП eq 'b@example.com')", {"О'Коннор"}),
        ("КонтактнаяИнформация/all(k: k/LineNumber eq 1 and k/Тип eq 'АдресЭлектроннойПочты')", 3),
        ("Description gt 'П'", {"Ромашка ООО"}),
        ("КПП eq null", set()),
    ],
)
def test_counterparties_are_found_by(three, expression, found):
    onec, _ = three
    rows = onec.rows(PARTIES, filter=expression)
    assert len(rows) == 3 if found == 3 else {row["Description"] for row in rows} == found


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("Ref_Key eq guid'{first}'", "1"),
        ("Date ge datetime'2026-10-05T12:30:00' and Date lt datetime'2026-10-06T00:00:00'", "1"),
        ("Date gt datetime'2026-10-05T12:30:00'", "2"),
        ("Date ge datetime'2026-11-06'", "2"),
        ("year(Date) eq 2026 and month(Date) eq 10 and day(Date) eq 5 and hour(Date) eq 12", "1"),
        ("minute(Date) eq 30 and second(Date) eq 0", "1"),
        ("Posted", "1"),
        ("Posted eq false", "2"),
        ("СуммаДокумента gt 1000.5", "1"),
        ("СуммаДокумента mul 2 add 1 eq 1961", "2"),
        ("СуммаДокумента div 2 sub 490 ge 0 and СуммаДокумента mod 980 eq 0", "2"),
        ("Контрагент/ИНН eq '7707083893'", "1"),
        ("Контрагент/Партнер/Description eq 'О''Коннор'", "2"),
        ("Контрагент eq cast(guid'{Ромашка ООО}', 'Catalog_Контрагенты')", "1"),
        ("Товары/any(d: d/Номенклатура/Description eq 'Чашка')", "1"),
        ("Товары/any(d: d/Цена gt 979 and d/Количество eq 2)", "1"),
        ("Товары/any(d: d/Цена lt 1)", "1"),
        ("isof(Автор, 'Catalog_Пользователи')", "12"),
        ("isof(ДокументОснование, 'Undefined')", "12"),
        ("НомерПоДаннымКлиента eq '' and Number eq 'тдцб-000002'", "2"),
    ],
)
def test_orders_are_found_by(three, expression, found):
    onec, ids = three
    for name, key in ids.items():
        expression = expression.replace(f"{{{name}}}", key)
    rows = onec.rows(ORDERS, filter=expression, orderby="Number")
    assert "".join(row["Number"][-1] for row in rows) == found


def test_a_reference_of_several_types_is_compared_with_a_cast_one(three):
    onec, ids = three
    based = "РасшифровкаПлатежа/any(d: d/ОснованиеПлатежа eq cast(guid'{}', '{}'))"
    assert len(onec.rows(RECEIPTS, filter=based.format(ids["first"], "Document_ЗаказКлиента"))) == 1
    assert onec.rows(RECEIPTS, filter=based.format(ids["first"], "Document_РеализацияТоваровУслуг")) == []
    assert onec.rows(RECEIPTS, filter=based.format(ids["second"], "Document_ЗаказКлиента")) == []


@pytest.mark.parametrize(
    ("expression", "refusal"),
    [
        ("length(ИНН) eq 10", (400, "21")),
        ("indexof(ИНН,'7') eq 0", (400, "21")),
        ("tolower(ИНН) eq '7'", (400, "21")),
        ("trim(ИНН) eq '7'", (400, "21")),
        ("floor(1) eq 1", (400, "21")),
        ("shout(ИНН) eq '7'", (400, "14")),
        ("ИНН eq", (400, "14")),
        ("ИНН eq '7", (400, "14")),
        ("(ИНН eq '7'", (400, "14")),
        ("ИНН eq '7')", (400, "14")),
        ("ИНН", (400, "14")),
        ("not ИНН", (400, "14")),
        ("ИНН eq 7707083893", (400, "14")),
        ("КПП add 1 eq 2", (400, "14")),
        ("Ref_Key gt guid'00000000-0000-0000-0000-000000000000'", (400, "14")),
        ("Ref_Key eq guid'nonsense'", (400, "1")),
        ("isof(Партнер, 'Catalog_Неведомый')", (400, "8")),
        ("ИННН eq '7'", (400, "10")),
        ("Партнер/ИНН eq '7'", (400, "10")),
        ("КонтактнаяИнформация eq '7'", (400, "13")),
        ("Товары/any(d: d/Цена eq 1)", (400, "10")),
        ("startswith(DeletionMark, 'x')", (400, "12")),
    ],
)
def test_what_1c_does_not_understand_is_refused_with_its_code(onec, expression, refusal):
    assert onec.code("GET", PARTIES, filter=expression) == refusal


def test_a_division_by_zero_is_an_internal_error(three):
    onec, _ = three
    assert onec.code("GET", ORDERS, filter="1 div 0 eq 1") == (500, "-1")


def test_a_plus_is_not_a_space(onec):
    for query in ("$filter=ИНН+eq+'7'", "$filter=ИНН%20eq%20'7'%2B"):
        assert onec.session.get(f"{onec.root}{PARTIES}?{query}", timeout=5).status_code == 400
    assert onec.session.get(f"{onec.root}{PARTIES}?$filter=ИНН%20eq%20'7'", timeout=5).status_code == 200


def test_the_zero_reference_is_an_ordinary_value(onec):
    onec.act("create_partner", name="Корень")
    assert len(onec.rows("Catalog_Партнеры", filter=f"Parent_Key eq guid'{NOBODY}'")) == 1
