"""Bitrix CMS, module sale: orders and payments, each write enclosed by reads in the same request."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from bus.config import System
from bus.errors import BusError, ConfigError, Permanent
from bus.model import Json
from bus.ports import Alike, Failed, Finding, Raw, RawRecord, Write, Written
from bus.systems.bitrix_called import Called
from bus.systems.bitrix_errors import NotFound
from bus.systems.bitrix_rest import PAGE, Command, Rest, Result, rows_of
from bus.systems.findings import scope_finding, user_finding
from bus.systems.jobs import Asked, Job, alive, carry, carry_together, chunks, numbers, value_of

_LISTS = {"order": "orders", "payment": "payments"}
"""Record types, and the key of their lists: sale.order.list answers "orders"."""


class BitrixCms(Called):
    """Adapter of kind "bitrix_cms"; raw of an "order" and a "payment" as sale.order.get, sale.payment.get answer."""

    kind = "bitrix_cms"
    batch = 48
    reach = 96

    def __init__(self, system: str, config: System, rest: Rest) -> None:
        super().__init__(rest)
        self.system, self._config = system, config
        self._property_ids: dict[tuple[str, str], int] = {}

    def with_urgency(self, urgent: bool) -> BitrixCms:
        """A copy that shares connections and limits, and may (or may not) use the payments' reserve."""
        return BitrixCms(self.system, self._config, self._rest.with_urgency(urgent))

    def portion(self, record_type: str) -> int:
        """A request's worth, of either."""
        del record_type
        return self.batch

    def alike(self, record_type: str, wanted: Mapping[str, Alike]) -> dict[str, list[RawRecord]]:
        """A shop keeps no counterparties of its own."""
        del record_type, wanted
        return {}

    def glance(self, record_type: str, ids: Sequence[str]) -> dict[str, Raw]:
        """Nothing: an order is read by a command of its own, whatever of it is wanted."""
        del record_type, ids
        return {}

    def fetch(self, record_type: str, ids: Sequence[str], parts: Collection[str] | None = None) -> dict[str, Raw]:
        """A request for each 48 records, which come whole; those that are not found are absent."""
        del parts
        _known(record_type)
        found: dict[str, Raw] = {}
        for chunk in chunks(numbers(ids), self.batch):
            outcomes = self._rest.batch([_get(record_type, one) for one in chunk])
            for one, outcome in zip(chunk, outcomes, strict=True):
                if not isinstance(outcome, NotFound):
                    found[str(one)] = value_of(outcome)[record_type]
        return self._of_their_orders(found) if record_type == "payment" else found

    def _of_their_orders(self, payments: dict[str, Raw]) -> dict[str, Raw]:
        """Payments with what only their orders know: the version that counts their changes, its date, the currency."""
        orders: dict[str, Raw] = {}
        ids = numbers(str(payment.get("orderId")) for payment in payments.values())
        for chunk in chunks(ids, self.batch):
            outcomes = self._rest.batch([_get("order", one) for one in chunk])
            for one, outcome in zip(chunk, outcomes, strict=True):
                if isinstance(outcome, Result):
                    orders[str(one)] = outcome.value["order"]
        return {one: _of_order(raw, orders.get(str(raw.get("orderId")))) for one, raw in payments.items()}

    def find(self, record_type: str, origins: Sequence[str]) -> dict[str, RawRecord]:
        """Records created under our keys (xmlId); should one key have two, the older."""
        _known(record_type)
        ids: dict[str, str] = {}
        for chunk in chunks(dict.fromkeys(origins), PAGE):
            where = {"select": ["id", "xmlId"], "filter": {"@xmlId": chunk}}
            for row in self._rest.listed(f"sale.{record_type}.list", _LISTS[record_type], where):
                ids.setdefault(str(row["xmlId"]), str(row["id"]))
        raws = self.fetch(record_type, list(ids.values()))
        return {origin: RawRecord(record_type, one, raws[one]) for origin, one in ids.items() if one in raws}

    def changed(self, record_type: str, since: datetime) -> Iterator[list[RawRecord]]:
        """Orders by time of change, complete; payments come along inside them and have no pages of their own."""
        _known(record_type)
        if record_type != "order":
            return
        select = {"select": ["id", "dateUpdate"]}
        ids = self._rest.modified("sale.order.list", "orders", select, stamp="dateUpdate", since=since)
        for chunk in chunks(ids, self.batch):
            raws = self.fetch(record_type, chunk)
            yield [RawRecord(record_type, one, raws[one]) for one in dict.fromkeys(chunk) if one in raws]

    def write(self, writes: Sequence[Write]) -> list[Written | Failed]:
        """Updates are [get, update, get] in one request: `before` is the first get, `raw` the last.

        Never raises for the call as a whole: a failed request is the failure of each write in it.
        """
        jobs = [Job(write, write.id) for write in writes]
        orders = [job for job in jobs if job.write.record_type == "order"]
        payments = [job for job in jobs if job.write.record_type == "payment"]
        for job in jobs:
            _known(job.write.record_type)
        self._create_orders([job for job in orders if job.creates])
        self._update_orders([job for job in orders if not job.creates])
        self._create_payments([job for job in payments if job.creates])
        self._update_payments([job for job in payments if not job.creates])
        return [job.outcome() for job in jobs]

    def check(self) -> Iterable[Finding]:
        """Reachable, as whom, with which scopes, and whether that user may read orders (only administrators may)."""
        try:
            profile, scope, orders = self._rest.batch(
                [("profile", {}), ("scope", {}), ("sale.order.list", {"select": ["id"], "start": -1})]
            )
        except BusError as error:
            return [Finding("connection", ok=False, say=str(error))]
        readable = isinstance(orders, Result)
        return [
            Finding("connection", ok=True, say="the shop answers"),
            user_finding(profile, self._config.integration_user),
            scope_finding(scope, "sale"),
            Finding("orders", ok=readable, say="orders can be read" if readable else str(orders)),
        ]

    def codes(self, table: str) -> Mapping[str, str]:
        """Order statuses; their names are in a list of their own, by language."""
        if table != "order_status":
            return {}
        statuses, names = self._rest.batch(
            [
                ("sale.status.list", {"filter": {"type": "O"}, "order": {"sort": "ASC"}}),
                ("sale.statusLang.list", {"filter": {"lid": self._setting("language", "ru")}}),
            ]
        )
        known = rows_of(names.value, "statusLangs") if isinstance(names, Result) else []
        called = {str(row["statusId"]): str(row["name"]) for row in known}
        codes = [str(row["id"]) for row in rows_of(value_of(statuses), "statuses")]
        return {code: called.get(code, code) for code in codes}

    def _update_orders(self, jobs: list[Job]) -> None:
        """Properties are sent all or they are erased (docs of sale.propertyvalue.modify); present ones are read.

        An order whose creation broke off gets the goods that it lacks.
        """
        looked = [job for job in jobs if job.change.get("properties") or job.write.begun]
        carry(self._rest, [(job, "present", _get("order", _id(job))) for job in looked])
        for job in alive(looked):
            self._merge_properties(job, job.answers["present"]["order"])
        begun = [job for job in alive(looked) if job.write.begun]
        carry(self._rest, [asked for job in begun for asked in _goods(job, job.answers["present"]["order"])])
        self._enclosed([(job, _order_commands(job)) for job in alive(jobs)], "order")

    def _update_payments(self, jobs: list[Job]) -> None:
        """An update demands paySystemId each time; the present one is kept where the change names none."""
        looked = [job for job in jobs if "paySystemId" not in _fields(job) or job.change.get("currency")]
        carry(self._rest, [(job, "present", _get("payment", _id(job))) for job in looked])
        self._refuse_foreign(alive(jobs))
        self._enclosed([(job, _payment_commands(job)) for job in alive(jobs)], "payment")

    def _enclosed(self, due: list[tuple[Job, list[Asked]]], record_type: str) -> None:
        """Each job's commands between two gets, all in one request: what the first shows is what our write met."""
        groups = []
        for job, asked in due:
            get = _get(record_type, _id(job))
            parent = job.write.parent if record_type == "payment" else None
            order = [(job, "order", _get("order", int(parent)))] if parent and parent.isdecimal() else []
            groups.append([(job, "before", get), *asked, (job, "after", get), *order])
        carry_together(self._rest, groups)
        for job in alive(job for job, _ in due):
            job.before = job.answers["before"][record_type]
            job.raw = job.answers["after"][record_type]
            if "order" in job.answers:
                job.raw = _of_order(job.raw, job.answers["order"]["order"])

    def _create_orders(self, jobs: list[Job]) -> None:
        carry(self._rest, [(job, "added", self._order_add(job)) for job in jobs])
        for job in alive(jobs):
            order = job.answers["added"]["order"]
            job.id = str(order["id"])
            if job.change.get("properties"):
                self._merge_properties(job, order)
        carry(self._rest, [asked for job in alive(jobs) for asked in _filling(job)])
        carry(self._rest, [(job, "after", _get("order", _id(job))) for job in alive(jobs)])
        for job in alive(jobs):
            job.raw = job.answers["after"]["order"]

    def _order_add(self, job: Job) -> Command:
        currency = next((line["currency"] for line in _basket(job) if line.get("currency")), None)
        fields = {
            "lid": self._setting("site", "s1"),
            "personTypeId": self._setting("person_type", "1"),
            "currency": currency or self._setting("currency", "RUB"),
            **_fields(job),
            "xmlId": job.write.origin,
        }
        return "sale.order.add", {"fields": fields}

    def _create_payments(self, jobs: list[Job]) -> None:
        for job in jobs:
            if not job.write.parent:
                job.fail(Permanent("a payment needs the order it belongs to", cause="payment without order"))
            elif not self._pay_system(job):
                say = "the system's settings name no pay_system for payments that come from elsewhere"
                job.fail(Permanent(say, cause="settings pay_system"))
        self._refuse_foreign(alive(jobs))
        carry(self._rest, [(job, "added", self._payment_add(job)) for job in alive(jobs)])
        for job in alive(jobs):
            payment = job.answers["added"]["payment"]
            job.id, job.raw = str(payment["id"]), {**payment, "orderId": payment.get("orderId") or job.write.parent}
        created = {str(job.id): job.raw for job in alive(jobs)}
        if created:
            try:
                created = self._of_their_orders(created)
            except BusError as error:
                for job in alive(jobs):
                    job.fail(error)
        for job in alive(jobs):
            job.raw = created[str(job.id)]

    def _refuse_foreign(self, jobs: list[Job]) -> None:
        """A payment is in its order's currency there: a sum of another one would be taken for as many of these.

        Asked of the order where the payment itself does not say.
        """
        said = [job for job in jobs if job.change.get("currency")]
        asking = [(job, whose) for job in said if not _currency(job) and (whose := job.write.parent or "").isdecimal()]
        carry(self._rest, [(job, "whose", _get("order", int(whose))) for job, whose in asking])
        for job in alive(said):
            currency, own = job.change["currency"], _currency(job)
            if own and own != currency:
                say = f"amount: {currency} is told, and the order here is in {own}, which its payments are in too"
                say += "; correct the payment or the order where it is wrong, or enter the payment here by hand"
                job.fail(Permanent(say, cause=f"amount {currency} for {own}"))

    def _payment_add(self, job: Job) -> Command:
        own = {"orderId": job.write.parent, "paySystemId": self._pay_system(job), "xmlId": job.write.origin}
        return "sale.payment.add", {"fields": {**_fields(job), **own}}

    def _pay_system(self, job: Job) -> Json:
        return _fields(job).get("paySystemId") or self._config.settings.get("pay_system")

    def _merge_properties(self, job: Job, order: Raw) -> None:
        """All properties of the order with ours laid over, into `answers["properties"]`; nothing when none differs."""
        present = rows_of(order.get("propertyValues"), "propertyValues")
        merged = {int(row["orderPropsId"]): row.get("value") for row in present}
        ids = {str(row["code"]): int(row["orderPropsId"]) for row in present if row.get("code")}
        try:
            person_type = str(order.get("personTypeId"))
            due = {ids.get(code) or self._property(person_type, code): value for code, value in _said(job).items()}
        except BusError as error:
            job.fail(error)
            return
        if all(_same(merged.get(one), value) for one, value in due.items()):
            return
        values = [{"orderPropsId": one, "value": value} for one, value in (merged | due).items()]
        job.answers["properties"] = {"order": {"id": _id(job), "propertyValues": values}}

    def _property(self, person_type: str, code: str) -> int:
        """Id of a property that the order has no value of yet. Raises Permanent when the shop has no such property."""
        key = person_type, code
        if key not in self._property_ids:
            where = {"filter": {"personTypeId": person_type, "code": code}, "select": ["id", "code"]}
            rows = self._rest.page("sale.property.list", "properties", where)
            if not rows:
                say = f"order property {code!r}: the shop has none for person type {person_type}; create it there"
                raise Permanent(say, cause=f"property {code}")
            self._property_ids[key] = int(rows[0]["id"])
        return self._property_ids[key]

    def _setting(self, name: str, default: str) -> str:
        return self._config.settings.get(name, default)


