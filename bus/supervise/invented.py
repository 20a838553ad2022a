"""The invented company of `bus up` and the demo: a configuration that connects the stand-ins, and their set-up."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bus.model import OrderStatus
from bus.ports import Tables
from bus.supervise.control import Control
from bus.supervise.ports import LOOPBACK, Ports

CRM, SHOP, BANK, BOOKS, STATEMENTS = "crm", "shop", "bank", "onec", "statements"
ACCOUNT = "40702810400000012345"
"""The company's account, which its statements are of."""
RETAIL = "0f1a2b3c-0000-4000-8000-00000000b0b0"
"""The counterparty of the books that stands for every buyer without an INN."""
DELIVERY = "0f1a2b3c-0000-4000-8000-00000000d0d0"
"""The item of the books that delivery is charged by."""
FIELDS = {
    "products": "string",
    "order_id": "string",
    "number": "string",
    "delivery_method": "string",
    "delivery_address": "string",
    "paid_total": "double",
    "payment_status": "string",
}
"""User fields of deals, by their key in mappings/tables.yaml, and the kind to make where the portal has none."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long the bus waits for what, in seconds; shorter than in production, for a day that lasts a minute."""

    timeout: float = 10
    books_timeout: float = 30
    late: float = 3
    lease: int = 30
    """So that a killed worker's claims lapse soon."""


@dataclass(frozen=True, slots=True)
class Company:
    """Its secrets and where the bus finds its systems."""

    ports: Ports
    token: str
    shop_key: str
    bank_key: str
    limited: bool = True
    """The portal's request limit of the cloud: 2 a second, burst 50."""
    code: str = "sandbox"
    """Of the incoming webhooks at portal and shop."""
    password: str = "secret"  # noqa: S105 - opens a stand-in
    """Of the bus's login at the 1C."""
    times: Times = Times()

    @property
    def environment(self) -> dict[str, str]:
        """What the configuration takes from the environment, and the stand-ins their passwords."""
        return {
            "SANDBOX_CODE": self.code,
            "SANDBOX_PASSWORD": self.password,
            "BUS_SANDBOX_CRM_URL": f"http://{LOOPBACK}:{self.ports.crm}/rest/1/{self.code}/",
            "BUS_SANDBOX_CRM_TOKEN": self.token,
            "BUS_SANDBOX_SHOP_URL": f"http://{LOOPBACK}:{self.ports.shop}/rest/1/{self.code}/",
            "BUS_SANDBOX_SHOP_KEY": self.shop_key,
            "BUS_SANDBOX_BANK_KEY": self.bank_key,
            "BUS_SANDBOX_ONEC_URL": f"http://{LOOPBACK}:{self.ports.onec}/base/odata/standard.odata/",
            "BUS_SANDBOX_ONEC_PASSWORD": self.password,
        }


def found(ports: Ports, *, limited: bool) -> Company:
    """A company with new secrets."""
    return Company(ports, secrets.token_urlsafe(24), key(), key(), limited)


