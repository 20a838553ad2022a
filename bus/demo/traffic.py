"""Traffic: everybody who acts that day, at work at once: customers, managers, bank, accountant; and the watch."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from bus.demo import scenario, trouble
from bus.demo.accountant import Accountant
from bus.demo.bank import Bank
from bus.demo.parties import Books
from bus.demo.player import LATE_S, Hand, Played, Player
from bus.demo.teller import Teller
from bus.demo.watch import Watch
from bus.supervise import Stack
from bus.supervise.ports import LOOPBACK


class Traffic:
    """A day's traffic on a running stack. It begins when entered; leaving it, whatever is not done is left."""

    def __init__(
        self,
        stack: Stack,
        day: scenario.Day,
        books: Books,
        faults: list[trouble.Fault],
        day_s: float,
        *,
        late_s: float = LATE_S,
    ) -> None:
        """What cannot be done `late_s` after the day was over is given up, and told."""
        self._portal, self._shop = stack.crm, stack.shop
        self._accountant = Accountant(books, day_s, stack.onec, stack.crm, late_s=late_s)
        self._accountant.open_books()
        self.watch = Watch(stack.crm)
        key, intake = (stack.company.bank_key, stack.company.ports.intake) if stack.company else ("", 0)

        def hand() -> Hand:
            teller = Teller(stack.onec, stack.statements)
            return Hand(stack.shop, stack.crm, Bank(f"http://{LOOPBACK}:{intake}", key), teller, self.watch)

        self._player = Player(day, faults, day_s, self.watch, hand, late_s=late_s)

    @property
    def played(self) -> Played:
        """What came of it so far."""
        return self._player.played

    @property
    def over(self) -> bool:
        """Everything was done, or given up."""
        return self._player.over and self._accountant.over

    def __enter__(self) -> Self:
        self.watch.begin()
        self._player.begin(self._portal, self._shop)
        self._accountant.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The watch goes on: what was paid at last has yet to show. Raises what made somebody's day end early."""
        self._player.stop()
        self._accountant.stop()
        self.played.undone += self._accountant.undone
        if error is None and self._player.failure:
            raise self._player.failure
