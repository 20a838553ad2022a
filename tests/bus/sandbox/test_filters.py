import pytest

from bus.sandbox import filters
from bus.sandbox.store import Table

KINDS = {"id": "integer", "sum": "double", "title": "string", "changed": "datetime", "tags": "integers"}


@pytest.fixture
def table():
    table = Table(indexed=("title",), modified="changed")
    for number in range(1, 121):
        row = {"id": table.new_id(), "title": f"t{number % 3}", "sum": number * 1.5, "tags": [number]}
        table.put(row | {"changed": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}+03:00"})
    return table


def ids(table, raw, order=None, start=-1):
    def named(name):
        return (name, KINDS[name]) if name in KINDS else None

    where = filters.parse(raw, named)
    found = filters.find(table, where, filters.parse_order(order, named), start)
    return [row["id"] for row in found.rows]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"id": 5}, [5]),
        ({"=id": "5"}, [5]),
        ({"@id": ["7", 5]}, [5, 7]),
        ({"id": [7, 5]}, [5, 7]),
        ({">id": 118}, [119, 120]),
        ({">=id": 118, "<id": 120}, [118, 119]),
        ({"<=id": 2}, [1, 2]),
        ({"!id": 5, "<id": 7, "!@id": [1, 2]}, [3, 4, 6]),
        ({"title": "t1", "<id": 6}, [1, 4]),
        ({"%title": "T2", "<id": 6}, [2, 5]),
        ({"=%title": "%0", "<id": 6}, [3]),
        ({"!%title": "1", "<id": 4}, [2, 3]),
        ({">=sum": "178.5"}, [119, 120]),
        ({">changed": "2026-01-01T00:01:58+03:00"}, [119, 120]),
        ({">=changed": "2025-12-31T21:01:59+00:00"}, [119, 120]),
        ({"tags": 9}, [9]),
        ({"logic": "OR", "0": {"id": 3}, "1": {"id": 90}}, [3, 90]),
        ({"<id": 6, "0": {"logic": "OR", "0": {"title": "t1"}, "1": {"title": "t2"}}}, [1, 2, 4, 5]),
        ([{"logic": "OR", "0": {"id": 1}, "1": {"id": 2}}], [1, 2]),
        ({"unknown": 5, "id": 5}, [5]),
    ],
)
def test_filters(table, raw, expected):
    assert ids(table, raw) == expected


def test_order_and_pages(table):
    where = filters.Where(())
    page = filters.find(table, where, [("id", True)], 100)
    assert ([row["id"] for row in page.rows], page.total, page.next) == (list(range(20, 0, -1)), 120, None)
    first = filters.find(table, where, [], 0)
    assert (len(first.rows), first.total, first.next) == (50, 120, 50)


def test_without_a_count_there_is_no_total_and_no_next(table):
    found = filters.find(table, filters.Where(()), [("id", False)], -1)
    assert (len(found.rows), found.total, found.next) == (50, None, None)


def test_the_indexes_follow_changes(table):
    table.put({**table.rows[5], "title": "new", "changed": "2026-02-01T00:00:00+03:00"})
    table.remove(6)
    assert ids(table, {"title": "new"}) == [5]
    assert ids(table, {"title": "t2", "<id": 9}) == [2, 8]
    assert ids(table, {">changed": "2026-01-15T00:00:00+03:00"}) == [5]
    assert ids(table, {"id": 6}) == []
