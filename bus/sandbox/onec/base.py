"""The base: its data, what people can do in it, and what an administrator sets up. It tells nobody of anything."""

from __future__ import annotations

from typing import Any

from starlette.routing import BaseRoute, Route

from bus.sandbox.envelope import RestError, Row
from bus.sandbox.onec import predefined
from bus.sandbox.onec.acts import Acts
from bus.sandbox.onec.objects import SCHEMA, Objects
from bus.sandbox.onec.odata.door import Door
from bus.sandbox.onec.odata.nodes import Nodes
from bus.sandbox.onec.odata.published import ROOT
from bus.sandbox.onec.odata.sessions import Sessions
from bus.sandbox.onec.switches import Switches
from bus.sandbox.outbox import Letter
from bus.sandbox.site import Event, Hit, Site


class Base(Site):
    """A stand-in УТ 11.5. `objects` is the data (hold `lock` while you use it), `switches` what is set up."""

    kind = "onec"

    def __init__(self, *, login: str = "bus", password: str = "secret", **options: Any) -> None:  # noqa: S107  # opens nothing
        self.login = login
        self.password = password
        super().__init__(**{"cloud": False, **options})

    def blank(self) -> None:
        self.switches = Switches()
        self.objects = Objects(self.clock, self.rng, self.switches)
        self.objects.watches.append(self._note)
        self.acts = Acts(self.objects)
        self.nodes = Nodes(self.objects)
        self.sessions = Sessions(self.clock, self.switches)
        self.changes.muted = True
        predefined.lay(self.objects)
        self.changes.muted = False

    def entry(self, base: str) -> str:
        """The interface's root."""
        return f"{base}{ROOT}/"

    def doors(self) -> list[BaseRoute]:
        door = Door(self)
        return [Route(f"{ROOT}/{{path:path}}", door), Route(ROOT, door)]

    def perform(self, act: Row, hit: Hit) -> Row:
        """See acts.Acts.perform."""
        del hit
        return self.acts.perform(act)

    def state(self, what: Row) -> Row:
        """Rows by set: `of` some sets, `ids` those keys, `fields` only these; `count` counts a field's values."""
        names = str(what["of"]).split(",") if what.get("of") else list(SCHEMA)
        ids = set(str(what["ids"]).split(",")) if what.get("ids") else None
        found = {
            name: [row for row in self.objects.rows(name) if ids is None or row.get("Ref_Key") in ids] for name in names
        }
        if what.get("count"):
            return {name: _counted(rows, str(what["count"])) for name, rows in found.items()}
        fields = [*str(what["fields"]).split(","), "Ref_Key"] if what.get("fields") else None
        return {name: [_chosen(row, fields) for row in rows] for name, rows in found.items()}

    def settings(self, spec: Row) -> Row:
        """See switches.Switches; `plan` opens the exchange plan's nodes, and changes are registered from then on."""
        settings = self.switches.configure(spec)
        if self.switches.plan:
            self.nodes.open()
        return settings

    def letters(self, event: Event, hit: Hit) -> list[Letter]:
        """None: a stock 1C calls nobody when something changes."""
        del event, hit
        return []

    def check_webhook(self, hook: Row) -> None:
        del hook
        raise RestError("NO_WEBHOOKS", "a 1C base calls nobody; poll it, or let its CommerceML exchange call the bus")

    def _note(self, name: str, old: Row | None, new: Row | None) -> None:
        row = new or old or {}
        key = row.get("Ref_Key") or "|".join(str(row[part]) for part in SCHEMA[name].keys)
        self.changes.note(name, old and old | {"id": key}, (new or {}) | {"id": key})


def _counted(rows: list[Row], field: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        counts[str(row.get(field))] = counts.get(str(row.get(field)), 0) + 1
    return counts


def _chosen(row: Row, fields: list[str] | None) -> Row:
    return row if fields is None else {name: row[name] for name in fields if name in row}
