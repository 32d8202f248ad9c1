"""Content of results.json; lewm.results reads it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.config import Component, EvaluationConfig, PlanningConfig
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.play import Outcome
from lewm.evaluation.traces import Trace
from lewm.precision import choose_inference_precision
from lewm.provenance import describe_process
from lewm.run import Run
from lewm.success_rates import success_rate

NOT_OF_THE_MODEL = ("resume", "planner", "planning", "evaluation")
"""Keys of a training's configuration that its weights know nothing of."""


def describe_model(run: Run) -> dict[str, Any]:
    """Identity of a model: its weights, the training that led to them, and the device that it runs on."""
    trained = {key: value for key, value in asdict(run.config).items() if key not in NOT_OF_THE_MODEL}
    return {
        "run": run.path.name,
        "step": run.step,
        "weights_hash": run.checkpoint.weights_hash,
        "dataset_hash": run.spec.data.content_hash,
        "dataset": asdict(run.spec.data),
        "config": trained,
        "trained_on": run.checkpoint.trained_on,
        "device": run.device,
        **describe_process(),
    }


def describe_policy(name: str, planner: Component, planning: PlanningConfig, seed: int, run: Run) -> dict[str, Any]:
    """How a policy acts: its configuration, with the precision chosen for auto, and hashes of its heads' weights."""
    precision = choose_inference_precision("planning.precision", planning.precision, run.device)
    settings = asdict(planning) | {"precision": precision}
    return {"name": name, "planner": planner, "planning": settings, "seed": seed, "heads": run.heads.used()}


def describe_source(episodes: EvaluationEpisodes, manifest: Manifest) -> dict[str, Any]:
    """Where the pairs are from."""
    file = None if manifest.file is None else str(manifest.file)
    return {"episodes": episodes.origin, "dataset": str(episodes.data.path), "manifest": file}


def describe_protocol(manifest: Manifest, config: EvaluationConfig, split: str) -> dict[str, Any]:
    """What was tried."""
    return {
        "env_id": manifest.env_id,
        "split": split,
        "dataset_hash": manifest.dataset_hash,
        "manifest_hash": manifest.hash,
        "num_pairs": len(manifest),
        "num_episodes": len(set(manifest.episodes)),
        "offset": manifest.offset,
        "strict": manifest.strict,
        "manifest_seed": manifest.seed,
        "budget": config.budget,
        "start": config.start,
    }


def fingerprint(*parts: Any) -> str:
    """A digest of what an evaluation's outcomes depend on; the command that began it is not among that."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=asdict).encode()).hexdigest()


def summarize(outcome: Outcome, episodes: Sequence[int]) -> dict[str, Any]:
    """Success rates of one policy with their intervals, and its median distance to the goal at the end.

    Rates are those of success at any time and at the end, over all pairs, and over those that were not solved at the
    start (strict).

    Args:
      outcome: outcome of P pairs.
      episodes: (P,) the recorded episodes of the pairs, the clusters of the intervals.
    """
    clusters, is_open = np.asarray(episodes), ~outcome.solved_at_start
    rates = {
        "success": success_rate(outcome.reached, clusters),
        "strict_success": success_rate(outcome.reached[is_open], clusters[is_open]),
        "strict_success_at_end": success_rate(outcome.at_end[is_open], clusters[is_open]),
        "success_at_end": success_rate(outcome.at_end, clusters),
    }
    return {
        **{name: rate._asdict() for name, rate in rates.items()},
        "final_distance": float(np.median(outcome.distances[:, -1])),
    }


def describe_planning(trace: Trace) -> dict[str, Any] | None:
    """Numbers of plans and their times; None of a policy that does not plan."""
    if not len(trace.plan_seconds):
        return None
    milliseconds = trace.milliseconds()
    return {
        "plans_per_episode": float(trace.num_planned.sum() / len(trace.num_encoded)),
        "encoder_calls": float(trace.num_encoded.mean()),
        "milliseconds_per_plan_median": float(np.median(milliseconds)),
        "milliseconds_per_plan_p95": float(np.percentile(milliseconds, 95)),
    }


def describe_pairs(manifest: Manifest, outcome: Outcome) -> list[dict[str, Any]]:
    """What came of each pair."""
    return [
        {
            "episode": manifest.episodes[i],
            "step": manifest.steps[i],
            "solved_at_start": bool(outcome.solved_at_start[i]),
            "reached": bool(outcome.reached[i]),
            "at_end": bool(outcome.at_end[i]),
            "first_success": int(outcome.first_success[i]) if outcome.reached[i] else None,
            "num_steps": int(outcome.num_steps[i]),
            "final_distance": float(outcome.distances[i, -1]),
            "start_state": outcome.states[i, 0].tolist(),
            "final_state": outcome.states[i, -1].tolist(),
            "goal_state": outcome.goal_states[i].tolist(),
        }
        for i in range(len(manifest))
    ]


def join_outcomes(outcomes: Sequence[Outcome], order: NDArray[np.int64]) -> Outcome:
    """Those of several batches, whose episodes are put into `order`."""
    return Outcome(*(np.concatenate(arrays)[order] for arrays in zip(*outcomes, strict=True)))
