"""Success against the number of model evaluations of every planner: `lewm planner-study runs/my_run`.

Each cell is an evaluation on the same held-out pairs by `lewm plan`, in <run>/planners_<planner>_<N>x<I>; what
is there already of the same weights is not done again. Leaves planners.csv and planners.png in <run>/planners. A study
with overrides has names of its own, planners_<overrides>.
"""

import argparse
import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from lewm.config import CONFIGS, Component, build
from lewm.config.command_line import quoted
from lewm.errors import InputError, one_line_errors
from lewm.planning import PLANNERS
from lewm.results import read_results
from lewm.run import Run
from lewm.shipped import start_of

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

SPLIT = "validation"
"""Split of the pairs, unless an override names another: the study chooses a planner, and reports no final number."""

BUDGETS: dict[str, list[dict[str, int]]] = {
    "cem": [
        {"num_samples": 32, "num_iterations": 2, "num_elites": 4},
        {"num_samples": 64, "num_iterations": 4, "num_elites": 6},
        {"num_samples": 96, "num_iterations": 8, "num_elites": 10},
        {"num_samples": 300, "num_iterations": 30, "num_elites": 30},
    ],
    "icem": [
        {"num_samples": 32, "num_iterations": 2, "num_elites": 4},
        {"num_samples": 64, "num_iterations": 4},
        {"num_samples": 80, "num_iterations": 10},
    ],
    "mppi": [{"num_samples": n, "num_iterations": i} for n, i in ((32, 2), (64, 4), (96, 8))],
    "random_shooting": [{"num_samples": n, "num_iterations": i} for n, i in ((32, 2), (64, 4), (96, 8))],
    "gradient": [{"num_samples": n, "num_iterations": i} for n, i in ((2, 10), (4, 15), (8, 30))],
    "grasp": [{"num_samples": n, "num_iterations": i} for n, i in ((2, 10), (4, 15), (8, 30))],
}
"""Budgets of each planner; what they leave out is as in configs/planner/."""


class Counter:
    """A quadratic cost that counts the action sequences that go through a model; see LiftedCost."""

    def __init__(self) -> None:
        self.num_sequences = 0

    def __call__(self, candidates: Tensor) -> Tensor:
        return self.judge(self.imagine(candidates), candidates)

    def imagine(self, candidates: Tensor) -> Tensor:
        self.num_sequences += candidates.shape[1]
        return candidates

    def predict(self, candidates: Tensor, z: Tensor) -> Tensor:
        return self.imagine(candidates) + 0 * z

    def judge(self, z_next: Tensor, candidates: Tensor) -> Tensor:
        return z_next.square().sum((2, 3))


def count_evaluations(component: Component) -> int:
    """Action sequences that a plan imagines, one episode; those whose gradient is taken count once."""
    bound, cost = torch.ones(5, 2), Counter()
    planner = build(PLANNERS, component, "planner", low=-bound, high=bound)
    planner(cost, torch.zeros(1, 3, 10), generator=[torch.Generator().manual_seed(0)])
    return cost.num_sequences


