"""Charts of the evaluation page: inline SVG that takes its colours, light or dark, from the page."""

import html
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

WIDTH, HEIGHT = 380, 240
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 42
ROW = 36
"""Pixels that a policy takes in the chart of intervals."""

LABELS = 124
"""Pixels for the policies' names."""


class Series(NamedTuple):
    """One line with its quartiles.

    Attributes:
      label: of the legend.
      style: CSS class that colours it.
      x: (n,) places.
      quartiles: (3, n) lower quartile, median and upper quartile at each.
    """

    label: str
    style: str
    x: NDArray[np.float64]
    quartiles: NDArray[np.float64]


class Bar(NamedTuple):
    """A policy's rates, each {rate, low, high} between 0 and 1, `ever` filled and `at_end` hollow."""

    label: str
    style: str
    ever: Mapping[str, float]
    at_end: Mapping[str, float]


class _Axes:
    """From values to pixels, linearly, and the lines and labels of both axes."""

    def __init__(self, x: ArrayLike, y: ArrayLike, whole_x: bool = False) -> None:
        locator = MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=whole_x)
        (self._x_low, self._x_high), (y_low, y_high) = _range(x), _range([*np.ravel(y), 0.0])
        self._x_ticks = [
            tick for tick in locator.tick_values(self._x_low, self._x_high) if self._x_low <= tick <= self._x_high
        ]
        self._y_ticks = list(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]).tick_values(y_low, y_high))
        self._y_low, self._y_high = self._y_ticks[0], self._y_ticks[-1]

    def x(self, value: float) -> float:
        return float(LEFT + (WIDTH - LEFT - RIGHT) * (value - self._x_low) / (self._x_high - self._x_low))

    def y(self, value: float) -> float:
        return float(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self._y_low) / (self._y_high - self._y_low))

    def points(self, x: NDArray, y: NDArray) -> str:
        return " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(x, y, strict=True))

    def draw(self, x_label: str, y_label: str) -> str:
        middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        parts = []
        for tick in self._y_ticks:
            style, at = "axis" if tick == 0 else "grid", self.y(tick)
            parts.append(f'<line class="{style}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
        for tick in self._x_ticks:
            parts.append(
                f'<text x="{self.x(tick):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{_short(tick)}</text>'
            )
        parts.append(f'<text x="{middle_x}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x_label)}</text>')
        turned = f'transform="rotate(-90 12 {middle_y})"'
        parts.append(f'<text x="12" y="{middle_y}" text-anchor="middle" {turned}>{html.escape(y_label)}</text>')
        return "".join(parts)


def curves(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    about: str,
    whole_x: bool = False,
    edge: tuple[str, float] | None = None,
) -> str:
    """A median line and a band of quartiles for each series.

    Args:
      series: at least one.
      x_label, y_label: of the axes, with units.
      about: what a screen reader says.
      whole_x: label whole numbers only.
      edge: name and height of a line across the chart.
    """
    heights = np.concatenate([each.quartiles.ravel() for each in series])
    axes = _Axes(np.concatenate([each.x for each in series]), [*heights, *([edge[1]] if edge else [])], whole_x)
    parts, keys = [axes.draw(x_label, y_label)], [(each.label, each.style) for each in series]
    if edge:
        at = f"{axes.y(edge[1]):.1f}"
        parts.append(f'<line class="edge" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        keys.append((edge[0], "edge"))
    for each in series:
        low, _, high = each.quartiles
        around = axes.points(np.concatenate([each.x, each.x[::-1]]), np.concatenate([low, high[::-1]]))
        parts.append(f'<polygon class="band {each.style}" points="{around}"/>')
    for each in series:
        points = axes.points(each.x, each.quartiles[1])
        parts.append(f'<polyline class="line {each.style}" points="{points}"/>')
        if len(each.x) == 1:
            x, y = points.split(",")
            parts.append(f'<circle class="dot {each.style}" cx="{x}" cy="{y}" r="4"/>')
    return legend(keys) + _svg("".join(parts), HEIGHT, about)


def histogram(values: NDArray, marks: Mapping[str, float], x_label: str, y_label: str, about: str) -> str:
    """Counts of (n,) values, with a vertical line for each mark."""
    counts, edges = np.histogram(values, bins=int(np.clip(np.sqrt(len(values)) * 2, 5, 30)))
    axes = _Axes([*edges, *marks.values()], counts)
    parts = [axes.draw(x_label, y_label)]
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        x, y = axes.x(left), axes.y(count)
        box = f'x="{x:.1f}" y="{y:.1f}" width="{max(axes.x(right) - x - 1, 1):.1f}" height="{axes.y(0) - y:.1f}"'
        parts.append(f'<rect class="column" {box}><title>{count}: {_short(left)} to {_short(right)}</title></rect>')
    for line, value in enumerate(marks.values()):
        at = f"{axes.x(value):.1f}"
        parts.append(f'<line class="mark mark{line}" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    keys = [(f"{label} {value:.1f}", f"mark{line}") for line, (label, value) in enumerate(marks.items())]
    return legend(keys) + _svg("".join(parts), HEIGHT, about)


def intervals(bars: Sequence[Bar], about: str) -> str:
    """A row for each policy: success and success at the end, in percent, each with its interval."""
    bottom = TOP + ROW * len(bars)

    def x(share: float) -> float:
        return LABELS + (WIDTH - LABELS - RIGHT - 6) * share

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        style = "axis" if share == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{x(share)}" x2="{x(share)}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(share)}" y="{bottom + 17}" text-anchor="middle">{100 * share:.0f}</text>')
    parts.append(f'<text x="{x(0.5)}" y="{bottom + 36}" text-anchor="middle">strict success, % of the pairs</text>')
    for i, bar in enumerate(bars):
        middle = TOP + ROW * (i + 0.5)
        parts.append(
            f'<text x="{LABELS - 8}" y="{middle + 4}" text-anchor="end" class="name">{html.escape(bar.label)}</text>'
        )
        for rate, dot, y in ((bar.ever, "dot", middle - 6), (bar.at_end, "ring", middle + 6)):
            if np.isnan(rate["rate"]):
                continue
            low, at, high = (f"{x(rate[key]):.1f}" for key in ("low", "rate", "high"))
            said = f"{bar.label}: {rate['rate']:.1%}, 95% interval {rate['low']:.1%} to {rate['high']:.1%}"
            parts.append(
                f"<g><title>{html.escape(said)}</title>"
                f'<line class="whisker {bar.style}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
                f'<circle class="{dot} {bar.style}" cx="{at}" cy="{y}" r="4"/></g>'
            )
    keys = [("at any time", "filled"), ("at the end", "hollow")]
    return legend(keys) + _svg("".join(parts), bottom + BOTTOM, about)


def quartiles(values: NDArray, x: NDArray, label: str, style: str) -> Series | None:
    """The quartiles of (..., n) values over all axes but the last; nan are left out, and None if nothing is left."""
    known = ~np.isnan(values).all(axis=tuple(range(values.ndim - 1)))
    if not values.size or not known.any():
        return None
    rows = values.reshape(-1, values.shape[-1])[:, known]
    return Series(label, style, x[known].astype(float), np.nanpercentile(rows, [25, 50, 75], axis=0))


def legend(keys: Sequence[tuple[str, str]]) -> str:
    """Labels with a swatch of their CSS class."""
    items = "".join(f'<li><i class="key {style}"></i>{html.escape(label)}</li>' for label, style in keys)
    return f'<ul class="legend">{items}</ul>'


def _range(values: ArrayLike) -> tuple[float, float]:
    """Lowest and highest value, apart from one another."""
    low, high = float(np.min(values)), float(np.max(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _short(value: float) -> str:
    """A tick's label: 4 digits at most, a real minus sign, no trailing zeros."""
    text = f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.0e}"
    return text.replace("-", "\N{MINUS SIGN}")


def _svg(content: Any, height: float, about: str) -> str:
    view = f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(about)}"'
    return f'<svg class="chart" {view}>{content}</svg>'
