import base64

import pytest

from tests.bus.sandbox.books import GOODS, NOBODY, ORDERS, PARTIES, PARTNERS, RATES, RECEIPTS, STATES, at

SOMEBODY = "8d1d7287-6240-11f1-9296-08002761f3c5"


@pytest.fixture
def party(onec):
    return onec.act("create_counterparty", name="Ромашка", inn="7707083893", phones=["+7 495 1234567"])["id"]


def version(writes: int) -> str:
    return base64.b64encode(writes.to_bytes(8, "big")).decode()


def test_a_new_object_is_answered_whole_with_its_address_in_raw_utf8(onec):
    answer = onec.ask("POST", PARTNERS, {"$format": "json"}, json={"Description": "Ромашка"})
    body = answer.json()
    assert (answer.status_code, body["Description"], body["DataVersion"]) == (201, "Ромашка", "AAAAAAAAAAA=")
    location = answer.headers["Location"].encode("latin-1").decode()
    assert location == f"{onec.root}{at(PARTNERS, body['Ref_Key'])}"
    assert onec.session.get(location, timeout=5).status_code == 200


def test_nothing_checks_that_an_object_is_filled(onec):
    onec.json("POST", GOODS, {"Description": "Чайник"}, status=201)
    onec.json("POST", PARTNERS, {}, status=201)


def test_a_change_leaves_the_rest_as_it_was(onec, party):
    before = onec.json("GET", at(PARTIES, party))
    after = onec.json("PATCH", at(PARTIES, party), {"КПП": "773601001"})
    assert {name for name in after if after[name] != before[name]} == {"КПП", "DataVersion"}


def test_the_version_grows_with_every_write_even_of_nothing(onec, party):
    seen = [onec.json("PATCH", at(PARTIES, party), body)["DataVersion"] for body in ({"ИНН": "1"}, {"ИНН": "1"}, {})]
    assert seen == [version(1), version(2), version(3)]


@pytest.mark.parametrize(
    ("sent", "field", "stored"),
    [
        ({"Неведомое": 1}, "Description", "Ромашка"),
        ({"Description": "П" * 238}, "Description", "П" * 100),
        ({"НаименованиеПолное": "П" * 300}, "НаименованиеПолное", "П" * 250),
        ({"ИНН": "77070838930000"}, "ИНН", "770708389300"),
        ({"ИНН": 7707083893}, "ИНН", "7707083893"),
        ({"ИНН": None}, "ИНН", ""),
        ({"Партнер_Key": SOMEBODY}, "Партнер_Key", SOMEBODY),
        ({"Партнер_Key": SOMEBODY.upper()}, "Партнер_Key", SOMEBODY),
        ({"Партнер@odata.bind": f"Catalog_Партнеры(guid'{SOMEBODY}')"}, "Партнер_Key", SOMEBODY),
        ({"ОбособленноеПодразделение": "true"}, "ОбособленноеПодразделение", True),
        ({"Ref_Key": SOMEBODY}, "ИНН", "7707083893"),
        ({"DataVersion": "AAAAAAAAAAE="}, "DataVersion", "AAAAAAAAAAE="),
        ({"Predefined": True}, "Predefined", False),
        ({"DeletionMark": True}, "DeletionMark", True),
        ({"ЮрФизЛицо": "ФизЛицо"}, "ЮрФизЛицо", "ФизЛицо"),
        ({"ЮрФизЛицо": ""}, "ЮрФизЛицо", ""),
    ],
)
def test_what_is_sent_is_cut_ignored_or_taken_as_it_is(onec, party, sent, field, stored):
    assert onec.json("PATCH", at(PARTIES, party), sent)[field] == stored


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        ({"Партнер_Key": "nonsense"}, (400, "1")),
        ({"Партнер_Key": ""}, (400, "1")),
        ({"ОбособленноеПодразделение": "perhaps"}, (400, "1")),
        ({"ЮрФизЛицо": "Кооператив"}, (400, "4")),
        ({"Description": ["А"]}, (500, "-1")),
        ({"Description": {"А": 1}}, (500, "-1")),
        ({"КонтактнаяИнформация": "А"}, (500, "-1")),
        ({"Партнер@odata.bind": f"Catalog_Номенклатура(guid'{SOMEBODY}')"}, (400, "1")),
        ({"КонтактнаяИнформация": [{"Тип": "Телефон"}]}, (500, "-1")),
        ({"КонтактнаяИнформация": [{"LineNumber": 2, "Тип": "Телефон"}]}, (400, "4")),
        ({"КонтактнаяИнформация": [{"LineNumber": "1"}, {"LineNumber": "3"}]}, (400, "4")),
        ({"КонтактнаяИнформация": [{"LineNumber": "1", "ДействуетС": "вчера"}]}, (400, "1")),
        ({"ДополнительныеРеквизиты": [{"LineNumber": "1", "Значение_Type": "StandardODATA.Нету"}]}, (400, "8")),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_is_written(onec, party, sent, refusal):
    before = onec.json("GET", at(PARTIES, party))
    assert onec.code("PATCH", at(PARTIES, party), {"ИНН": "1"} | sent) == refusal
    assert onec.json("GET", at(PARTIES, party)) == before


