"""What an order's payments come to where several systems tell of one payment: "All money stands in the books once"."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, combinations, permutations, product

BOOKS = "onec"
_NOTHING = Decimal(0)

#: Of two words on one payment the further one stands.
_PROGRESS = {"pending": 0, "paid": 1, "refunded": 2}


@dataclass
class Telling:
    """One payment as one system told it, with its states in their order."""

    system: str
    part: str
    key: str
    amount: Decimal
    number: str | None
    states: list[str] = field(default_factory=list)
    parted: bool = False
    """It was expected whole and came in part, or is the rest that was then expected.

    Whether it is money that another one told of is asked when a payment is first told of (README, All money stands in
    the books once): of the part that is over, and what is only expected is none that came. Who told of such a sum
    before may have meant it or not, and the sum may already be booked there as a payment of its own.
    """

    @property
    def state(self) -> str:
        """The furthest state told: what was received is not unreceived, only given back."""
        return max(self.states, key=lambda state: _PROGRESS.get(state, 0))

    @property
    def first(self) -> str:
        return self.states[0]

    @property
    def is_refund(self) -> bool:
        """A document of its own that gives money back."""
        return self.first == "refund"


def sums(tellings: Iterable[Telling]) -> frozenset[Decimal]:
    """Every sum of received money that these tellings may come to; one, unless the README leaves room."""
    told = list(tellings)
    documents = [each for each in told if each.is_refund]
    totals = {
        _received(movements) - given
        for movements in _unions([each for each in told if not each.is_refund])
        for given in _given_back(movements, documents)
    }
    return frozenset(max(total, _NOTHING) for total in totals)


def _received(movements: Iterable[list[Telling]]) -> Decimal:
    return sum((movement[0].amount for movement in movements if _stands_as(movement) == "paid"), _NOTHING)


def _stands_as(movement: list[Telling]) -> str:
    return max((each.state for each in movement), key=_PROGRESS.__getitem__)


def _given_back(movements: list[list[Telling]], documents: list[Telling]) -> set[Decimal]:
    """What refund documents take away; money given back both by marks and by a document of their sum may count once."""
    marked = [movement[0].amount for movement in movements if _stands_as(movement) == "refunded"]
    every = [document.amount for document in documents]
    return {sum(every, _NOTHING), *beside_marks(marked, every)}


def beside_marks(marked: list[Decimal], documents: list[Decimal]) -> set[Decimal]:
    """What refund documents take away beside the marks: one of a mark's sum, or of the sum of several, is that return.

    One sum, unless they fit in several ways.
    """
    marked, left = list(marked), list(documents)
    for amount in documents:
        if amount in marked:
            marked.remove(amount)
            left.remove(amount)
    return {*_beside(marked, left)}


def _beside(marked: list[Decimal], documents: list[Decimal]) -> Iterator[Decimal]:
    """What documents take away beside the marks that they are the sums of, in every way to share these out."""
    fitting = False
    for document, some in product(documents, _some_of(marked)):
        if sum(some) == document:
            fitting = True
            yield from _beside(_without(marked, some), _without(documents, [document]))
    if not fitting:
        yield sum(documents, _NOTHING)


def _some_of(amounts: list[Decimal]) -> Iterator[tuple[Decimal, ...]]:
    return chain.from_iterable(combinations(amounts, size) for size in range(2, len(amounts) + 1))


def _without(amounts: list[Decimal], some: Iterable[Decimal]) -> list[Decimal]:
    left = list(amounts)
    for amount in some:
        left.remove(amount)
    return left


def _unions(tellings: list[Telling]) -> Iterator[list[list[Telling]]]:
    """Every way to take tellings for one movement: by number, pending ones, equal sums across the books' line."""
    for movements in _pending_adopted(_by_number(tellings)):
        by_amount: dict[Decimal, list[list[Telling]]] = defaultdict(list)
        for movement in movements:
            by_amount[movement[0].amount].append(movement)
        for parts in product(*(list(_across(group)) for group in by_amount.values())):
            yield [movement for part in parts for movement in part]


