import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bus.errors import UnknownCode
from mappings.bitrix24 import party, party_lists

UPDATED = "2026-11-20T10:00:00+03:00"
ORGANISATION = "#CRM_REQUISITE_PRESET_DEF_RU_COMPANY#"
TRADER = "#CRM_REQUISITE_PRESET_DEF_RU_INDIVIDUAL#"
PERSON = "#CRM_REQUISITE_PRESET_DEF_RU_PERSON#"


def company(requisite=None, item=None, preset=ORGANISATION, **parts):
    return {
        "type": "company",
        "item": {"id": 12, "updatedTime": UPDATED, "updatedBy": 9, **(item or {})},
        "requisite": {"ID": "33", "DATE_CREATE": UPDATED, **requisite} if requisite is not None else None,
        "preset": preset if requisite is not None else None,
        **parts,
    }


def contact(**item):
    return {**company(item=item), "type": "contact"}


def fm(*values, kind="PHONE", first=1):
    return [{"id": at, "typeId": kind, "valueType": "WORK", "value": value} for at, value in enumerate(values, first)]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_company_without_a_requisite_does_not_clear_requisites(crm):
    assert party.to_canonical(company(item={"title": "Ромашка"}), crm).data == {"name": "Ромашка"}


def test_what_was_not_read_is_not_said(crm):
    said = party.to_canonical(company({"RQ_INN": "7707083893"}), crm).data
    assert not {"accounts", "address", "legal_address", "phones", "emails", "name"} & said.keys()


def test_requisites_that_cannot_be_right_are_kept_as_they_are_written(crm):
    said = party.to_canonical(company({"RQ_INN": "77 07 08", "RQ_KPP": "нет", "RQ_OGRN": "12"}), crm).data
    assert (said["inn"], said["kpp"], said["ogrn"]) == ("770708", "нет", "12")


@pytest.mark.parametrize(
    ("preset", "row", "legal_name", "ogrn"),
    [
        (ORGANISATION, {"RQ_COMPANY_FULL_NAME": "ООО А", "RQ_NAME": "А", "RQ_OGRN": "1"}, "ООО А", "1"),
        (TRADER, {"RQ_COMPANY_FULL_NAME": "ИП Ильин", "RQ_OGRNIP": "3", "RQ_OGRN": "1"}, "ИП Ильин", "3"),
        (TRADER, {"RQ_LAST_NAME": "Ильин", "RQ_FIRST_NAME": "Пётр"}, "Ильин Пётр", None),
        (PERSON, {"RQ_NAME": "Ильин Пётр", "RQ_COMPANY_FULL_NAME": "А"}, "Ильин Пётр", None),
        (ORGANISATION, {}, None, None),
    ],
)
def test_a_legal_name_and_ogrn_stand_where_the_template_has_them(crm, preset, row, legal_name, ogrn):
    said = party.to_canonical(company(row, preset=preset), crm).data
    assert (said["legal_name"], said["ogrn"]) == (legal_name, ogrn)


def test_an_unknown_template_and_user_are_held_by_name(crm):
    made = party.to_canonical(company({}, {"assignedById": 55}, preset="17"), crm)
    assert [(one.field, one.table, one.code) for one in made.held] == [
        ("type", "party_type", "17"),
        ("responsible", "users", "55"),
    ]


def test_what_the_integration_user_is_in_charge_of_is_in_nobodys(crm):
    made = party.to_canonical(company(item={"assignedById": 1}), crm)
    assert "responsible" not in made.data
    assert made.held == ()


@pytest.mark.parametrize(
    ("row", "version", "actor"),
    [
        ({"DATE_CREATE": "2026-11-20T09:00:00+03:00"}, "2026-11-20T07:00:00+00:00", "user:9"),
        ({"DATE_CREATE": "2026-11-20T11:00:00+03:00", "CREATED_BY_ID": "4"}, "2026-11-20T08:00:00+00:00", "user:4"),
        (
            {"DATE_CREATE": UPDATED, "DATE_MODIFY": "2026-11-20T12:00:00+03:00", "MODIFY_BY_ID": "5"},
            "2026-11-20T09:00:00+00:00",
            "user:5",
        ),
        ({"DATE_CREATE": "2026-11-20T09:00:00+03:00", "DATE_MODIFY": ""}, "2026-11-20T07:00:00+00:00", "user:9"),
    ],
)
def test_its_version_is_the_latest_save_of_item_and_requisite(crm, row, version, actor):
    made = party.to_canonical(company(row), crm)
    assert (made.modified_at.isoformat(), made.actor) == (version, actor)
    assert made.version == f"{int(made.modified_at.timestamp())}#33"


def test_its_version_names_the_requisite_that_counts_since_another_may_be_older(crm):
    newer = {"ID": "501", "DATE_CREATE": UPDATED, "DATE_MODIFY": "2026-11-20T10:00:02+03:00"}
    told = [party.to_canonical(company(row), crm).version for row in (newer, {"ID": "502"}, None)]
    assert told == ["1795158002#501", "1795158000#502", "1795158000#"]


