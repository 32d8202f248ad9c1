"""Two evaluations on the same pairs: the difference of their success rates, with its interval."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from lewm.errors import InputError
from lewm.significance import PairedDifference, paired_difference, wilson

SAME = ("dataset_hash", "offset", "budget", "start")
"""What of a protocol has to be equal beside the pairs."""


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