def _known(record_type: str) -> None:
    if record_type not in _LISTS:
        raise ConfigError(f"bitrix_cms has no records of type {record_type!r}, only {', '.join(_LISTS)}")


def _id(job: Job) -> int:
    return int(job.id or 0)


def _get(record_type: str, one: int) -> Command:
    return f"sale.{record_type}.get", {"id": one}


def _of_order(payment: Raw, order: Raw | None) -> Raw:
    if order is None:
        return payment
    known = {"orderVersion": "version", "orderDateUpdate": "dateUpdate", "orderCurrency": "currency"}
    return payment | {name: order.get(key) for name, key in known.items()}


def _currency(job: Job) -> str | None:
    """Of what was read of the payment or its order before the write."""
    payment, order = job.answers.get("present", {}).get("payment"), job.answers.get("whose", {}).get("order")
    said = (payment or {}).get("currency") or (order or {}).get("currency")
    return str(said) if said else None


def _fields(job: Job) -> dict[str, Json]:
    return dict(job.change.get("fields") or {})


def _said(job: Job) -> dict[str, Json]:
    return dict(job.change.get("properties") or {})


def _order_commands(job: Job) -> list[Asked]:
    fields = _fields(job)
    asked: list[Asked] = []
    if fields:
        asked.append((job, "updated", ("sale.order.update", {"id": _id(job), "fields": fields})))
    return asked + _modify(job)