def test_only_what_was_made_as_a_counterparty_names_one(crm):
    entity = "0b7c9c9e-7f0b-4b5d-9a59-0f6f0f0c1a11"
    ours = {"originatorId": "integration-bus", "originId": entity}
    assert "records" not in party.to_canonical(contact(name="А", **ours), crm).data
    made = party.to_canonical(contact(name="А", originVersion="counterparty", **ours), crm)
    assert made.data["records"] == [{"system": "bus", "type": "counterparty", "id": entity}]


def test_a_counterparty_without_a_time_of_change_is_refused(crm):
    with pytest.raises(ValidationError, match="updatedTime"):
        party.to_canonical({"type": "company", "item": {"title": "А"}, "requisite": None}, crm)


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind", "preset"),
    [
        ({"type": "legal_entity", "name": "ООО А"}, "company", ORGANISATION),
        ({"type": "sole_trader", "name": "ИП Ильин"}, "company", TRADER),
        ({"type": "person", "name": "Ильин Пётр"}, "contact", PERSON),
        ({"name": "А", "inn": "7707083893"}, "company", ORGANISATION),
        ({"name": "А", "inn": "500100732259"}, "company", TRADER),
    ],
)
def test_a_new_counterparty_is_made_by_the_template_of_what_it_is(crm, fields, kind, preset):
    change = party.from_canonical(fields, None, crm)
    assert change["type"] == kind
    assert (change["requisite"]["id"], change["requisite"]["preset"]) == (None, preset)


def test_a_new_contact_has_its_name_in_three_parts(crm):
    change = party.from_canonical({"type": "person", "name": "Ильин Пётр Петрович"}, None, crm)
    assert change["item"] == {"lastName": "Ильин", "name": "Пётр", "secondName": "Петрович"}


def test_a_new_counterparty_is_never_nameless(crm):
    assert party.from_canonical({"inn": "7707083893"}, None, crm)["item"] == {"title": "7707083893"}


def test_an_unknown_manager_is_left_out_of_a_new_one_and_told_of_one_that_is_there(crm):
    assert "assignedById" not in party.from_canonical({"name": "А", "responsible": "никто"}, None, crm)["item"]
    with pytest.raises(UnknownCode) as refusal:
        party.from_canonical({"responsible": "никто"}, company(), crm)
    assert refusal.value.field == "responsible"
    assert party.from_canonical({"responsible": "anna@example.ru"}, company(), crm) == {"item": {"assignedById": "7"}}


def test_a_requisite_does_not_change_its_template(crm):
    with pytest.raises(UnknownCode) as refusal:
        party.from_canonical({"type": "sole_trader"}, company({}), crm)
    assert refusal.value.field == "type"


def test_a_company_without_a_requisite_gets_one_only_for_something_to_say(crm):
    assert party.from_canonical({"inn": None, "kpp": None}, company(), crm) == {}
    change = party.from_canonical({"inn": "7707083893"}, company(item={"title": "Ромашка"}), crm)
    assert change["requisite"]["fields"] == {"NAME": "Ромашка", "RQ_COMPANY_NAME": "Ромашка", "RQ_INN": "7707083893"}


def test_a_cleared_legal_name_is_cleared_wherever_it_stands(crm):
    row = {"RQ_COMPANY_FULL_NAME": "ИП Ильин", "RQ_LAST_NAME": "Ильин"}
    change = party.from_canonical({"legal_name": None}, company(row, preset=TRADER), crm)
    assert change["requisite"]["fields"] == {"RQ_COMPANY_FULL_NAME": "", "RQ_LAST_NAME": ""}


def test_a_long_legal_name_is_cut_as_the_portal_cuts_it_and_not_written_again(crm):
    long = "Общество " * 50
    cut = party.from_canonical({"legal_name": long}, company({}), crm)["requisite"]["fields"]["RQ_COMPANY_FULL_NAME"]
    assert len(cut) == 300
    assert party.from_canonical({"legal_name": long}, company({"RQ_COMPANY_FULL_NAME": cut}), crm) == {}


@pytest.mark.parametrize(
    ("rows", "wanted", "changes"),
    [
        (fm("8 912 345-67-89"), ["+79123456789"], []),
        (fm("+79123456789", "+79990000000"), ["+79990000000", "+79123456789"], []),
        (fm("8 912 345-67-89, +79990000000"), ["+79123456789", "+79990000000"], []),
        (fm("+79123456789"), ["+79123456789", "+79990000000"], [(None, "+79990000000")]),
        (fm("+79123456789", "+79990000000"), ["+79123456789", "+74951112233"], [(2, "+74951112233")]),
        (fm("+79123456789", "+79990000000"), ["+79990000000"], [(1, "")]),
        (fm("+79123456789", "8 912 3456789"), ["+79123456789"], []),
        (fm("звонить Анне"), ["звонить Анне"], []),
        (fm("+79123456789"), None, [(1, "")]),
        (fm("a@x.ru", kind="EMAIL"), ["+79123456789"], [(None, "+79123456789")]),
    ],
)
def test_phones_keep_the_ids_of_their_rows(crm, rows, wanted, changes):
    change = party.from_canonical({"phones": wanted}, company(item={"fm": rows}), crm)
    written = change.get("item", {}).get("fm", [])
    assert [(row.get("id"), row["value"]) for row in written] == changes