def _by_number(tellings: list[Telling]) -> list[list[Telling]]:
    """Told under one number and sum by several systems: one movement."""
    movements: list[list[Telling]] = []
    for each in tellings:
        known = [m for m in movements if each.number is not None and _same_number(m, each)]
        if known:
            known[0].append(each)
        else:
            movements.append([each])
    return movements


def _same_number(movement: list[Telling], each: Telling) -> bool:
    return any(
        other.number == each.number and other.amount == each.amount and other.system != each.system
        for other in movement
    )


def _pending_adopted(movements: list[list[Telling]]) -> Iterator[list[list[Telling]]]:
    """A payment that was pending in one system may have been taken for one of its sum that another one told of."""
    pending = [m for m in movements if len(m) == 1 and m[0].first == "pending"]
    others = [m for m in movements if m not in pending]
    for taken in product(*([None, *_fitting(each, others)] for each in pending)):
        chosen = [id(one) for one in taken if one is not None]
        if len(chosen) != len(set(chosen)) or _left_out(pending, taken, others):
            continue
        joined = {id(one): mine for mine, one in zip(pending, taken, strict=True) if one is not None}
        alone = [mine for mine, one in zip(pending, taken, strict=True) if one is None]
        yield [[*other, *joined.get(id(other), [])] for other in others] + alone


def _fitting(pending: list[Telling], others: list[list[Telling]]) -> list[list[Telling]]:
    return [m for m in others if m[0].amount == pending[0].amount and all(t.system != pending[0].system for t in m)]


def _left_out(
    pending: list[list[Telling]], taken: tuple[list[Telling] | None, ...], others: list[list[Telling]]
) -> bool:
    """Whether one that stayed pending was left alone though another fitted: that makes no difference."""
    free = [m for m in others if all(m is not one for one in taken)]
    return any(
        one is None and mine[0].state == "pending" and bool(_fitting(mine, free))
        for mine, one in zip(pending, taken, strict=True)
    )


def _across(group: list[list[Telling]]) -> Iterator[list[list[Telling]]]:
    """Equal sums that only the books tell of and that only others tell of are the same money, one for one.

    Of a payment that came in part, and of its rest, that is not said (`Telling.parted`).
    """
    books = [m for m in group if all(each.part == BOOKS for each in m)]
    others = [m for m in group if all(each.part != BOOKS for each in m)]
    both = [m for m in group if m not in books and m not in others]
    few, many = (books, others) if len(books) <= len(others) else (others, books)
    for chosen in permutations(many, len(few)):
        rest = [m for m in many if all(m is not one for one in chosen)]
        pairs = list(zip(few, chosen, strict=True))
        for paired in product(*(_joined_or_not(a, b) for a, b in pairs)):
            yield both + rest + [movement for one in paired for movement in one]


def _joined_or_not(one: list[Telling], other: list[Telling]) -> list[list[list[Telling]]]:
    """The ways to take two of equal sum: as one movement, and where one of them came in part as two."""
    both = [*one, *other]
    return [[both], [one, other]] if any(each.parted for each in both) else [[both]]


def payment_statuses(
    paid: Iterable[Decimal], totals: Iterable[Decimal | None], *, given_back: bool, settled: bool
) -> frozenset[str]:
    """What an order may show of its payments: from what came in, what it costs, and whether money was given back."""
    if settled:
        return frozenset({"paid"})
    return frozenset().union(*(_status(one, total, given_back) for one in paid for total in totals))


def _status(paid: Decimal, total: Decimal | None, given_back: bool) -> frozenset[str]:
    if paid <= 0:
        return frozenset(
            {"paid", "unpaid"} if total == 0 and not given_back else {"refunded" if given_back else "unpaid"}
        )
    if total is None:
        return frozenset({"partial", "paid"})
    return frozenset({"paid" if paid >= total else "partial"})