def test_a_refusal_echoes_the_value(onec, party):
    answer = onec.ask("PATCH", at(PARTIES, party), {"$format": "json"}, json={"Партнер_Key": "nonsense"})
    assert "nonsense" in answer.json()["odata.error"]["message"]["value"]


@pytest.mark.parametrize("body", ["{", "[1]", "null x", "<entry/>"])
def test_a_body_that_cannot_be_read_is_an_internal_error(onec, party, body):
    answer = onec.ask("PATCH", at(PARTIES, party), {"$format": "json"}, data=body.encode())
    assert (answer.status_code, answer.json()["odata.error"]["code"]) == (500, "-1")


@pytest.fixture
def order(onec, party):
    return onec.act("create_order", counterparty=party, post=False)["id"]


@pytest.mark.parametrize(
    ("sent", "field", "stored"),
    [
        ({"МаксимальныйКодСтроки": "много"}, "МаксимальныйКодСтроки", "1"),
        ({"МаксимальныйКодСтроки": "7"}, "МаксимальныйКодСтроки", "7"),
        ({"СуммаАвансаДоОбеспечения": "много"}, "СуммаАвансаДоОбеспечения", 0),
        ({"СуммаАвансаДоОбеспечения": "10.005"}, "СуммаАвансаДоОбеспечения", 10.01),
        ({"СуммаАвансаДоОбеспечения": 10.0}, "СуммаАвансаДоОбеспечения", 10),
        ({"СуммаАвансаДоОбеспечения": True}, "СуммаАвансаДоОбеспечения", 0),
        ({"Posted": True}, "Posted", False),
        ({"НомерПоДаннымКлиента": "1" * 40}, "НомерПоДаннымКлиента", "1" * 30),
        ({"Number": "ТДЦБ-0000099"}, "Number", "ТДЦБ-000009"),
    ],
)
def test_documents_take_their_fields_like_that_too(onec, order, sent, field, stored):
    assert onec.json("PATCH", at(ORDERS, order), sent)[field] == stored


def test_a_moment_must_be_whole(onec, order):
    for text in ("2026-10-05", "05.10.2026", "2026-10-05T00:00:00+03:00"):
        assert onec.code("PATCH", at(ORDERS, order), {"Date": text}) == (400, "1")


def test_a_section_is_replaced_whole_and_keeps_nothing_of_its_old_rows(onec, party):
    row = {"LineNumber": "1", "Тип": "АдресЭлектроннойПочты", "АдресЭП": "a@example.com"}
    rows = onec.json("PATCH", at(PARTIES, party), {"КонтактнаяИнформация": [row]})["КонтактнаяИнформация"]
    assert [(one["LineNumber"], one["АдресЭП"], one["НомерТелефона"]) for one in rows] == [("1", "a@example.com", "")]
    assert onec.json("PATCH", at(PARTIES, party), {"КонтактнаяИнформация": []})["КонтактнаяИнформация"] == []


