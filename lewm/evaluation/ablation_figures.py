"""The two figures of an ablation: its columns side by side, and their learning curves."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm.evaluation.ablation import Table
from lewm.evaluation.ablation_words import name
from lewm.tracking import read_metrics

PANELS = 9
CURVE_PREFIXES = ("val/", "probe/", "geometry/", "gaussianity/")


def colors(table: Table) -> dict[str, tuple[float, ...]]:
    """One colour for each column."""
    count = len(table.columns)
    if count <= 8:
        palette = ["#2f6f8f", "#d1703c", "#4f9d69", "#a8578c", "#c2a83e", "#6d6fb8", "#8c5a45", "#7d8590"]
        chosen = [matplotlib.colors.to_rgba(palette[i]) for i in range(count)]
    else:
        chosen = [matplotlib.colormaps["viridis"](i / (count - 1)) for i in range(count)]
    return dict(zip(table.columns, chosen, strict=True))


def panel_metrics(table: Table) -> list[str]:
    """The metrics that the first figure has room for, those first that an ablation is about."""
    words = ("strict_success", "probe/", "effective_rank", "gaussianity/", "rank_correlation", "over_copy_last")
    wanted: list[str] = []
    for word in (*words, "seconds_per_step", "std_min", ""):
        found = [metric for metric in table.metrics if word in metric and metric not in wanted]
        wanted += [metric for metric in found if any(table.values(column, metric) for column in table.columns)][:2]
    return sorted(wanted[:PANELS], key=table.metrics.index)


def save_overview(table: Table, path: Path) -> None:
    """A panel for each metric, a row for each column: success with its pooled interval, a point for every seed."""
    metrics, columns = panel_metrics(table), list(table.columns)
    num_columns = 3
    num_rows = max(-(-len(metrics) // num_columns), 1)
    figure = Figure(
        figsize=(11, 0.6 + num_rows * (0.95 + 0.34 * len(columns))), layout="constrained", facecolor="white"
    )
    axes = figure.subplots(num_rows, num_columns, sharey=True, squeeze=False).flat
    for axis, metric in zip(axes, metrics, strict=False):
        _draw_panel(axis, table, metric)
    for axis in list(axes)[len(metrics) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=130)


def _draw_panel(axis: Axes, table: Table, metric: str) -> None:
    columns, shade = list(table.columns), colors(table)
    percent = 100 if metric.startswith("strict_success") else 1
    for row, column in enumerate(columns):
        values = percent * np.array(table.values(column, metric))
        if not len(values):
            continue
        if metric == "strict_success":
            pooled = table.pooled_success(column)
            axis.plot([100 * pooled.low, 100 * pooled.high], [row, row], color=shade[column], linewidth=7, alpha=0.3)
        spots = row + np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [row]
        axis.scatter(values, spots, s=16, color=shade[column], zorder=3)
        axis.plot([values.mean()] * 2, [row - 0.34, row + 0.34], color=shade[column], linewidth=2, zorder=2)
    reference = table.values(columns[0], metric)
    if reference:
        axis.axvline(percent * float(np.mean(reference)), color="#999999", linewidth=0.8, linestyle=":", zorder=0)
    axis.set_yticks(range(len(columns)), columns)
    axis.set_ylim(len(columns) - 0.5, -0.5)
    axis.set_title(f"{name(metric)}, %" if percent == 100 else name(metric), fontsize=10, loc="left")
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(labelsize=9)
    axis.margins(x=0.08)


def save_curves(table: Table, path: Path) -> None:
    """A panel for each tag that is measured along a run: a line for every seed, a thick one for their mean."""
    curves = {cell.name: _curves(cell.folder) for cell in table.cells}
    found = {tag for tags in curves.values() for tag in tags}
    tags = [tag for tag in ("loss/prediction", *table.metrics) if tag in found]
    num_columns = 3
    num_rows = max(-(-len(tags) // num_columns), 1)
    figure = Figure(figsize=(11, 0.6 + 2.3 * num_rows), layout="constrained", facecolor="white")
    axes = figure.subplots(num_rows, num_columns, squeeze=False).flat
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
        if "prediction" in tag:
            axis.set_yscale("log")
        axis.set_title("training: prediction loss" if tag == "loss/prediction" else name(tag), fontsize=10, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=9)
    for axis in list(axes)[len(tags) :]:
        axis.set_visible(False)
    handles = [
        matplotlib.lines.Line2D([], [], color=color, linewidth=2, label=column) for column, color in shade.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 5), frameon=False)
    figure.savefig(path, dpi=130)


def _curves(folder: Path) -> dict[str, np.ndarray]:
    """(N, 2) steps and values for each tag that a run logged and that is drawn."""
    if not (folder / "metrics.jsonl").exists():
        return {}
    points: dict[str, list[tuple[float, float]]] = {}
    for line in read_metrics(folder):
        for tag, value in line.items():
            if tag == "loss/prediction" or tag.startswith(CURVE_PREFIXES):
                points.setdefault(tag, []).append((line["step"] + 1, value))
    return {tag: np.array(pairs) for tag, pairs in points.items()}
