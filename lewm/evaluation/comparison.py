"""Two evaluations on the same pairs: the difference of their success rates, with its interval."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table

from lewm.errors import InputError
from lewm.evaluation.ablation_statistics import sign_flip_test
from lewm.evaluation.protocol import wilson

Z = 1.959963984540054
SAME = ("dataset_hash", "offset", "budget", "start")
"""What of a protocol has to be equal beside the pairs."""


class PairedDifference(NamedTuple):
    """Success of the first minus success of the second.

    Attributes:
      num_pairs: pairs of start and goal.
      first_only, second_only: pairs that only one of them solved.
      difference, low, high: of the rates, with its 95% interval (Tango, 1998).
      p: two-sided, of McNemar's exact test (1947).
    """

    num_pairs: int
    first_only: int
    second_only: int
    difference: float
    low: float
    high: float
    p: float


def paired_difference(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any]) -> PairedDifference:
    """(N,) bool outcomes of two policies on the same pairs; nan without pairs."""
    difference = first.astype(np.int64) - second.astype(np.int64)
    num_pairs, first_only, second_only = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    if num_pairs == 0:
        return PairedDifference(0, 0, 0, *4 * (math.nan,))
    low, high = tango(first_only, second_only, num_pairs)
    rate = (first_only - second_only) / num_pairs
    return PairedDifference(num_pairs, first_only, second_only, rate, low, high, sign_flip_test(difference))


def tango(first_only: int, second_only: int, num_pairs: int) -> tuple[float, float]:
    """The 95% score interval of a difference of paired proportions (Tango, Statistics in Medicine 17, 1998).

    It holds the differences whose score statistic is within 1.96, and so excludes 0 where McNemar's asymptotic test
    rejects. Unlike Wald's it holds more than 0 where no pair tells the two apart.
    """
    estimate = (first_only - second_only) / num_pairs

    def score(difference: float) -> float:
        return tango_score(difference, first_only, second_only, num_pairs)

    low = -1.0 if score(-1.0) <= Z else _bisect(lambda x: score(x) - Z, -1.0, estimate)
    high = 1.0 if score(1.0) >= -Z else _bisect(lambda x: score(x) + Z, estimate, 1.0)
    return low, high


def tango_score(difference: float, first_only: int, second_only: int, num_pairs: int) -> float:
    """The score statistic of a true difference: how many standard errors the observed one is above it."""
    numerator = first_only - second_only - num_pairs * difference
    share = second_only_share(difference, first_only, second_only, num_pairs)
    variance = num_pairs * (2 * share + difference * (1 - difference))
    if variance <= 0:
        return 0.0 if numerator == 0 else math.copysign(math.inf, numerator)
    return numerator / math.sqrt(variance)


def second_only_share(difference: float, first_only: int, second_only: int, num_pairs: int) -> float:
    """The likeliest probability that only the second one solves a pair, given the true difference."""
    a = 2 * num_pairs
    b = (2 * num_pairs - first_only + second_only) * difference - first_only - second_only
    c = -second_only * difference * (1 - difference)
    return (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is 0, between low, where it is positive, and high, where it is not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def read_results(path: Path) -> dict[str, Any]:
    """The results.json at `path`, or in the folder there. InputError: it holds no planning results."""
    file = path / "results.json" if path.is_dir() else path
    try:
        results: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no readable results.json ({error}): give the folder of an evaluation") from None
    if "pairs" not in results:
        raise InputError(f"{file} has no pairs: it is of recordings, without an environment to plan in")
    return results


def check_same_pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """InputError unless two results are of the same pairs and the same protocol."""
    for key in SAME:
        values = [results["protocol"].get(key) for results in (first, second)]
        if values[0] != values[1]:
            raise InputError(f"the evaluations cannot be compared: {key} is {values[0]} and {values[1]}")
    pairs = [[(pair["episode"], pair["step"]) for pair in results["pairs"]] for results in (first, second)]
    if pairs[0] != pairs[1]:
        raise InputError(
            f"the evaluations cannot be compared: they are of {len(pairs[0])} and {len(pairs[1])} pairs that are not"
            " the same; evaluate both with the same manifest"
        )


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, PairedDifference]:
    """The paired differences of two results, by what counts as success."""
    check_same_pairs(first, second)
    outcomes = {
        tag: [np.array([pair[key] for pair in results["pairs"]], bool) for results in (first, second)]
        for tag, key in (("success", "reached"), ("success at the end", "at_end"))
    }
    is_open = ~np.array([pair["solved_at_start"] for pair in first["pairs"]], bool)
    differences = {}
    for tag, (ours, theirs) in outcomes.items():
        differences[tag] = paired_difference(ours, theirs)
        differences[f"strict {tag}"] = paired_difference(ours[is_open], theirs[is_open])
    return differences


def comparison_table(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """One row for each kind of success."""
    pairs = {name: results["pairs"] for name, results in (("first", first), ("second", second))}
    grid = Table(title=f"{len(first['pairs'])} pairs, with 95% intervals; p is McNemar's", show_lines=True)
    for header in ("", "first", "second", "first - second", "only one", "p"):
        grid.add_column(header, justify="right" if header else "left")
    for tag, found in compare(first, second).items():
        kept = [
            i for i, pair in enumerate(first["pairs"]) if not (tag.startswith("strict") and pair["solved_at_start"])
        ]
        key = "at_end" if tag.endswith("end") else "reached"
        rates = [wilson(sum(each[i][key] for i in kept), len(kept)) for each in pairs.values()]
        grid.add_row(
            tag,
            *(f"{rate.rate:.1%}\n{100 * rate.low:.1f} to {rate.high:.1%}" for rate in rates),
            f"{found.difference:+.1%}\n{100 * found.low:+.1f} to {found.high:+.1%}",
            f"{found.first_only} / {found.second_only}",
            f"{found.p:.3g}",
        )
    return grid
