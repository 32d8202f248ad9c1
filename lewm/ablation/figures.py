"""The two figures of an ablation: its columns side by side, and their learning curves."""

import fnmatch
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from lewm.ablation.findings import name
from lewm.ablation.table import Table
from lewm.tracking import read_metrics

PANELS = (
    *("strict_success", "probe/*", "val/effective_rank", "*latent_predictability", "*predictability*", "*sliced_w2"),
    *("*epps_pulley", "*wristband_z", "geometry/rank_correlation", "val/prediction_over_copy_last", "seconds_per_step"),
    *("gaussianity/*", "*"),
)
"""Patterns of metrics in the order in which they get one of the places of the first figure, two for each."""

NUM_PANELS = 12
CURVE_PREFIXES = ("val/", "probe/", "geometry/", "gaussianity/")


def colors(table: Table) -> dict[str, str]:
    """One colour for each column."""
    palette = ["#2f6f8f", "#d1703c", "#4f9d69", "#a8578c", "#c2a83e", "#6d6fb8", "#8c5a45", "#7d8590"]
    count = len(table.columns)
    if count > len(palette):
        palette = [
            matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](0.92 * i / (count - 1))) for i in range(count)
        ]
    return dict(zip(table.columns, palette, strict=False))


def panel_metrics(table: Table) -> list[str]:
    """The metrics that the first figure has room for, in the order of the table."""
    known = [metric for metric in table.metrics if any(table.values(column, metric) for column in table.columns)]
    chosen: list[str] = []
    for pattern in PANELS:
        chosen += [metric for metric in fnmatch.filter(known, pattern) if metric not in chosen][:2]
    return sorted(chosen[:NUM_PANELS], key=known.index)


def save_overview(table: Table, path: Path) -> None:
    """A panel for each metric, a row for each column: success with its pooled interval, a point for every seed."""
    metrics, columns = panel_metrics(table), list(table.columns)
    num_columns = 3
    num_rows = max(-(-len(metrics) // num_columns), 1)
    figure = Figure(
        figsize=(11, 0.6 + num_rows * (0.95 + 0.34 * len(columns))), layout="constrained", facecolor="white"
    )
    axes = list(figure.subplots(num_rows, num_columns, sharey=True, squeeze=False).flat)
    for axis, metric in zip(axes, metrics, strict=False):
        _draw_panel(axis, table, metric)
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=130)


def _draw_panel(axis: Axes, table: Table, metric: str) -> None:
    columns, shade = list(table.columns), colors(table)
    percent = 100 if metric == "strict_success" else 1
    shown = {column: percent * np.array(table.values(column, metric)) for column in columns}
    if metric.startswith("probe/"):  # a collapsed embedding's R2 may be -100, and would leave no room for the others
        shown = {column: np.maximum(values, 0) for column, values in shown.items()}
    for row, (column, values) in enumerate(shown.items()):
        if not len(values):
            continue
        if metric == "strict_success":
            pooled = table.pooled_success(column)
            interval = np.abs([[pooled.rate - pooled.low], [pooled.high - pooled.rate]])  # -1e-17 at a rate of 1
            axis.errorbar(
                100 * pooled.rate, row, xerr=100 * interval, color="#555555", capsize=3, linewidth=1, zorder=1
            )
        spots = row + np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [row]
        axis.scatter(values, spots, s=16, color=shade[column], zorder=3)
        axis.plot([values.mean()] * 2, [row - 0.34, row + 0.34], color=shade[column], linewidth=2, zorder=2)
    if len(shown[columns[0]]):
        axis.axvline(shown[columns[0]].mean(), color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    if spans_decades(shown.values()):
        axis.set_xscale("log")
    else:
        axis.locator_params(axis="x", nbins=5)
    axis.set_yticks(range(len(columns)), columns)
    axis.set_ylim(len(columns) - 0.5, -0.5)
    unit = {"strict_success": ", % (95% pooled)", "probe/": " (0 where negative)"}
    title = next((name(metric) + words for prefix, words in unit.items() if metric.startswith(prefix)), name(metric))
    axis.set_title(title, fontsize=10, loc="left")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(labelsize=9)
    axis.margins(x=0.08)


def spans_decades(groups: Iterable[NDArray]) -> bool:
    """Whether numbers are so far apart, and all positive, that only a logarithmic axis shows them all."""
    values = np.concatenate([np.zeros(0), *groups])
    return bool(len(values)) and bool(values.min() > 0) and bool(values.max() > 20 * values.min())


def save_curves(table: Table, path: Path) -> None:
    """A panel for each tag that is measured along a run: a line for every seed, a thick one for their mean."""
    curves = {cell.name: _curves(cell.folder) for cell in table.cells}
    found = {tag for tags in curves.values() for tag in tags}
    tags = [tag for tag in ("loss/prediction", *table.metrics) if tag in found]
    num_columns = 3
    num_rows = max(-(-len(tags) // num_columns), 1)
    figure = Figure(figsize=(11, 0.6 + 2.4 * num_rows), layout="constrained", facecolor="white")
    axes = list(figure.subplots(num_rows, num_columns, squeeze=False).flat)
    shade = colors(table)
    for axis, tag in zip(axes, tags, strict=False):
        for column, cells in table.columns.items():
            lines = [curves[cell.name][tag] for cell in cells if tag in curves[cell.name]]
            for line in lines:
                axis.plot(*line.T, color=shade[column], linewidth=0.8, alpha=0.5 if len(lines) > 1 else 1)
            if len(lines) > 1:
                length = min(len(line) for line in lines)
                mean = np.mean([line[:length] for line in lines], axis=0)
                axis.plot(*mean.T, color=shade[column], linewidth=2)
        if spans_decades([line[tag][:, 1] for line in curves.values() if tag in line]):
            axis.set_yscale("log")
        if tag.startswith("probe/"):
            low, high = axis.get_ylim()
            axis.set_ylim(max(low, -0.1), max(high, 0.1))
        axis.set_xlabel("training step", fontsize=9)
        axis.set_title("training: prediction loss" if tag == "loss/prediction" else name(tag), fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    for axis in axes[len(tags) :]:
        axis.set_visible(False)
    handles = [Line2D([], [], color=color, linewidth=2, label=column) for column, color in shade.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 5), frameon=False)
    figure.savefig(path, dpi=130)


def _curves(folder: Path) -> dict[str, NDArray]:
    """(N, 2) steps and values for each tag that a run logged and that is drawn."""
    if not (folder / "metrics.jsonl").exists():
        return {}
    points: dict[str, list[tuple[float, float]]] = {}
    for line in read_metrics(folder):
        for tag, value in line.items():
            if tag == "loss/prediction" or tag.startswith(CURVE_PREFIXES):
                points.setdefault(tag, []).append((line["step"] + 1, value))
    return {tag: np.array(pairs) for tag, pairs in points.items()}
