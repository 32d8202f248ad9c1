"""The planning evaluation of one model: success on held-out pairs, floors, probes, speed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from lewm.config import EnvConfig, EvaluationConfig
from lewm.data.episodes import Episodes
from lewm.evaluation.control import Arena, MPCPolicy, floors, play
from lewm.evaluation.protocol import Manifest, Rate, read_pairs
from lewm.evaluation.report import rates, save_overview, save_results, save_videos, table


def draw_manifest(data: Episodes, held_out: NDArray, config: EvaluationConfig) -> Manifest:
    """The pairs that every model is tried on, a function of dataset, held-out episodes (E,) and protocol."""
    return Manifest.draw(data, held_out, config.offset, config.num_pairs, config.manifest_seed)


def evaluate(
    policy: MPCPolicy,
    data: Episodes,
    manifest: Manifest,
    env: EnvConfig,
    config: EvaluationConfig,
    out_dir: Path,
    identity: dict[str, Any],
    diagnostics: dict[str, float],
    progress: Progress,
) -> dict[str, Any]:
    """Plays the manifest, writes everything into out_dir and returns what results.json holds.

    Args:
      policy: the model behind its planner.
      data: dataset that the pairs come from.
      manifest: the pairs, of held-out episodes.
      env: the environment.
      config: number of pairs, offset and budget.
      out_dir: folder for results.json, manifest.json, overview.png and videos/.
      identity: which model this is.
      diagnostics: Validation's numbers.
      progress: draws the bar.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    manifest.save(out_dir / "manifest.json")
    pairs = read_pairs(manifest, data)
    arena = Arena(env, config.num_pairs)
    bar = progress.add_task("planning", total=config.budget, unit="env steps")
    outcome = play(arena, policy, pairs, config.budget, lambda: progress.advance(bar))
    low, high = np.array(data.metadata.action_low), np.array(data.metadata.action_high)
    milliseconds = 1000 * np.array(policy.plan_seconds) / config.num_pairs
    results = {
        "identity": identity,
        "protocol": {
            "dataset_hash": data.content_hash,
            "num_pairs": config.num_pairs,
            "offset": config.offset,
            "budget": config.budget,
            "manifest_seed": config.manifest_seed,
        },
        "model": _as_dicts(rates(outcome)),
        "floors": {
            name: _as_dicts(rates(floor))
            for name, floor in floors(arena, pairs, config.budget, low, high, config.manifest_seed).items()
        },
        "already_solved": float(outcome.solved_at_start.mean()),
        "diagnostics": diagnostics,
        "planning": {
            "plans_per_episode": len(policy.plan_seconds),
            "milliseconds_per_plan_median": float(np.median(milliseconds)),
            "milliseconds_per_plan_p95": float(np.percentile(milliseconds, 95)),
        },
        "pairs": [
            {
                "episode": manifest.episodes[i],
                "step": manifest.steps[i],
                "solved_at_start": bool(outcome.solved_at_start[i]),
                "reached": bool(outcome.reached[i]),
                "at_end": bool(outcome.at_end[i]),
                "start_state": outcome.states[i, 0].tolist(),
                "final_state": outcome.states[i, -1].tolist(),
                "goal_state": outcome.goal_states[i].tolist(),
            }
            for i in range(config.num_pairs)
        ],
    }
    save_videos(outcome, arena, out_dir / "videos", config.num_videos)
    save_overview(results, outcome, arena, out_dir / "overview.png")
    save_results(results, out_dir / "results.json")
    return results


def print_results(results: dict[str, Any], out_dir: Path, console: Console) -> None:
    """The closing table, and where everything is; of recorded data without an environment, what can be said."""
    diagnostics = results["diagnostics"]
    if "model" in results:
        console.print(table(results))
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
    planning = results["planning"]
    console.print(
        f"planning: {planning['milliseconds_per_plan_median']:.1f} ms per plan and episode (median),"
        f" {planning['plans_per_episode']} plans per episode"
    )
    console.print(f"already solved at the start: {results['already_solved']:.1%} of the pairs")
    for label, name in (("results", "results.json"), ("picture", "overview.png"), ("videos", "videos")):
        console.print(f"{label}: {out_dir / name}")


def _as_dicts(rows: dict[str, Rate]) -> dict[str, Any]:
    return {name: row._asdict() for name, row in rows.items()}
