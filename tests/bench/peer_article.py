"""The source article's way, as a Celery task per event: find the deal, compare, update, with `requests`.

Orders and payments go through one queue (the article has none; this is what a user would put around it). A refused
request is sent again after half a second. PEER_PRIORITIES=1 gives the queue Redis priorities: orders 9, payments 0.
"""

from __future__ import annotations

import os
import time
from functools import cache

import requests
from celery import Celery

QUEUE = "peer"
_RETRY_S = 0.5

app = Celery("peer", broker=os.environ["PEER_BROKER"], set_as_current=False)
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": os.environ.get("PEER_PREFIX", "peer:")},
)
if os.environ.get("PEER_PRIORITIES"):
    app.conf.update(worker_prefetch_multiplier=1, task_acks_late=True)  # what is prefetched is past every priority
    app.conf.broker_transport_options |= {"priority_steps": [0, 9], "queue_order_strategy": "priority"}


@app.task(name="peer.order_status")
def order_status(order_id: int, stage: str) -> None:
    """The article's onOrderStatusChange."""
    deal = _linked_deal(order_id)
    if deal and deal["STAGE_ID"] != stage:
        _call("crm.deal.update", {"id": deal["ID"], "fields": {"STAGE_ID": stage}})


@app.task(name="peer.order_paid")
def order_paid(order_id: int, paid: float) -> None:
    """The article's onOrderPaid, with the sum that the manager wants to see."""
    deal = _linked_deal(order_id)
    if deal:
        _call("crm.deal.update", {"id": deal["ID"], "fields": {"UF_CRM_PAID_TOTAL": paid}})


def _linked_deal(order_id: int) -> dict[str, str] | None:
    found = _call("crm.deal.list", {"filter": {"UF_CRM_ORDER_ID": order_id}, "select": ["ID", "STAGE_ID"]})
    return found[0] if found else None


def _call(method: str, params: dict[str, object]) -> list[dict[str, str]]:
    while True:
        answer = _session().post(os.environ["PEER_CRM_URL"] + method, json=params, timeout=10)
        if answer.status_code != requests.codes.service_unavailable:
            return answer.json()["result"]
        time.sleep(_RETRY_S)


@cache
def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session
