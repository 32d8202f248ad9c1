"""Summary of an evaluation: a table on the screen, a picture, and videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from lewm.evaluation.play import Outcome
from lewm.report.figures import policy_name
from lewm.report.markup import interval, percent
from lewm.report.media import FILM, save_film, side_by_side


class Artist(Protocol):
    """Draws states; see lewm.evaluation.env_pool."""

    def draw(self, states: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(n, S) states -> (n, h, w, C) frames."""
        ...


def table(results: dict[str, Any]) -> Table:
    """The closing table, at most 80 columns wide for a model: one row for the policy and one for each baseline."""
    split = results["protocol"]["split"]
    num_pairs, num_open = results["protocol"]["num_pairs"], results["model"]["strict_success"]["trials"]
    title = f"{results['identity']['run']}: {num_pairs} {split} pairs, {num_open} unsolved at the start"
    grid = Table(title=title, show_edge=False, pad_edge=False)
    headers = ("policy", "success", "strict\nsuccess", "95%\ninterval", "at the\nend", "95%\ninterval", "distance")
    for header in headers:
        grid.add_column(header, justify="left" if header == "policy" else "right", overflow="fold")
    for name, row in {policy_name(results): results["model"], **results["baselines"]}.items():
        strict, at_end = row["strict_success"], row["strict_success_at_end"]
        grid.add_row(
            name,
            percent(row["success"]["rate"]),
            percent(strict["rate"]),
            interval(strict),
            percent(at_end["rate"]),
            interval(at_end),
            f"{row['final_distance']:.3g}",
        )
    return grid


def print_results(results: dict[str, Any], out_dir: Path, console: Console) -> None:
    """Prints the closing table and where everything is; of recordings without an environment, what can be said."""
    diagnostics, identity = results["diagnostics"], results["identity"]
    if "model" in results:
        console.print(table(results))
    weights, data = (identity[name][:12] for name in ("weights_hash", "dataset_hash"))
    named = f"model: {identity['run']}, step {identity['step']}, weights {weights}, data {data}"
    console.print(named, soft_wrap=True, highlight=False)
    if diagnostics:
        probes = ", ".join(
            f"{tag.removeprefix('probe/')} {r2:.4f}" for tag, r2 in diagnostics.items() if tag.startswith("probe/")
        )
        console.print(f"linear probe: {probes or 'the data have no states'}")
    if "model" not in results:
        ratio = diagnostics["val/prediction_over_copy_last"]
        console.print(f"prediction: {ratio:.3f} of the error of copying the last frame, on held-out episodes")
        console.print("no planning: these are recordings, without an environment")
        console.print(f"results: {out_dir / 'results.json'}")
        return
    if planning := results["planning"]:
        console.print(
            f"planning: {planning['milliseconds_per_plan_median']:.1f} ms per plan and episode (median; 95th percentile"
            f" {planning['milliseconds_per_plan_p95']:.1f}), {planning['plans_per_episode']:g} plans and"
            f" {planning['encoder_calls']:g} encoded frames per episode"
        )
    split, source = results["protocol"]["split"], results["source"]
    console.print(f"pairs of the {split} split, {source['episodes']}", soft_wrap=True, highlight=False)
    console.print(f"already solved at the start: {results['already_solved']:.1%} of the pairs")
    for label, name in (
        ("report", "report.html"),
        ("results", "results.json"),
        ("picture", "overview.png"),
        ("videos", "videos"),
    ):
        console.print(f"{label}: {out_dir / name}")


def save_videos(outcome: Outcome, pairs: Sequence[int], pool: Artist, folder: Path) -> list[str]:
    """Writes an mp4 of each of some pairs, start | achieved | goal, and returns the names; earlier ones are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("pair_*.mp4"):
        if FILM.fullmatch(earlier.name):  # a copy that the user made stays
            earlier.unlink()
    names = []
    for pair in pairs:
        achieved, goal = pool.draw(outcome.states[pair]), pool.draw(outcome.goal_states[pair : pair + 1])[0]
        name = f"pair_{pair:03d}_{'reached' if outcome.reached[pair] else 'failed'}.mp4"
        save_film(side_by_side(achieved[0], achieved, goal), folder / name)
        names.append(name)
    return names


def save_overview(results: dict[str, Any], outcome: Outcome, pool: Artist, path: Path, num_rows: int = 4) -> None:
    """Draws the pairs whose goals are farthest, as the environment measures it, and success beside the baselines."""
    figure = Figure(figsize=(11, 4.2), layout="constrained", facecolor="white")
    films, bars = figure.subplots(1, 2, width_ratios=(7, 4))
    chosen = np.argsort(-outcome.distances[:, 0], kind="stable")[:num_rows]
    times = ((outcome.states.shape[1] - 1) * np.array([0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])).round().astype(int)
    rows = [
        np.concatenate([*pool.draw(outcome.states[i, times]), *pool.draw(outcome.goal_states[i : i + 1])], 1)
        for i in chosen
    ]
    width = rows[0].shape[1] // 7
    films.imshow(np.concatenate(rows), interpolation="nearest")
    films.set_xticks(width * (np.arange(7) + 0.5), [*(f"step {t}" for t in times), "goal"])
    films.set_yticks(
        rows[0].shape[0] * (np.arange(len(rows)) + 0.5), ["reached" if outcome.reached[i] else "failed" for i in chosen]
    )
    films.tick_params(length=0)
    for edge in range(1, 7):
        films.axvline(edge * width - 0.5, color="white", linewidth=4 if edge == 6 else 1)
    shown = {policy_name(results): results["model"], **results["baselines"]}
    strict = [row["strict_success"] for row in shown.values()]
    rate = np.array([row["rate"] for row in strict])
    interval = np.abs(np.array([[row["low"], row["high"]] for row in strict]).T - rate)
    colors = ["#2f6f8f", *["#b9bec7"] * (len(shown) - 1)]
    bars.barh(list(shown), 100 * rate, xerr=100 * interval, color=colors, ecolor="#333333", capsize=3)
    bars.invert_yaxis()
    bars.set_xlim(0, 100)
    bars.set_xlabel("strict success, % (95% interval)")
    bars.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
