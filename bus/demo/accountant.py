"""Accountant: what is done in the books and in the CRM's companies that day, through the stand-ins' control API."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import requests

from bus.demo.parties import Books, Deed, Party
from bus.demo.player import LATE_S
from bus.errors import BusError
from bus.supervise.control import Control

_AGAIN_S = 0.25


class Accountant:
    """Does the day's deeds one after the other, in a thread of its own."""

    def __init__(self, books: Books, day_s: float, onec: Control, crm: Control, *, late_s: float = LATE_S) -> None:
        """What cannot be done `late_s` after the day was over is given up, and told."""
        self._late_s = late_s
        self._books, self._day_s, self._onec, self._crm = books, day_s, onec, crm
        self.done: Counter[str] = Counter()
        self.undone: list[str] = []
        self._refs: dict[int, str] = {}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def open_books(self) -> None:
        """Enter what is there in the morning: quietly, as from years before."""
        there = [party for party in self._books.parties if party.born == "onec" and not self._later(party)]
        made = self._onec.post("act", {"acts": [_counterparty(one) for one in there], "quiet": True})["results"]
        self._refs = {one.number: answer["id"] for one, answer in zip(there, made, strict=True)}
        spelled = [_company(party, party.spelled) for party in there if party.spelled]
        self._crm.post("act", {"acts": spelled, "quiet": True})

    def begin(self) -> None:
        """Start the day."""
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="accountant", daemon=True)
        self._thread.start()

    @property
    def over(self) -> bool:
        """Everything was done, or given up."""
        return self._thread is None or not self._thread.is_alive()

    def stop(self) -> None:
        """Leave what is not done."""
        self._over.set()
        if self._thread:
            self._thread.join()

    def _later(self, party: Party) -> bool:
        return any(deed.party is party and deed.do.startswith("new_") for deed in self._books.deeds)

    def _work(self) -> None:
        for deed in self._books.deeds:
            if self._over.wait(max(0.0, self._begun + deed.at * self._day_s - time.monotonic())):
                return
            self._do(deed)

    def _do(self, deed: Deed) -> None:
        """One deed; a company that is not in the CRM yet is waited for."""
        acts: dict[str, Callable[[Deed], bool]] = {
            "phone_onec": lambda one: self._edit(one, phones=[one.detail["phone"]]),
            "email_crm": lambda one: self._edit_company(one, emails=[one.detail["email"]]),
            "name_both": self._name_both,
            "address_both": self._address_both,
            "new_onec": self._new,
            "new_crm": self._new_company,
        }
        deadline = self._begun + self._day_s + self._late_s
        try:
            while not acts[deed.do](deed):
                if time.monotonic() > deadline or self._over.wait(_AGAIN_S):
                    self.undone.append(f"counterparty {deed.party.number + 1}: {deed.do}: it never appeared in the CRM")
                    return
        except (BusError, requests.RequestException) as error:
            self.undone.append(f"counterparty {deed.party.number + 1}: {deed.do}: {error}")
            return
        self.done[deed.do] += 1

    def _new(self, deed: Deed) -> bool:
        act = _counterparty(deed.party)
        self._refs[deed.party.number] = self._onec.post("act", act)["id"]
        return True

    def _new_company(self, deed: Deed) -> bool:
        self._crm.post("act", _company(deed.party, deed.party.name))
        return True

    def _edit(self, deed: Deed, **parts: Any) -> bool:  # noqa: ANN401 - whatever an act takes
        self._onec.act("edit_counterparty", id=self._refs[deed.party.number], **parts)
        return True

    def _edit_company(self, deed: Deed, **parts: Any) -> bool:  # noqa: ANN401 - whatever an act takes
        found = self._found(deed.party)
        if found is None:
            return False
        self._crm.act("edit_company", id=found["entityId"], **parts)
        return True

    def _name_both(self, deed: Deed) -> bool:
        """Both sides change the legal name, a moment apart."""
        found = self._found(deed.party)
        if found is None:
            return False
        change = [{"id": found["id"], "RQ_COMPANY_FULL_NAME": deed.detail["there"]}]
        self._crm.act("edit_company", id=found["entityId"], requisites=change)
        return self._edit(deed, full_name=deed.detail["here"])

    def _address_both(self, deed: Deed) -> bool:
        found = self._found(deed.party)
        if found is None:
            return False
        address = {"TYPE_ID": 1, "ADDRESS_1": deed.detail["there"]}
        self._crm.act("edit_company", id=found["entityId"], requisites=[{"id": found["id"], "addresses": [address]}])
        return self._edit(deed, address=deed.detail["here"])

    def _found(self, party: Party) -> dict[str, Any] | None:
        """Its requisite in the CRM."""
        requisites = self._crm.get("state", of="requisites")["requisites"]
        return next((one for one in requisites if one["rqInn"] == party.inn and one["rqKpp"] == party.kpp), None)


def _counterparty(party: Party) -> dict[str, Any]:
    return {
        "do": "create_counterparty",
        "name": party.name,
        "full_name": party.full_name,
        "inn": party.inn,
        "kpp": party.kpp,
        "phones": [f"+7{party.phone}"],
        "emails": [party.email],
        "address": party.address,
        "legal_address": party.legal_address,
    }


def _company(party: Party, title: str) -> dict[str, Any]:
    return {
        "do": "create_company",
        "fields": {"title": title},
        "phones": [f"+7{party.phone}"],
        "emails": [party.email],
        "requisites": [
            {
                "preset": "legal",
                "RQ_INN": party.inn,
                "RQ_KPP": party.kpp,
                "RQ_COMPANY_NAME": party.name,
                "RQ_COMPANY_FULL_NAME": party.full_name,
            }
        ],
    }