def name_of(overrides: list[str]) -> str:
    """Name of a study: its folder in the run folder, and the first part of its cells' names."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", "_".join(["planners", *sorted(overrides)]))


def cell_of(overrides: list[str], planner: str, budget: dict[str, int]) -> str:
    """Name of an evaluation of a study."""
    return f"{name_of(overrides)}_{planner}_{budget['num_samples']}x{budget['num_iterations']}"


def is_of(results: Path, weights_hash: str) -> bool:
    """Whether results are there, of these weights."""
    return results.exists() and read_results(results)["identity"]["weights_hash"] == weights_hash


def evaluate_cell(
    run: Path, weights_hash: str, planner: str, budget: dict[str, int], overrides: list[str]
) -> dict[str, Any]:
    """One row of the table; the evaluation runs unless its results are there."""
    name = cell_of(overrides, planner, budget)
    results = run / name / "results.json"
    if not is_of(results, weights_hash):
        words = [f"planner.{key}={value}" for key, value in budget.items()]
        command = [sys.executable, *start_of("scripts/plan.py")]
        command += [f"run={quoted(str(run))}", f"name={name}", f"planner={planner}"]
        settings = [f"evaluation.split={SPLIT}", "evaluation.num_videos=0", *overrides]
        subprocess.run([*command, *words, *settings], check=True)
    found = read_results(results)
    component = OmegaConf.to_container(OmegaConf.load(CONFIGS / "planner" / f"{planner}.yaml"))
    assert isinstance(component, dict)
    strict, at_end = found["model"]["strict_success"], found["model"]["strict_success_at_end"]
    return {
        "planner": planner,
        **{key: budget[key] for key in ("num_samples", "num_iterations")},
        "evaluations": count_evaluations(component["planner"] | budget),
        **{key: strict[key] for key in ("successes", "trials", "rate", "low", "high")},
        "rate_at_end": at_end["rate"],
        "milliseconds_per_plan": round(found["planning"]["milliseconds_per_plan_median"], 2),
    }


def save_figure(rows: list[dict[str, Any]], baseline: dict[str, Any], split: str, path: Path) -> None:
    """Strict success with its 95% interval against evaluations, one line for each planner."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained", facecolor="white")
    for planner in dict.fromkeys(row["planner"] for row in rows):
        own = [row for row in rows if row["planner"] == planner]
        rates, evaluations = (np.array([row[key] for row in own]) for key in ("rate", "evaluations"))
        interval = [rates - [row["low"] for row in own], [row["high"] for row in own] - rates]
        axes.errorbar(evaluations, 100 * rates, 100 * np.abs(interval), marker="o", capsize=3, label=planner)
    axes.axhline(100 * baseline["rate"], color="#888888", linestyle="--", label="random actions")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("action sequences imagined for each plan")
    axes.set_ylabel(f"strict success on {split} pairs, % (95% interval)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def print_rows(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table()
    for header in ("planner", "N x I", "evaluations", "strict success", "95% interval", "at the end", "ms per plan"):
        table.add_column(header, justify="left" if header == "planner" else "right")
    for row in rows:
        table.add_row(
            row["planner"],
            f"{row['num_samples']} x {row['num_iterations']}",
            f"{row['evaluations']:,}",
            f"{row['rate']:.1%} ({row['successes']}/{row['trials']})",
            f"{row['low']:.1%} to {row['high']:.1%}",
            f"{row['rate_at_end']:.1%}",
            f"{row['milliseconds_per_plan']:.1f}",
        )
    console.print(table)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--planners", nargs="+", default=list(BUDGETS), choices=BUDGETS)
    parser.add_argument("--most", type=int, default=9000, help="leaves out budgets above it (%(default)s)")
    parser.add_argument("overrides", nargs="*", help="of `lewm plan`, such as evaluation.offset=50")
    args = parser.parse_intermixed_args(arguments)
    with one_line_errors():
        weights_hash = Run.open(args.run).checkpoint.weights_hash
        cells = [
            (planner, budget)
            for planner in args.planners
            for budget in BUDGETS[planner]
            if budget["num_samples"] * budget["num_iterations"] <= args.most
        ]
        if not cells:
            raise InputError(f"--most {args.most} leaves no budget: give at least 20, which gradient and grasp have")
        try:
            rows = [evaluate_cell(args.run, weights_hash, *cell, args.overrides) for cell in cells]
        except subprocess.CalledProcessError as error:
            raise InputError("`lewm plan` has refused, see above: what is done is kept") from error
        folder = args.run / name_of(args.overrides)
        folder.mkdir(exist_ok=True)
        with (folder / "planners.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        first = args.run / cell_of(args.overrides, *cells[0])
        found = read_results(first)
        split = found["protocol"]["split"]
        save_figure(rows, found["baselines"]["random"]["strict_success"], split, folder / "planners.png")
        console = Console()
        print_rows(rows, console)
        console.print(f"pairs of the {split} split; the final number of a planner is that of evaluation.split=test")
        console.print(f"table: {folder / 'planners.csv'}\nfigure: {folder / 'planners.png'}")


if __name__ == "__main__":
    main()
