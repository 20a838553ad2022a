"""Meeting: a counterparty that we are about to create may be there already, under nobody's key; then it is linked.

The system is asked for whoever has the INN, a phone or an e-mail. One that it surely is gets linked, and is read and
written from then on like any other; of those that it may be a person chooses; where there is neither, it is created.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial

from bus import matching
from bus.claimed import Job
from bus.creating import know
from bus.errors import POISON, BusError, NotReady, Permanent
from bus.ledger import entities, questions
from bus.ledger.database import Connection
from bus.ledger.questions import NEW, Question
from bus.matching import Likeness
from bus.model import Fields, flatten
from bus.observe import fetched, parted
from bus.parts import Parts
from bus.ports import Adapter, RawRecord
from bus.recognising import shown
from bus.translate import translated

_ASKED_S, _AGAIN_S = 3600.0, 1.0

_Candidate = tuple[RawRecord, Fields]


class Meeting:
    """Looks for counterparties in one system before they are created there."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, reload: Callable[[Collection[Job]], None]) -> None:
        self._system, self._adapter, self._parts, self._reload = system, adapter, parts, reload
        self._kind = parts.config.systems[system].kind

    def meet(self, record_type: str, jobs: Sequence[Job]) -> dict[Job, BusError]:
        """Link those that are there. Returns those that are not to be created now, each with the reason.

        A record that two are surely at once says too little to be either: a person is asked about both.
        """
        wanted = [job for job in jobs if job.known.view.kind == "counterparty" and not _under_way(job)]
        if not wanted:
            return {}
        with self._parts.ledger.transaction() as connection:
            answers = questions.answers(connection, {(self._system, _subject(record_type, job)) for job in wanted})
        told = {job: answers.get((self._system, _subject(record_type, job))) for job in wanted}
        chosen = {job: answer for job, answer in told.items() if answer is not None and answer != NEW}
        gone = self._gone(record_type, chosen)
        left: dict[Job, BusError] = {
            job: _of_another(answer)
            for job, answer in chosen.items()
            if job not in gone and not self._link(job, answer)
        }
        left |= self._judge(record_type, [job for job in wanted if told[job] is None or job in gone])
        self._reload([job for job in wanted if job not in left])
        return left

    def _gone(self, record_type: str, chosen: Mapping[Job, str]) -> set[Job]:
        """Those for whom a person chose a record that was deleted, or merged, since it was shown: that is no answer."""
        named = {job: answer.partition("/")[2] for job, answer in chosen.items()}
        there, hidden = fetched(self._adapter, record_type, sorted({*named.values()}), ()) if named else ({}, {})
        gone = {job for job, record in named.items() if record not in there and record not in hidden}
        for job in gone:
            back = partial(questions.take_back, entity=job.id, system=self._system, subject=chosen[job])
            self._parts.ledger.run(back)
        return gone

    def _judge(self, record_type: str, jobs: Sequence[Job]) -> dict[Job, BusError]:
        candidates, left = self._candidates(record_type, jobs)
        judged = {job: matching.judge(job.known.view.fields, some) for job, some in candidates.items()}
        wanted_by = Counter(one.same[0].id for one in judged.values() if one.same)
        for job, one in judged.items():
            asks = one.asks
            if one.same and wanted_by[one.same[0].id] > 1:
                asks = ((one.same, matching.likeness(job.known.view.fields, one.same[1])),)
            elif one.same and not self._link(job, f"{record_type}/{one.same[0].id}"):
                left[job] = self._later("its record was linked to somebody else just now", _AGAIN_S, "linked meanwhile")
            if asks:
                self._ask(record_type, job, asks)
                left[job] = self._later("a person is asked who this is: see `bus matches`", _ASKED_S, "who is this")
        self._moot(record_type, [job for job in jobs if job not in left])
        return left

    def _later(self, say: str, seconds: float, cause: str) -> NotReady:
        """Looked at again by and by: a question may answer itself."""
        return NotReady(say, until=self._parts.now() + timedelta(seconds=seconds), cause=cause)

    def _moot(self, record_type: str, jobs: Sequence[Job]) -> None:
        subjects = {(self._system, _subject(record_type, job)) for job in jobs}
        self._parts.ledger.run(partial(questions.moot, subjects=subjects))

    def _candidates(
        self, record_type: str, jobs: Sequence[Job]
    ) -> tuple[dict[Job, list[tuple[_Candidate, Fields]]], dict[Job, BusError]]:
        """Who is there that they may be, without those that are known as somebody else; and who that cannot tell."""
        if not jobs:
            return {}, {}

        def ask(some: Sequence[Job]) -> Mapping[str, list[RawRecord]]:
            return self._adapter.alike(
                record_type, {str(job.id): matching.alike(job.known.view.fields) for job in some}
            )

        found, left = parted(ask, jobs)
        by_key = {self._key(one): one for some in found.values() for one in some}
        with self._parts.ledger.transaction() as connection:
            taken = self._of_others(connection, by_key)
        says = {key: self._says(one) for key, one in by_key.items() if key not in taken}
        candidates: dict[Job, list[tuple[_Candidate, Fields]]] = {}
        for job in jobs:
            if job in left:  # who may be it is hidden from us
                continue
            said = [(one, says[key]) for one in found.get(str(job.id), ()) if (key := self._key(one)) in says]
            if troubles := [trouble for _, trouble in said if isinstance(trouble, BusError)]:
                left[job] = troubles[0]
            else:
                candidates[job] = [((one, fields), fields) for one, fields in said if isinstance(fields, dict)]
        return candidates, left

    def _of_others(self, connection: Connection, by_key: Mapping[str, RawRecord]) -> set[str]:
        """Those that are known as somebody's, or that a person called one of its own, be it not heard yet."""
        subjects = {(self._system, f"{one.type}/{one.id}"): key for key, one in by_key.items()}
        answers = questions.answers(connection, subjects)
        own = {key for subject, key in subjects.items() if answers.get(subject) == NEW}
        return own | entities.find(connection, "counterparty", by_key).keys()

    def _says(self, record: RawRecord) -> Fields | BusError:
        """One that cannot be read holds up nobody but those who may be it."""
        translator = self._parts.mappings.translator(self._kind, record.type)
        tables = self._parts.mappings.tables(self._system, self._kind)
        try:
            return flatten("counterparty", translated(partial(translator.to_canonical, record.raw, tables)).data)
        except (BusError, *POISON) as error:
            why = str(error) if isinstance(error, BusError) else type(error).__name__
            say = f"{record.type}/{record.id}, which it may be, cannot be read: {why}"
            return Permanent(say, cause="unreadable candidate")

    def _key(self, record: RawRecord) -> str:
        return f"{self._system}/{record.type}/{record.id}"

    def _link(self, job: Job, subject: str) -> bool:
        """It is this record; False where that is somebody else's by now."""
        record_type, _, external_id = subject.partition("/")

        def commit(connection: Connection) -> bool:
            key = f"{self._system}/{subject}"
            entities.key_locks(connection, [key])
            if entities.find(connection, "counterparty", [key]).get(key, job.id) != job.id:
                return False
            know(self._system, job.known, record_type, external_id, connection)
            return True

        return self._parts.ledger.run(commit)

    def _ask(self, record_type: str, job: Job, asks: Sequence[tuple[_Candidate, Likeness]]) -> None:
        candidates = [
            {"record": f"{record.type}/{record.id}", "why": list(found.why), **shown(fields)}
            for (record, fields), found in asks
        ]
        about = shown(job.known.view.fields)
        asked = Question("counterparty", self._system, _subject(record_type, job), candidates, about, job.id)
        seconds = self._parts.config.limits.wait_deadline_s
        self._parts.ledger.run(partial(questions.ask, questions=[asked], seconds=seconds))


def _subject(record_type: str, job: Job) -> str:
    """What the question is asked under: there is no record yet to call it by."""
    return f"{record_type}/?{job.id}"


def _of_another(subject: str) -> Permanent:
    say = f"a person said that it is {subject}, which is another counterparty's: part that one (`bus matches part`)"
    return Permanent(f"{say}, then retry", cause="record of another")


def _under_way(job: Job) -> bool:
    """A call that creates it was sent: it is looked for by our own key."""
    return job.external_id is not None or (job.linked is not None and job.linked.creating_since is not None)
