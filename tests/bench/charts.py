"""Charts: small SVG files, made by leather: pure Python, no dependencies, text stays text, some kilobytes a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import leather

Points = Sequence[tuple[float, float]]
_MOST = 120
"""Points of a line: more cannot be seen at this size, and the files are kept in the repository."""


def lines(
    file: Path,
    title: str,
    series: dict[str, Points],
    *,
    axes: tuple[str, str],
    width: int = 760,
    height: int = 380,
) -> None:
    """Draw some lines over one pair of axes."""
    chart = leather.Chart(title)
    for name, points in series.items():
        chart.add_line([(round(x, 3), round(y, 3)) for x, y in thinned(points)], name=name)
    chart.add_x_axis(name=axes[0])
    chart.add_y_axis(name=axes[1])
    chart.to_svg(str(file), width=width, height=height)


def thinned(points: Points) -> Points:
    """Evenly fewer points, the first and the last among them."""
    if len(points) <= _MOST:
        return points
    step = (len(points) - 1) / (_MOST - 1)
    return [points[round(at * step)] for at in range(_MOST)]


def cumulated(moments: Sequence[float], begun: float) -> Points:
    """How many had happened by then: (seconds since the beginning, count)."""
    return [(0.0, 0.0), *((at - begun, float(count)) for count, at in enumerate(sorted(moments), 1))]


def distribution(values: Sequence[float]) -> Points:
    """(value, per cent of all that are no larger)."""
    ordered = sorted(values)
    return [(value, 100.0 * count / len(ordered)) for count, value in enumerate(ordered, 1)]
