"""What people said of one field, who could know of whom, and every value that the rules allow all to end with.

Two words are in order if the later one's author could see the earlier one's value at his system (or what had come of
it); else nobody chose between them, and the rule does. The bus may hear of words in any order that keeps cause before
effect, and may never hear of one that its own author replaced. So the end is searched for: all such orders, each
decided by the README's policies, give the set of values that a customer may find.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from tests.prove.oracle_rules import CLOSED, REOPENS, Rule, back_after_refund, further

#: What a word is: said at a system; decided in the bus, by a person or the deadline; or what follows from money.
Sort = Literal["said", "decided", "lapsed", "united", "full", "given_back", "paid_again"]

#: How sure the time of a word is: noted and not read yet, fixed by a reading, or of a system that tells no times.
Timing = Literal["known", "fixed", "untold"]

_BUS: frozenset[Sort] = frozenset({"decided", "lapsed", "united"})
_ENDING: frozenset[Sort] = frozenset({"decided", "lapsed"})
_MONEY: frozenset[Sort] = frozenset({"full", "given_back", "paid_again"})


def seal(value: Any) -> str:
    """One spelling for equal JSON values, money given as Decimal included."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    raise TypeError(f"no value of a field: {type(value).__name__}")


@dataclass(frozen=True)
class Word:
    """One thing said of one field; `earliest` and `latest` bound the time that it counts as of, in whole seconds.

    `run` is what its author and he before him saw at that system since the bus last wrote there, `knows` are all words
    whose value or whose successor he saw, `may_know` those too that he saw if a value said twice was theirs.
    `skippable`: a later word of the same system replaced it, or undid it, and nobody elsewhere has seen it, so the bus
    may never have heard of it.
    """

    index: int
    phase: int
    sort: Sort
    system: str
    part: str
    value: Any
    seen: Any
    earliest: float
    latest: float
    knows: frozenset[int] = frozenset()
    may_know: frozenset[int] = frozenset()
    origins: frozenset[int] = frozenset()
    run: tuple[str, ...] = ()
    skippable: bool = False
    timing: Timing = "fixed"
    heard: bool = False
    """The bus has surely heard it: a reading of the record was merged while it stood there."""

    @property
    def sealed(self) -> str:
        return seal(self.value)


@dataclass(frozen=True)
class Standing:
    """What stands after some words were heard: the word that won, or the sides of an open conflict."""

    winner: int | None = None
    sides: frozenset[int] = frozenset()
    given_back: bool = False

    @property
    def is_open(self) -> bool:
        return bool(self.sides)


