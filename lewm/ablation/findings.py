"""Findings of an ablation, as sentences."""

import math

from lewm.ablation.table import LEVEL, Comparison, Table

NO_NOISE = "no seed noise measured"
"""Stands for the test of a difference between columns whose seeds agree exactly."""

NAMES = {
    "strict_success": "strict success",
    "val/prediction": "prediction loss",
    "val/prediction_over_copy_last": "prediction loss / copy-last loss",
    "val/effective_rank": "effective rank",
    "val/std_min": "smallest std",
    "val/std_median": "median std",
    "geometry/rank_correlation": "rank correlation of distances",
    "geometry/rank_correlation_near": "rank correlation, near pairs",
    "gaussianity/latent_predictability": "latent predictability (LPS)",
    "seconds_per_step": "seconds per step",
    "milliseconds_per_plan": "ms per plan",
}


def name(metric: str) -> str:
    """How a metric is called on the page: its tag, where it has no name of its own."""
    if metric in NAMES:
        return NAMES[metric]
    words = metric.rpartition("/")[2].replace("_", " ")
    if metric.startswith("probe/r2_"):
        return f"probe R² {words.removeprefix('r2 ')}"
    return f"Gaussianity: {words}" if metric.startswith("gaussianity/") else metric


def number(value: float, metric: str = "") -> str:
    """Three figures; a share in percent; a dash where there is no number."""
    if math.isnan(value):
        return "no number"
    if metric == "strict_success":
        return f"{100 * value:.1f}%"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def p_value(p: float) -> str:
    """As it is written in a sentence."""
    if math.isnan(p):
        return "p unknown"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def findings(table: Table) -> list[str]:
    """What differs from the first column beyond seed noise, a sentence or two for each column; then how to read it."""
    first, *others = table.columns
    if not others:
        return [
            f"There is one column, {first}: its seeds show the noise between training runs, and nothing to compare."
        ]
    lines = [_finding(table, comparison) for comparison in table.comparisons]
    single = [column for column in table.columns if table.num_done(column) == 1]
    if single:
        lines.append(
            f"One seed only: {', '.join(single)}. Two training runs differ by chance, and one run of each says nothing"
            " about that noise: give at least three seeds."
        )
    success = (
        "; success has to differ over the episodes of the pairs as well" if "strict_success" in table.metrics else ""
    )
    count = sum(not math.isnan(found.p) for each in table.comparisons for found in each.metrics.values())
    if count:
        lines.append(
            f"Differs means p < {LEVEL} by Welch's t over seeds, corrected (Holm) for the number of columns"
            f"{success}. There are {len(table.metrics)} metrics, and nothing is corrected for that: about {LEVEL:.0%}"
            " of them would differ by chance alone. Few seeds find only large differences, so what is not found may be"
            " there."
        )
    return lines


def _finding(table: Table, comparison: Comparison) -> str:
    first, column = next(iter(table.columns)), comparison.column
    counts = [table.num_done(each) for each in (column, first)]
    if not all(counts):
        return (
            f"{column}: {'no finished cell' if not counts[0] else f'no finished cell of {first}'}, nothing to compare."
        )
    sentence = f"{column} against {first}: no success to compare"
    compared = all(table.values(each, "strict_success") for each in (column, first))
    if compared:
        sentence = _success(table, comparison, knows_noise=min(counts) > 1)
    if min(counts) < 2:
        return f"{sentence}."
    changes = [
        f"{name(metric)} ({_mean(table, first, metric)} → {_mean(table, column, metric)})"
        for metric in table.metrics
        if metric != "strict_success" and comparison.differs(metric)
    ]
    if not changes:
        return f"{sentence}. Nothing{' else' * compared} differs beyond seed noise."
    return f"{sentence}. Beyond seed noise differ{' also' * compared}: {', '.join(changes)}."


def _success(table: Table, comparison: Comparison, knows_noise: bool) -> str:
    """The rates of a column and the first one, and whether they differ beyond seed noise if that is known."""
    first, column = next(iter(table.columns)), comparison.column
    rates = [number(table.pooled_success(each).rate, "strict_success") for each in (column, first)]
    sentence = f"{column}: strict success {rates[0]} against {rates[1]} of {first}"
    if comparison.num_attempts:
        sentence += f" (by episodes {p_value(comparison.p_episodes)})"
    if not knows_noise:
        return sentence
    if not comparison.num_attempts:
        return f"{sentence}, on other start/goal pairs, so that success is not compared"
    success = comparison.metrics["strict_success"]
    if math.isnan(success.p):
        return f"{sentence}: {NO_NOISE}, as the seeds of each column agree exactly"
    if not comparison.differs("strict_success"):
        return f"{sentence}: no difference beyond seed noise"
    low, high = 100 * success.low, 100 * success.high
    return f"{sentence}: differs beyond seed noise (95% over seeds {low:+.1f} to {high:+.1f} points)"


def _mean(table: Table, column: str, metric: str) -> str:
    values = table.values(column, metric)
    return number(sum(values) / len(values), metric)
