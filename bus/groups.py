"""Groups: keys and entities that belong together, over a batch (union-find)."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID


class Groups:
    """What is known by the keys of a batch, and what its events join besides."""

    def __init__(self, known: Mapping[str, UUID]) -> None:
        self._parent: dict[str, str] = {}
        self._found: dict[str, set[UUID]] = {key: {entity} for key, entity in known.items()}

    def root(self, key: str) -> str:
        """The key that stands for the group of this one."""
        while (above := self._parent.get(key, key)) != key:
            key = above
        return key

    def of(self, keys: list[str]) -> set[UUID]:
        """Entities of the groups of these keys."""
        return {entity for key in keys for entity in self._found.get(self.root(key), ())}

    def join(self, keys: list[str], found: set[UUID]) -> None:
        """These keys are of one group, and so are these entities."""
        root = self.root(keys[0])
        for key in keys:
            other = self.root(key)
            self._parent[other] = root
            if other != root:
                found |= self._found.pop(other, set())
        self._found[root] = self._found.get(root, set()) | found
        self._parent.update((key, root) for key in keys)

    def entities(self) -> dict[str, set[UUID]]:
        """Each group's entities; groups that share one are one group, though they share no key."""
        first: dict[UUID, str] = {}
        for root in {self.root(key) for key in self._parent}:
            for entity in sorted(self._found[root]):
                if (other := first.setdefault(entity, root)) and self.root(other) != self.root(root):
                    self.join([self.root(other), self.root(root)], set())
        return {root: self._found[root] for root in {self.root(key) for key in self._parent}}

    def joined(self) -> list[str]:
        """Every key that an event has given."""
        return list(self._parent)
