"""What a shop owner sets up: statuses, person types, order properties, pay systems, delivery services."""

from __future__ import annotations

from typing import Any

from bus.sandbox.envelope import Row

INDIVIDUAL, LEGAL = 1, 2

_STATUSES = (
    ("N", "O", 100, "Accepted, waiting for payment"),
    ("P", "O", 150, "Paid, being prepared"),
    ("F", "O", 200, "Done"),
    ("DN", "D", 300, "Waiting for processing"),
    ("DF", "D", 400, "Shipped"),
)
_PROPERTIES = (
    (1, INDIVIDUAL, "FIO", "Full name"),
    (2, INDIVIDUAL, "EMAIL", "E-mail"),
    (3, INDIVIDUAL, "PHONE", "Phone"),
    (7, INDIVIDUAL, "ADDRESS", "Delivery address"),
    (20, INDIVIDUAL, "DEAL_ID", "CRM deal"),
    (8, LEGAL, "COMPANY", "Company name"),
    (9, LEGAL, "COMPANY_ADR", "Legal address"),
    (10, LEGAL, "INN", "INN"),
    (11, LEGAL, "KPP", "KPP"),
    (12, LEGAL, "CONTACT_PERSON", "Contact person"),
    (13, LEGAL, "EMAIL", "E-mail"),
    (14, LEGAL, "PHONE", "Phone"),
    (19, LEGAL, "ADDRESS", "Delivery address"),
    (21, LEGAL, "DEAL_ID", "CRM deal"),
)
_PAY_SYSTEMS = ((1, "Cash", "Y"), (2, "Bank card", "N"), (3, "Bank transfer", "N"))
_DELIVERIES = ((1, "Courier", 500), (2, "Pickup", 0), (3, "Post", 300))


class Catalog:
    """The shop's reference lists."""

    def __init__(self) -> None:
        self.statuses: dict[str, Row] = {}
        self.names: dict[str, str] = {}
        for code, kind, sort, name in _STATUSES:
            self.add_status(code, kind, sort, name)
        self.person_types = [
            {"id": INDIVIDUAL, "lid": "s1", "name": "Individual", "sort": 100, "active": "Y", "code": "", "xmlId": ""},
            {"id": LEGAL, "lid": "s1", "name": "Legal entity", "sort": 200, "active": "Y", "code": "", "xmlId": ""},
        ]
        self.properties = [_property(*row, sort=100 * (index + 1)) for index, row in enumerate(_PROPERTIES)]
        self.pay_systems = {key: {"id": key, "name": name, "cash": cash} for key, name, cash in _PAY_SYSTEMS}
        self.deliveries = {key: {"id": key, "name": name, "price": price} for key, name, price in _DELIVERIES}

    def add_status(self, code: str, kind: str, sort: int, name: str) -> Row:
        """Statuses of orders (O) and deliveries (D); `sort` says which comes before which."""
        row = {"id": code, "type": kind, "notify": "Y", "sort": sort, "color": "", "xmlId": ""}
        self.statuses[code] = row
        self.names[code] = name
        return row

    def is_order_status(self, code: Any) -> bool:
        return code in self.statuses and self.statuses[code]["type"] == "O"

    def before(self, one: str, other: str) -> bool:
        return bool(self.statuses[one]["sort"] < self.statuses[other]["sort"])

    def properties_of(self, person_type: int) -> list[Row]:
        return [row for row in self.properties if row["personTypeId"] == person_type]

    def status_langs(self) -> list[Row]:
        return [{"statusId": code, "lid": "en", "name": name, "description": ""} for code, name in self.names.items()]


def _property(key: int, person_type: int, code: str, name: str, *, sort: int) -> Row:
    return {
        "id": key,
        "personTypeId": person_type,
        "propsGroupId": person_type,
        "code": code,
        "name": name,
        "type": "STRING",
        "sort": sort,
        "required": "N",
        "multiple": "N",
        "active": "Y",
        "util": "N",
        "isEmail": "Y" if code == "EMAIL" else "N",
        "isPhone": "Y" if code == "PHONE" else "N",
        "isPayer": "Y" if code in ("FIO", "CONTACT_PERSON") else "N",
        "isAddress": "Y" if code == "ADDRESS" else "N",
        "xmlId": f"bx_prop_{key}",
    }
