from tests.bench import charts


def test_a_chart_is_a_small_svg_of_text(tmp_path):
    file = tmp_path / "chart.svg"
    moments = [number / 100 for number in range(5_000)]
    series = {"one": charts.cumulated(moments, 0.0), "другая": charts.distribution(moments)}
    charts.lines(file, "Deals written", series, axes=("seconds", "deals"))
    text = file.read_text(encoding="utf-8")
    assert text.lstrip().startswith("<?xml")
    assert "Deals written" in text
    assert "другая" in text
    assert len(text) < 30_000


def test_fewer_points_keep_the_first_and_the_last():
    points = [(float(number), 0.0) for number in range(1_001)]
    thinned = charts.thinned(points)
    assert len(thinned) == 120
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])
    assert charts.thinned(points[:7]) == points[:7]


def test_a_distribution_ends_with_all():
    assert charts.distribution([3.0, 1.0]) == [(1.0, 50.0), (3.0, 100.0)]
    assert charts.cumulated([12.0, 11.0], 10.0) == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]
