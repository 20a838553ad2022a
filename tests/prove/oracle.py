"""What all systems must agree on in the end, told from what people did: the README's rules, none of the bus's code.

The machine tells the oracle every act of a person and what he saw; afterwards the oracle says which values a customer
who has read the README would accept. Mostly that is a single one. Where the README leaves room (1C tells no times, a
record has one time for all its fields, a webhook may be lost before the next edit) it is a small set.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from typing import Any, Final, Literal

from tests.prove.oracle_money import BOOKS, Telling, payment_statuses, sums
from tests.prove.oracle_rules import RULES, UNITED
from tests.prove.oracle_words import Search, Sort, Standing, Word, seal

_FOREVER: Final = float("inf")
_FRACTION: Final = 0.999
_BUS: Final = ""
_DERIVED: Final = ("paid_total", "payment_status")

Field = tuple[str, str, str]


class FromNowhere(AssertionError):
    """A system shows a value that nobody ever said: the bus made it up, or mixed up two entities."""


class _Open:
    """Stands for an open conflict: each side may show its own value until a person decides."""

    def __repr__(self) -> str:
        return "OPEN"


OPEN: Final = _Open()


@dataclass(frozen=True)
class Admissible:
    """The values that all may agree on; OPEN among them where a conflict may be open."""

    values: tuple[Any, ...]

    def __contains__(self, value: object) -> bool:
        if value is OPEN:
            return OPEN in self.values
        return seal(value) in {seal(each) for each in self.values if each is not OPEN}

    @property
    def single(self) -> bool:
        return len(self.values) == 1


class Oracle:
    """The independent model of invariant 10. `parts`: which part (shop, crm, onec, bank) each system plays."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._parts = dict(parts)
        self._words: dict[Field, list[Word]] = defaultdict(list)
        self._tellings: dict[str, dict[tuple[str, str], Telling]] = defaultdict(dict)
        self._counted: dict[str, Decimal] = {}
        """What each order comes to in the books, which count it themselves (see `_totals`)."""
        self._gone: set[tuple[str, str, str]] = set()
        self._phase = 0
        self._asked: Counter[str] = Counter()

    # --- what people do ---------------------------------------------------------------------------------------------

    def created(self, system: str, kind: str, key: str, fields: Mapping[str, Any], at: datetime) -> None:
        """Somebody, or the system itself, made the record there and said these fields; null was not said."""
        for name, value in fields.items():
            if _as_told(name, value) is not None:
                self._say(system, kind, key, name, None, value, at)

    def edited(self, system: str, kind: str, key: str, name: str, seen: Any, value: Any, at: datetime) -> None:
        """A person changed the field there, over the value `seen`; `at` is the modification time that the system noted.

        Raises FromNowhere if nobody ever said what he saw.
        """
        self._touch(system, kind, key, at, but=name)
        if seal(seen) != seal(value):
            self._say(system, kind, key, name, seen, value, at)

    def touched(self, system: str, kind: str, key: str, at: datetime) -> None:
        """The record's modification time rose there: its fields that the bus has not read yet count as of then, too."""
        self._touch(system, kind, key, at)

    def shown(self, system: str, kind: str, key: str, name: str, value: Any) -> None:
        """The bus has written the value there. Raises FromNowhere if nobody ever said it."""
        self._count(system, kind, key, name, value)
        self._sources(self._words[kind, key, name], _as_told(name, value), (kind, key, name, system))

    def read(self, system: str, kind: str, key: str, at: datetime) -> None:
        """The bus has journaled the record as it is there now; of 1C that is the time that its words count as of.

        Elsewhere they count as of `at`, the one time that the record then bore, at the latest: the payments lane may
        have written to it without a look, after what was said there.
        """
        for words in self._fields(kind, key).values():
            last = _last_of(system, words)
            if last is None:
                continue
            last = words[last.index] = replace(last, heard=not _goes_back(last, words))
            if last.timing == "known":
                words[last.index] = replace(last, latest=max(last.latest, _second(at)), timing="fixed")
            elif last.timing == "untold":
                within = _second(at) + _FRACTION  # a reading is timed more finely than any system's own word
                words[last.index] = replace(last, earliest=_second(at), latest=within, timing="fixed")

    def heard(self, system: str, kind: str, key: str, as_of: datetime) -> None:
        """The bus has merged the record as the system noted it at that second: what was said before, and stood then.

        It counts as of that second at the latest, however often the record is saved after it.
        """
        for words in self._fields(kind, key).values():
            mine = [word for word in words if word.system == system]
            before = [word for word in mine if word.earliest < _second(as_of)]
            if before and not any(word.earliest == _second(as_of) for word in mine):
                word = replace(before[-1], heard=not _goes_back(before[-1], words))
                noted = word.timing == "known"
                words[word.index] = replace(word, latest=_second(as_of), timing="fixed") if noted else word

    def decided(self, kind: str, key: str, name: str, value: Any, at: datetime) -> None:
        """A person decided a conflict in the bus, which stands against whatever was not said after seeing it.

        The bus times it more finely than any system its own words. What a system says in the same second opens the
        conflict again, and nobody knows which of the two was the later one when the deadline asks.
        """
        self._bus_says("decided", kind, key, name, value, times=(_second(at), _second(at) + _FRACTION))

    def lapsed(self, kind: str, key: str, name: str) -> None:
        """The deadline of a conflict is over: the rule's default has decided."""
        self._bus_says("lapsed", kind, key, name)

    def deleted(self, system: str, kind: str, key: str) -> None:
        """The record is gone there, which is noted and not followed: what was said there stays said."""
        self._gone.add((system, kind, key))

    def is_gone(self, system: str, kind: str, key: str) -> bool:
        return (system, kind, key) in self._gone

    def settled(self) -> None:
        """Quiet, and all agree: who speaks from now on has seen everything before."""
        for order in {key for kind, key, _ in self._words if kind == "order"} | set(self._tellings):
            self._mark_full(order, final=True)
        self._phase += 1

    def met(self, kind: str, key: str) -> None:
        """Two records that did not know of each other became one entity: their phones and e-mails are united."""
        for name in sorted(UNITED & set(RULES.get(kind, {}))):
            first = {word.system: word for word in reversed(self._words[kind, key, name]) if word.value}
            united = sorted({one for word in first.values() for one in word.value})
            if len(first) > 1:
                self._bus_says("united", kind, key, name, united, after={word.index for word in first.values()})

    # --- money ------------------------------------------------------------------------------------------------------

    def paid(
        self,
        system: str,
        order: str,
        payment: str,
        amount: Decimal,
        at: datetime,
        status: Literal["pending", "paid", "refund"] = "paid",
        number: str | None = None,
        currency: str = "RUB",
    ) -> None:
        """A system tells of a payment of its own, or of a document that gives money back; roubles count alone."""
        del at
        if currency == "RUB":
            parted = self._is_parted(system, order, payment, amount, status)
            told = Telling(system, self._parts[system], payment, amount, number, [status], parted)
            self._tellings[order][system, payment] = told
            self._after_money(order, given_back=status == "refund")

    def _is_parted(self, system: str, order: str, payment: str, amount: Decimal, status: str) -> bool:
        """It was told with another sum before, or what is left of such a one is expected now."""
        before = self._tellings[order].get((system, payment))
        if before is not None:
            return before.parted or before.amount != amount
        told = self._tellings[order].values()
        return status == "pending" and any(each.parted and each.system == system for each in told)

    def turned(self, system: str, order: str, payment: str, status: str, at: datetime) -> None:
        """People changed a payment's status there; `payment` may be told by another system and booked by the bus."""
        del at
        self._telling(system, order, payment).states.append(status)
        self._after_money(order, given_back=status == "refunded")

    def withdrawn(self, system: str, order: str, payment: str) -> None:
        """The payment was deleted there: it counts where another system has told of it, or a person is asked."""
        del self._tellings[order][system, payment]

    def knows_money(self, order: str, amount: Decimal, *, but: str) -> bool:
        """Whether anybody else has told of money of this sum for the order."""
        return any(one.amount == amount and one.system != but for one in self._tellings[order].values())

    def refunded(self, system: str, order: str, payment: str, at: datetime) -> None:
        self.turned(system, order, payment, "refunded", at)

    # --- what must be true in the end -------------------------------------------------------------------------------

    def admissible(self, kind: str, key: str, name: str) -> Admissible:
        """Every value of the field that all may agree on once it is quiet."""
        values = self._admissible(kind, key, name)
        self._asked["asked"] += 1
        self._asked["single"] += len(values) == 1
        return Admissible(values)

    def sharpness(self) -> tuple[int, int]:
        """How often `admissible` left exactly one value, and how often it was asked."""
        return self._asked["single"], self._asked["asked"]

    def fields(self, kind: str, key: str) -> frozenset[str]:
        """The fields of which anybody said anything, and those that follow from money."""
        said = {name for name, words in self._fields(kind, key).items() if words}
        return frozenset(said | set(_DERIVED)) if kind == "order" else frozenset(said)

    def _admissible(self, kind: str, key: str, name: str) -> tuple[Any, ...]:
        if (kind, name) == ("order", "paid_total"):
            return tuple(sorted(self._sums(key)))
        if (kind, name) == ("order", "payment_status"):
            return tuple(sorted(self._payment_statuses(key)))
        if (kind, name) == ("order", "status"):
            self._mark_full(key, final=True)
        return self._ends(kind, key, name)

    def _ends(self, kind: str, key: str, name: str) -> tuple[Any, ...]:
        words = _with_skipping(self._fields(kind, key).get(name, []))
        found = Search(kind, RULES[kind][name], words).ends()
        closed = [self._value(standing, words) for standing in found if not standing.is_open]
        values = {seal(value): value for value in closed}
        opened = (OPEN,) if any(standing.is_open for standing in found) else ()
        return (*(values[sealed] for sealed in sorted(values)), *opened)

    @staticmethod
    def _value(standing: Standing, words: list[Word]) -> Any:
        return None if standing.winner is None else words[standing.winner].value

    # --- words ------------------------------------------------------------------------------------------------------

    def _fields(self, kind: str, key: str) -> dict[str, list[Word]]:
        return {
            name: words
            for (its_kind, its_key, name), words in self._words.items()
            if (its_kind, its_key) == (kind, key)
        }

    def _touch(self, system: str, kind: str, key: str, at: datetime, *, but: str | None = None) -> None:
        for name, words in self._fields(kind, key).items():
            last = _last_of(system, words)
            if name != but and last is not None and last.timing == "known" and last.phase == self._phase:
                words[last.index] = replace(last, latest=max(last.latest, _second(at)))

    def _say(self, system: str, kind: str, key: str, name: str, seen: Any, value: Any, at: datetime) -> None:
        words = self._words[kind, key, name]
        self._count(system, kind, key, name, value)
        seen, value = _as_told(name, seen), _as_told(name, value)
        last = _last_of(system, words)
        in_run = last is not None and last.sealed == seal(seen) and last.phase == self._phase
        sources = [] if in_run else self._sources(words, seen, (kind, key, name, system))
        part = self._parts[system]
        word = Word(
            index=len(words),
            phase=self._phase,
            sort="said",
            system=system,
            part=part,
            value=value,
            seen=seen,
            earliest=_second(at),
            latest=_FOREVER if part == "onec" else _second(at),
            timing="untold" if part == "onec" else "known",
            knows=self._known(words, system, sources, sure=True),
            may_know=self._known(words, system, sources, sure=False),
            origins=_elsewhere(system, sources),
            run=(*(last.run if in_run and last is not None else ()), seal(seen)),
        )
        words.append(word)
        if kind == "order" and name in ("total", "settled"):
            self._mark_full(key)

    @staticmethod
    def _sources(words: list[Word], seen: Any, where: tuple[str, ...]) -> list[Word]:
        """Whose words the value may come from that somebody saw."""
        sources = [word for word in words if word.sealed == seal(seen)]
        if seen is not None and not sources and RULES[where[0]][where[2]].policy != "status":  # a code may mean several
            raise FromNowhere(f"{'/'.join(where)} shows a value that nobody said: {seal(seen)}")
        return sources

    def _known(self, words: list[Word], system: str, sources: list[Word], *, sure: bool) -> frozenset[int]:
        """All said before at his system, the source of what he saw, and what their authors knew.

        Where several said what he saw it is surely known only what all of these knew.
        """
        known = [_beyond(word, sure=sure) for word in words if word.system == system or word.phase < self._phase]
        seen = [_beyond(source, sure=sure) for source in sources]
        joined = frozenset.intersection if sure else frozenset.union
        return frozenset().union(*known, joined(*seen) if seen else frozenset())

    def _bus_says(
        self,
        sort: Sort,
        kind: str,
        key: str,
        name: str,
        value: Any = None,
        times: tuple[float, float] = (0, _FOREVER),
        after: Iterable[int] = (),
    ) -> None:
        words = self._words[kind, key, name]
        word = Word(len(words), self._phase, sort, _BUS, _BUS, value, None, *times, origins=frozenset(after))
        words.append(replace(word, knows=frozenset(range(len(words))), run=(seal(None),)))

    # --- what follows from money ------------------------------------------------------------------------------------

    def _telling(self, system: str, order: str, payment: str) -> Telling:
        told = self._tellings[order]
        own = told.get((system, payment))
        return own or next(each for (_, key), each in told.items() if key == payment)

    def _after_money(self, order: str, *, given_back: bool) -> None:
        if given_back:
            self._mark(order, "given_back", skippable=self._sums(order) != {Decimal(0)})
        elif self._was_given_back(order):
            self._mark(order, "paid_again", skippable=True)
        self._mark_full(order)

    def _mark_full(self, order: str, *, final: bool = False) -> None:
        """That it is paid in full moves the status on: surely where it stays so, possibly where it may have been so."""
        if final and self._is_surely_full(order):
            self._mark(order, "full", skippable=False)
        elif not final and self._may_be_full(order):
            self._mark(order, "full", skippable=True)

    def _mark(self, order: str, sort: Sort, *, skippable: bool) -> None:
        words = self._words["order", order, "status"]
        last = next((word for word in reversed(words) if word.sort in ("full", "given_back", "paid_again")), None)
        if last is None or (last.sort, last.phase, last.skippable) != (sort, self._phase, skippable):
            word = Word(len(words), self._phase, sort, _BUS, _BUS, "paid", None, 0, 0, run=(), skippable=skippable)
            words.append(word)

    def _sums(self, order: str) -> frozenset[Decimal]:
        return sums(self._tellings[order].values())

    def _count(self, system: str, kind: str, key: str, name: str, value: Any) -> None:
        is_count = (self._parts[system], kind, name) == (BOOKS, "order", "total")
        if is_count and (amount := _amount(value)) is not None:
            self._counted[key] = amount
            self._mark_full(key)

    def _totals(self, order: str) -> list[Decimal | None]:
        """What people said; or the books' count of the goods, until the owner has said what the order comes to.

        A document's sum follows from its rows. Who says in the CRM that goods of 980 come to 100 is told to the books,
        and they count 980 again; that is younger than his word, whether or not somebody had said 980 before him.
        """
        ends = [_amount(value) for value in self._ends("order", order, "total")]
        return ends if self._owner_spoke(order, "total") else [*ends, *self._counts(order)]

    def _owner_spoke(self, order: str, name: str) -> bool:
        return any(word.part == RULES["order"][name].owner for word in self._words["order", order, name])

    def _counts(self, order: str) -> list[Decimal]:
        return [self._counted[order]] if order in self._counted else []

    def _settled_values(self, order: str) -> list[bool]:
        return [bool(value) for value in self._ends("order", order, "settled")]

    def _is_surely_full(self, order: str) -> bool:
        if all(self._settled_values(order)):
            return True
        totals, least = self._totals(order), min(self._sums(order))
        return least > 0 and all(total is not None and least >= total for total in totals)

    def _may_be_full(self, order: str) -> bool:
        said = [_amount(word.value) for word in self._words["order", order, "total"]]
        totals = [total for total in said if total is not None] + self._counts(order)
        received = [replace(each, states=["paid"]) for each in self._tellings[order].values() if "paid" in each.states]
        most = max(sums(received))
        settled = any(word.value for word in self._words["order", order, "settled"])
        return settled or (most > 0 and bool(totals) and most >= min(totals))

    def _was_given_back(self, order: str) -> set[bool]:
        """Whether money was given back; both where a payment was given back that nobody had told as received."""
        told = self._tellings[order].values()
        if any(each.is_refund or (each.state == "refunded" and "paid" in each.states) for each in told):
            return {True}
        return {True, False} if any(each.state == "refunded" for each in told) else set()

    def _payment_statuses(self, order: str) -> frozenset[str]:
        found: frozenset[str] = frozenset()
        for back in self._was_given_back(order) or {False}:
            for settled in self._settled_values(order):
                found |= payment_statuses(self._sums(order), self._totals(order), given_back=back, settled=settled)
        return found