def test_a_reference_of_several_types_is_sent_with_its_type(onec, order):
    based = {"LineNumber": 1, "ОснованиеПлатежа": order, "Сумма": 5, "ОснованиеПлатежа_Type": f"StandardODATA.{ORDERS}"}
    body = {"Date": "2026-10-05T00:00:00", "РасшифровкаПлатежа": [based]}
    line = onec.json("POST", RECEIPTS, body, status=201)["РасшифровкаПлатежа"][0]
    assert (line["ОснованиеПлатежа"], line["ОснованиеПлатежа_Type"]) == (order, f"StandardODATA.{ORDERS}")
    wrong = {**body, "РасшифровкаПлатежа": [{**based, "ОснованиеПлатежа": "nonsense"}]}
    assert onec.code("POST", RECEIPTS, wrong) == (400, "1")


def test_a_client_may_choose_the_reference_and_a_second_create_with_it_is_refused(onec):
    body = {"Ref_Key": SOMEBODY, "Description": "А"}
    assert onec.json("POST", PARTNERS, body, status=201)["Ref_Key"] == SOMEBODY
    assert onec.code("POST", PARTNERS, body) == (400, "15")
    assert onec.code("POST", PARTNERS, {"Ref_Key": "nonsense"}) == (400, "1")
    onec.json("PATCH", at(PARTNERS, SOMEBODY), {"Description": "Б"})
    onec.ask("DELETE", at(PARTNERS, SOMEBODY))
    assert onec.json("POST", PARTNERS, body, status=201)["DataVersion"] == version(0), "it is another object"


def test_one_reference_in_two_sets_is_two_objects(onec):
    body = {"Ref_Key": SOMEBODY, "Партнер_Key": SOMEBODY, "Description": "А"}
    made = [onec.json("POST", name, body, status=201)["DataVersion"] for name in (PARTNERS, PARTIES)]
    assert made == [version(0), version(0)]


def test_a_base_that_does_not_take_references_gives_its_own(onec):
    onec.set(own_keys=False)
    keys = [onec.json("POST", PARTNERS, {"Ref_Key": SOMEBODY}, status=201)["Ref_Key"] for _ in range(2)]
    assert SOMEBODY not in keys
    assert len(set(keys)) == 2


@pytest.mark.parametrize("sent", [version(7), f'"{version(7)}"', f'W/"{version(7)}"'])
def test_a_stale_version_is_accepted_unless_the_base_honours_if_match(onec, party, sent):
    headers = {"If-Match": sent}
    body = {"КПП": "773601001", "DataVersion": version(7)}
    assert onec.ask("PATCH", at(PARTIES, party), headers=headers, json=body).status_code == 200
    onec.set(if_match=True)
    assert onec.ask("PATCH", at(PARTIES, party), headers=headers, json=body).status_code == 412
    assert onec.ask("DELETE", at(PARTIES, party), headers=headers).status_code == 412


@pytest.mark.parametrize("form", ["{}", '"{}"', 'W/"{}"'])
def test_the_present_version_is_accepted_by_a_base_that_honours_if_match(onec, party, form):
    onec.set(if_match=True)
    headers = {"If-Match": form.format(version(0))}
    assert onec.ask("PATCH", at(PARTIES, party), headers=headers, json={"КПП": "1"}).status_code == 200


def test_replacing_empties_what_is_not_sent(onec, party):
    partner = onec.json("GET", at(PARTIES, party))["Партнер_Key"]
    body = {"Description": "Б", "Партнер@odata.bind": f"Catalog_Партнеры(guid'{partner}')"}
    after = onec.json("PUT", at(PARTIES, party), body)
    assert (after["Description"], after["ИНН"], after["Партнер_Key"]) == ("Б", "", partner)
    assert (after["Ref_Key"], after["DataVersion"], after["КонтактнаяИнформация"]) == (party, version(1), [])


def test_deleting_is_physical_and_leaves_references_behind(onec, order, party):
    answer = onec.ask("DELETE", at(PARTIES, party))
    assert (answer.status_code, answer.content) == (204, b"")
    assert onec.code("GET", at(PARTIES, party)) == (404, "9")
    assert onec.json("GET", at(ORDERS, order))["Контрагент_Key"] == party
    assert onec.code("DELETE", at(PARTIES, party)) == (404, "9")


