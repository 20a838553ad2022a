"""What shares a key or an entity is one group, in whatever order it is told."""

from itertools import permutations
from uuid import UUID

from bus.groups import Groups

A, B, C = (UUID(int=number) for number in (1, 2, 3))


def test_what_is_known_by_a_key_is_found_by_it_and_by_what_was_joined_with_it():
    groups = Groups({"a": A})
    groups.join(["new", "a"], {A})
    assert (groups.of(["new"]), groups.of(["a"]), groups.of(["stranger"])) == ({A}, {A}, set())
    assert sorted(groups.joined()) == ["a", "new"]


def test_chains_of_keys_are_one_group_whatever_came_first():
    for told in permutations([["a", "b"], ["b", "c"], ["d"], ["c"]]):
        groups = Groups({"a": A, "c": C, "d": B})
        for keys in told:
            groups.join(keys, set(groups.of(keys)))
        assert sorted(map(sorted, groups.entities().values())) == [[A, C], [B]]
        assert groups.root("a") == groups.root("c")


def test_groups_that_share_an_entity_are_one_though_they_share_no_key():
    groups = Groups({})
    groups.join(["a"], {A})
    groups.join(["b"], {A, B})
    assert list(groups.entities().values()) == [{A, B}]
