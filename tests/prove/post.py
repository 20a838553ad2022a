"""Post: what the systems send lies here until a history delivers it, in any order, twice, late or never."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bus.sandbox.outbox import Letter
from bus.sandbox.post import Poster

Retry = Callable[[Letter, int | None], float | None]


class Held:
    """Stands in for a stand-in's outbox: the same letters, sent when a history says so, in its own thread."""

    def __init__(self, retry: Retry) -> None:
        self._retry, self._poster = retry, Poster()
        self.letters: list[Letter] = []
        self.sent = self.refused = 0

    def put(self, letters: Iterable[Letter]) -> None:
        """A system tells of something."""
        self.letters += letters

    def deliver(self, at: int, *, keep: bool = False) -> bool:
        """Send one; `keep` it to be sent once more. False when it was not taken: whoever repeats has it still."""
        letter = self.letters[at] if keep else self.letters.pop(at)
        body, headers = letter.compose()
        status = self._poster.post(letter.url, body, headers)
        taken = status is not None and 200 <= status < 300
        self.sent += taken
        self.refused += not taken
        if not taken and not keep and self._retry(letter, status) is not None:
            self.letters.append(letter)
        return taken

    def lose(self, at: int) -> bool:
        """The network swallows one. Of a sender that repeats nothing is lost."""
        if self._retry(self.letters[at], None) is not None:
            return False
        del self.letters[at]
        return True

    def waiting(self) -> int:
        """Letters not delivered."""
        return len(self.letters)

    def clear(self) -> None:
        """Forget all."""
        self.letters.clear()
        self.sent = self.refused = 0

    def close(self) -> None:
        """Hang up."""
        self._poster.close()
