"""The Celery application: how queues, workers and messages behave, each setting with its reason.

Celery on Redis may lose, double or reorder a message (a pop and its note are two round trips). Nothing here depends on
it: a message is a bell that happens to carry its events, the ledger is the truth, and beat's sweep rings again. What
lies on a queue and is no message of ours is turned away (bus.messages), and workers obey no order that comes over it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from celery import Celery
from kombu import Queue

from bus import channels
from bus.remote import Control
from bus.transport import Amqp

VISIBILITY_TIMEOUT_S = 300


def create_app(broker_url: str, systems: Iterable[str], *, prefix: str = "bus:", sweep_s: float = 5.0) -> Celery:
    """A Celery app for a bus that knows these systems; connects to nothing by itself."""
    app = Celery("bus", broker=broker_url, amqp=Amqp, control=Control, task_cls="bus.gate:Task", set_as_current=False)
    names = channels.queues(systems)
    app.conf.update(
        # Names only, no exchange: Celery then uses the anonymous exchange and there is no binding table to lose.
        task_queues=[Queue(name) for name in names],
        task_default_queue=channels.CHORES,
        task_create_missing_queues=False,  # a typo would be a queue that nobody reads
        task_routes={channels.apply_task(name): {"queue": name} for name in channels.ENTITY_CHANNELS},
        # Acknowledged after the work; a killed child's message comes back at once. A failure is in our ledger.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure=True,
        task_acks_on_timeout=True,
        worker_prefetch_multiplier=1,  # a message waits for one task at most; batches make the throughput
        # Results cost 5 Redis commands and 60 % more processor a message; the outcome stands in the ledger.
        task_ignore_result=True,
        result_backend=None,
        # JSON only: no pickle is ever read, and nothing but tasks of ours on their own queues is carried out.
        task_serializer="json",
        accept_content=["json"],
        worker_consumer="bus.gate:Gate",
        enable_utc=True,
        # A bell may fail: it is tried briefly, then the sweep rings. A producer never hangs on Redis.
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
        broker_pool_limit=10,
        broker_pool_acquire_timeout=5,
        # Reconnecting: for ever, a few seconds apart; READONLY and OOM do not end the worker.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_enable_prefetch_count_reduction=True,
        broker_transport_options=_transport(prefix),
        broker_use_ssl=_tls(broker_url),
        # Flower: task events on (60 % more processor a message, so messages are few and fat), no sent events.
        worker_send_task_events=True,
        task_send_sent_event=False,
        worker_hijack_root_logger=False,  # bus.log renders and scrubs
        worker_soft_shutdown_timeout=10.0,
        # No ETA, no countdown, no task.retry anywhere: on Redis they run several times once older than the visibility
        # timeout. "Later" is a column in the ledger.
        beat_max_loop_interval=min(5.0, sweep_s),
    )
    return app


def _tls(broker_url: str) -> dict[str, Any] | None:
    """For rediss://. kombu takes TLS from the ssl_ parts of the address: without any it speaks in the clear there."""
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED} if urlsplit(broker_url).scheme == "rediss" else None


def _transport(prefix: str) -> dict[str, Any]:
    return {
        "global_keyprefix": prefix,  # own unacked, unacked_index and mutex, whatever else lives in this Redis
        "visibility_timeout": VISIBILITY_TIMEOUT_S,  # longer than three drains; the same in every process
        "unacked_restore_interval": 5,  # a killed worker's messages come back seconds after the timeout, not ~100 s
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 30,
        "socket_timeout": 10,  # a frozen server must not hang a producer
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": False,  # no blind replays
        "queue_order_strategy": "priority",  # in the order of -Q: payments first
        "client_name": "integration-bus",
    }
