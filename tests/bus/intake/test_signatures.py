import base64

import pytest

from bus.config import from_document
from bus.errors import ConfigError
from bus.intake.signatures import Keyring

ONE, TWO = "whsec_b25lYyBrZXkgbnVtYmVyIG9uZSBvZiB0d28=", "whsec_b25lYyBrZXkgbnVtYmVyIHR3byBvZiB0d28="
STRANGER = "whsec_" + base64.b64encode(b"a key that nobody here has").decode()


@pytest.mark.parametrize("key", [ONE, TWO])
def test_both_keys_count_while_one_is_rotated(caller, event, key):
    assert caller.signed("/events", event(), key=key).status_code == 200


def test_a_sender_may_sign_with_both_keys_at_once(caller):
    body = '{"x":1}'
    signature = caller.signature(body, STRANGER)
    signature["webhook-signature"] += " v2,abc junk " + caller.signature(body, TWO)["webhook-signature"]
    answer = caller.http.post("/events", content=body, headers={"content-type": "application/json", **signature})
    assert answer.status_code == 422


def test_another_key_is_refused(caller, journal, event):
    answer = caller.signed("/events", event(), key=STRANGER)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "StandardWebhooks")
    assert journal.empty


def test_a_changed_body_is_refused(caller):
    headers = {"content-type": "application/json", **caller.signature("[]", ONE)}
    assert caller.http.post("/events", content="[ ]", headers=headers).status_code == 401


@pytest.mark.parametrize("absent", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_an_absent_header_is_refused(caller, absent):
    headers = {"content-type": "application/json", **caller.signature("[]", ONE)}
    del headers[absent]
    assert caller.http.post("/events", content="[]", headers=headers).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(300, 200), (300.5, 401), (-300, 200), (-300.5, 401)])
def test_a_signature_is_good_for_five_minutes_both_ways(caller, seconds, status):
    headers = {"content-type": "application/json", **caller.signature("[]", ONE)}
    caller.clock.move(seconds=seconds)
    assert caller.http.post("/events", content="[]", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("name", "junk"),
    [
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,a,b"),
        ("webhook-signature", "v1,\u00e9\u00e9"),
        ("webhook-signature", "v1,AAA"),
        ("webhook-signature", "v1,x " * 500),
        ("webhook-timestamp", "nan"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "1e9"),
        ("webhook-timestamp", "9" * 11),
        ("webhook-timestamp", "9" * 400),
        ("webhook-timestamp", "\u00b9"),
        ("webhook-id", "\u00ff"),
    ],
)
def test_junk_in_headers_is_refused_like_any_wrong_signature(caller, name, junk):
    headers = {"content-type": "application/json", **caller.signature("[]", ONE)}
    raw = [(key.encode(), value.encode("latin-1")) for key, value in (headers | {name: junk}).items()]
    assert caller.http.post("/events", content="[]", headers=raw).status_code == 401


def test_a_system_without_keys_is_nobody(caller, journal, saved):
    assert caller.signed("/shop/shop", saved(), key=ONE).status_code == 401
    assert journal.empty


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_changeme", "whsec_!!!", "whsec_ключ", "whsec_c2hvcnQ="])
def test_a_key_that_is_none_is_told_at_start(key, clock):
    config = from_document({"systems": {"onec": {"kind": "events", "keys": [key]}}}, {})
    with pytest.raises(ConfigError, match=r"systems\.onec\.keys\.0"):
        Keyring(config, clock)


def test_two_systems_cannot_share_a_key(clock):
    systems = {name: {"kind": "events", "keys": [key]} for name, key in {"a": ONE, "b": ONE.rstrip("=")}.items()}
    with pytest.raises(ConfigError, match=r"systems\.b\.keys\.0: a has the same key"):
        Keyring(from_document({"systems": systems}, {}), clock)
