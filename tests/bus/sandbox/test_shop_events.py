import base64
import json
import time

import pytest
import requests
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from bus.sandbox import phpform

SECRET = "whsec_" + base64.b64encode(b"a secret of the shop").decode()


@pytest.fixture
def bound(store, listener, clock):
    clock.now = time.time()
    store.control("PUT", "webhooks", {"url": listener.url, "secret": SECRET})
    store.control("POST", "settings", {"resend_seconds": 0.02})
    return store


def test_a_save_is_told_whole_and_signed(bound, listener):
    bound.act("create_order", customer={"fio": "Анна"})
    post = listener.wait(1)[0]
    body = Webhook(SECRET).verify(post.body, post.headers)
    assert (body["event"], body["user_id"], body["id"]) == ("order.saved", 5, post.headers["webhook-id"])
    assert body["occurred_at"].endswith("+03:00")
    assert body["order"] == bound.result("sale.order.get", {"id": 1})["order"]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(post.body.replace("Анна", "Ирина"), post.headers)


def test_it_is_sent_again_under_the_same_id_until_accepted(bound, listener):
    listener.answers = [500, 503, 302]
    bound.act("create_order")
    assert bound.control("POST", "events/flush", {})["flushed"]
    assert len(listener.posts) == 4
    assert len({post.headers["webhook-id"] for post in listener.posts}) == 1
    assert len({post.body for post in listener.posts}) == 1
    for post in listener.posts:
        Webhook(SECRET).verify(post.body, post.headers)


def test_rest_writes_come_back_with_the_hooks_user_and_no_ops_do_not(bound, listener):
    bound.act("create_order")
    bound.result("sale.order.update", {"id": 1, "fields": {"statusId": "P"}})
    bound.result("sale.order.update", {"id": 1, "fields": {"statusId": "P"}})
    bound.act("delete_order", id=1)
    bound.control("POST", "events/flush", {})
    told = [json.loads(post.body) for post in listener.posts]
    assert [(event["event"], event["user_id"], event["order"]["version"]) for event in told] == [
        ("order.saved", 5, 1),
        ("order.saved", 1, 2),
        ("order.deleted", 5, 2),
    ]


def test_the_rest_webhook_has_only_the_id(store, listener):
    store.control("PUT", "webhooks", {"url": listener.url, "form": "rest", "application_token": "t"})
    listener.answers = [500]
    store.act("create_order")
    store.control("POST", "events/flush", {})
    sent = phpform.parse(listener.posts[0].body)
    assert sent["event"] == "ONSALEORDERSAVED"
    assert (sent["data"]["FIELDS"]["ID"], sent["data"]["FIELDS"]["ACTION"]) == ("1", "save")
    assert len(listener.posts) == 1


def test_a_listener_without_a_secret_is_refused(store, listener):
    answer = requests.put(f"{store.base}/_sandbox/webhooks", json={"url": listener.url}, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (400, "BAD_CONTROL_CALL")
