"""`bus erase`: somebody asks to be forgotten: what of a person is in the ledger goes, sums stay."""

from __future__ import annotations

from typing import Annotated

import typer

from bus.cli import screen
from bus.cli.letters import Actor
from bus.cli.wiring import wired
from bus.erasing import Done, Plan
from bus.errors import BadInput

_ELSEWHERE = """not touched: the systems themselves (erase the person there, in their own ways); backups; watched
folders, tables that were imported, and what lies beside them; messages on the queues, which are gone in a moment"""
_LEFT = "still found, in rows of others who share a phone, an e-mail, a name or an address with this person"


def erase(
    context: typer.Context,
    *,
    counterparty: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="An entity's id, a record (crm/party/company:12), or an INN; with its orders."
        ),
    ] = None,
    order: Annotated[
        list[str] | None, typer.Option(metavar="NUMBER", help="The person of this order; may be given several times.")
    ] = None,
    lift: Annotated[
        str | None, typer.Option(metavar="KEY", help="Take in again what this record, or order, says of its person.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; it cannot be undone. Without it, show what would go.")
    ] = False,
    actor: Actor,
) -> None:
    """Take a person's data out of the ledger, and keep them out; sums, dates, numbers and statuses stay."""
    erasing = wired(context).erasing
    if (lift is not None) == bool(counterparty or order):
        raise BadInput("say whom: --counterparty KEY or --order NUMBER; or --lift KEY", field="counterparty")
    if lift is not None:
        typer.echo(f"lifted: {erasing.lift(lift, actor)} records are taken in again, as they are told next")
        return
    plan = erasing.plan(counterparty, order or [])
    _show(plan)
    if yes:
        _tell(erasing.carry_out(plan, actor))
    else:
        screen.err().print("nothing was changed: say it again with --yes")
    screen.err().print(_ELSEWHERE)


def _show(plan: Plan) -> None:
    lines = [("counterparty", str(entity), "") for entity in plan.parties]
    lines += [("order", order.number, order.why) for order in plan.orders]
    lines += [
        ("left alone", order.number, f"{order.why}: look, then --order {order.number}") for order in plan.possible
    ]
    lines += [("left alone", entity, f"another counterparty: {why}") for entity, why in plan.alike]
    lines += [
        ("question", str(one), f"may be this person: answer it first, bus matches show {one}") for one in plan.asked
    ]
    lines += [("record", record, "not taken in again, not written") for record in plan.records]
    lines += [("exchange file", str(file), "its body goes") for file in plan.files]
    lines += [("exchange file", str(file), "still to be imported: wait for that") for file in plan.busy]
    screen.table("erase", ("what", "which", "why"), lines)


def _tell(done: Done) -> None:
    screen.table("erased", ("table", "rows"), sorted(done.rows.items()), empty="nothing was left to erase")
    if done.files:
        typer.echo(f"bodies of exchange files dropped: {', '.join(map(str, done.files))}")
    screen.table(_LEFT, ("table", "rows"), sorted(done.left.items()), empty="nothing")
