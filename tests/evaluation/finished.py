"""Folders as an evaluation leaves them, made up: what reports read."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from lewm.files import write_json
from lewm.report.media import save_film, side_by_side
from lewm.success_rates import wilson

BUDGET, NUM_ITERATIONS, SIZE = 12, 4, 48


def make_results(reached, solved_at_start, **identity):
    """results.json of pairs with these outcomes; number i is from episode 100 + i."""
    num_pairs, is_open = len(reached), ~np.array(solved_at_start, bool)
    successes = int((np.array(reached, bool) & is_open).sum())
    pairs = [
        {
            "episode": 100 + i,
            "step": 7 * i,
            "solved_at_start": bool(solved_at_start[i]),
            "reached": bool(reached[i]),
            "at_end": bool(reached[i]) and i % 5 != 4,
            "first_success": 3 + i % 7 if reached[i] else None,
            "final_distance": 0.25 + i % 3 / 8 if reached[i] else 1.5 + i / 16,
        }
        for i in range(num_pairs)
    ]
    row = {
        "success": wilson(sum(map(bool, reached)), num_pairs)._asdict(),
        "strict_success": wilson(successes, int(is_open.sum()))._asdict(),
        "strict_success_at_end": wilson(successes // 2, int(is_open.sum()))._asdict(),
    }
    baselines = {
        name: {rate: wilson(count, num_pairs)._asdict() for rate in row}
        for name, count in (("random", 1), ("no_op", 0), ("replay", num_pairs))
    }
    command = ["train.py", "env=two_room", "planning={name: <b>}"]
    versions = {"python": "3.11.9", "torch": "2.11.0"}
    return {
        "identity": {"run": "two_room", "step": 300, "device": "cpu", "command": command, "commit": "0" * 40}
        | {"versions": versions}
        | identity,
        "source": {"episodes": "episodes made up for <b>tests</b>"},
        "protocol": {
            "split": "test",
            "dataset_hash": "abc",
            "num_pairs": num_pairs,
            "offset": 25,
            "budget": BUDGET,
            "manifest_seed": 0,
        },
        "model": row,
        "baselines": baselines,
        "already_solved": 1 - float(is_open.mean()),
        "diagnostics": {"probe/r2_agent_x": 0.987654},
        "planning": {
            "plans_per_episode": 3,
            "encoder_calls": 160,
            "milliseconds_per_plan_median": 12.34,
            "milliseconds_per_plan_p95": 56.78,
        },
        "pairs": pairs,
    }


def make_traces(reached):
    """The arrays of traces.npz: distances fall to the goal where it is reached."""
    rng, num_pairs = np.random.default_rng(0), len(reached)
    steps = np.arange(BUDGET + 1)
    ends = np.where(reached, 0.3, 2.0)[:, None]
    distances = ends + (4 - ends) * np.exp(-steps / 3) * rng.uniform(0.5, 1.5, (num_pairs, 1))
    costs = distances[:, :9:4, None] * np.exp(-np.arange(NUM_ITERATIONS) / 2)
    z_distance = 20 * distances[:, ::4]
    z_distance[0, -1] = np.nan
    frames = rng.integers(0, 255, (2, 2, 3, SIZE, SIZE, 3), dtype=np.uint8)
    return {
        "distances": distances,
        "z_distance": z_distance,
        "observed_steps": steps[::4],
        "best_costs": costs,
        "plan_milliseconds": rng.gamma(3, 4, 40),
        "real_frames": frames[0],
        "imagined_frames": frames[1],
        "imagined_z": np.zeros((2, 3, 8)),
        "film_pairs": np.array([2, 0]),
    }


def write_evaluation(folder, reached, solved_at_start, num_films=0, **identity):
    """results.json, traces.npz, videos/ and config.yaml; returns the results."""
    results = make_results(reached, solved_at_start, **identity)
    write_json(folder / "results.json", results)
    np.savez(folder / "traces.npz", **make_traces(reached))
    (folder / "config.yaml").write_text("env:\n  name: <script>alert(1)</script>\n")
    (folder / "videos").mkdir()
    for i in range(num_films):
        name = f"pair_{i:03d}_{'reached' if reached[i] else 'failed'}.mp4"
        (folder / "videos" / name).write_bytes(film_bytes())
    return results


@cache
def film_bytes():
    """An mp4 of a block that moves to the right."""
    film = np.zeros((BUDGET + 1, SIZE, SIZE, 3), np.uint8)
    for t, frame in enumerate(film):
        frame[20:28, 2 + 3 * t : 10 + 3 * t] = 200, 60, 30
    with tempfile.TemporaryDirectory() as folder:
        save_film(side_by_side(film[0], film, film[-1]), Path(folder) / "film.mp4")
        return (Path(folder) / "film.mp4").read_bytes()
