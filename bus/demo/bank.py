"""The bank: a producer of our own event format that tells of payments by order number, signed (Standard Webhooks)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus

import requests
from standardwebhooks import Webhook

from bus.errors import BusError

_LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE)


class BankError(BusError):
    """The intake did not take what the bank told."""


class Bank:
    """Publishes to POST /events."""

    def __init__(self, intake: str, key: str) -> None:
        self._url, self._signer = f"{intake}/events", Webhook(key)
        self._session = requests.Session()
        self._session.trust_env = False

    def paid(self, external: str, number: str, amount: str) -> bool:
        """Money has come for an order, of which the bank knows the number only. Told again, it is the same event.

        False when nobody took it just now: it is to be told again. Raises BankError when it is refused.
        """
        now = datetime.now(UTC)
        event = {
            "specversion": "1.0",
            "id": f"bank-{external.encode().hex()}",
            "source": "bank",
            "type": "payment.changed",
            "subject": f"payment/{external}",
            "time": now.isoformat(),
            "data": {
                "order": {"number": number},
                "amount": {"amount": amount, "currency": "RUB"},
                "status": "paid",
                "paid_at": now.isoformat(timespec="seconds"),
                "external_number": external,
            },
        }
        body = json.dumps(event, ensure_ascii=False)
        headers = {
            "content-type": "application/cloudevents+json",
            "webhook-id": event["id"],
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(str(event["id"]), now, body),
        }
        sent = {name: str(value) for name, value in headers.items()}
        try:
            answer = self._session.post(self._url, data=body.encode(), headers=sent, timeout=15)
        except (requests.ConnectionError, requests.Timeout):
            return False
        if answer.status_code in _LATER:
            return False
        if not answer.ok:
            raise BankError(f"POST /events answered {answer.status_code}: {answer.text[:500]}")
        return True