def test_an_order_that_is_deleted_has_no_state_any_more(onec, order):
    assert len(onec.rows(STATES)) == 1
    onec.ask("DELETE", at(ORDERS, order))
    assert onec.rows(STATES) == []


@pytest.mark.parametrize(
    ("verb", "path", "refusal"),
    [
        ("DELETE", PARTIES, (405, "19")),
        ("PATCH", PARTIES, (405, "19")),
        ("POST", at(PARTIES, SOMEBODY), (405, "19")),
        ("POST", f"{PARTIES}/Нечто", (404, "6")),
        ("POST", STATES, (401, "20")),
        ("PATCH", at(PARTIES, SOMEBODY), (404, "9")),
    ],
)
def test_verbs_that_do_not_fit(onec, verb, path, refusal):
    assert onec.code(verb, path, {}) == refusal


def test_a_register_is_written_by_its_key_and_has_no_version(onec):
    row = {"Period": "2026-10-01T00:00:00", "Валюта_Key": SOMEBODY, "Курс": 90, "Кратность": 1}
    made = onec.json("POST", RATES, row, status=201)
    assert "DataVersion" not in made
    assert onec.code("POST", RATES, row) == (400, "15")
    key = f"{RATES}(Period=datetime'2026-10-01T00:00:00',Валюта_Key=guid'{SOMEBODY}')"
    assert onec.json("PATCH", key, {"Курс": 91.12345})["Курс"] == 91.1235
    assert onec.ask("DELETE", key).status_code == 204
    assert onec.rows(RATES) == []


@pytest.mark.parametrize(("switch", "refused"), [({}, 201), ({"unique_inn": True}, 500)])
def test_a_second_counterparty_with_the_same_inn_and_kpp(onec, switch, refused):
    onec.act("create_counterparty", name="А", inn="7707083893", kpp="773601001")
    onec.set(**switch)
    body = {"Description": "Б", "ИНН": "7707083893", "КПП": "773601001", "Партнер_Key": SOMEBODY}
    onec.json("POST", PARTIES, body, status=refused)
    onec.json("POST", PARTIES, body | {"КПП": "773601002"}, status=201)
    onec.json("POST", PARTIES, body | {"DeletionMark": True}, status=201)


def test_a_counterparty_without_a_partner_is_refused_by_a_handler(onec):
    body = {"Description": "А"}
    assert onec.code("POST", PARTIES, body) == (500, "-1")
    load = {"1C_OData-DataLoadMode": "true"}
    assert onec.ask("POST", PARTIES, headers=load, json=body).status_code == 201
    onec.set(partner_required=False)
    onec.json("POST", PARTIES, body, status=201)
    made = onec.json("POST", PARTIES, body | {"Партнер_Key": SOMEBODY}, status=201)
    assert made["ГоловнойКонтрагент_Key"] == made["Ref_Key"]


def test_atom_is_understood_as_well_as_said(onec):
    entry = """<entry xmlns="http://www.w3.org/2005/Atom" xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices"
      xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><content type="application/xml">
      <m:properties><d:Date>2026-10-05T00:00:00</d:Date><d:СуммаДокумента m:type="Edm.Double">5</d:СуммаДокумента>
      <d:ПроведеноБанком m:type="Edm.Boolean">true</d:ПроведеноБанком><d:Комментарий m:null="true"/>
      <d:РасшифровкаПлатежа m:type="Collection(x)"><d:element><d:LineNumber>1</d:LineNumber><d:Сумма>5</d:Сумма>
      </d:element></d:РасшифровкаПлатежа></m:properties></content></entry>"""
    headers = {"Content-Type": "application/atom+xml"}
    answer = onec.ask("POST", RECEIPTS, {"$format": "json"}, data=entry.encode(), headers=headers)
    body = answer.json()
    assert (answer.status_code, body["СуммаДокумента"], body["ПроведеноБанком"]) == (201, 5, True)
    assert [line["Сумма"] for line in body["РасшифровкаПлатежа"]] == [5]
    assert body["Контрагент_Key"] == NOBODY
