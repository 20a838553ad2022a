"""The log of changes, counts and quiet acts: what a benchmark sets up by and looks at."""


def test_a_save_is_logged_with_its_moment_and_what_it_changed(crm, clock):
    deal = crm.act("create_deal", fields={"title": "A", "opportunity": 100})["id"]
    clock.now += 1.25
    crm.result("crm.item.update", {"entityTypeId": 2, "id": deal, "fields": {"stageId": "WON"}})
    created, moved = crm.control("GET", "changes")
    assert (created["of"], created["id"], created["fields"]["opportunity"]) == ("deals", deal, 100)
    assert "comments" not in created["fields"]
    assert (moved["fields"]["stageId"], moved["fields"]["closed"]) == ("WON", "Y")
    assert "opportunity" not in moved["fields"]
    assert moved["unix"] - created["unix"] == 1.25


def test_changes_are_asked_for_by_field_and_from_a_line_on(crm):
    deal = crm.act("create_deal", fields={"title": "A"})["id"]
    for fields in ({"comments": "x"}, {"stageId": "WON", "comments": "y"}, {"title": "B"}):
        crm.act("edit_deal", id=deal, fields=fields)
    first = crm.control("GET", "changes?limit=1")[0]["seq"]
    lines = crm.control("GET", f"changes?since={first}&fields=comments")
    assert [line["fields"] for line in lines] == [{"comments": "x"}, {"comments": "y"}]
    assert crm.control("GET", f"changes?since={lines[-1]['seq']}&fields=comments") == []


def test_what_saves_nothing_is_no_change(crm):
    deal = crm.act("create_deal", fields={"title": "A"})["id"]
    crm.act("edit_deal", id=deal, fields={"title": "A"})
    assert len(crm.control("GET", "changes")) == 1


def test_a_shop_logs_its_orders(store):
    order = store.act("create_order")["id"]
    store.act("set_status", id=order, status="F")
    lines = store.control("GET", "changes?fields=statusId")
    assert [(line["of"], line["id"], line["fields"]["statusId"]) for line in lines] == [
        ("orders", order, "N"),
        ("orders", order, "F"),
    ]


def test_quiet_acts_tell_nobody(crm, listener):
    crm.control("PUT", "webhooks", {"url": listener.url, "application_token": "t"})
    acts = [{"do": "create_deal", "fields": {"title": str(number)}} for number in range(300)]
    done = crm.control("POST", "act", {"quiet": True, "acts": acts})["results"]
    assert len({row["id"] for row in done}) == 300
    assert crm.control("GET", "changes") == []
    crm.act("edit_deal", id=done[0]["id"], fields={"title": "loud"})
    crm.control("POST", "events/flush")
    assert [post.body.split("&")[0] for post in listener.posts] == ["event=ONCRMDEALUPDATE"]
    assert len(crm.control("GET", "changes")) == 1


def test_states_are_counted(crm, store):
    for stage in ("WON", "NEW", "NEW"):
        crm.act("create_deal", fields={"stageId": stage})
    store.act("create_order")
    assert crm.control("GET", "state?count=stageId") == {"deals": {"WON": 1, "NEW": 2}}
    assert crm.control("GET", "state?count=name&of=contacts,deals") == {"contacts": {}, "deals": {"None": 3}}
    assert store.control("GET", "state?count=statusId") == {"orders": {"N": 1}}


def test_the_log_of_calls_knows_fractions_of_seconds(crm, clock):
    clock.now += 0.125
    crm.result("profile")
    assert crm.control("GET", "calls")[0]["unix"] == clock.now


def test_changes_tell_whether_a_person_saved_or_the_api(crm):
    deal = crm.control("POST", "act", {"do": "create_deal", "fields": {"title": "by a person"}})["id"]
    crm.site.call("crm.item.update", {"entityTypeId": 2, "id": deal, "fields": {"title": "by the API"}})
    assert [line["person"] for line in crm.control("GET", "changes")] == [True, False]