def key() -> str:
    """A new Standard Webhooks key."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def write_config(company: Company, file: Path, statements: Path) -> None:
    """The configuration as a file of its owner alone. Secrets are named in it, and stand in the environment."""
    text = "# Made by `bus up` for its stand-in systems; start from deploy/bus.example.yaml for your own.\n"
    text += yaml.safe_dump(_document(company, statements), sort_keys=False, allow_unicode=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
    file.chmod(0o600)


def _document(company: Company, statements: Path) -> dict[str, Any]:
    rate = {"per_second": 2, "burst": 50} if company.limited else {"per_second": 0}
    times = company.times
    return {
        "systems": {
            CRM: {
                "kind": "bitrix24",
                "url": "${BUS_SANDBOX_CRM_URL}",
                "application_token": "${BUS_SANDBOX_CRM_TOKEN}",
                "integration_user": "1",
                "rate": rate,
                "timeout_s": times.timeout,
                "late_s": times.late,
                "routes": {
                    "order": {"in": "full", "out": "full"},
                    "counterparty": {"in": "full", "out": "full"},
                },
            },
            SHOP: {
                "kind": "bitrix_cms",
                "url": "${BUS_SANDBOX_SHOP_URL}",
                "keys": ["${BUS_SANDBOX_SHOP_KEY}"],
                "integration_user": "1",
                "timeout_s": times.timeout,
                "late_s": times.late,
                "settings": {"pay_system": "3"},
                "routes": {
                    "order": {"in": "full", "out": "update-only"},
                    "payment": {"in": "full", "out": "full"},
                },
            },
            BANK: {
                "kind": "events",
                "keys": ["${BUS_SANDBOX_BANK_KEY}"],
                "routes": {"payment": {"in": "full"}},
            },
            BOOKS: {
                "kind": "onec",
                "url": "${BUS_SANDBOX_ONEC_URL}",
                "user": "bus",
                "password": "${BUS_SANDBOX_ONEC_PASSWORD}",
                "timeout_s": times.books_timeout,
                "late_s": times.late,
                "settings": {"create_goods": "yes", "retail_counterparty": RETAIL, "delivery_item": DELIVERY},
                "routes": {
                    "order": {"in": "update-only", "out": "full"},
                    "payment": {"in": "full"},
                    "counterparty": {"in": "full", "out": "full"},
                },
            },
            STATEMENTS: {
                "kind": "bank",
                "folder": str(statements),
                "accounts": [ACCOUNT],
                "routes": {"payment": {"in": "full"}},
            },
        },
        # Shorter than in production, for a day that lasts a minute.
        "limits": {
            "lease_s": times.lease,
            "backoff_base_s": 1.0,
            "backoff_cap_s": 15.0,
            "sweep_s": 2.0,
            "republish_after_s": 5.0,
            "reconcile_s": 60.0,
            "poll_s": 3.0,
            "folders_s": 2.0,
            "breaker_open_s": 3.0,
        },
    }


def furnish(
    company: Company,
    crm: Control,
    shop: Control,
    onec: Control,
    tables: Callable[[str, str], Tables],
) -> None:
    """Set the stand-ins up as an administrator would: user fields, order statuses, limits, webhooks to the intake."""
    onec.act("create_counterparty", name="Розничный покупатель", fields={"Ref_Key": RETAIL})
    onec.act("create_product", name="Доставка", fields={"Ref_Key": DELIVERY})
    portal, codes = tables(CRM, "bitrix24"), tables(SHOP, "bitrix_cms")
    names = {portal.name("fields", key): kind for key, kind in FIELDS.items()}
    present = crm.get("settings")["fields"]
    crm.post("settings", {"fields": {name: kind for name, kind in names.items() if name and name not in present}})
    shop.post("settings", {"statuses": _statuses(shop, codes)})
    if not company.limited:
        crm.post("limits", {"bucket": None, "operating": None})
    intake = f"http://{LOOPBACK}:{company.ports.intake}"
    crm.post("webhooks", {"url": f"{intake}/bitrix24/{CRM}", "application_token": company.token, "senders": 2})
    shop.post("webhooks", {"url": f"{intake}/shop/{SHOP}", "secret": company.shop_key, "senders": 2})


def _statuses(shop: Control, tables: Tables) -> list[dict[str, Any]]:
    """Statuses that the tables know and the shop lacks, in the order of an order's life."""
    present = shop.get("settings")["statuses"]
    life = [status for status in OrderStatus if status is not OrderStatus.CANCELLED]
    codes = [tables.codes("order_status", status.value, field="status")[0] for status in life]
    sorts = {"A": 120, "S": 160}
    return [
        {"id": code, "type": "O", "sort": sorts.get(code, 100 + 10 * at), "name": status.value.capitalize()}
        for at, (code, status) in enumerate(zip(codes, life, strict=True))
        if code not in present
    ]
