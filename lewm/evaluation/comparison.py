"""Comparison of two evaluations on the same pairs: the difference of their success rates, with its interval."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from lewm.errors import InputError
from lewm.results import read_results
from lewm.success_rates import PairedDifference, paired_difference, success_rate

SAME = ("dataset_hash", "offset", "budget", "start")
"""Keys of a protocol that have to be equal beside the pairs."""


def read_planning_results(path: Path) -> dict[str, Any]:
    """The results.json at `path`, or in the folder there. InputError: it holds no planning results."""
    results = read_results(path)
    if "pairs" not in results:
        raise InputError(f"{path} has no pairs: it is of recordings, without an environment to plan in")
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
    """Paired differences of two results by the kind of success, with episodes as clusters."""
    check_same_pairs(first, second)
    theirs = _outcomes(second)
    return {
        tag: paired_difference(ours, theirs[tag][0], episodes) for tag, (ours, episodes) in _outcomes(first).items()
    }


def comparison_table(first: Mapping[str, Any], second: Mapping[str, Any]) -> Table:
    """One row for each kind of success."""
    num_pairs, num_episodes = len(first["pairs"]), len({pair["episode"] for pair in first["pairs"]})
    title = f"{num_pairs} pairs of {num_episodes} episodes, with 95% intervals; p: sign flips of episodes"
    grid = Table(title=title, show_lines=True)
    for header in ("", "first", "second", "first - second", "only one", "p"):
        grid.add_column(header, justify="right" if header else "left")
    outcomes = [_outcomes(results) for results in (first, second)]
    for tag, found in compare(first, second).items():
        rates = [success_rate(*each[tag]) for each in outcomes]
        grid.add_row(
            tag,
            *(f"{rate.rate:.1%}\n{100 * rate.low:.1f} to {rate.high:.1%}" for rate in rates),
            f"{found.difference:+.1%}\n{100 * found.low:+.1f} to {found.high:+.1%}",
            f"{found.first_only} / {found.second_only}",
            f"{found.p:.3g}",
        )
    return grid


def _outcomes(results: Mapping[str, Any]) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """Outcomes and episodes of the pairs by the kind of success; strict ones of the pairs not solved at the start."""
    pairs = results["pairs"]
    episodes = np.array([pair["episode"] for pair in pairs], np.int64)
    is_open = ~np.array([pair["solved_at_start"] for pair in pairs], bool)
    outcomes: dict[str, tuple[NDArray[np.bool_], NDArray[np.int64]]] = {}
    for tag, key in (("success", "reached"), ("success at the end", "at_end")):
        reached = np.array([pair[key] for pair in pairs], bool)
        outcomes |= {tag: (reached, episodes), f"strict {tag}": (reached[is_open], episodes[is_open])}
    return outcomes
