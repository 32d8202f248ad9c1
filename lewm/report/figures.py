"""Charts of an evaluation: success beside the baselines, and what its traces tell."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.report.charts import Bar, Series, curves, histogram, intervals, quartiles
from lewm.report.markup import percent

NAMES = {"random": "random actions", "no_op": "no action", "replay": "recorded actions"}
"""Names of baselines on the page; others have their own."""

INKS_OF = {"reached": "model", "failed": "failed"}
"""Colours of outcomes, of charts.INKS."""

Traces = Mapping[str, NDArray[Any]]
"""The arrays of traces.npz, any of which may be absent."""


class Figure(NamedTuple):
    """A chart with its title and what has to be said of it."""

    title: str
    chart: str
    caption: str


def policies(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The rows of the table by their names: who acted, then the baselines."""
    baselines = {NAMES.get(name, name.replace("_", " ")): row for name, row in results["baselines"].items()}
    return {policy_name(results): results["model"], **baselines}


def policy_name(results: Mapping[str, Any]) -> str:
    """Who acted: the model behind its planner, or a baseline."""
    name: str = results["identity"].get("policy", {"name": "mpc"})["name"]
    return "model" if name == "mpc" else name.replace("_", " ")


def figures(results: Mapping[str, Any], traces: Traces) -> Iterator[Figure]:
    """All charts that there are data for."""
    yield _success(results)
    reached = np.array([pair["reached"] for pair in results["pairs"]], bool)
    is_open = ~np.array([pair["solved_at_start"] for pair in results["pairs"]], bool)
    groups = {"reached": reached & is_open, "failed": ~reached}
    yield from _distances(traces, groups)
    yield from _costs(traces, groups)
    if "plan_milliseconds" in traces and traces["plan_milliseconds"].size:
        yield _latency(traces["plan_milliseconds"])


CURVES = {
    "Prediction": (
        "error over copying the last frame",
        {"train/prediction_over_copy_last": "training", "val/prediction_over_copy_last": "held out"},
    ),
    "Regularizer": ("value, without its weight", {"loss/regularizer": "training"}),
    "Effective rank": ("dimensions", {"train/effective_rank": "training", "val/effective_rank": "held out"}),
    "Gradient": ("norm before clipping", {"train/grad_norm": "training"}),
}
"""Title of a learning curve -> name of its axis, and the tags with their names."""


def learning_curves(metrics: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Charts of a training's metrics.jsonl, those that there are numbers for, and one of the best linear probes."""
    probes = {tag: value for values in metrics for tag, value in values.items() if tag.startswith("probe/r2_")}
    best = sorted(probes, key=lambda tag: -(probes[tag] or 0))[:4]
    asked = CURVES | {"Best linear probes": ("R2", {tag: tag.removeprefix("probe/r2_") for tag in best})}
    drawn = []
    for title, (axis, tags) in asked.items():
        series = []
        for (tag, name), ink in zip(tags.items(), cycle(("model", "failed", "good", "baseline")), strict=False):
            points = [(values["step"], values[tag]) for values in metrics if values.get(tag) is not None]
            if points:
                x, y = np.array(points, np.float64).T
                series.append(Series(name, ink, x, np.tile(y, (3, 1))))
        if series:
            ends = "; ".join(f"{each.label} to {each.quartiles[1, -1]:.3g}" for each in series)
            chart = curves(series, "training steps", axis, f"{title}, {axis}: {ends}.", whole_x=True)
            drawn.append(Figure(title, chart, ""))
    return drawn


def _success(results: Mapping[str, Any]) -> Figure:
    bars = [
        Bar(name, "baseline" if i else "model", row["strict_success"], row["strict_success_at_end"])
        for i, (name, row) in enumerate(policies(results).items())
    ]
    said = "; ".join(f"{bar.label} {percent(bar.ever['rate'])}" for bar in bars)
    return Figure(
        "Success against the baselines",
        intervals(bars, f"Strict success: {said}."),
        "Pairs that are solved at the start are left out. Lines are 95% intervals.",
    )


def _distances(traces: Traces, groups: Mapping[str, NDArray[np.bool_]]) -> Iterator[Figure]:
    distances = traces.get("distances", np.zeros((0, 0)))
    series = _by_outcome(distances, np.arange(distances.shape[-1]), groups)
    if series:
        said, edge = _said(series, "distance to the goal"), ("edge of success", 1.0)
        yield Figure(
            "Distance over time",
            curves(series, "env steps", "distance to the goal", said, edge=edge),
            "As the environment measures it. Medians and quartiles over the pairs that were not solved at the start.",
        )
    series = _by_outcome(traces.get("z_distance", np.zeros(0)), traces.get("observed_steps", np.zeros(0)), groups)
    if series:
        yield Figure(
            "Distance as the model sees it",
            curves(series, "env steps", "squared latent distance", _said(series, "squared latent distance")),
            "From the embedding of the observed frame to that of the goal frame, for the same pairs.",
        )


def _costs(traces: Traces, groups: Mapping[str, NDArray[np.bool_]]) -> Iterator[Figure]:
    costs = traces.get("best_costs", np.zeros(0))
    costs = np.where(np.isfinite(costs), costs, np.nan)
    series = _by_outcome(costs, 1 + np.arange(costs.shape[-1]), groups)
    if series and costs.shape[-1] > 1:
        yield Figure(
            "Cost per planner iteration",
            curves(series, "planner iteration", "lowest cost so far", _said(series, "lowest cost"), whole_x=True),
            "Medians and quartiles over all plans for the same pairs.",
        )


def _latency(milliseconds: NDArray[np.float64]) -> Figure:
    marks = {"median": float(np.median(milliseconds)), "95th percentile": float(np.percentile(milliseconds, 95))}
    said = "; ".join(f"{name} {value:.1f} ms" for name, value in marks.items())
    return Figure(
        "Time per plan",
        histogram(milliseconds, marks, "milliseconds per plan and episode", "plans", f"Time per plan: {said}."),
        f"{len(milliseconds)} plans, each for all episodes at once; its time is divided by their number.",
    )


def _by_outcome(values: NDArray, x: NDArray, groups: Mapping[str, NDArray[np.bool_]]) -> list[Series]:
    """The quartiles of (P, ..., n) values over the pairs of each group, if there are any."""
    if not values.size:
        return []
    series = [
        quartiles(values[rows], x, f"{outcome} ({rows.sum()})", INKS_OF[outcome]) for outcome, rows in groups.items()
    ]
    return [each for each in series if each]


def _said(series: list[Series], what: str) -> str:
    """What a screen reader says of curves."""
    ends = [f"{each.label} from {each.quartiles[1, 0]:.3g} to {each.quartiles[1, -1]:.3g}" for each in series]
    return f"Median {what}: {'; '.join(ends)}."
