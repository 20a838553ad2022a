"""The Celery application: its settings, and that nothing anywhere asks Celery to do something later."""

import ast
from pathlib import Path

import pytest
from celery import Celery

import bus
from bus import channels
from bus.app import VISIBILITY_TIMEOUT_S, create_app

ROOT = Path(bus.__file__).parent.parent


@pytest.fixture
def app() -> Celery:
    return create_app("redis://127.0.0.1:9/0", ["shop", "crm"])


def test_only_json_is_read_and_written(app: Celery) -> None:
    assert list(app.conf.accept_content) == ["json"]
    assert app.conf.task_serializer == "json"


def test_there_are_no_results(app: Celery) -> None:
    assert app.conf.task_ignore_result is True
    assert app.conf.result_backend is None


def test_a_message_is_acknowledged_after_the_work_and_comes_back_from_a_killed_worker(app: Celery) -> None:
    assert app.conf.task_acks_late is True
    assert app.conf.task_reject_on_worker_lost is True
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.broker_transport_options["visibility_timeout"] == VISIBILITY_TIMEOUT_S
    assert VISIBILITY_TIMEOUT_S > 3 * 20


def test_every_queue_is_declared_and_no_other_is_made_up(app: Celery) -> None:
    assert {queue.name for queue in app.conf.task_queues} == set(channels.queues(["shop", "crm"]))
    assert app.conf.task_create_missing_queues is False
    for name in channels.ENTITY_CHANNELS:
        assert app.conf.task_routes[channels.apply_task(name)] == {"queue": name}


def test_events_are_on_for_flower_and_reconnecting_never_ends(app: Celery) -> None:
    assert app.conf.worker_send_task_events is True
    assert app.conf.broker_connection_max_retries is None
    assert app.conf.broker_connection_retry_on_startup is True
    assert app.conf.task_publish_retry_policy["max_retries"] == 2
    assert app.conf.broker_transport_options["socket_timeout"]


def test_its_keys_in_redis_are_its_own(app: Celery) -> None:
    assert app.conf.broker_transport_options["global_keyprefix"] == "bus:"
    other = create_app("redis://127.0.0.1:9/0", [], prefix="other:")
    assert other.conf.broker_transport_options["global_keyprefix"] == "other:"


def test_nothing_is_registered_as_the_current_app(app: Celery) -> None:
    from celery import current_app

    assert current_app._get_current_object() is not app


SOURCES = sorted(path for part in ("bus", "workers", "mappings") for path in (ROOT / part).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_later_is_a_column_in_the_ledger_and_never_a_celery_eta(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    asked = {word.arg for call in calls for word in call.keywords}
    assert not asked & {"countdown", "eta", "autoretry_for", "default_retry_delay", "retry_backoff"}
    retried = {call.func.value.id for call in calls if _is_retry(call.func)}  # type: ignore[attr-defined]
    assert "workers" not in path.parts or not retried, "a task never asks Celery to run it again"


def _is_retry(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute) and called.attr == "retry" and isinstance(called.value, ast.Name)
