"""A 1C base that exchanges orders with its «site», run by run, as the node's job does: `Exchange(...).run()`.

It behaves as stock UT (and ERP), stock UNF or the BUS module does, quirks and faults included. `faults` breaks runs
by script, `settings` is the node, and the Report tells what happened on both sides of the protocol.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable

from bus.sandbox.onec import cml_catalog
from bus.sandbox.onec.base import Base
from bus.sandbox.onec.cml_faults import Faults
from bus.sandbox.onec.cml_http import Address, Wire
from bus.sandbox.onec.cml_info import directories
from bus.sandbox.onec.cml_intake import Intake
from bus.sandbox.onec.cml_outgoing import OutFile, Outgoing, packed
from bus.sandbox.onec.cml_profile import PROFILES, Profile
from bus.sandbox.onec.cml_registry import ORDERS, PARTIES, Registry
from bus.sandbox.onec.cml_report import Report, Reports
from bus.sandbox.onec.cml_session import Params, Refused, Session
from bus.sandbox.onec.cml_settings import Settings
from bus.sandbox.onec.cml_write_ut import NotWritten

Part = Callable[[Session, Report], None]


class Exchange:
    """One node of one base. Runs may overlap; what is loaded and registered is guarded by the base's lock."""

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        profile: str,
        base: Base,
        *,
        settings: Settings | None = None,
        timeout: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        seed: int | None = None,
    ) -> None:
        """`profile`: ut, unf, bus. `timeout` in seconds instead of the profile's own; `seed` repeats file names."""
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
        self.profile: Profile = PROFILES[profile]
        self.base = base
        self.settings = settings or Settings.of(profile)
        self.faults = Faults()
        self.reports = Reports()
        self.registry = Registry(base, profile)
        self._outgoing = Outgoing(base, profile, self.settings, self.registry, self.faults)
        self._wire = Wire(Address.parse(url), user, password, timeout or self.profile.timeout)
        self._sleep = sleep
        self._rng = random.Random(seed)

    def run(self) -> Report:
        """A whole run: goods if the node sends them, the site's orders in, 1C's out. Failures are in the report."""
        twin = self._twin()
        report = self._do(*self._parts())
        if twin:
            report.twin = twin()
        self.reports.add(report)
        return report

    def check(self) -> Report:
        """The button «check the connection»: a login for type catalog and nothing else."""
        return self._do(lambda session, _: session.checkauth("catalog"))

    def statuses(self) -> Report:
        """The button «load statuses» of UNF."""
        return self._do(self._load_statuses)

    def _do(self, *parts: Part) -> Report:
        """The parts one by one in one session, whatever became of the one before."""
        report = Report(self.profile.name)
        session = Session(
            self._wire,
            self.profile,
            faults=self.faults,
            sleep=self._sleep,
            sends_sessid=self.settings.sends_sessid,
        )
        for part in parts:
            try:
                part(session, report)
            except Refused as refusal:
                report.fail(refusal.step, refusal.text)
            except NotWritten as error:
                report.fail("write", str(error))
        report.asked = session.asked
        return report

    def _parts(self) -> list[Part]:
        """UT logs in for each direction, and one that fails does not stop the other; the rest is one dance."""
        goods: list[Part] = [self._goods] if self.settings.catalog else []
        return [*goods, *((self._ut_in, self._ut_out) if self.profile.logs_in_twice else (self._one_dance,))]

    def _twin(self) -> Callable[[], Report] | None:
        """The fault `parallel`: the same node's job once more, at the same time; call it for that run's report."""
        if not self.faults.take("parallel"):
            return None
        found: list[Report] = []
        thread = threading.Thread(target=lambda: found.append(self.run()), name="exchange-twin")
        thread.start()

        def wait() -> Report:
            thread.join()
            return found[0]

        return wait

    # the dances

    def _ut_in(self, session: Session, report: Report) -> None:
        session.checkauth()
        self._orders_in(session, report)

    def _ut_out(self, session: Session, report: Report) -> None:
        session.checkauth()
        self._orders_out(session, report, session.init())

    def _one_dance(self, session: Session, report: Report) -> None:
        session.checkauth()
        params = session.init()
        if self.settings.info:
            report.info = directories(session.info())
        if self._orders_in(session, report):
            self._orders_out(session, report, params)

    def _load_statuses(self, session: Session, report: Report) -> None:
        session.checkauth()
        report.info = directories(session.info())

    def _goods(self, session: Session, report: Report) -> None:
        session.checkauth("catalog")
        params = session.init("catalog")
        with self.base.lock:
            found = cml_catalog.files(self.base.objects, self._outgoing.now())
        for name, content in found.items():
            session.file(name, content, params, "catalog")
            report.files.append(name)
        for name in (cml_catalog.IMPORT, cml_catalog.OFFERS):
            session.finish(name, "catalog")

    # in

    def _orders_in(self, session: Session, report: Report) -> bool:
        """Load what the site offers; `success` goes out only when all of it was processed."""
        text = session.query()
        with self.base.lock:
            intake = Intake(self.base, self.profile.name, self.settings, report)
            whole = intake.load(text)
            self.registry.drop(ORDERS, intake.touched)  # or they would come back to the site at once
        if not whole:
            return False
        if self.faults.take("no_success"):
            raise Refused("success", "the run ended before it told the site")
        session.success()
        report.acknowledged = True
        return True

    # out

    def _orders_out(self, session: Session, report: Report, params: Params) -> None:
        """What is registered, tried as often as the node says; what the site does not import stays registered."""
        with self.base.lock:
            files = self._outgoing.files(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        for _ in range(self.settings.attempts - 1):
            try:
                return self._upload(session, report, params, files)
            except Refused as refusal:
                report.log.append(f"{refusal.step}: {refusal.text}; once more")
                session.checkauth()
                params = session.init()
        return self._upload(session, report, params, files)

    def _upload(self, session: Session, report: Report, params: Params, files: list[OutFile]) -> None:
        sent = [(one.name, one.content) for one in files]
        for name, content in [packed(files, self._rng)] if params.zipped and files else sent:
            session.file(name, content, params)
            report.files.append(name)
        if self.faults.take("crash_after_files"):
            raise Refused("import", "the run ended before it asked for the import")
        for one in files:
            if self.settings.waits_for_import:
                session.finish(one.name)
            self._taken(one, report)

    def _taken(self, file: OutFile, report: Report) -> None:
        with self.base.lock:
            self.registry.forget(file.of, file.keys)
        if file.of == PARTIES:
            report.sent_parties += len(file.labels)
        else:
            report.sent += file.labels
