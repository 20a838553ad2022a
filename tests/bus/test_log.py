import errno
import json
import logging
import sys
import threading
from datetime import datetime

import pytest
import structlog
from pydantic import SecretStr

from bus import log
from bus.errors import Permanent

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


FORESEEN_BY_NOBODY = [
    lambda: int("+7 916 123-45-67"),
    lambda: {}["Каренина Анна Аркадьевна"],
    lambda: datetime.fromisoformat("ул. Кленовая, 3"),
]


@pytest.mark.parametrize("json_lines", [True, False])
@pytest.mark.parametrize("broken", FORESEEN_BY_NOBODY)
def test_what_nobody_foresaw_is_told_by_its_kind_and_place_without_its_words(written, broken, json_lines):
    log.configure("info", json_lines)
    try:
        broken()
    except Exception as error:
        kind = type(error).__name__
        structlog.get_logger("bus.test").exception("lane.poisoned", system="crm")
        structlog.get_logger("bus.test").warning("lane.postponed", error=error)
        for name, exc_info in (("celery.app.trace", True), ("asyncio", error)):
            logging.getLogger(name).log(logging.ERROR, "x failed: <exception=%r>", error, exc_info=exc_info)
    said = written()
    assert "916 123" not in said
    assert "Анна" not in said
    assert "Кленовая" not in said
    assert said.count(kind) >= 4
    assert said.count("test_log.py:") >= 3, "the calls, each time it is told with them"
    assert "<lambda>" in said


def test_an_error_of_ours_is_told_with_its_words_and_whence_it_came(written):
    log.configure("info", json=True)
    try:
        try:
            refuse("Анна Каренина")
        except ValueError as error:
            raise Permanent("goods: 'x' has no mapping") from error
    except Permanent:
        structlog.get_logger("bus.test").exception("x")
    [first, *calls] = json.loads(written())["exception"].splitlines()
    assert first == "Permanent: goods: 'x' has no mapping"
    assert calls[-3:] == ["from ValueError", calls[-2], calls[-1]]
    assert calls[-1].startswith("  test_log.py:")
    assert calls[-1].endswith(" refuse")


def find_no_room():
    raise OSError(errno.ENOSPC, "not ours to repeat", "Каренина.xml")


def test_what_the_system_says_of_a_disk_stays(written):
    log.configure("info", json=True)
    try:
        find_no_room()
    except OSError:
        structlog.get_logger("bus.test").exception("x")
    assert json.loads(written())["exception"].startswith("OSError: No space left on device\n")


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
