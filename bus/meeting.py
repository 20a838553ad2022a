"""Meeting: a counterparty that we are about to create may be there already, under nobody's key; then it is linked.

The system is asked for whoever has the INN, a phone or an e-mail. One that it surely is gets linked, and is read and
written from then on like any other; of those that it may be a person chooses; where there is neither, it is created.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

from bus import matching
from bus.claimed import Job
from bus.creating import know
from bus.ledger import entities, questions
from bus.ledger.database import Connection
from bus.ledger.questions import NEW, Question
from bus.matching import Likeness
from bus.model import Fields, flatten
from bus.parts import Parts
from bus.ports import Adapter, RawRecord
from bus.recognising import shown
from bus.translate import translated

_Candidate = tuple[RawRecord, Fields]


class Meeting:
    """Looks for counterparties in one system before they are created there."""

    def __init__(self, system: str, adapter: Adapter, parts: Parts, reload: Callable[[Collection[Job]], None]) -> None:
        self._system, self._adapter, self._parts, self._reload = system, adapter, parts, reload
        self._kind = parts.config.systems[system].kind

    def meet(self, record_type: str, jobs: Sequence[Job]) -> list[Job]:
        """Link those that are there. Returns those that wait for a person's answer."""
        wanted = [job for job in jobs if job.known.view.kind == "counterparty" and not _under_way(job)]
        if not wanted:
            return []
        with self._parts.ledger.transaction() as connection:
            answers = questions.answers(connection, {(self._system, _subject(record_type, job)) for job in wanted})
        told = {job.id: answers.get((self._system, _subject(record_type, job))) for job in wanted}
        linked = [job for job in wanted if (answer := told[job.id]) not in (None, NEW) and self._link(job, str(answer))]
        asked: list[Job] = []
        open_ones = [job for job in wanted if told[job.id] is None]
        for job, candidates in self._candidates(record_type, open_ones):
            judged = matching.judge(job.known.view.fields, [(one, one[1]) for one in candidates])
            if judged.same is not None:
                linked += [job] if self._link(job, f"{record_type}/{judged.same[0].id}") else []
            elif judged.asks:
                self._ask(record_type, job, judged.asks)
                asked.append(job)
        self._reload(linked)
        return asked

    def _candidates(self, record_type: str, jobs: Sequence[Job]) -> list[tuple[Job, list[_Candidate]]]:
        """Who is there that they may be, without those that are known as somebody else."""
        if not jobs:
            return []
        found = self._adapter.alike(record_type, {str(job.id): matching.alike(job.known.view.fields) for job in jobs})
        keys = {self._key(one) for some in found.values() for one in some}
        with self._parts.ledger.transaction() as connection:
            taken = entities.find(connection, "counterparty", keys)
        return [
            (job, [(one, self._says(one)) for one in found.get(str(job.id), ()) if self._key(one) not in taken])
            for job in jobs
        ]

    def _says(self, record: RawRecord) -> Fields:
        translator = self._parts.mappings.translator(self._kind, record.type)
        tables = self._parts.mappings.tables(self._system, self._kind)
        return flatten("counterparty", translated(partial(translator.to_canonical, record.raw, tables)).data)

    def _key(self, record: RawRecord) -> str:
        return f"{self._system}/{record.type}/{record.id}"

    def _link(self, job: Job, subject: str) -> bool:
        """It is this record; False where that was linked to somebody else meanwhile: the next round looks again."""
        record_type, _, external_id = subject.partition("/")

        def commit(connection: Connection) -> bool:
            key = f"{self._system}/{subject}"
            entities.key_locks(connection, [key])
            if entities.find(connection, "counterparty", [key]).get(key, job.id) != job.id:
                return False
            know(self._system, job.known, record_type, external_id, connection)
            questions.moot(connection, {(self._system, _subject(record_type, job))})
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


def _under_way(job: Job) -> bool:
    """A call that creates it was sent: it is looked for by our own key."""
    return job.external_id is not None or (job.linked is not None and job.linked.creating_since is not None)
