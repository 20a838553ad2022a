from pathlib import Path

import pytest
from lxml import etree

from tests.bus.sandbox.books import ORDERS, PARTIES, PARTNERS, at

ATOM = "{http://www.w3.org/2005/Atom}"
META = "{http://schemas.microsoft.com/ado/2007/08/dataservices/metadata}"
TOMB = "{http://purl.org/atompub/tombstones/1.0}"
PLAN = "ExchangePlan_ДляODATA"
RECORDED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def plan(onec):
    onec.set(plan=True)
    return onec


def reader(onec):
    """The node that clients read by: not the base's own."""
    return onec.rows(PLAN, filter="Code eq '2'")[0]


def call(onec, what, number, **more):
    point = f"'{onec.root}{at(PLAN, reader(onec)['Ref_Key'])}'"
    return onec.ask("POST", what, {"DataExchangePoint": point, "MessageNo": number} | more)


def selected(onec, number, **more):
    """The names shown, a tombstone as its set."""
    answer = call(onec, "SelectChanges", number, **more)
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith("<feed"), "there is no XML declaration"
    feed = etree.fromstring(answer.content)
    found = []
    for entry in feed:
        if entry.tag == f"{TOMB}deleted-entry":
            found.append("gone " + entry.get("ref").rpartition("/")[2].partition("(")[0])
        else:
            fields = {etree.QName(one).localname: one.text for one in entry.find(f".//{META}properties")}
            found.append(fields["Description"])
    return found


def test_without_the_plan_nothing_of_it_is_there(onec):
    assert onec.code("POST", "SelectChanges") == (404, "6")
    assert onec.code("GET", PLAN) == (404, "6")


def test_a_message_carries_the_present_state_of_what_changed(plan):
    key = plan.act("create_partner", name="А")["id"]
    plan.act("edit_partner", id=key, name="Б")
    plan.act("create_partner", name="В")
    plan.act("edit_partner", id=key, name="Г")
    assert selected(plan, 1) == ["В", "Г"]


def test_the_same_number_again_brings_the_old_and_the_new(plan):
    plan.act("create_partner", name="А")
    assert selected(plan, 1) == ["А"]
    plan.act("create_partner", name="Б")
    assert selected(plan, 1) == ["А", "Б"]


def test_what_was_acknowledged_does_not_come_again(plan):
    plan.act("create_partner", name="А")
    assert selected(plan, 1) == ["А"]
    assert call(plan, "NotifyChangesReceived", 1).status_code == 200
    assert selected(plan, 2) == []
    assert (reader(plan)["SentNo"], reader(plan)["ReceivedNo"]) == ("2", "1")


def test_a_change_during_processing_survives_the_acknowledgement(plan):
    key = plan.act("create_partner", name="А")["id"]
    assert selected(plan, 1) == ["А"]
    plan.act("edit_partner", id=key, name="Б")
    call(plan, "NotifyChangesReceived", 1)
    assert selected(plan, 2) == ["Б"]


def test_a_write_of_our_own_comes_back_too(plan):
    plan.json("POST", PARTNERS, {"Description": "А"}, status=201)
    assert selected(plan, 1) == ["А"]


def test_options_of_reading_mean_nothing_here(plan):
    for name in "АБ":
        plan.act("create_partner", name=name)
    assert selected(plan, 1, **{"$top": 1, "$select": "Code", "$filter": "Description eq 'А'"}) == ["А", "Б"]


def test_what_is_gone_leaves_a_tombstone(plan):
    key = plan.act("create_partner", name="А")["id"]
    plan.ask("DELETE", at(PARTNERS, key))
    assert selected(plan, 1) == [f"gone {PARTNERS}"]


def test_what_is_not_published_is_skipped_in_silence(plan):
    plan.act("create_counterparty", name="А")
    plan.set(unpublished=[PARTNERS])
    assert selected(plan, 1) == ["А"]


def test_sets_outside_of_the_plan_are_not_registered(plan):
    plan.act("create_user", name="Новый")
    assert selected(plan, 1) == []


def test_a_control_character_stops_the_whole_message(plan):
    plan.act("create_partner", name="А")
    bad = plan.act("create_partner", name="Б\x02")["id"]
    assert call(plan, "SelectChanges", 1).status_code == 400
    plan.act("edit_partner", id=bad, fields={"Description": "Б", "НаименованиеПолное": "Б"})
    assert selected(plan, 1) == ["А", "Б"]


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({}, (400, "5")),
        ({"DataExchangePoint": "'x'", "MessageNo": "1"}, (400, "1")),
        ({"DataExchangePoint": f"'{at(PLAN, '1' * 8 + '-1111-1111-1111-' + '1' * 12)}'", "MessageNo": "1"}, (404, "9")),
        ({"DataExchangePoint": f"'{at(PLAN, '00000091-0000-11ee-8000-00000000ba5e')}'", "MessageNo": "A"}, (400, "1")),
    ],
)
def test_a_call_that_says_too_little_is_refused(plan, given, refusal):
    answer = plan.ask("POST", "SelectChanges", {"$format": "json"} | given)
    assert (answer.status_code, answer.json()["odata.error"]["code"]) == refusal


def entries(text):
    return etree.fromstring(text).findall(f"{ATOM}entry")


def fields(entry):
    return {etree.QName(one).localname: one for one in entry.find(f".//{META}properties")}


@pytest.mark.skipif(not RECORDED.exists(), reason="the recordings are not here")
@pytest.mark.parametrize(
    ("file", "name"),
    [("odata_selectchanges_kontragenty.xml", PARTIES), ("odata_selectchanges_zakaz_klienta_2.xml", ORDERS)],
)
def test_our_entries_look_like_recorded_ones(plan, file, name):
    party = plan.act("create_counterparty", name="А")["id"]
    plan.act("create_order", counterparty=party)
    asked = call(plan, "SelectChanges", 1).content
    ours, real = (
        next(entry for entry in entries(text) if entry.find(f"{ATOM}category").get("term") == f"StandardODATA.{name}")
        for text in (asked, (RECORDED / file).read_bytes())
    )
    assert [child.tag for child in ours if child.tag != f"{ATOM}link"] == [
        child.tag for child in real if child.tag != f"{ATOM}link"
    ]
    mine, theirs = fields(ours), fields(real)
    assert set(mine) - set(theirs) == set()
    for field in mine:
        assert mine[field].get(f"{META}type") == theirs[field].get(f"{META}type"), field
