from bus.sandbox import phpform


def listen(client, listener, **options):
    return client.control("PUT", "webhooks", {"url": listener.url, "application_token": "t0ken", **options})


def names(posts):
    return [phpform.parse(post.body)["event"] for post in posts]


def test_an_event_carries_the_id_and_the_token(crm, listener):
    listen(crm, listener)
    deal = crm.act("create_deal", fields={"title": "secret"})["id"]
    post = listener.wait(1)[0]
    assert post.headers["content-type"] == "application/x-www-form-urlencoded"
    assert post.body.startswith(
        f"event=ONCRMDEALADD&event_handler_id=201&data%5BFIELDS%5D%5BID%5D={deal}&ts=1700000000"
    )
    assert "secret" not in post.body
    auth = phpform.parse(post.body)["auth"]
    assert set(auth) == {"domain", "client_endpoint", "server_endpoint", "member_id", "application_token"}
    assert auth["application_token"] == "t0ken"


def test_own_writes_come_back_and_no_ops_do_not(crm, listener):
    listen(crm, listener)
    deal = crm.result("crm.item.add", {"entityTypeId": 2, "fields": {"title": "A"}})["item"]["id"]
    crm.result("crm.deal.update", {"id": deal, "fields": {"TITLE": "A", "STAGE_ID": "NOPE"}})
    crm.result("crm.item.update", {"entityTypeId": 2, "id": deal, "fields": {"title": "A"}})
    crm.result("crm.deal.delete", {"id": deal})
    assert crm.control("POST", "events/flush", {})["flushed"]
    assert names(listener.posts) == ["ONCRMDEALADD", "ONCRMDEALDELETE"]


def test_equal_events_of_one_hit_are_merged(crm, listener):
    deal = crm.act("create_deal")["id"]
    listen(crm, listener)
    crm.batch(**{f"c{n}": f"crm.deal.update?id={deal}&fields[TITLE]={n}" for n in range(5)})
    assert crm.control("POST", "events/flush", {})["sent"] == 1


def test_a_funnel_move_raises_only_its_own_event(crm, listener):
    deal = crm.act("create_deal")["id"]
    listen(crm, listener)
    crm.result("crm.item.update", {"entityTypeId": 2, "id": deal, "fields": {"categoryId": 1, "title": "B"}})
    crm.control("POST", "events/flush", {})
    assert names(listener.posts) == ["ONCRMDEALMOVETOCATEGORY"]
    data = phpform.parse(listener.posts[0].body)["data"]["FIELDS"]
    assert data == {"ID": str(deal), "CATEGORY_ID": "1", "STAGE_ID": "C1:NEW"}


def test_rows_raise_an_update(crm, listener):
    deal = crm.act("create_deal")["id"]
    listen(crm, listener)
    crm.act("set_rows", id=deal, rows=[{"productName": "x", "price": 1}])
    assert names(listener.wait(1)) == ["ONCRMDEALUPDATE"]


def test_every_type_has_its_event_and_a_hook_may_choose(crm, listener):
    listen(crm, listener, events=["ONCRMCONTACTADD", "ONCRMREQUISITEADD", "ONCRMDYNAMICITEMADD"])
    for do in ("create_contact", "create_invoice"):
        crm.act(do)
    said = {"ENTITY_TYPE_ID": 4, "ENTITY_ID": crm.act("create_company")["id"], "PRESET_ID": 1, "NAME": "x"}
    crm.result("crm.requisite.add", {"fields": said})
    crm.control("POST", "events/flush", {})
    assert names(listener.posts) == ["ONCRMCONTACTADD", "ONCRMDYNAMICITEMADD", "ONCRMREQUISITEADD"]


def test_a_refused_event_is_not_sent_again(crm, listener):
    listen(crm, listener)
    listener.answers = [500]
    crm.act("create_deal")
    flushed = crm.control("POST", "events/flush", {})
    assert (flushed["sent"], flushed["failed"], len(listener.posts)) == (0, 1, 1)


def test_lost_doubled_and_delayed_events(crm, listener):
    listen(crm, listener)
    crm.fault("events_lost", count=1)
    crm.fault("events_doubled", count=1, after=1)
    crm.act("create_deal")
    crm.control("POST", "events/flush", {})
    assert listener.posts == []
    crm.act("create_contact")
    crm.act("create_company")
    flushed = crm.control("POST", "events/flush", {})
    assert (flushed["lost"], flushed["sent"]) == (1, 3)
    assert names(listener.posts) == ["ONCRMCONTACTADD", "ONCRMCOMPANYADD", "ONCRMCOMPANYADD"]


def test_a_reordered_event_is_overtaken(crm, listener):
    listen(crm, listener)
    crm.fault("events_reordered", count=1, method="ONCRMDEAL*")
    crm.act("create_deal")
    crm.act("create_contact")
    crm.control("POST", "events/flush", {})
    assert names(listener.posts) == ["ONCRMCONTACTADD", "ONCRMDEALADD"]


def test_reset_forgets_what_waits(crm, listener):
    listen(crm, listener)
    crm.fault("events_delayed", seconds=60)
    crm.act("create_deal")
    assert crm.control("GET", "events")["waiting"] == 1
    crm.control("POST", "reset", {"keep": ["webhooks"]})
    assert crm.control("GET", "events")["waiting"] == 0
    assert crm.control("GET", "webhooks")[0]["url"] == listener.url
