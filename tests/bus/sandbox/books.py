"""The 1C base over HTTP: its OData interface as a client sees it, and its control API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from bus.sandbox.onec import Base

PARTIES = "Catalog_Контрагенты"
PARTNERS = "Catalog_Партнеры"
GOODS = "Catalog_Номенклатура"
ORDERS = "Document_ЗаказКлиента"
RECEIPTS = "Document_ПоступлениеБезналичныхДенежныхСредств"
STATES = "InformationRegister_СостоянияЗаказовКлиентов"
RATES = "InformationRegister_КурсыВалют"
NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass
class Books:
    """One base; `session` carries its Basic login."""

    url: str
    site: Base
    session: requests.Session

    @property
    def root(self) -> str:
        return self.site.entry(self.url)

    def ask(self, verb: str, path: str, options: dict[str, Any] | None = None, **more: Any) -> requests.Response:
        """`options` are encoded as 1C wants them, a space as %20."""
        query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in (options or {}).items())
        more.setdefault("timeout", 10)
        return self.session.request(verb, f"{self.root}{path}" + (f"?{query}" if query else ""), **more)

    def json(self, verb: str, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        """The answer in JSON; the names of options lose their `$` here."""
        asked = {"$format": "json"} | {f"${name}": value for name, value in options.items()}
        more = {} if body is None else {"json": body}
        answer = self.ask(verb, path, asked, **more)
        assert answer.status_code == status, (answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None

    def rows(self, path: str, **options: Any) -> list[dict[str, Any]]:
        return self.json("GET", path, **options)["value"]

    def code(self, verb: str, path: str, body: Any = None, **options: Any) -> tuple[int, str]:
        """The status and 1C's own code of a refusal."""
        asked = {"$format": "json"} | {f"${name}": value for name, value in options.items()}
        more = {} if body is None else {"json": body}
        answer = self.ask(verb, path, asked, **more)
        return answer.status_code, answer.json()["odata.error"]["code"]

    def control(self, verb: str, path: str, body: Any = None) -> Any:
        answer = self.session.request(verb, f"{self.url}/_sandbox/{path}", json=body, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def set(self, **switches: Any) -> Any:
        return self.control("POST", "settings", switches)

    def fault(self, kind: str, **options: Any) -> Any:
        return self.control("POST", "faults", {"kind": kind, **options})

    def act(self, do: str, **options: Any) -> Any:
        return self.control("POST", "act", {"do": do, **options})


def at(name: str, key: str) -> str:
    """The address of an entity."""
    return f"{name}(guid'{key}')"
