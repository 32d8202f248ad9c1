"""What an evaluation leaves behind: results.json, videos, a picture, and a table on the screen."""

import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import matplotlib
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from lewm.evaluation.control import Arena, Outcome
from lewm.evaluation.protocol import Rate, wilson

matplotlib.use("Agg")

import matplotlib.pyplot as plt


def rates(outcome: Outcome) -> dict[str, Rate]:
    """Success ever and at the end, over all pairs, and over those that were not solved at the start (strict)."""
    open_pairs = ~outcome.solved_at_start
    return {
        "success": wilson(int(outcome.reached.sum()), len(outcome.reached)),
        "strict_success": wilson(int(outcome.reached[open_pairs].sum()), int(open_pairs.sum())),
        "strict_success_at_end": wilson(int(outcome.at_end[open_pairs].sum()), int(open_pairs.sum())),
    }


def save_results(results: dict[str, Any], path: Path) -> None:
    """Writes the results under a temporary name first, so that the file is whole or absent."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=2) + "\n")
    partial.rename(path)


def table(results: dict[str, Any]) -> Table:
    """The closing table: one row for the model and one for each floor."""
    grid = Table(title=f"{results['identity']['run']}: {results['protocol']['num_pairs']} held-out pairs")
    for header in ("policy", "success", "strict success", "95% interval", "strict, at the end"):
        grid.add_column(header, justify="left" if header == "policy" else "right")
    for name, row in {"model": results["model"], **results["floors"]}.items():
        strict = row["strict_success"]
        grid.add_row(
            name,
            f"{row['success']['rate']:.1%}",
            f"{strict['rate']:.1%} ({strict['successes']}/{strict['trials']})",
            f"{strict['low']:.1%} to {strict['high']:.1%}",
            f"{row['strict_success_at_end']['rate']:.1%}",
        )
    return grid


def save_videos(outcome: Outcome, arena: Arena, folder: Path, num_videos: int, scale: int = 3) -> list[str]:
    """One mp4 for each of the first pairs that were not solved at the start: start | achieved | goal."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for pair in np.flatnonzero(~outcome.solved_at_start)[:num_videos]:
        goal = _frames(arena, outcome.goal_states[pair : pair + 1])
        achieved = _frames(arena, outcome.states[pair])
        still = np.broadcast_to(achieved[:1], achieved.shape)
        film = np.concatenate([still, achieved, np.broadcast_to(goal, achieved.shape)], axis=2)
        film = film.repeat(scale, axis=1).repeat(scale, axis=2)
        name = f"pair_{pair:03d}_{'reached' if outcome.reached[pair] else 'failed'}.mp4"
        iio.imwrite(folder / name, film, fps=10, macro_block_size=1)
        names.append(name)
    return names


def save_overview(results: dict[str, Any], outcome: Outcome, arena: Arena, path: Path, num_rows: int = 4) -> None:
    """A picture of the evaluation: the pairs farthest apart from start to goal, and success beside the floors."""
    figure, (films, bars) = plt.subplots(
        1, 2, figsize=(11, 4.2), width_ratios=(7, 4), layout="constrained", facecolor="white"
    )
    apart = np.linalg.norm(outcome.goal_states - outcome.states[:, 0], axis=1)
    chosen = np.argsort(-apart)[:num_rows]
    times = ((outcome.states.shape[1] - 1) * np.array([0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])).round().astype(int)
    rows = [
        np.concatenate([*_frames(arena, outcome.states[i, times]), *_frames(arena, outcome.goal_states[i : i + 1])], 1)
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
    shown = {"model": results["model"], **results["floors"]}
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
    plt.close(figure)


def _frames(arena: Arena, states: NDArray) -> NDArray[np.uint8]:
    """(n, S) states of one episode -> (n, h, w, C) frames."""
    env = arena.envs[0]
    frames = []
    for state in states:
        env.set_state(state)
        frames.append(env.render())
    return np.stack(frames)
