from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.errors import NotReady, Permanent, UnknownOutcome
from bus.ports import Alike, Failed, Write, Written
from bus.sandbox.bitrix24.portal import Portal
from bus.systems.connect import Urgent

INN, KPP = "7707083893", "773601001"
ORGANISATION = "#CRM_REQUISITE_PRESET_DEF_RU_COMPANY#"
PERSON = "#CRM_REQUISITE_PRESET_DEF_RU_PERSON#"
ACCOUNT = {"RQ_BIK": "045004774", "RQ_ACC_NUM": "40702810423000009235"}
LEGAL = {"TYPE_ID": "6", "ADDRESS_1": "Тверь, ул. Мира, 1"}


def requests_of(portal: Portal) -> int:
    return int(portal.calls.summary()["requests"])


def records(portal: Portal, of: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = portal.state({"of": of})[of]
    return found


def company(portal: Portal, title: str = "Ромашка", **more: Any) -> str:
    return f"company:{portal.act({'do': 'create_company', 'fields': {'title': title}, **more})['id']}"


def contact(portal: Portal, name: str = "Пётр", **more: Any) -> str:
    return f"contact:{portal.act({'do': 'create_contact', 'fields': {'name': name}, **more})['id']}"


def requisite(inn: str = INN, **more: Any) -> dict[str, Any]:
    return {"preset": "legal", "RQ_INN": inn, "RQ_KPP": KPP, **more}


def new(origin: str = "o-1", kind: str = "company", **change: Any) -> Write:
    item = {"title": "Ромашка"} if kind == "company" else {"name": "Пётр", "lastName": "Ильин"}
    preset = ORGANISATION if kind == "company" else PERSON
    made = {"id": None, "preset": preset, "fields": {"NAME": "Ромашка", "RQ_INN": INN, "RQ_KPP": KPP}}
    return Write("party", origin, None, {"type": kind, "item": item, "requisite": made, **change})


def full(origin: str = "o-1") -> Write:
    account = {"id": None, "fields": {"NAME": "Основной", **ACCOUNT}}
    phones = {"fm": [{"typeId": "PHONE", "valueType": "WORK", "value": "+79991234567"}]}
    return new(
        origin,
        item={"title": "Ромашка", **phones},
        accounts=[account],
        addresses=[{"there": False, "fields": LEGAL}, {"there": False, "fields": {**LEGAL, "TYPE_ID": "1"}}],
    )


def update(party: str, **change: Any) -> Write:
    return Write("party", "o-1", party, change)


def written(adapter: Urgent, *writes: Write) -> list[Written]:
    told = adapter.write(writes)
    assert all(isinstance(one, Written) for one in told), told
    return [one for one in told if isinstance(one, Written)]


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_company_comes_with_its_requisite_accounts_and_addresses(crm: Urgent, portal: Portal) -> None:
    addresses = [{"TYPE_ID": 6, "ADDRESS_1": "ул. Мира, 1", "CITY": "Тверь"}]
    party = company(portal, phones=["+79991234567"], requisites=[requisite(accounts=[ACCOUNT], addresses=addresses)])
    raw = crm.fetch("party", [party])[party]
    assert (raw["type"], raw["item"]["title"], raw["preset"]) == ("company", "Ромашка", ORGANISATION)
    assert raw["requisite"]["RQ_INN"] == INN
    assert [row["RQ_ACC_NUM"] for row in raw["bank"]] == [ACCOUNT["RQ_ACC_NUM"]]
    assert [row["CITY"] for row in raw["addresses"]] == ["Тверь"]
    assert [row["value"] for row in raw["item"]["fm"]] == ["+79991234567"]


def test_what_is_not_asked_for_is_not_read(crm: Urgent, portal: Portal) -> None:
    party = company(portal, requisites=[requisite(accounts=[ACCOUNT])])
    assert set(crm.fetch("party", [party], frozenset())[party]) == {"type", "item", "requisite", "preset"}
    assert "bank" not in crm.fetch("party", [party], {"addresses"})[party]


def test_a_company_needs_no_requisite_and_a_contact_does(crm: Urgent, portal: Portal) -> None:
    bare, person = company(portal), contact(portal)
    trader = contact(portal, requisites=[requisite("500100732259", preset="person")])
    found = crm.fetch("party", [bare, person, trader, "contact:999", "nonsense"])
    assert set(found) == {bare, trader}
    assert (found[bare]["requisite"], found[bare]["preset"], found[bare]["bank"]) == (None, None, [])
    assert found[trader]["preset"] == PERSON


def test_a_company_that_is_hidden_from_us_is_not_taken_for_deleted(crm: Urgent, portal: Portal) -> None:
    party = company(portal)
    portal.act({"do": "delete_company", "id": party.partition(":")[2]})
    portal.faults.add({"kind": "refuse", "method": "crm.item.get", "status": 403, "error": "ACCESS_DENIED", "text": ""})
    with pytest.raises(Permanent, match="rights"):
        crm.fetch("party", [party])


def test_of_several_requisites_the_one_that_the_bus_made_counts_else_the_first(crm: Urgent, portal: Portal) -> None:
    two = company(portal, requisites=[requisite("111"), requisite("222", SORT=100)])
    ours = company(portal, requisites=[requisite("111"), requisite("222", ORIGINATOR_ID="integration-bus")])
    only = company(portal, requisites=[requisite("111", ADDRESS_ONLY="Y")])
    found = crm.fetch("party", [two, ours, only])
    assert [found[one]["requisite"]["RQ_INN"] for one in (two, ours)] == ["222", "222"]
    assert found[only]["requisite"] is None


def test_of_those_that_the_bus_made_the_one_counts_that_the_company_was_made_with(crm: Urgent, portal: Portal) -> None:
    other, own = (written(crm, new(origin))[0].id for origin in ("o-1", "o-2"))
    portal.act({"do": "merge_company", "id": own.partition(":")[2], "losers": [other.partition(":")[2]]})
    raw = crm.fetch("party", [own])[own]
    assert (raw["requisite"]["XML_ID"], len(records(portal, "requisites"))) == ("o-2", 2)
    deal = str(portal.act({"do": "create_deal", "fields": {"companyId": own.partition(":")[2]}})["id"])
    assert crm.fetch("deal", [deal])[deal]["company"]["requisite"] == raw["requisite"], "so says a deal of it"
    (moved,) = written(crm, update(own, item={"title": "Лютик"}))
    assert (moved.raw["requisite"], moved.before["requisite"]) == (raw["requisite"], raw["requisite"])


def test_what_the_bus_made_for_another_counts_where_the_company_has_none_of_its_own(
    crm: Urgent, portal: Portal
) -> None:
    theirs, ours = company(portal, requisites=[requisite("111")]), written(crm, new("o-1"))[0].id
    portal.act({"do": "merge_company", "id": theirs.partition(":")[2], "losers": [ours.partition(":")[2]]})
    assert crm.fetch("party", [theirs])[theirs]["requisite"]["XML_ID"] == "o-1"


def test_a_thousand_counterparties_are_read_in_three_requests(crm: Urgent, portal: Portal) -> None:
    both = [{"TYPE_ID": 6, "ADDRESS_1": "А"}, {"TYPE_ID": 1, "ADDRESS_1": "Б"}]
    made = [company(portal, requisites=[requisite(accounts=[ACCOUNT], addresses=both)]) for _ in range(1000)]
    crm.fetch("party", made[:1])  # the portal's templates are asked for once
    before = requests_of(portal)
    found = crm.fetch("party", made)
    assert requests_of(portal) - before == 3
    assert len(found) == 1000
    assert all(len(raw["bank"]) == 1 and len(raw["addresses"]) == 2 for raw in found.values())


def test_more_rows_than_a_page_come_whole(crm: Urgent, portal: Portal) -> None:
    accounts = [{**ACCOUNT, "RQ_ACC_NUM": f"{at:020}"} for at in range(120)]
    rich = [
        company(portal, requisites=[requisite(f"{at}", SORT=at) for at in range(60)]),
        company(portal, requisites=[requisite(accounts=accounts)]),
    ]
    many = [
        company(
            portal, requisites=[requisite(addresses=[{"TYPE_ID": kind, "ADDRESS_1": "А"} for kind in (1, 4, 6, 8)])]
        )
        for _ in range(24)
    ]
    found = crm.fetch("party", rich + many)
    assert found[rich[0]]["requisite"]["RQ_INN"] == "0"
    assert len(found[rich[1]]["bank"]) == 120
    assert all(len(found[one]["addresses"]) == 4 for one in many)


def test_a_requisite_or_account_is_read_as_its_owner(crm: Urgent, portal: Portal) -> None:
    said = portal.act({"do": "create_company", "fields": {}, "requisites": [requisite(accounts=[ACCOUNT])]})
    ids = [f"requisite:{said['requisites'][0]}", f"bankdetail:{said['accounts'][0]}"]
    found = crm.fetch("party", [*ids, "requisite:999", "bankdetail:999"])
    assert set(found) == set(ids)
    assert {raw["@id"] for raw in found.values()} == {f"company:{said['id']}"}
    assert {raw["requisite"]["RQ_INN"] for raw in found.values()} == {INN}


def test_a_glance_tells_nothing_since_addresses_have_no_time_of_change(crm: Urgent, portal: Portal) -> None:
    assert crm.glance("party", [company(portal)]) == {}


# --- who changed ------------------------------------------------------------------------------------------------------


def changed(crm: Urgent, since: datetime) -> list[str]:
    return [record.id for page in crm.changed("party", since) for record in page]


def test_a_requisites_edit_shows_its_company_as_changed(crm: Urgent, portal: Portal, clock: Any) -> None:
    clock.now = 1_790_000_000.0
    edited = portal.act({"do": "create_company", "fields": {}, "requisites": [requisite()]})
    given = company(portal)
    banked = portal.act({"do": "create_company", "fields": {}, "requisites": [requisite(accounts=[ACCOUNT])]})
    titled, _quiet = company(portal), company(portal)
    clock.now += 1000
    since = datetime.fromtimestamp(clock.now, UTC)
    for minutes, act in enumerate(
        (
            {"do": "edit_company", "id": titled.partition(":")[2], "fields": {"title": "Лютик"}},
            {"do": "edit_requisite", "id": edited["requisites"][0], "fields": {"RQ_KPP": "1"}},
            {"do": "edit_bankdetail", "id": banked["accounts"][0], "fields": {"RQ_BIK": "1"}},
            {"do": "edit_company", "id": given.partition(":")[2], "requisites": [requisite("222")]},
        )
    ):
        clock.now = since.timestamp() + 60 * minutes
        portal.act(act)
    ids = [titled, f"company:{edited['id']}", f"company:{banked['id']}", given]
    assert sorted(changed(crm, since)) == sorted(ids)
    assert changed(crm, since + timedelta(minutes=2, seconds=30)) == [given]


def test_pages_of_changed_ones_never_run_ahead(crm: Urgent, portal: Portal, clock: Any) -> None:
    clock.now = 1_790_000_000.0
    made = []
    for _ in range(230):
        clock.now += 1
        made.append(portal.act({"do": "create_company", "fields": {}, "requisites": [requisite()]}))
    clock.now += 100
    first = made[0]
    portal.act({"do": "edit_requisite", "id": first["requisites"][0], "fields": {"RQ_KPP": "1"}})
    pages = list(crm.changed("party", datetime(2000, 1, 1, tzinfo=UTC)))
    ids = [[record.id for record in page] for page in pages]
    assert f"company:{first['id']}" not in ids[0]
    assert f"company:{first['id']}" in ids[-1]
    assert {one for page in ids for one in page} == {f"company:{one['id']}" for one in made}


def test_everything_is_read_in_few_requests_with_gaps_and_without_mere_persons(crm: Urgent, portal: Portal) -> None:
    made = [company(portal, requisites=[requisite(accounts=[ACCOUNT])]) for _ in range(500)]
    for gone in made[100:200]:
        portal.act({"do": "delete_company", "id": int(gone.partition(":")[2])})
    trader = contact(portal, requisites=[requisite("500100732259", preset="person")])
    contact(portal)
    before = requests_of(portal)
    found = changed(crm, datetime(1970, 1, 1, tzinfo=UTC))
    assert found == [*made[:100], *made[200:], trader]
    assert requests_of(portal) - before <= 12


# --- who is there already ---------------------------------------------------------------------------------------------


def test_whoever_was_made_under_our_keys_is_found_company_or_contact(crm: Urgent, portal: Portal) -> None:
    told = written(crm, new("o-1"), new("o-2", "contact"), new("o-3"))
    before = requests_of(portal)
    found = crm.find("party", ["o-1", "o-2", "o-9"])
    assert {origin: record.id for origin, record in found.items()} == {"o-1": told[0].id, "o-2": told[1].id}
    assert requests_of(portal) - before == 3
    assert found["o-2"].raw["requisite"]["RQ_INN"] == INN


def test_a_contact_whose_creation_broke_off_before_its_requisite_is_found(crm: Urgent, portal: Portal) -> None:
    portal.faults.add({"kind": "refuse", "method": "crm.requisite.add", "count": 1, "error": "", "text": "No"})
    [told] = crm.write([new("o-1", "contact")])
    assert isinstance(told, Failed)
    assert isinstance(told.error, UnknownOutcome)
    record = crm.find("party", ["o-1"])["o-1"]
    assert record.raw["requisite"] is None
    assert record.id in crm.fetch("party", [record.id])


def test_who_may_be_the_same_is_asked_by_inn_and_then_by_phone_and_email(crm: Urgent, portal: Portal) -> None:
    branches = [company(portal, requisites=[requisite(RQ_KPP=kpp)]) for kpp in ("1", "2")]
    by_phone = company(portal, phones=["8 (999) 123-45-67"])
    by_email = contact(portal, emails=["anna@example.ru"], requisites=[requisite("500100732259", preset="person")])
    contact(portal, phones=["+79991234567"])  # a mere person
    found = crm.alike(
        "party",
        {
            "a": Alike("Ромашка", INN, KPP, ("+79991234567",)),
            "b": Alike("ООО Лютик", "7700000000", None, ("+79991234567",)),
            "c": Alike("Анна", None, None, ("+79991234567",), ("anna@example.ru",)),
            "d": Alike("Никто", None, None, ("+79990000000",)),
            "e": Alike("Никто"),
        },
    )
    assert {key: sorted(record.id for record in some) for key, some in found.items()} == {
        "a": sorted(branches),
        "b": [by_phone],
        "c": sorted([by_phone, by_email]),
    }


def test_a_whole_round_is_asked_about_in_two_requests(crm: Urgent, portal: Portal) -> None:
    company(portal, requisites=[requisite()])
    wanted = {
        f"{at}": Alike(f"ООО {at}", f"{7700000000 + at}", KPP, (f"+7999000{at:04}",), (f"a{at}@x.ru",))
        for at in range(490)
    }
    assert crm.alike("party", wanted) == {}
    assert requests_of(portal) == 2


def test_those_asked_about_together_are_told_apart(crm: Urgent, portal: Portal) -> None:
    there = [company(portal, phones=[f"8 (999) 000-00-{at:02}"], emails=[f"A{at}@X.RU"]) for at in range(3)]
    wanted = {
        f"{at}": Alike(f"ООО {at}", None, None, (f"+799900000{at:02}",), (f"a{at}@x.ru", "a2@x.ru")) for at in range(4)
    }
    found = crm.alike("party", wanted)
    assert {key: sorted(record.id for record in some) for key, some in found.items()} == {
        "0": sorted([there[0], there[2]]),
        "1": sorted([there[1], there[2]]),
        "2": [there[2]],
        "3": [there[2]],
    }


def test_a_search_that_is_cut_is_asked_again_by_halves(crm: Urgent, portal: Portal) -> None:
    """Twenty share one phone, and hide who has the others."""
    crowd = [company(portal, phones=["+79990000000"]) for _ in range(25)]
    last = company(portal, phones=["+79990000009"])
    wanted = {f"{at}": Alike(f"ООО {at}", None, None, (f"+799900000{at:02}",)) for at in range(10)}
    found = crm.alike("party", wanted)
    assert [record.id for record in found["9"]] == [last]
    assert len(found["0"]) == 20
    assert {record.id for record in found["0"]} <= set(crowd)
    assert found.keys() == {"0", "9"}


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_new_company_gets_our_key_requisite_account_and_addresses(crm: Urgent) -> None:
    [told] = written(crm, full())
    item, row = told.raw["item"], told.raw["requisite"]
    assert (item["originatorId"], item["originId"], item["originVersion"]) == ("integration-bus", "o-1", "counterparty")
    assert (row["RQ_INN"], row["ORIGINATOR_ID"], row["XML_ID"], row["PRESET_ID"]) == (
        INN,
        "integration-bus",
        "o-1",
        "1",
    )
    assert [one["RQ_ACC_NUM"] for one in told.raw["bank"]] == [ACCOUNT["RQ_ACC_NUM"]]
    assert sorted(one["TYPE_ID"] for one in told.raw["addresses"]) == ["1", "6"]
    assert told.id == f"company:{item['id']}"
    assert "crm.requisite.add" in told.call


def test_forty_nine_new_companies_cost_six_requests(crm: Urgent, portal: Portal) -> None:
    written(crm, full("o-0"))
    before = requests_of(portal)
    written(crm, *[full(f"o-{at}") for at in range(1, 50)])
    assert requests_of(portal) - before == 6
    assert len(records(portal, "requisites")) == 50


def test_forty_plain_updates_cost_one_request_and_are_their_own_read_back(crm: Urgent, portal: Portal) -> None:
    ids = [company(portal, requisites=[requisite()]) for _ in range(40)]
    crm.fetch("party", ids[:1])
    before = requests_of(portal)
    told = written(crm, *[update(one, item={"title": one}) for one in ids])
    assert requests_of(portal) - before == 1
    assert [one.raw["item"]["title"] for one in told] == ids
    assert all(one.raw["requisite"]["RQ_INN"] == INN for one in told)
    assert all(one.before is not None and one.before["item"]["title"] == "Ромашка" for one in told)


def test_an_update_of_everything_goes_at_once_and_is_read_back(crm: Urgent, portal: Portal) -> None:
    one = company(portal, requisites=[requisite(accounts=[ACCOUNT], addresses=[{"TYPE_ID": 6, "ADDRESS_1": "Тверь"}])])
    raw = crm.fetch("party", [one])[one]
    row, account = raw["requisite"]["ID"], raw["bank"][0]["ID"]
    change = {
        "item": {"title": "Лютик"},
        "requisite": {"id": row, "fields": {"RQ_KPP": "695001001"}},
        "accounts": [{"id": account, "fields": {"ACTIVE": "N"}}, {"id": None, "fields": {"NAME": "Новый", **ACCOUNT}}],
        "addresses": [{"there": True, "fields": LEGAL}, {"there": False, "fields": {**LEGAL, "TYPE_ID": "1"}}],
    }
    [told] = written(crm, update(one, **change))
    assert (told.raw["item"]["title"], told.raw["requisite"]["RQ_KPP"]) == ("Лютик", "695001001")
    assert told.raw["requisite"]["RQ_INN"] == INN
    assert [row["ACTIVE"] for row in told.raw["bank"]] == ["N", "Y"]
    assert {row["TYPE_ID"]: row["ADDRESS_1"] for row in told.raw["addresses"]} == {
        "6": LEGAL["ADDRESS_1"],
        "1": LEGAL["ADDRESS_1"],
    }
    assert told.before is not None
    assert told.before["requisite"]["RQ_KPP"] == KPP


def test_a_company_without_a_requisite_gets_one_on_update(crm: Urgent, portal: Portal) -> None:
    one = company(portal)
    change = {k: v for k, v in full().change.items() if k in ("requisite", "accounts", "addresses")}
    [told] = written(crm, update(one, **change))
    assert told.raw["requisite"]["RQ_INN"] == INN
    assert (len(told.raw["bank"]), len(told.raw["addresses"])) == (1, 2)


def test_a_phones_row_is_changed_not_doubled_and_others_stay(crm: Urgent, portal: Portal) -> None:
    one = company(portal, phones=["+79991234567", "+79990000000"])
    rows = crm.fetch("party", [one])[one]["item"]["fm"]
    change = [{"id": rows[0]["id"], "typeId": "PHONE", "valueType": "WORK", "value": "+74951112233"}]
    [told] = written(crm, update(one, item={"fm": change}))
    assert [row["value"] for row in told.raw["item"]["fm"]] == ["+74951112233", "+79990000000"]


def test_an_address_that_somebody_made_in_between_is_changed_instead(crm: Urgent, portal: Portal) -> None:
    one = company(portal, requisites=[requisite(addresses=[{"TYPE_ID": 6, "ADDRESS_1": "Тверь", "CITY": "Тверь"}])])
    row = crm.fetch("party", [one])[one]["requisite"]["ID"]
    address = {**LEGAL, "CITY": ""}
    change = {"requisite": {"id": row, "fields": {}}, "addresses": [{"there": False, "fields": address}]}
    [told] = written(crm, update(one, **change))
    assert told.raw["addresses"][0]["ADDRESS_1"] == LEGAL["ADDRESS_1"]
    assert not told.raw["addresses"][0]["CITY"]


def test_an_update_of_nothing_answers_how_it_stands(crm: Urgent, portal: Portal) -> None:
    one = company(portal, requisites=[requisite()])
    [told] = written(crm, update(one))
    assert told.raw["requisite"]["RQ_INN"] == INN


def test_a_text_that_looks_like_a_reference_is_written_as_it_is(crm: Urgent, portal: Portal) -> None:
    one = company(portal)
    told = written(crm, update(one, item={"title": "$result[c0001]"}), new("o-2", item={"title": "$result[c0001]"}))
    assert [record.raw["item"]["title"] for record in told] == ["$result[c0001]"] * 2


def test_a_template_that_the_portal_lacks_is_told_and_nothing_half_made_is_hidden(crm: Urgent) -> None:
    change = {"id": None, "preset": "#OTHER#", "fields": {"NAME": "А"}}
    told = crm.write([new(requisite=change), new("o-2")])
    assert isinstance(told[0], Failed)
    assert "party_type" in str(told[0].error)
    assert isinstance(told[1], Written)


def test_templates_of_the_portals_own_are_called_by_their_id(crm: Urgent, portal: Portal) -> None:
    portal.settings({"presets": [{"id": 17, "name": "Наш"}]})
    [told] = written(crm, new(requisite={"id": None, "preset": "17", "fields": {"NAME": "А", "RQ_INN": INN}}))
    assert (told.raw["preset"], told.raw["requisite"]["PRESET_ID"]) == ("17", "17")


@pytest.mark.parametrize("method", ["crm.item.add", "crm.requisite.add", "crm.requisite.bankdetail.add"])
def test_a_creation_whose_answer_is_lost_is_not_repeated_and_is_found(crm: Urgent, portal: Portal, method: str) -> None:
    portal.faults.add({"kind": "drop_after", "method": method, "count": 1})
    [told] = crm.write([full()])
    assert isinstance(told, Failed)
    assert isinstance(told.error, UnknownOutcome)
    assert len(records(portal, "companies")) == 1
    assert crm.find("party", ["o-1"])["o-1"].raw["item"]["title"] == "Ромашка"


def test_a_company_deleted_while_it_is_written_is_told(crm: Urgent, portal: Portal) -> None:
    one = company(portal)
    portal.act({"do": "delete_company", "id": one.partition(":")[2]})
    told = crm.write([update(one, item={"title": "А"}), update(company(portal), item={"title": "Б"})])
    assert isinstance(told[0], Failed)
    assert "deleted" in str(told[0].error)
    assert isinstance(told[1], Written)


def test_too_many_requests_fail_each_write_for_now(crm: Urgent, portal: Portal) -> None:
    portal.faults.add({"kind": "refuse", "method": "batch", "status": 503, "error": "QUERY_LIMIT_EXCEEDED", "text": ""})
    told = crm.write([new("o-1"), update(company(portal), item={"title": "А"})])
    assert [type(one.error) for one in told if isinstance(one, Failed)] == [NotReady, NotReady]


def test_deals_and_counterparties_may_be_written_together(crm: Urgent) -> None:
    deal = Write("deal", "d-1", None, {"item": {"title": "Заказ №1", "stageId": "NEW"}})
    told = written(crm, new("o-1"), deal, new("o-2"))
    assert [one.id.partition(":")[0] for one in told] == ["company", told[1].id, "company"]
    assert told[1].raw["item"]["title"] == "Заказ №1"


# --- directories ------------------------------------------------------------------------------------------------------


def test_the_check_tells_a_webhook_that_may_not_ask_who_works_there(
    connected: Any, portal: Portal, portal_url: str
) -> None:
    crm = connected("bitrix24", portal_url, routes={"counterparty": {"in": "full"}})
    scope = portal.methods["scope"]
    assert {one.what: one.ok for one in crm.check()}["users"]
    portal.methods["scope"] = lambda params, hit: [one for one in scope(params, hit) if not one.startswith("user")]
    assert not {one.what: one.ok for one in crm.check()}["users"]


def test_users_are_called_by_their_email_or_name(crm: Urgent) -> None:
    users = crm.codes("users")
    assert users
    assert all(users.values())