@dataclass
class Search:
    """All standings that the words of one field can lead to under one rule."""

    kind: str
    rule: Rule
    words: list[Word]
    _ends: set[Standing] = field(default_factory=set)
    _met: set[tuple[frozenset[int], Standing]] = field(default_factory=set)

    def ends(self) -> set[Standing]:
        """Walk every order that keeps cause before effect."""
        pending: list[tuple[frozenset[int], Standing]] = [(frozenset(), Standing())]
        while pending:
            here = pending.pop()
            if here in self._met:
                continue
            self._met.add(here)
            heard, standing = here
            if len(heard) == len(self.words):
                self._ends.add(standing)
            for word in self._next(heard):
                if word.sort in _ENDING and self.rule.policy == "manual" and not standing.is_open:
                    continue  # there was a conflict to end, so these words came in another order
                after = heard | {word.index}
                pending += [(after, then) for then in self._heard(standing, word)]
        return self._ends

    def _next(self, heard: frozenset[int]) -> list[Word]:
        waiting = [word for word in self.words if word.index not in heard]
        phase = min((word.phase for word in waiting), default=0)
        return [word for word in waiting if word.phase == phase and self._may_be_next(word, heard)]

    def _may_be_next(self, word: Word, heard: frozenset[int]) -> bool:
        """After the earlier ones of its system, one that its author may have seen, and what the bus knew by then."""
        before = [other for other in self.words[: word.index] if other.index not in heard]
        if any(other.system == word.system or other.sort in _BUS for other in before):
            return False
        if word.sort in _BUS:
            return word.origins <= heard
        return not word.origins or bool(word.origins & heard)

    def _heard(self, standing: Standing, word: Word) -> set[Standing]:
        after = self._decide(standing, word)
        return after | {standing} if word.skippable else after

    def _decide(self, standing: Standing, word: Word) -> set[Standing]:
        if word.sort in ("given_back", "paid_again"):
            return {replace(standing, given_back=word.sort == "given_back")}
        if word.sort == "lapsed":
            return self._lapse(standing)
        if word.sort in _BUS:
            return {replace(standing, winner=word.index, sides=frozenset())}
        if standing.is_open:
            return self._another_side(standing, word)
        if standing.winner is None:
            return {replace(standing, winner=word.index)}
        return self._between(standing, self.words[standing.winner], word)

    def _between(self, standing: Standing, stands: Word, word: Word) -> set[Standing]:
        won = {replace(standing, winner=word.index)}
        if stands.sealed == word.sealed:
            return won if self._same_but_better(stands, word) else {standing}
        if self.rule.policy == "owner" and self._is_owners(stands) != self._is_owners(word):
            return {standing} if self._is_owners(stands) else won
        if self.rule.policy == "status":
            return self._status(standing, stands, word)
        if stands.index in word.knows:
            return won
        maybe = won if _may_have_seen(word, stands) else set()
        if self.rule.policy == "manual":
            return maybe | {replace(standing, winner=None, sides=frozenset({stands.index, word.index}))}
        return maybe | {replace(standing, winner=each.index) for each in self._concurrent(stands, word)}

    def _is_owners(self, word: Word) -> bool:
        """Whether from this word on only the owner may change the field: its own, or a person's decision."""
        return word.part == self.rule.owner or word.sort in _BUS

    def _same_but_better(self, stands: Word, word: Word) -> bool:
        """Of two words with one value, whether the second one has more weight against a third."""
        if self.rule.policy == "owner":
            return self._is_owners(word) or (not self._is_owners(stands) and word.latest >= stands.latest)
        if self.rule.policy == "priority":
            return self.rule.rank(word.part) <= self.rule.rank(stands.part)
        return word.latest >= stands.latest

    def _concurrent(self, one: Word, other: Word) -> list[Word]:
        if self.rule.policy == "priority":
            ranked = self._ranked(one, other)
            return [one, other] if ranked is None else [ranked]
        return self._later(one, other)

    def _later(self, one: Word, other: Word) -> list[Word]:
        """The later one; the list where both are of one second; both where the times leave it open."""
        if one.earliest > other.latest:
            return [one]
        if other.earliest > one.latest:
            return [other]
        certain = one.earliest == one.latest == other.earliest == other.latest
        ranked = self._ranked(one, other) if certain and self.rule.policy != "owner" else None
        return [one, other] if ranked is None else [ranked]

    def _ranked(self, one: Word, other: Word) -> Word | None:
        mine, yours = self.rule.rank(one.part), self.rule.rank(other.part)
        if mine == yours:
            return None
        return one if mine < yours else other

    def _status(self, standing: Standing, stands: Word, word: Word) -> set[Standing]:
        """Forward only; the CRM leaves a closed state that it saw; a refund opens steps back. Else nothing moves."""
        won, kept = {replace(standing, winner=word.index)}, {standing}
        if further(self.kind, stands.value, word.value):
            return won
        known = seal(stands.value) in word.run
        if self.kind == "order" and stands.value in CLOSED and word.part == REOPENS and known:
            return won
        if standing.given_back and back_after_refund(self.kind, stands.value, word.value):
            return won if known else won | kept
        if further(self.kind, word.value, stands.value) or word.sort in _MONEY:
            return kept
        return kept if known else won | kept  # completed here, cancelled there: the README does not say which

    def _another_side(self, standing: Standing, word: Word) -> set[Standing]:
        """A conflict stays open whatever else is said; both sides saying the same may end it."""
        others = frozenset(side for side in standing.sides if self.words[side].system != word.system)
        sides = others | {word.index}
        stays = {replace(standing, sides=sides)}
        if len({self.words[side].sealed for side in sides}) > 1:
            return stays
        return stays | {replace(standing, winner=word.index, sides=frozenset())}

    def _lapse(self, standing: Standing) -> set[Standing]:
        if not standing.is_open:
            return {standing}
        left = [self.words[side] for side in standing.sides]
        winners = {
            word.index for word in left if all(word in self._later(word, other) for other in left if other is not word)
        }
        return {replace(standing, winner=index, sides=frozenset()) for index in winners}


def _may_have_seen(word: Word, other: Word) -> bool:
    """Whether the author of `word` may have known of `other`: of an equal value, or of what replaced it."""
    return other.index in word.may_know or other.sealed in word.run
