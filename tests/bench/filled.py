"""A ledger filled by SQL, as years of use would fill it, and a look at the plans of what is asked of it."""

from __future__ import annotations

import re

import psycopg

from bus.ledger.database import Ledger

_LARGE = "event|entity|record|identity|delivery|dead_letter|conflict|history|history_other|trait|question|exchange_file"
_SCANNED = re.compile(rf"(?:Seq Scan on|Scan using \w+_pkey on) ({_LARGE})\b(?!.*\n +Index Cond)")
_WALKED = re.compile(rf"(?:Scan using|Bitmap Index Scan on) ((?:{_LARGE})_\w+)(?!.*\n +Index Cond)")

#: Orders 1..n of the shop, each a deal too, each heard of once, its delivery made. Entity ids follow from the number.
_ID = "('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_FIELDS = """jsonb_build_object('number', n::text, 'status', 'accepted', 'comment', 'comment ' || n,
  'customer.name', 'Customer ' || n, 'customer.phone', '+7900' || lpad(n::text, 7, '0'),
  'customer.email', n || '@example.org', 'delivery.address', mod(n, 97) || ' Long Street', 'payment_status', 'unpaid',
  'total', jsonb_build_object('amount', mod(n, 1000) + 100 || '.00', 'currency', 'RUB'))"""
_DATA = """jsonb_build_object('number', n::text, 'status', 'accepted', 'comment', 'comment ' || n,
  'total', jsonb_build_object('amount', mod(n, 1000) + 100 || '.00', 'currency', 'RUB'))"""
_LONG_AGO = "now() - interval '30 days' + n * interval '2 seconds'"
_STATEMENTS = (
    f"""INSERT INTO entity (id, kind, fields, said, revision)
        SELECT {_ID}, 'order', {_FIELDS}, jsonb_build_array(jsonb_build_array('2026-09-01T10:00:00+00:00', 'shop', n,
          'number', 'status', 'comment', 'customer.name', 'customer.phone', 'customer.email', 'delivery.address',
          'payment_status', 'total')), 1
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n""",
    f"""INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, received_at, sourceversion,
          version, data, state, outcome, entity_id, finished_at, attempts)
        SELECT 'shop', md5(n::text), 'order.changed', 'order/' || n, 'orders', 'order', {_LONG_AGO}, {_LONG_AGO}, '1',
          1, {_DATA}, 'done', 'APPLIED', {_ID}, {_LONG_AGO}, 1
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n""",
    f"""INSERT INTO record (entity_id, system, type, external_id, base, version, ours, state)
        SELECT {_ID}, system, type, n::text, {_FIELDS} - 'payment_status', 1, system = 'crm', 'linked'
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
             (VALUES ('shop', 'order'), ('crm', 'deal')) AS place (system, type)""",
    f"""INSERT INTO identity (kind, key, entity_id)
        SELECT 'order', start || CASE start WHEN 'bus/order/' THEN {_ID}::text ELSE n::text END, {_ID}
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
             unnest(ARRAY['shop/order/', 'crm/deal/', 'number/shop/', 'bus/order/']) AS start""",
    f"""INSERT INTO delivery (entity_id, system, state, wanted)
        SELECT {_ID}, 'crm', 'idle', 1 FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n""",
    f"""INSERT INTO history (at, entity_id, event_seq, actor, what, system, field, new, rule)
        SELECT {_LONG_AGO}, {_ID}, n, 'shop', 'changed', 'shop', field, '"accepted"', 'first word'
        FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n, unnest(ARRAY['status', 'comment']) AS field""",
)


def fill(database_url: str, first: int, last: int) -> None:
    """Add orders `first`..`last` with all that hangs on them, and let PostgreSQL know what it has."""
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as connection:
        for statement in _STATEMENTS:
            connection.execute(statement, {"first": first, "last": last})
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")  # what was filled is written now, not while something is measured


def fill_pending(database_url: str, count: int) -> None:
    """Add so many events that nobody has taken for an hour."""
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute(
            f"""INSERT INTO event (source, id, type, subject, channel, kind, occurred_at, due_at, sourceversion,
                  version, data, priority, state)
                SELECT 'shop', 'pending ' || n, 'order.changed', 'order/' || n, 'orders', 'order', now(),
                  now() - interval '1 hour', '2', 2, {_DATA}, CASE mod(n, 100) WHEN 0 THEN 0 ELSE 5 END, 'pending'
                FROM generate_series(1, %s::bigint) AS n""",
            [count],
        )
        connection.execute("ANALYZE event")
        connection.execute("CHECKPOINT")


class Plans:
    """Plans of the statements that were run, as PostgreSQL made them."""

    def __init__(self) -> None:
        self.all: list[str] = []

    @property
    def scans(self) -> set[str]:
        """Large tables that were read from one end to the other, with the statement that did it."""
        return {f"{table}: {_statement(plan)}" for plan in self.all for table in _SCANNED.findall(plan)}

    @property
    def walks(self) -> set[str]:
        """Indexes that were read from one end to the other: as bad, unless few rows are in them or few are wanted."""
        return {f"{index}: {_statement(plan)}" for plan in self.all for index in _WALKED.findall(plan)}


def _statement(plan: str) -> str:
    text = plan.partition("Query Text:")[2].partition("\n  ->")[0]
    return " ".join(text.split())[:160]


def watch(ledger: Ledger) -> Plans:
    """Note the plan of every statement that a ledger of one connection runs from now on, slow or not."""
    plans = Plans()
    with ledger.transaction() as connection:
        for setting in (
            "LOAD 'auto_explain'",
            "SET auto_explain.log_min_duration = 0",
            "SET client_min_messages = log",
        ):
            connection.execute(setting)
        connection.add_notice_handler(lambda notice: plans.all.append(notice.message_primary or ""))
    return plans
