"""Writing to a 1C base: read, compare, write, compare again; each object by its own requests, one after the other.

A write is atomic there, and what it did comes back whole. Tables of a document are written whole. Nothing is ever
deleted. What an object points to (counterparty, partner, goods) is found first, or made under a key that follows from
what it is, so that a repeat, or another worker, makes the same and not a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from bus.config import System
from bus.errors import BusError, NotReady, Permanent, UnknownOutcome
from bus.model import Json
from bus.ports import Failed, Raw, Write, Written
from bus.systems.onec_calls import KEY, Calls, text
from bus.systems.onec_comparing import kept, same
from bus.systems.onec_errors import Changed, Exists, NotFound
from bus.systems.onec_figures import exact
from bus.systems.onec_finding import OWN_KEYS, VERSIONS, Finder, key_of, mark
from bus.systems.onec_goods import Goods
from bus.systems.onec_memory import Memory
from bus.systems.onec_names import Names
from bus.systems.onec_reading import EMPTY, Reader

_NEW = "new."
_NAME = 100


@dataclass
class Job:
    """One write on its way: what it has done so far decides what a failure means."""

    write: Write
    thing: str
    key: str | None = None
    before: Raw | None = None
    calls: list[str] = field(default_factory=list)
    sent: Raw = field(default_factory=dict)

    def failed(self, error: BusError) -> Failed:
        """What was created and not finished must be looked for, never created again."""
        if self.write.id is None and self.key is not None:
            say = f"created as {self.key}, then: {error}"
            if isinstance(error, NotReady):
                error = NotReady(say, until=error.until, cause=error.cause, detail=error.detail)
            else:
                error = UnknownOutcome(say, cause=error.cause, detail=error.detail)
        return Failed(error, ", ".join(dict.fromkeys(self.calls)), sent=self.sent, answered=dict(error.detail))


class Writer:
    """Carries out the writes of one base."""

    def __init__(self, reader: Reader, finder: Finder, memory: Memory, config: System) -> None:
        self._reader, self._finder, self._memory = reader, finder, memory
        self._calls: Calls = reader.calls
        self._names: Names = reader.names
        self._settings = config.settings
        self._zone = ZoneInfo(config.zone)
        self._goods = Goods(reader, finder, config.settings, self._beside)
        self._posts = config.settings.get("post") == "yes"

    def write(self, write: Write) -> Written | Failed:
        """One write. Never raises a BusError: what went wrong is the answer."""
        job = Job(write, write.record_type if write.record_type != "payment" else _money(write))
        try:
            row = self._update(job) if write.id else self._create(job)
            return self._written(job, row)
        except BusError as error:
            return job.failed(error)

    def _create(self, job: Job) -> Raw:
        make: dict[str, Callable[[Job], Raw]] = {"order": self._new_order, "counterparty": self._new_counterparty}
        body = make.get(job.thing, self._new_payment)(job)
        body = self._defaults(job.write.record_type) | body
        row = self._made(job.thing, job.write.origin, body, job)
        job.key = str(row[KEY]).lower()
        if complaint := kept(self._set(job), body, row):
            raise complaint
        self._add_accounts(job)
        return self._posted(job, row)

    def _update(self, job: Job) -> Raw:
        """Read, lay the change over what is there now, write what differs. A finished creation gets what it lacks."""
        job.key = str(job.write.id).partition(":")[0]
        row = self._calls.one(self._set(job), job.key)
        if self._reader.removed(job.thing, row):
            raise NotFound(f"{self._set(job)}: it is marked for deletion", cause="marked for deletion")
        job.before = self._record(job, row)
        body = {name: value for name, value in self._body(job, row).items() if not _is(row, name, value)}
        if body:
            row = self._changed(job, row, body)
        if job.write.begun:
            self._add_accounts(job)
        return self._posted(job, row, changed=bool(body))

    def _changed(self, job: Job, row: Raw, body: Raw) -> Raw:
        set_, job.sent = self._set(job), body
        job.calls.append(f"PATCH {set_}")
        try:
            answered = self._calls.change(set_, str(job.key), body, str(row.get("DataVersion") or ""))
        except Changed:
            self._memory.proved(VERSIONS, able=True)
            raise
        if complaint := kept(set_, body, answered):
            raise complaint
        return answered

    def _body(self, job: Job, row: Raw) -> Raw:
        """The native fields of a change to a present object."""
        change = job.write.change
        body = self._resolved(dict(change.get("fields") or {}))
        if job.thing == "order":
            body |= self._goods.changed(row, change)
        elif job.thing == "counterparty":
            body |= self._contacts(change)
        elif "amount" in change:
            body |= self._resplit(job, row)
        return body

    # orders

    def _new_order(self, job: Job) -> Raw:
        change, need = job.write.change, self._names
        body = self._resolved(dict(change.get("fields") or {}))
        body |= self._document("order") | self._currency("order", change)
        body |= self._buyer(dict(change.get("buyer") or {}))
        if flag := need.get("order", "price_with_tax"):
            body[flag] = True
        if need.get("order", "number") in body and (day := need.get("order", "number_date")):
            body[day] = body[need.need("order", "at")]
        body |= self._goods.new(change)
        return body | self._marked(job, body)

    def _document(self, thing: str) -> Raw:
        """What every document has: its date, and the organisation where there is but one."""
        found: Raw = {self._names.need(thing, "at"): self._now()}
        organisations = self._reader.directory("organisations")
        name = self._names.get(thing, "organisation")
        if name and len(organisations) == 1:
            found[name] = next(iter(organisations))
        return found

    def _currency(self, thing: str, change: Raw) -> Raw:
        code = change.get("currency")
        if not code:
            return {}
        key = self._reader.currency_key(code)
        if key is None:
            self._reader.shelf.forget("currencies")
            say = f"{self._names.need('directories', 'currencies')}: there is no currency {code}: add it in the base"
            raise Permanent(say, cause=f"no currency {code}")
        return {self._names.need(thing, "currency"): key}

    def _buyer(self, buyer: Raw) -> Raw:
        """For whom: found by INN and KPP, or the name; made where we know its INN; else whom the settings name."""
        key = self._finder.party(buyer.get("inn"), buyer.get("kpp"), buyer.get("company"))
        if key is None and buyer.get("inn"):
            key = self._new_buyer(buyer)
        key = key or self._settings.get("retail_counterparty", "").lower() or None
        if key is None:
            say = (
                "an order needs a counterparty: it says none with an INN, and settings.retail_counterparty names none"
                " for persons"
            )
            raise Permanent(say, cause="order without counterparty")
        return {self._names.need("order", "counterparty"): key} | self._partner_of(key)

    def _new_buyer(self, buyer: Raw) -> str:
        name = self._names
        values = {"name": (buyer.get("company") or buyer["inn"])[:_NAME], "legal_name": buyer.get("company") or ""}
        values |= {"inn": buyer["inn"], "kpp": buyer.get("kpp") or ""}
        body = {name.need("counterparty", role): value for role, value in values.items()}
        type_ = "legal_entity" if len(buyer["inn"]) == 10 else "sole_trader"  # noqa: PLR2004 - digits of an INN
        body |= self._typed(type_)
        key = key_of("counterparty", buyer["inn"], buyer.get("kpp"))
        body |= self._partner(key, body)
        body = self._defaults("counterparty") | body
        return str(self._beside("counterparty", key, body)[KEY]).lower()

    def _typed(self, type_: str) -> Raw:
        places = {"types": self._names.get("counterparty", "type"), "laws": self._names.get("counterparty", "law")}
        return {place: self._names.get(values, type_) for values, place in places.items() if place}

    def _partner_of(self, counterparty: str) -> Raw:
        """УТ keeps the counterparty's partner in the document, too."""
        name, own = self._names.get("order", "partner"), self._names.get("counterparty", "partner")
        if not name or not own:
            return {}
        rows = self._calls.by_keys(self._names.need("counterparty"), [counterparty], select=[KEY, own])
        if not rows:
            say = f"settings.retail_counterparty: the base has no counterparty {counterparty}"
            raise Permanent(say, cause="no such counterparty")
        return {name: rows[0].get(own)}

    # counterparties

    def _new_counterparty(self, job: Job) -> Raw:
        change = job.write.change
        body = dict(change.get("fields") or {}) | self._contacts(change)
        named = self._names.need("counterparty", "name")
        official = self._names.get("counterparty", "legal_name") or ""
        body.setdefault(named, str(body.get(official) or "")[:_NAME])
        return body | self._partner(job.write.origin, body) | self._marked(job, body)

    def _partner(self, origin: str, body: Raw) -> Raw:
        """УТ: a counterparty belongs to a partner, which is made first, one for each (facts 2.8)."""
        name = self._names.get("counterparty", "partner")
        if name is None or not self._names.has("partner"):
            return {}
        set_, need = self._names.need("partner"), self._names.need
        called = body.get(need("counterparty", "name")) or ""
        person = body.get(need("counterparty", "type")) == self._names.get("types", "person")
        own = {need("partner", "name"): called, need("partner", "client"): True}
        own[need("partner", "legal_name")] = body.get(need("counterparty", "legal_name")) or called
        own[need("partner", "type")] = need("partner", "person" if person else "company")
        key = key_of("partner", origin)
        if self._memory.able(OWN_KEYS) is False:
            found = self._calls.any_of(set_, [f"{need('partner', 'name')} eq {text(called)}"], select=[KEY])
            if found:
                return {name: str(found[0][KEY]).lower()}
        return {name: str(self._beside("partner", key, self._defaults("partner") | own)[KEY]).lower()}

    def _contacts(self, change: Raw) -> Raw:
        """The table of contacts, each row with its line number, ours with the key of its kind."""
        rows = change.get("contacts")
        if rows is None:
            return {}
        by_role = {role: key for key, role in reversed(self._reader.kinds().items())}
        kind = self._names.need("contacts", "kind")
        made = []
        for at, row in enumerate(rows, 1):
            own = {name: value for name, value in row.items() if not name.startswith("@") and "@" not in name}
            if "@kind" in row:
                if row["@kind"] not in by_role:
                    lacking, set_ = f"contact_kinds.{row['@kind']}", self._names.need("contact_kinds")
                    say = f"{set_}: a kind of contacts is not there: say settings.name.{lacking}"
                    raise Permanent(say, cause=f"no {lacking}")
                own[kind] = by_role[row["@kind"]]
            made.append(own | {"LineNumber": str(at)})
        return {self._names.need("counterparty", "contacts"): made}

    def _add_accounts(self, job: Job) -> None:
        """Bank accounts are elements of their own: those that a new counterparty lacks are added, none is changed."""
        wanted = (job.write.begun or job.write.change).get("accounts")
        if not wanted or not self._names.has("account") or job.key is None:
            return
        present = self._reader.fetch("counterparty", [job.key], {"accounts"}).get(job.key, {}).get("@accounts", [])
        there = {one["account"] for one in present}
        for one in wanted:
            if one["account"] not in there:
                self._beside("account", key_of("account", job.key, one["account"]), self._account(job.key, one), job)

    def _account(self, owner: str, account: Mapping[str, Json]) -> Raw:
        """A bank is written by hand, with its BIC: then it need not be in the base's directory of banks."""
        values: dict[str, Json] = {"account": account["account"], "owner": owner, "by_hand": True}
        values |= {"bic": account.get("bic") or "", "bank_name": account.get("bank") or ""}
        named = {self._names.get("account", role): value for role, value in values.items()}
        body = {name: value for name, value in named.items() if name} | {"Description": str(account["account"])}
        if type_ := self._names.get("account", "owner_type"):
            body[type_] = f"StandardODATA.{self._names.need('counterparty')}"
        return self._defaults("account") | body

    # payments

    def _new_payment(self, job: Job) -> Raw:
        """A document of money for one order: whom it is of, and by which organisation, the order says."""
        change, thing, need = job.write.change, job.thing, self._names
        if not job.write.parent:
            raise Permanent("a payment needs the order it belongs to", cause="payment without order")
        if thing == "refund" and not self._posts:
            say = "a refund counts only when it is posted, which settings.post does not let us: say post: yes"
            raise Permanent(say, cause="refund not posted")
        if "amount" not in change:
            raise Permanent("a payment needs its amount", cause="payment without amount")
        order = self._calls.one(need.need("order"), job.write.parent)
        amount = float(exact(change["amount"]))
        body = self._document(thing)
        for role in ("counterparty", "partner", "organisation"):
            name, of_order = need.get(thing, role), need.get("order", role)
            if name and of_order and order.get(of_order, EMPTY) != EMPTY:
                body[name] = order[of_order]
        body |= self._currency(thing, change) | dict(change.get("fields") or {})
        body[need.need(thing, "total")] = amount
        if (operation := need.get(thing, "operation")) and (value := need.get(thing, "operation_is")):
            body[operation] = value
        body[need.need(thing, "rows")] = [self._split_row(thing, job.write.parent, amount, body)]
        return body | self._marked(job, body)

    def _split_row(self, thing: str, order: str, amount: float, body: Raw) -> Raw:
        need = self._names
        reference = need.need(thing, "row_order")
        row: Raw = {"LineNumber": "1", reference: order, need.need(thing, "row_amount"): amount}
        if not reference.endswith("_Key"):
            row[f"{reference}_Type"] = f"StandardODATA.{need.need('order')}"
        partner, of_body = need.get(thing, "row_partner"), need.get(thing, "partner")
        return row | ({partner: body[of_body]} if partner and of_body in body else {})

    def _resplit(self, job: Job, row: Raw) -> Raw:
        """The rows of one order come to another sum; the document's is more by the difference."""
        thing, need = job.thing, self._names
        section, field_, total = (need.need(thing, role) for role in ("rows", "row_amount", "total"))
        order, wanted = str(job.write.id).partition(":")[2], exact(job.write.change["amount"])
        rows = [{name: value for name, value in part.items() if name != KEY} for part in row.get(section) or []]
        settled = self._reader.settled_by(thing, [row])
        mine = [part for part in rows if self._reader.order_of(thing, part, settled) == order]
        more = wanted - sum((exact(part.get(field_)) for part in mine), exact(0))
        if not more:
            return {}
        mine[0][field_] = float(exact(mine[0].get(field_)) + more)
        return {section: rows, total: float(exact(row.get(total)) + more)}

    # what they have in common

    def _made(self, thing: str, key: str, body: Raw, job: Job | None = None) -> Raw:
        """Create an object under a key. One that is there under that key already is ours, of an attempt before."""
        set_ = self._names.need(thing)
        if job is not None:
            job.calls.append(f"POST {set_}")
            job.sent = body
        try:
            row = self._calls.create(set_, {KEY: key, **body})
        except Exists:
            return self._there(thing, key)
        self._memory.proved(OWN_KEYS, able=str(row[KEY]).lower() == key.lower())
        return row

    def _there(self, thing: str, key: str) -> Raw:
        """The object that has our key already. Raises Permanent when somebody marked it for deletion since."""
        row = self._calls.one(self._names.need(thing), key)
        if self._reader.removed(thing, row):
            say = f"{self._names.need(thing)}: {key} is there, and marked for deletion: lift the mark, then retry"
            raise Permanent(say, cause="marked for deletion")
        return row

    def _beside(self, thing: str, key: str, body: Raw, job: Job | None = None) -> Raw:
        """Create what the object needs beside it. Raises Dropped when the base keeps something else of it."""
        row = self._made(thing, key, body, job)
        if complaint := kept(self._names.need(thing), body, row):
            raise complaint
        return row

    def _marked(self, job: Job, body: Raw) -> Raw:
        """Our key in a text of the object, until we know that the base takes it for the object's own."""
        name = self._names.get(job.thing, "marker")
        if name is None or self._memory.able(OWN_KEYS):
            return {}
        return {name: f"{body.get(name) or ''} {mark(job.write.origin)}".strip()}

    def _defaults(self, record_type: str) -> Raw:
        """What the settings say of new objects: new.order.Склад_Key: <key>; yes and no are true and false there."""
        prefix = f"{_NEW}{record_type}."
        told = {name: value for name, value in self._settings.items() if name.startswith(prefix)}
        return {name.removeprefix(prefix): {"yes": True, "no": False}.get(value, value) for name, value in told.items()}

    def _resolved(self, body: Raw) -> Raw:
        """A state of УНФ's orders by its name."""
        for name, value in body.items():
            if isinstance(value, dict) and "@state" in value:
                body[name] = self._state(value["@state"])
        return body

    def _state(self, called: str) -> str:
        rows = self._reader.states()
        key = next((key for key, row in rows.items() if row.get("Description") == called), None)
        if key is None:
            self._reader.shelf.forget("states")
            say = f"{self._names.need('states')}: there is no state {called!r}: correct order_state in tables.yaml"
            raise Permanent(say, cause=f"no state {called}")
        return key

    def _posted(self, job: Job, row: Raw, *, changed: bool = True) -> Raw:
        """Post a document where the settings let us, and read what posting made of it."""
        posted = self._names.get(job.thing, "posted")
        again = bool(posted and row.get(posted) and changed)
        wanted = bool((job.write.begun or job.write.change).get("post", job.thing == "order"))
        first = bool(posted and not row.get(posted) and wanted and (job.write.id is None or job.write.begun))
        if not self._posts or not (again or first):
            return row
        job.calls.append(f"Post {self._set(job)}")
        self._calls.post(self._set(job), str(job.key))
        return self._calls.one(self._set(job), str(job.key))

    def _written(self, job: Job, row: Raw) -> Written:
        id_ = job.write.id or (f"{job.key}:{job.write.parent}" if job.write.record_type == "payment" else str(job.key))
        raw = self._record(job, row, id_)
        if raw is None:
            say = f"{self._set(job)}: what was written cannot be read: it is not what was asked for"
            raise UnknownOutcome(say, cause="written and not readable")
        return Written(id_, raw, ", ".join(dict.fromkeys(job.calls)), job.before)

    def _record(self, job: Job, row: Raw, id_: str | None = None) -> Raw | None:
        """A row as its translator reads it."""
        wanted = id_ or job.write.id
        return next((one.raw for one in self._reader.records(job.thing, [row]) if one.id == wanted), None)

    def _set(self, job: Job) -> str:
        return self._names.need(job.thing)

    def _now(self) -> str:
        return self._calls.now().astimezone(self._zone).replace(tzinfo=None, microsecond=0).isoformat()


def _money(write: Write) -> str:
    """Which document of money a write is of: a new one says it, a present one was read with it."""
    return str(write.change.get("thing") or (write.begun or {}).get("thing") or "receipt")


def _is(row: Raw, name: str, value: Json) -> bool:
    """Whether the object says this already; a table is compared by what is said of its rows."""
    found = row.get(name)
    if not isinstance(value, list) or not isinstance(found, list):
        return name in row and same(value, found)
    return len(value) == len(found) and all(
        same(cell, now.get(cell_name))
        for part, now in zip(value, found, strict=True)
        for cell_name, cell in part.items()
    )