def _second(at: datetime) -> float:
    """Systems note the second, no less."""
    if at.tzinfo is None:
        raise ValueError(f"{at}: a time without a zone says nothing")
    return float(int(at.timestamp()))


def _last_of(system: str, words: list[Word]) -> Word | None:
    return next((word for word in reversed(words) if word.system == system), None)


def _beyond(word: Word, *, sure: bool) -> frozenset[int]:
    return frozenset({word.index}) | (word.knows if sure else word.may_know | word.knows)


def _elsewhere(system: str, sources: list[Word]) -> frozenset[int]:
    """The words that must have been heard before somebody could see the value here; none if it was once said here."""
    if any(word.system == system for word in sources):
        return frozenset()
    return frozenset(word.index for word in sources)


def _as_told(name: str, value: Any) -> Any:
    """Phones and e-mails are sets: the order in which they stand says nothing. An empty list says: there is none."""
    if isinstance(value, list):
        value = sorted(value) if name in UNITED else value
        return value or None
    return value


def _amount(value: Any) -> Decimal | None:
    if value is None:
        return None
    return Decimal(value["amount"] if isinstance(value, Mapping) else value)


def _goes_back(word: Word, words: list[Word]) -> bool:
    """It says what its system had said before words that nobody heard: whoever reads it sees that nothing changed."""
    mine = [other for other in words if other.system == word.system and other.index < word.index]
    unheard = list(takewhile(lambda other: not other.heard, reversed(mine)))
    last_heard = mine[: len(mine) - len(unheard)][-1:]
    return word.sealed in {other.sealed for other in [*unheard, *last_heard]}


def _with_skipping(words: list[Word]) -> list[Word]:
    """Mark the words that the bus may never have heard: replaced or undone there, seen by nobody elsewhere."""
    return [replace(word, skippable=word.skippable or _may_be_missed(word, words)) for word in words]


def _may_be_missed(word: Word, words: list[Word]) -> bool:
    if word.sort != "said" or word.heard or any(other.origins == {word.index} for other in words):
        return False
    after = next((other for other in words if other.system == word.system and other.index > word.index), None)
    replaced = after is not None and after.phase == word.phase and after.seen == word.value
    return replaced or word.sealed in word.run
