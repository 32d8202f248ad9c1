"""What an evaluation leaves behind: results.json, videos, a picture, and a table on the screen."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from lewm.evaluation.play import Outcome
from lewm.report.figures import policy_name
from lewm.report.media import choose, save_film, side_by_side


class Artist(Protocol):
    """Draws states; see lewm.evaluation.env_pool."""

    def draw(self, states: NDArray[np.float64]) -> NDArray[np.uint8]:
        """(n, S) states -> (n, h, w, C) frames."""
        ...


def table(results: dict[str, Any]) -> Table:
    """The closing table, at most 80 columns wide for a model: one row for the policy and one for each baseline."""
    num_pairs, num_open = results["protocol"]["num_pairs"], results["model"]["strict_success"]["trials"]
    title = f"{results['identity']['run']}: {num_pairs} held-out pairs, {num_open} unsolved at the start"
    grid = Table(title=title, show_edge=False, pad_edge=False)
    headers = ("policy", "success", "strict\nsuccess", "95%\ninterval", "at the\nend", "95%\ninterval", "distance")
    for header in headers:
        grid.add_column(header, justify="left" if header == "policy" else "right", overflow="fold")
    for name, row in {policy_name(results): results["model"], **results["baselines"]}.items():
        strict, at_end = row["strict_success"], row["strict_success_at_end"]
        grid.add_row(
            name,
            f"{row['success']['rate']:.1%}",
            f"{strict['rate']:.1%}",
            _interval(strict),
            f"{at_end['rate']:.1%}",
            _interval(at_end),
            f"{row['final_distance']:.3g}",
        )
    return grid


def _interval(rate: dict[str, Any]) -> str:
    return f"{100 * rate['low']:.1f} to {rate['high']:.1%}"


def save_videos(outcome: Outcome, pool: Artist, folder: Path, num_videos: int) -> list[str]:
    """One mp4, start | achieved | goal, for each of up to num_videos pairs that were not solved at the start."""
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("pair_*.mp4"):
        earlier.unlink()
    names = []
    for pair in choose(outcome.reached, outcome.solved_at_start, num_videos):
        achieved, goal = pool.draw(outcome.states[pair]), pool.draw(outcome.goal_states[pair : pair + 1])[0]
        name = f"pair_{pair:03d}_{'reached' if outcome.reached[pair] else 'failed'}.mp4"
        save_film(side_by_side(achieved[0], achieved, goal), folder / name)
        names.append(name)
    return names


def save_overview(results: dict[str, Any], outcome: Outcome, pool: Artist, path: Path, num_rows: int = 4) -> None:
    """A picture of the evaluation: the pairs farthest apart from start to goal, and success beside the baselines."""
    figure = Figure(figsize=(11, 4.2), layout="constrained", facecolor="white")
    films, bars = figure.subplots(1, 2, width_ratios=(7, 4))
    apart = np.linalg.norm(outcome.goal_states - outcome.states[:, 0], axis=1)
    chosen = np.argsort(-apart)[:num_rows]
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
