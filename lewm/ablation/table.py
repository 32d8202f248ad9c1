"""The cells of an ablation as a table, and its columns compared with the first one."""

import csv
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lewm.ablation.cells import Cell
from lewm.files import whole_file, without_nan
from lewm.significance import Difference, holm, sign_flip_test, welch
from lewm.success_rates import Rate, cluster_sums, success_rate
from lewm.tracking import read_metrics

LEVEL = 0.05
"""Of the tests that a verdict rests on, after Holm's correction for the number of columns."""


class Comparison(NamedTuple):
    """One column against the first.

    Attributes:
      column: the other column.
      num_attempts, num_episodes: attempts (a pair with a seed) that both columns made, and episodes of these pairs.
      better, worse: attempts that only this column, only the first one solved.
      p_episodes: exact sign-flip test of the sums over an episode's attempts, corrected for the number of columns.
      metrics: differences of means over seeds, this column - first; p corrected for the number of columns.
    """

    column: str
    num_attempts: int
    num_episodes: int
    better: int
    worse: int
    p_episodes: float
    metrics: dict[str, Difference]

    def differs(self, metric: str) -> bool:
        """Whether a metric differs beyond seed noise; success also has to beyond the chance of the draw of episodes.

        The seeds alone would not do for success: three runs may agree on 97 or 98 of 100 pairs by chance. The episodes
        alone would not either: they say that these models differ, not that others would.
        """
        by_seeds = self.metrics[metric].p < LEVEL
        return by_seeds and (metric != "strict_success" or self.p_episodes < LEVEL)


class Table:
    """What is compared: columns of cells that differ in their seed only, the first of them the reference.

    Args:
      cells: cells of the ablation, in the order of the command line.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells = list(cells)
        self.columns: dict[str, list[Cell]] = {}
        for cell in cells:
            self.columns.setdefault(cell.column, []).append(cell)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each cell, with the same keys in each; None where a cell has no such number."""
        rows = [describe_cell(cell) for cell in self.cells]
        names = list(dict.fromkeys(key for row in rows for key in row))
        last = ("error", "folder")
        tags = sorted(name for name in names if "/" in name)
        names = [*(name for name in names if name not in (*tags, *last)), *tags, *last]
        return [{name: row.get(name) for name in names} for row in rows]

    @cached_property
    def metrics(self) -> list[str]:
        """What is compared over seeds: success, every tag of the diagnostics but for p-values, times.

        Without success and times of planning where no cell has planned: on recordings, say.
        """
        tags = [name for name in self.rows[0] if "/" in name and not name.endswith("_p")]
        order = ("probe/", "val/", "geometry/", "gaussianity/")
        rank = {tag: next((i for i, prefix in enumerate(order) if tag.startswith(prefix)), len(order)) for tag in tags}
        tags.sort(key=lambda tag: (rank[tag], tag))
        planned = any("strict_success" in row for row in self.rows)
        success, times = (["strict_success"], ["milliseconds_per_plan"]) if planned else ([], [])
        return [*success, *tags, "seconds_per_step", *times]

    def num_done(self, column: str) -> int:
        """How many cells of a column are finished."""
        return sum(row["column"] == column and row["status"] == "done" for row in self.rows)

    def values(self, column: str, metric: str) -> list[float]:
        """A metric of a column's finished cells, in order of the seeds; those without a finite one are left out."""
        found = [row.get(metric) for row in self.rows if row["column"] == column and row["status"] == "done"]
        return [value for value in found if value is not None and math.isfinite(value)]

    def pooled_success(self, column: str) -> Rate:
        """Strict success over all seeds of a column, with episodes as clusters."""
        attempts = [
            (reached, _episode(pair))
            for cell in self.columns[column]
            if cell.state == "done"
            for pair, reached in outcomes(cell).items()
        ]
        return success_rate(*_columns(attempts))

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every further column against the first."""
        first, *others = self.columns
        attempts = [paired_differences(self.columns[other], self.columns[first]) for other in others]
        sums = [cluster_sums(*each) for each in attempts]
        p_episodes = holm([sign_flip_test(each) if len(each) else math.nan for each in sums])
        found = {
            metric: [welch(self.values(other, metric), self.values(first, metric)) for other in others]
            for metric in self.metrics
        }
        corrected = {metric: holm([difference.p for difference in found[metric]]) for metric in self.metrics}
        return [
            Comparison(
                column=other,
                num_attempts=len(attempts[i][0]),
                num_episodes=len(sums[i]),
                better=int((attempts[i][0] > 0).sum()),
                worse=int((attempts[i][0] < 0).sum()),
                p_episodes=p_episodes[i],
                metrics={metric: found[metric][i]._replace(p=corrected[metric][i]) for metric in self.metrics},
            )
            for i, other in enumerate(others)
        ]


def paired_differences(cells: Sequence[Cell], reference: Sequence[Cell]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Success minus success of the reference where both tried the same pair with the same seed.

    Returns:
      (N,) in -1, 0, 1 for each attempt, and (N,) the episodes that their pairs are from, numbered.
    """
    of_seed = {cell.seed: outcomes(cell) for cell in reference}
    attempts = [
        (reached - of_seed[cell.seed][pair], _episode(pair))
        for cell in cells
        if cell.seed in of_seed
        for pair, reached in outcomes(cell).items()
        if pair in of_seed[cell.seed]
    ]
    return _columns(attempts)


