import json

from tests.bench.figures import Figure, limit_s, percentile, refused, requests_of, spread, sustained


def test_a_percentile_is_the_nearest_rank():
    values = range(1, 101)
    assert [percentile(values, share) for share in (0.0, 0.01, 0.5, 0.95, 0.99, 1.0)] == [1, 1, 50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7.0
    assert percentile([], 0.5) is None


def test_a_spread_of_nothing_is_nothing():
    assert spread([]) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_the_limit_is_what_the_bucket_admits():
    assert limit_s(50, per_second=10, burst=50) == 0
    assert limit_s(250, per_second=10, burst=50) == 20


def test_the_bucket_of_the_stand_in_admits_no_faster_than_the_limit():
    from bus.sandbox.limits import Bucket

    bucket, now, admitted = Bucket(burst=50, drain=10), 1000.0, 0
    while admitted < 250:
        admitted += bucket.admit("127.0.0.1", now)
        now += 0.01
    assert abs((now - 1000.0) - limit_s(250, per_second=10, burst=50)) < 1.1


def test_requests_are_counted_without_the_commands_in_them_and_the_refused():
    calls = [
        {"batch": None, "method": "batch", "status": 200},
        {"batch": "c1", "method": "crm.item.update", "status": 200},
        {"batch": None, "method": "batch", "status": 503},
        {"batch": None, "method": "crm.item.list", "status": 0},
    ]
    assert len(requests_of(calls)) == 1
    assert refused(calls) == 1


def test_a_figure_is_one_line_of_json():
    figure = Figure("drain", 12.3456, "s", 0.91234, "the limit", "note", {"requests": 250, "rate": float("nan")})
    assert "\n" not in figure.line()
    assert json.loads(figure.line()) == {
        "bench": "drain",
        "value": 12.35,
        "unit": "s",
        "ratio": 0.9123,
        "against": "the limit",
        "note": "note",
        "requests": 250,
        "rate": None,
    }


def test_a_sustained_pace_is_counted_over_whole_seconds():
    burst = [100 + number * 0.02 for number in range(40)]
    steps = [101 + second + number * 0.01 for second in range(8) for number in range(10)]
    assert sustained(burst + steps, after=50) == (10.0, 6)
    assert sustained(burst, after=50) is None
