"""Counterparties as they are made in a 1C base: with partner, contacts and bank accounts; and the buyers of orders."""

from __future__ import annotations

from collections.abc import Mapping

from bus.errors import Permanent
from bus.model import Json
from bus.ports import Raw
from bus.systems.onec_calls import KEY, text
from bus.systems.onec_finding import OWN_KEYS, Finder, key_of
from bus.systems.onec_making import NAME, Job, Maker


class Parties:
    """Makes counterparties, and finds or makes those of orders."""

    def __init__(self, maker: Maker, finder: Finder) -> None:
        self._maker, self._finder = maker, finder

    def new(self, job: Job) -> Raw:
        change = job.write.change
        body = dict(change.get("fields") or {}) | self.contacts(change)
        named = self._maker.names.need("counterparty", "name")
        official = self._maker.names.get("counterparty", "legal_name") or ""
        body.setdefault(named, str(body.get(official) or "")[:NAME])
        return body | self._partner(job.write.origin, body) | self._maker.marked(job, body)

    def _partner(self, origin: str, body: Raw) -> Raw:
        """УТ: a counterparty belongs to a partner, which is made first, one for each (facts 2.8)."""
        name = self._maker.names.get("counterparty", "partner")
        if name is None or not self._maker.names.has("partner"):
            return {}
        set_, need = self._maker.names.need("partner"), self._maker.names.need
        called = body.get(need("counterparty", "name")) or ""
        person = body.get(need("counterparty", "type")) == self._maker.names.get("types", "person")
        own = {need("partner", "name"): called, need("partner", "client"): True}
        own[need("partner", "legal_name")] = body.get(need("counterparty", "legal_name")) or called
        own[need("partner", "type")] = need("partner", "person" if person else "company")
        key = key_of("partner", origin)
        if self._maker.memory.able(OWN_KEYS) is False:
            found = self._maker.calls.any_of(set_, [f"{need('partner', 'name')} eq {text(called)}"], select=[KEY])
            if found:
                return {name: str(found[0][KEY]).lower()}
        return {name: self._maker.beside("partner", key, own)}

    def contacts(self, change: Raw) -> Raw:
        """The table of contacts, each row with its line number, ours with the key of its kind."""
        rows = change.get("contacts")
        if rows is None:
            return {}
        by_role = {role: key for key, role in reversed(self._maker.reader.kinds().items())}
        kind = self._maker.names.need("contacts", "kind")
        made = []
        for at, row in enumerate(rows, 1):
            own = {name: value for name, value in row.items() if not name.startswith("@") and "@" not in name}
            if "@kind" in row:
                if row["@kind"] not in by_role:
                    lacking, set_ = f"contact_kinds.{row['@kind']}", self._maker.names.need("contact_kinds")
                    say = f"{set_}: a kind of contacts is not there: say settings.name.{lacking}"
                    raise Permanent(say, cause=f"no {lacking}")
                own[kind] = by_role[row["@kind"]]
            made.append(own | {"LineNumber": str(at)})
        return {self._maker.names.need("counterparty", "contacts"): made}

    def add_accounts(self, job: Job) -> None:
        """Bank accounts are elements of their own: those that a new counterparty lacks are added, none is changed."""
        wanted = (job.write.begun or job.write.change).get("accounts")
        if not wanted or not self._maker.names.has("account") or job.key is None:
            return
        present = self._maker.reader.fetch("counterparty", [job.key], {"accounts"}).get(job.key, {})
        there = {one["account"] for one in present.get("@accounts", [])}
        for one in wanted:
            if one["account"] not in there:
                key = key_of("account", job.key, one["account"])
                self._maker.beside("account", key, self._account(job.key, one), job)

    def _account(self, owner: str, account: Mapping[str, Json]) -> Raw:
        """A bank is written by hand, with its BIC: then it need not be in the base's directory of banks."""
        values: dict[str, Json] = {"account": account["account"], "owner": owner, "by_hand": True}
        values |= {"bic": account.get("bic") or "", "bank_name": account.get("bank") or ""}
        named = {self._maker.names.get("account", role): value for role, value in values.items()}
        body = {name: value for name, value in named.items() if name} | {"Description": str(account["account"])}
        if type_ := self._maker.names.get("account", "owner_type"):
            body[type_] = f"StandardODATA.{self._maker.names.need('counterparty')}"
        return body

    def buyer(self, buyer: Raw) -> Raw:
        """For whom: found by INN and KPP, or the name; made where we know its INN; else whom the settings name."""
        key = self._finder.party(buyer.get("inn"), buyer.get("kpp"), buyer.get("company"))
        if key is None and buyer.get("inn"):
            key = self._new_buyer(buyer)
        key = key or self._maker.settings.get("retail_counterparty", "").lower() or None
        if key is None:
            say = (
                "an order needs a counterparty: it says none with an INN, and settings.retail_counterparty names none"
                " for persons"
            )
            raise Permanent(say, cause="order without counterparty")
        return {self._maker.names.need("order", "counterparty"): key} | self._partner_of(key)

    def _new_buyer(self, buyer: Raw) -> str:
        name = self._maker.names
        values = {"name": (buyer.get("company") or buyer["inn"])[:NAME], "legal_name": buyer.get("company") or ""}
        values |= {"inn": buyer["inn"], "kpp": buyer.get("kpp") or ""}
        body = {name.need("counterparty", role): value for role, value in values.items()}
        type_ = "legal_entity" if len(buyer["inn"]) == 10 else "sole_trader"  # noqa: PLR2004 - digits of an INN
        body |= self._typed(type_)
        key = key_of("counterparty", buyer["inn"], buyer.get("kpp"))
        body |= self._partner(key, body)
        return self._maker.beside("counterparty", key, body)

    def _typed(self, type_: str) -> Raw:
        places = {
            "types": self._maker.names.get("counterparty", "type"),
            "laws": self._maker.names.get("counterparty", "law"),
        }
        return {place: self._maker.names.get(values, type_) for values, place in places.items() if place}

    def _partner_of(self, counterparty: str) -> Raw:
        """УТ keeps the counterparty's partner in the document, too."""
        name, own = self._maker.names.get("order", "partner"), self._maker.names.get("counterparty", "partner")
        if not name or not own:
            return {}
        rows = self._maker.calls.by_keys(self._maker.names.need("counterparty"), [counterparty], select=[KEY, own])
        if not rows:
            say = f"settings.retail_counterparty: the base has no counterparty {counterparty}"
            raise Permanent(say, cause="no such counterparty")
        return {name: rows[0].get(own)}
