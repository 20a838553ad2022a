import json
import logging
import sys
import threading

import pytest
import structlog
from pydantic import SecretStr

from bus import log

SECRETS = {
    "https://b24.example/rest/1/qwe5secret/crm.item.get.json": "qwe5secret",
    "/rest/17/qwe5secret": "qwe5secret",
    r"https:\/\/b24.example\/rest\/1\/qwe5secret\/": "qwe5secret",
    "url=https%3A%2F%2Fb24.example%2Frest%2F1%2Fqwe5secret%2Fcrm.deal.get": "qwe5secret",
    "bad key whsec_c2hvcCBrZXkgbnVtYmVyIG9uZQ==": "c2hvcCBr",
    "application_token=qwe5secret&ts=1": "qwe5secret",
    "auth[application_token]=qwe5secret&ts=1": "qwe5secret",
    "auth%5Bapplication_token%5D=qwe5secret&ts=1": "qwe5secret",
    "{'auth': {'application_token': 'qwe5secret', 'x': 1}}": "qwe5secret",
    '{"application_token": "qwe5secret"}': "qwe5secret",
    "GET /rest/crm.deal.get?auth=qwe5secret&id=1": "qwe5secret",
    "redis://:qwe5secret@host:6379/0": "qwe5secret",
    "rediss://user:qwe5/sec@ret@host:6379/0": "qwe5",
    "postgresql://bus:qwe5secret@host/bus": "qwe5secret",
    "postgresql+psycopg://bus:qwe5secret@host/bus": "qwe5secret",
    "host=db user=bus password=qwe5secret dbname=bus": "qwe5secret",
    "https://user:qwe5secret@host/odata": "qwe5secret",
    "Authorization: Basic cXdlNXNlY3JldA==": "cXdlNXNlY3JldA",
}


@pytest.fixture
def written(capsys):
    """What a process configured by us wrote since it was last asked."""
    return lambda: capsys.readouterr().err


def refuse(text):
    raise ValueError(text)


def say_with_structlog(text):
    structlog.get_logger("bus.test").info("thing.happened", url=text, nested={"list": [text, (text,)], text: 1})


def say_in_the_event(text):
    structlog.get_logger("bus.test").warning(text)


def say_as_an_object(text):
    structlog.get_logger("bus.test").info("x", error=ValueError(text), raw=text.encode(), key=SecretStr(text))


def say_bound(text):
    with structlog.contextvars.bound_contextvars(request=text):
        structlog.get_logger("bus.test").info("x")


def say_with_an_exception(text):
    try:
        refuse(text)
    except ValueError as error:
        outer = RuntimeError("outer")
        outer.__cause__ = error
        structlog.get_logger("bus.test").error("x", exc_info=outer)


def say_with_the_standard_library(text):
    logging.getLogger("urllib3.connectionpool").warning("%s refused", text)
    logging.getLogger("celery.task").error({"text": text})


def say_with_an_exception_of_the_standard_library(text):
    try:
        refuse(text)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("x", stack_info=True)


def say_what_cannot_be_said(text):
    logging.getLogger("kombu").warning("%d", text)


def say_the_last_words(text):
    sys.excepthook(ValueError, ValueError(text), None)


def say_in_a_thread(text):
    thread = threading.Thread(target=refuse, args=(text,))
    thread.start()
    thread.join()


@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize(
    "say",
    [
        say_with_structlog,
        say_in_the_event,
        say_as_an_object,
        say_bound,
        say_with_an_exception,
        say_with_the_standard_library,
        say_with_an_exception_of_the_standard_library,
        say_what_cannot_be_said,
        say_the_last_words,
        say_in_a_thread,
    ],
)
def test_planted_secrets_never_come_out(written, say, json_lines):
    log.configure("info", json_lines)
    for text, secret in SECRETS.items():
        say(text)
        said = written()
        assert said
        assert secret not in said, text


PEOPLE = [
    "duplicate key value violates unique constraint\nDETAIL:  Key (kind)=(Анна Каренина) already exists.",
    "null value violates not-null constraint\nDETAIL:  Failing row contains (7, Анна\nКаренина, +79991234567).\n",
    "invalid input syntax for type json\nCONTEXT:  JSON data: Анна Каренина\nunnamed portal parameter $1 = 'Анна'",
    "1 error for Event\ndata\n  Not a dictionary [type=dict, input_value='Анна\\nКаренина', input_type=str]",
]


@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize(
    "say", [say_with_an_exception, say_with_an_exception_of_the_standard_library, say_as_an_object]
)
def test_what_errors_quote_of_peoples_data_never_comes_out(written, say, json_lines):
    log.configure("info", json_lines)
    for text in PEOPLE:
        say(text)
        said = written()
        assert "Анна" not in said, said
        assert "Каренина" not in said, said
        assert "79991234567" not in said, said
        assert "ValueError" in said


def test_what_is_no_secret_stays():
    text = "crm.item.get of https://b24.example/rest/1/abcdef/crm.item.get?id=759 by redis://host:6379/0"
    assert log.scrub_text(text) == text.replace("abcdef", "***")


@pytest.mark.parametrize("name", ["application_token", "password", "db_password", "Authorization", "client_secret"])
def test_a_value_under_a_secret_name_is_hidden_whatever_it_looks_like(written, name):
    log.configure("info", json=True)
    structlog.get_logger("bus.test").info("x", **{name: "plain words"}, inner={name: ["plain words"]})
    assert "plain" not in written()


def test_one_json_line_per_thing_with_bound_ids(written):
    log.configure("info", json=True)
    with structlog.contextvars.bound_contextvars(request="r-1"):
        structlog.get_logger("bus.test").info("thing.happened", count=3, ratio=0.5, done=True, nothing=None)
        logging.getLogger("celery").warning("lost %s", "connection")
    ours, celerys = map(json.loads, written().splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "thing.happened",
        "level": "info",
        "logger": "bus.test",
        "request": "r-1",
        "count": 3,
        "ratio": 0.5,
        "done": True,
        "nothing": None,
    }
    assert (celerys["event"], celerys["level"], celerys["request"]) == ("lost connection", "warning", "r-1")


def test_the_level_counts_for_everyone(written):
    log.configure("warning", json=True)
    structlog.get_logger("bus.test").info("x")
    logging.getLogger("celery").info("x")
    assert written() == ""


def test_configuring_twice_says_things_once(written):
    log.configure("info", json=True)
    log.configure("info", json=True)
    logging.getLogger("uvicorn").info("x")
    assert len(written().splitlines()) == 1


def test_what_is_no_terminal_gets_json(written):
    log.configure()
    structlog.get_logger("bus.test").info("x")
    assert json.loads(written())["event"] == "x"


def test_a_terminal_gets_a_readable_line(written):
    log.configure(json=False)
    structlog.get_logger("bus.test").info("thing.happened", count=3)
    said = written()
    assert "thing.happened" in said
    assert not said.startswith("{")
