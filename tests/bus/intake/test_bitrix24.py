import pytest

from bus.config import from_document
from bus.intake.app import create_app
from bus.ports import Notification


@pytest.mark.parametrize(
    ("event", "deleted"),
    [
        ("ONCRMDEALADD", False),
        ("ONCRMDEALUPDATE", False),
        ("onCrmDealUpdate", False),
        ("ONCRMDEALMOVETOCATEGORY", False),
        ("ONCRMDEALDELETE", True),
    ],
)
def test_a_deal_event_becomes_a_notification(caller, journal, event, deleted):
    answer = caller.portal(event=event)
    assert (answer.status_code, answer.json()) == (200, {"new": 1, "known": 0})
    assert journal.notifications == [Notification("crm", "deal", "759", deleted=deleted)]


@pytest.fixture
def crm_with_parties(caller, clock, journal):
    """A portal whose counterparties are taken in."""
    crm = {
        "kind": "bitrix24",
        "url": "https://crm.example/rest/1/code/",
        "application_token": "t0ken-of-the-portal",
        "routes": {"counterparty": {"in": "full"}},
    }
    caller.http.app = create_app(from_document({"systems": {"crm": crm}}, {}), journal, None, now=clock)
    return caller


@pytest.mark.parametrize(
    ("event", "party", "deleted"),
    [
        ("ONCRMCOMPANYADD", "company:759", False),
        ("onCrmCompanyUpdate", "company:759", False),
        ("ONCRMCOMPANYDELETE", "company:759", True),
        ("ONCRMCONTACTUPDATE", "contact:759", False),
        ("ONCRMCONTACTDELETE", "contact:759", True),
        ("ONCRMREQUISITEADD", "requisite:759", False),
        ("ONCRMREQUISITEUPDATE", "requisite:759", False),
        ("ONCRMBANKDETAILADD", "bankdetail:759", False),
        ("ONCRMBANKDETAILUPDATE", "bankdetail:759", False),
    ],
)
def test_an_event_of_a_counterparty_or_its_part_becomes_a_notification(
    crm_with_parties, journal, event, party, deleted
):
    assert crm_with_parties.portal(event=event).status_code == 200
    assert journal.notifications == [Notification("crm", "party", party, deleted=deleted)]


@pytest.mark.parametrize("event", ["ONCRMADDRESSREGISTER", "ONCRMADDRESSUNREGISTER"])
@pytest.mark.parametrize(("kind", "party"), [("4", "company:12"), ("3", "contact:12"), ("1", None)])
def test_an_address_is_notified_as_its_owners(crm_with_parties, journal, event, kind, party):
    fields = {"data__FIELDS__ANCHOR_TYPE_ID": kind, "data__FIELDS__ANCHOR_ID": "12", "data__FIELDS__ID": None}
    answer = crm_with_parties.portal(event=event, **fields)
    assert answer.status_code == (200 if party else 202)
    assert journal.notifications == ([Notification("crm", "party", party)] if party else [])


@pytest.mark.parametrize("event", ["ONCRMREQUISITEDELETE", "ONCRMBANKDETAILDELETE", "ONCRMREQUISITEUSERFIELDADD"])
def test_a_part_that_is_gone_can_be_nobodys_to_read(crm_with_parties, journal, event):
    assert crm_with_parties.portal(event=event).status_code == 202
    assert journal.empty


@pytest.mark.parametrize("event", ["ONCRMCOMPANYUPDATE", "ONCRMREQUISITEUPDATE", "ONCRMADDRESSREGISTER"])
def test_counterparties_are_ignored_where_their_route_is_off(caller, journal, event):
    assert caller.portal(event=event).status_code == 202
    assert journal.empty


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"event": "ONCRMCOMPANYUPDATE", "data__FIELDS__ID": "x"}, "data[FIELDS][ID]"),
        ({"event": "ONCRMADDRESSREGISTER", "data__FIELDS__ANCHOR_TYPE_ID": "4"}, "data[FIELDS][ANCHOR_ID]"),
    ],
)
def test_a_counterparty_has_a_number(crm_with_parties, journal, wrong, field):
    answer = crm_with_parties.portal(**wrong)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert journal.empty


def test_two_changes_in_one_second_are_two_notifications(caller, journal):
    assert [caller.portal().status_code for _ in range(2)] == [200, 200]
    assert len(journal.notifications) == 2


def test_other_events_are_answered_and_ignored(caller, journal):
    assert caller.portal(event="ONCRMLEADADD").status_code == 202
    assert journal.empty
    counted = 'bus_intake_ignored_total{route="/bitrix24/{system}",system="crm"} 1.0'
    assert counted in caller.http.get("/metrics").text


@pytest.mark.parametrize(
    "wrong",
    [
        {"auth__application_token": "another"},
        {"auth__application_token": "t0ken-of-the-portaL"},
        {"auth__application_token": ""},
        {"auth__application_token": None},
        {"auth__application_token": "токен"},
        {"auth__application_token": None, "auth__application_token__x": "t0ken-of-the-portal"},
        {"auth__member_id": "another"},
        {"auth__member_id": None},
        {"event": "ONCRMLEADADD", "auth__application_token": None},
    ],
)
def test_a_stranger_is_refused_without_a_hint(caller, journal, wrong):
    answer = caller.portal(**wrong)
    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        "auth: not the token of this portal's outgoing webhook",
    )
    assert journal.empty


def test_an_empty_token_in_the_configuration_opens_nothing(caller, clock, journal):
    crm = {"kind": "bitrix24", "url": "https://crm.example/rest/1/code/", "application_token": ["x", ""]}
    caller.http.app = create_app(from_document({"systems": {"crm": crm}}, {}), journal, None, now=clock)
    assert caller.portal(auth__application_token="").status_code == 401
    assert caller.portal(auth__application_token=None).status_code == 401


@pytest.mark.parametrize(
    "path", ["/bitrix24/nobody", "/bitrix24/shop", "/bitrix24/CRM", "/bitrix24/crm/x", "/bitrix24/"]
)
def test_an_unknown_portal_is_not_found(caller, journal, path):
    assert caller.portal(path).status_code == 404
    assert journal.empty


@pytest.mark.parametrize("deal", ["", "0", "-1", "7a", "1.5", "７", "9" * 19, None])
def test_a_deal_has_a_number(caller, journal, deal):
    answer = caller.portal(data__FIELDS__ID=deal)
    assert (answer.status_code, answer.json()["field"]) == (422, "data[FIELDS][ID]")
    assert journal.empty


@pytest.mark.parametrize("event", ["", "ON CRM", "ON\nCRM", "A" * 101, None])
def test_an_event_has_a_name(caller, event):
    assert caller.portal(event=event).json()["field"] == "event"


def test_a_form_is_sent_as_one(caller):
    assert caller.http.post("/bitrix24/crm", json={}).status_code == 415
    assert caller.http.post("/bitrix24/crm", content=b"a=1").status_code == 415
    half = {"content-type": "application/x-www-form-urlencoded"}
    assert caller.http.post("/bitrix24/crm", content=b"a=%", headers=half).status_code == 400
