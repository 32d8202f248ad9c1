"""Charts: matplotlib figures as inline SVG whose colours, light or dark, are those of the page."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

WIDTH, HEIGHT, ROW = 380, 250, 36
"""Pixels of a chart, and of a policy in the chart of intervals."""

FONT_SIZE = 12.5
NAMES = ("page", "text", "soft", "line", "model", "failed", "baseline", "good")
INKS = {name: f"#0000{i:02x}" for i, name in enumerate(NAMES, 1)}
"""Colours by their names in report.css, each a stand-in that as_svg replaces."""


class Series(NamedTuple):
    """One line with its quartiles.

    Attributes:
      label: text in the legend.
      ink: colour, of INKS; dashed where it is failed.
      x: (n,) places.
      quartiles: (3, n) lower quartile, median and upper quartile at each.
    """

    label: str
    ink: str
    x: NDArray[np.float64]
    quartiles: NDArray[np.float64]


class Bar(NamedTuple):
    """Rates of a policy, each {rate, low, high} between 0 and 1, `ever` filled and `at_end` hollow."""

    label: str
    ink: str
    ever: Mapping[str, float]
    at_end: Mapping[str, float]


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
      x_label, y_label: names of the axes, with units.
      about: text for a screen reader.
      whole_x: whether only whole numbers are labelled.
      edge: name and height of a line across the chart.
    """
    figure, axes = _axes(x_label, y_label)
    for each in series:
        (low, median, high), ink = each.quartiles, INKS[each.ink]
        axes.fill_between(each.x, low, high, color=ink, alpha=0.16, linewidth=0)
        dashes, dot = "--" if each.ink == "failed" else "-", "o" if len(each.x) == 1 else None
        axes.plot(each.x, median, dashes, color=ink, linewidth=2, marker=dot, label=each.label)
    if edge:
        axes.axhline(edge[1], color=INKS["good"], linestyle=":", linewidth=1.5, label=edge[0])
    axes.axhline(0, color=INKS["soft"], linewidth=1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10], integer=whole_x))
    axes.margins(x=0 if max(len(each.x) for each in series) > 1 else 0.5)
    return as_svg(figure, about)


def histogram(values: NDArray[np.float64], marks: Mapping[str, float], x_label: str, y_label: str, about: str) -> str:
    """Counts of (n,) values, with a vertical line for each mark."""
    counts, edges = np.histogram(values, bins=int(np.clip(np.sqrt(len(values)) * 2, 5, 30)))
    figure, axes = _axes(x_label, y_label)
    for count, left, right in zip(counts, edges, edges[1:], strict=False):
        tip = f"{count}: {_short(left)} to {_short(right)}"
        axes.bar(left, count, (right - left) * 0.96, align="edge", color=INKS["model"])[0].set_gid(f"tip {tip}")
    for (label, value), dashes in zip(marks.items(), ("-", "--"), strict=True):
        axes.axvline(value, color=INKS["failed"], linestyle=dashes, linewidth=2, label=f"{label} {value:.1f}")
    axes.axhline(0, color=INKS["soft"], linewidth=1)
    return as_svg(figure, about)


def intervals(bars: Sequence[Bar], about: str) -> str:
    """A row for each policy: success and success at the end, in percent, each with its interval."""
    figure, axes = _axes("strict success, % of the pairs", "", height=ROW * len(bars) + 70)
    for row, bar in enumerate(bars):
        for rate, fill, y in ((bar.ever, INKS[bar.ink], row - 0.17), (bar.at_end, INKS["page"], row + 0.17)):
            if np.isnan(rate["rate"]):
                continue
            shares = 100 * np.array([rate["low"], rate["rate"], rate["high"]])
            (line,) = axes.plot(shares, [y] * 3, color=INKS[bar.ink], linewidth=2, marker="o", markevery=[1])
            line.set(markerfacecolor=fill, markeredgewidth=2, clip_on=False)
            line.set_gid(f"tip {bar.label}: {shares[1]:.1f}%, 95% interval {shares[0]:.1f} to {shares[2]:.1f}%")
    for label, fill in (("at any time", INKS["model"]), ("at the end", INKS["page"])):
        axes.plot([], [], "o", color=INKS["model"], markerfacecolor=fill, markeredgewidth=2, label=label)
    axes.set(xlim=(0, 100), ylim=(len(bars) - 0.5, -0.5), xticks=range(0, 101, 25))
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars], color=INKS["text"])
    axes.axvline(0, color=INKS["soft"], linewidth=2)
    return as_svg(figure, about)


def quartiles(values: NDArray[np.float64], x: NDArray[np.float64], label: str, ink: str) -> Series | None:
    """The quartiles of (..., n) values over all axes but the last; nan are left out, and None if nothing is left."""
    known = ~np.isnan(values).all(axis=tuple(range(values.ndim - 1)))
    if not values.size or not known.any():
        return None
    rows = values.reshape(-1, values.shape[-1])[:, known]
    return Series(label, ink, x[known].astype(float), np.nanpercentile(rows, [25, 50, 75], axis=0))


def as_svg(figure: Figure, about: str) -> str:
    """A figure as an SVG element: inks become the page's colours, an artist's gid "tip ..." what a pointer is told.

    Args:
      figure: drawn in INKS; one of its axes may have labelled artists for a legend.
      about: text for a screen reader.
    """
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        style = {"ncols": 3, "frameon": False, "labelcolor": INKS["soft"], "fontsize": FONT_SIZE}
        style |= {"borderaxespad": 0, "borderpad": 0.2, "handlelength": 1.4, "handletextpad": 0.4, "columnspacing": 1}
        figure.legend(handles, labels, loc="outside upper left", **style)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lewm"}):  # text stays text; the same each time
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = re.sub(r"<(metadata|style).*?</\1>|<!--.*?-->", "", file.getvalue(), flags=re.DOTALL)
    view = re.search(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', drawn)
    assert view
    drawn = re.sub(r'<g id="tip ([^"]*)">', r"<g><title>\1</title>", drawn[view.end() :])
    drawn = re.sub(r'<g id="[^"]*">', "<g>", drawn)  # a page has several charts, and an id once
    for name, ink in INKS.items():
        drawn = drawn.replace(ink, f"var(--{name})")
    return f'<svg class="chart" viewBox="{view[1]}" role="img" aria-label="{html.escape(about)}">{drawn}'


def _axes(x_label: str, y_label: str, height: int = HEIGHT) -> tuple[Figure, Axes]:
    """A figure with one pair of axes in the style of the page."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.grid(axis="x" if not y_label else "y", color=INKS["line"], linewidth=0.75)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, labelsize=FONT_SIZE, labelcolor=INKS["soft"])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    for axis, label in ((axes.xaxis, x_label), (axes.yaxis, y_label)):
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
        axis.set_label_text(label, color=INKS["soft"], fontsize=FONT_SIZE)
    return figure, axes


def _short(value: float) -> str:
    """A tick's label: 4 digits at most, a real minus sign, no trailing zeros."""
    text = f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.0e}"
    return text.replace("-", "\N{MINUS SIGN}")