def _modify(job: Job) -> list[Asked]:
    merged = job.answers.get("properties")
    return [(job, "modified", ("sale.propertyvalue.modify", {"fields": merged}))] if merged else []


def _payment_commands(job: Job) -> list[Asked]:
    fields = _fields(job)
    if "present" in job.answers:
        fields = {"paySystemId": job.answers["present"]["payment"].get("paySystemId"), **fields}
    return [(job, "updated", ("sale.payment.update", {"id": _id(job), "fields": fields}))]


def _filling(job: Job) -> list[Asked]:
    """What a new order gets after it was added: its goods, then its properties."""
    return _goods(job, job.answers["added"]["order"]) + _modify(job)


def _goods(job: Job, order: Raw) -> list[Asked]:
    """The goods that the order lacks. A row is known by its key: the order's and the row's place.

    Where somebody has put the same goods into it by hand, that row counts as ours. The price is said to be our own
    (customPrice), or the shop puts its catalogue's in its place (docs of sale.basketitem.add).
    """
    present = rows_of(order.get("basketItems"), "basketItems")
    keys = {str(item.get("xmlId")) for item in present}
    due = [(f"{job.write.origin}/{at}", line) for at, line in enumerate(_basket(job), 1)]
    ours = {key for key, _ in due}
    others = [item for item in present if str(item.get("xmlId")) not in ours]
    asked: list[Asked] = []
    for key, line in due:
        twin = next((item for item in others if key not in keys and _same_goods(item, line)), None)
        if twin:
            others.remove(twin)
        elif key not in keys:
            asked.append((job, key, ("sale.basketitem.add", {"fields": _good(job, order, line) | {"xmlId": key}})))
    return asked


def _good(job: Job, order: Raw, line: Raw) -> Raw:
    own = {"customPrice": "Y", "basePrice": line.get("price"), "discountPrice": 0, "productId": 0}
    return {"canBuy": "Y", **own, **line, "orderId": _id(job), "currency": order.get("currency")}


def _same_goods(item: Raw, line: Raw) -> bool:
    named = _same(item.get("name"), line.get("name")) or (
        bool(line.get("productId")) and _same(item.get("productId"), line["productId"])
    )
    return named and Decimal(str(item.get("quantity") or 0)) == Decimal(str(line.get("quantity") or 0))


def _basket(job: Job) -> list[Raw]:
    return list((job.write.begun or job.change).get("basket") or [])


def _same(present: Json, wanted: Json) -> bool:
    return ("" if present is None else str(present)) == ("" if wanted is None else str(wanted))