def _episode(pair: tuple[Any, ...]) -> tuple[Any, ...]:
    """The recorded episode of a pair that outcomes() names: all but its last number, the step."""
    return pair[:-1]


def _columns(attempts: Sequence[tuple[int, tuple[Any, ...]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Values and the clusters that they are from -> (N,) values, (N,) numbers of the clusters."""
    numbers: dict[tuple[Any, ...], int] = {}
    clusters = [numbers.setdefault(cluster, len(numbers)) for _, cluster in attempts]
    return np.array([value for value, _ in attempts], np.int64), np.array(clusters, np.int64)


def outcomes(cell: Cell) -> dict[tuple[Any, ...], int]:
    """Whether each pair was reached, 0 or 1, by what makes it the same pair; none of those solved at the start."""
    if cell.results is None or "pairs" not in cell.results:
        return {}
    protocol = cell.results["protocol"]
    where = protocol["dataset_hash"], protocol["offset"], protocol["budget"], protocol["start"]
    return {
        (*where, pair["episode"], pair["step"]): int(pair["reached"])
        for pair in cell.results["pairs"]
        if not pair["solved_at_start"]
    }


def describe_cell(cell: Cell) -> dict[str, Any]:
    """Everything that one cell is and gave: swept values, success, diagnostics by their tags, times."""
    row: dict[str, Any] = {"cell": cell.name, "column": cell.column, "status": cell.state, **cell.values}
    row |= {"seed": cell.seed, "regularizer.weight": cell.settings.get("regularizer.weight"), "steps": cell.steps}
    if cell.results is not None and "model" in cell.results:  # which recordings have not
        strict, at_end = (cell.results["model"][name] for name in ("strict_success", "strict_success_at_end"))
        row |= {"strict_successes": strict["successes"], "strict_trials": strict["trials"]}
        row |= {"strict_success": strict["rate"], "strict_low": strict["low"], "strict_high": strict["high"]}
        row |= {"strict_success_at_end": at_end["rate"], "success": cell.results["model"]["success"]["rate"]}
        row |= {"milliseconds_per_plan": cell.results["planning"]["milliseconds_per_plan_median"]}
    if cell.results is not None:
        row |= cell.results["diagnostics"]
    row |= {"seconds_per_step": seconds_per_step(cell), "error": cell.error, "folder": str(cell.folder)}
    return row


def seconds_per_step(cell: Cell) -> float | None:
    """The median over what a cell logged; None if it logged nothing."""
    if not (cell.folder / "metrics.jsonl").exists():
        return None
    tag = "speed/frames_per_second"
    speeds = [line[tag] for line in read_metrics(cell.folder) if tag in line]
    frames = cell.settings["training.batch_size"] * cell.settings["training.num_frames"]
    return frames / float(np.median(speeds)) if speeds else None


def save_csv(table: Table, path: Path) -> None:
    """Writes the table's rows, empty where a cell has no such number."""
    rows = table.rows
    with whole_file(path) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(without_nan(rows))
