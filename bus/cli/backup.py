"""`bus backup`, `bus restore`: a copy of the ledger, and the ledger from a copy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from bus import backup, restore
from bus.cli import screen
from bus.cli.letters import Actor
from bus.cli.plain import TERMINATED, stoppable
from bus.cli.wiring import Wiring, wired
from bus.errors import BadInput
from bus.restore import Restored
from bus.systems import onec_memory

_PING_S = 0.5
_MB = 1_000_000


def back_up(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to make, or a folder, where it gets a name with its time.")
    ] = Path(),
    *,
    keep: Annotated[
        int | None, typer.Option(min=1, help="With a folder: leave only so many of those that bear such names.")
    ] = None,
    within: Annotated[
        int, typer.Option(min=1, help="Minutes after which it is given up, with all that it began.")
    ] = round(backup.WITHIN_S / 60),
) -> None:
    """Copy the ledger into one file, while the bus works. It holds customers' data: keep it where nobody else reads."""
    url = wired(context).settings.database()
    begun = datetime.now(UTC)
    with stoppable(TERMINATED), screen.err().status("backing up; Ctrl-C leaves nothing behind"):
        made = backup.back_up(url, target, keep, within_s=within * 60)
    took = (datetime.now(UTC) - begun).total_seconds()
    typer.echo(
        f"{made.file}: {made.manifest.bytes / _MB:.1f} MB in {took:.0f} s, "
        f"version {made.manifest.revision}, as of {screen.plain(made.manifest.made_at)} UTC"
    )
    for old in made.forgotten:
        typer.echo(f"removed {old}")


def bring_back(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="What `bus backup` made.")] = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Throw away what the ledger holds now.")] = False,
    by_other_means: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"],
            help="Restore nothing: the database was restored otherwise (WAL, snapshot), to this moment in UTC.",
        ),
    ] = None,
    actor: Actor,
) -> None:
    """Make the ledger what a backup has. Stop every process of the bus first.

    What happened since is not in it: until each system was read whole, by the first `bus reconcile` that succeeds,
    nothing is written to any of them.
    """
    if (file is None) == (by_other_means is None):
        raise typer.BadParameter("name a FILE, or --by-other-means TIME")
    wiring = wired(context)
    _nobody_works(wiring)
    url = wiring.settings.database()
    with stoppable(TERMINATED), screen.err().status("restoring; broken off, the ledger stays as it is"):
        if by_other_means is not None:
            done = restore.note(url, by_other_means.replace(tzinfo=UTC), actor)
        elif file is not None:
            done = restore.restore(url, file, replace=replace, actor=actor)
    _forget_versions(wiring)
    _tell(done)


def _nobody_works(wiring: Wiring) -> None:
    """Workers that have no connection to the ledger just now answer over the broker. Raises BadInput when one does."""
    try:
        answers = wiring.celery.control.ping(timeout=_PING_S)
    except (RedisError, OperationalError, OSError):
        return  # without a broker no worker takes anything
    if names := sorted(name for answer in answers for name in answer):
        raise BadInput(f"workers are running: {', '.join(names)}; stop them, beat and intake first", field="workers")


def _forget_versions(wiring: Wiring) -> None:
    """What 1C bases had told of by the end, the ledger does not know. It reads everything in any case."""
    try:
        onec_memory.forget(wiring.redis)
    except RedisError:
        screen.err().print("the broker cannot be used; that does no harm: everything is read anew")


def _tell(done: Restored) -> None:
    age = screen.age((datetime.now(UTC) - done.since).total_seconds())
    typer.echo(f"the ledger is as of {screen.plain(done.since)} UTC, {age} ago")
    typer.echo("start the bus; nothing is written anywhere until `bus reconcile` has read every system whole")
    typer.echo("then send again what event sources and statements told since; what is there is recognised")
    typer.echo(
        f"forgotten is what people decided since: look at `bus switch list` ({done.switches} turned), "
        "`bus conflicts list`, `bus matches list`; erase again who was erased"
    )