PHONES = st.lists(st.integers(0, 99).map(lambda tail: f"+799900000{tail:02}"), max_size=5, unique=True)


def portal(rows, changes):
    """What Bitrix24 makes of changes of rows."""
    merged = {row["id"]: dict(row) for row in rows}
    for change in changes:
        if change.get("id") is None:
            merged[max(merged, default=0) + 1] = {**change, "id": max(merged, default=0) + 1}
        elif not change["value"]:
            del merged[change["id"]]
        else:
            merged[change["id"]] |= change
    return list(merged.values())


@given(st.lists(st.sampled_from(["+79990000001", "8 999 000-00-02", "+79990000003, 89990000004", "Анна"])), PHONES)
def test_whatever_rows_there_were_they_say_what_is_wanted_and_then_nothing_is_written(values, wanted):
    rows = fm(*values)
    after = portal(rows, party_lists.rows("phones", "PHONE", rows, wanted))
    assert sorted(party_lists.said("phones", after, "PHONE") or []) == sorted(wanted)
    assert party_lists.rows("phones", "PHONE", after, wanted) == []


ACCOUNT = {"account": "40702810423000009235", "bic": "045004774", "bank": "Сибирский банк"}
ROW = {"ID": "61", "ACTIVE": "Y", "RQ_ACC_NUM": ACCOUNT["account"], "RQ_BIK": ACCOUNT["bic"], "RQ_BANK_NAME": "X"}


@pytest.mark.parametrize(
    ("rows", "wanted", "changes"),
    [
        ([ROW | {"RQ_BANK_NAME": "СИБИРСКИЙ БАНК"}], [ACCOUNT], []),
        ([ROW], [ACCOUNT | {"bank": None, "bic": None}], []),
        ([ROW], [ACCOUNT], [{"id": "61", "fields": {"RQ_BANK_NAME": "Сибирский банк"}}]),
        ([ROW | {"RQ_BIK": ""}], [ACCOUNT | {"bank": None}], [{"id": "61", "fields": {"RQ_BIK": "045004774"}}]),
        ([ROW], None, [{"id": "61", "fields": {"ACTIVE": "N"}}]),
        ([ROW | {"ACTIVE": "N"}], None, []),
        ([ROW | {"ACTIVE": "N"}], [ACCOUNT | {"bank": None}], [{"id": "61", "fields": {"ACTIVE": "Y"}}]),
        (
            [],
            [ACCOUNT],
            [
                {
                    "id": None,
                    "fields": {
                        "NAME": "Сибирский банк",
                        "RQ_ACC_NUM": ACCOUNT["account"],
                        "RQ_BIK": "045004774",
                        "RQ_BANK_NAME": "Сибирский банк",
                    },
                }
            ],
        ),
    ],
)
def test_accounts_are_kept_added_and_switched_off_but_never_deleted(crm, rows, wanted, changes):
    change = party.from_canonical({"accounts": wanted}, company({}, bank=rows), crm)
    assert change.get("accounts", []) == changes
    assert change.get("requisite") == ({"id": "33", "fields": {}} if changes else None)


def test_an_address_is_read_whole_and_left_where_it_says_the_same(crm):
    row = {"TYPE_ID": "1", "POSTAL_CODE": "170100", "CITY": "Тверь", "ADDRESS_1": "ул. Мира, 1"}
    present = company({}, addresses=[row])
    assert party.to_canonical(present, crm).data["address"] == "170100, Тверь, ул. Мира, 1"
    assert party.from_canonical({"address": "170100 Тверь; УЛ. МИРА 1", "legal_address": None}, present, crm) == {}
    change = party.from_canonical({"address": None}, present, crm)
    assert change["addresses"][0]["there"]
    assert set(change["addresses"][0]["fields"].values()) == {"1", ""}


def test_an_address_of_no_type_is_not_kept(overlay):
    tables = overlay.write("bitrix24: {names: {addresses: {address: ~}}}").registry().tables("crm", "bitrix24")
    assert "address" not in party.carries(tables)
    assert party.from_canonical({"address": "Тверь"}, company({}, addresses=[]), tables) == {}


@pytest.mark.parametrize(
    ("fields", "parts"),
    [({"name", "phones", "inn"}, set()), ({"accounts"}, {"bank"}), ({"address", "legal_address"}, {"addresses"})],
)
def test_only_accounts_and_addresses_are_read_by_calls_of_their_own(crm, fields, parts):
    assert party.asks(fields, crm) == parts
