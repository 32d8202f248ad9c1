"""Evaluation of a run as its configuration says, with its files."""

from typing import Any

from rich.progress import Progress

from lewm.config import EnvConfig, TrainConfig
from lewm.evaluation.evaluate import evaluate
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.results import describe_model, describe_policy
from lewm.files import write_json
from lewm.report.saving import save_evaluation
from lewm.run import Run


def evaluate_run(
    run: Run,
    config: TrainConfig,
    pairs: tuple[EvaluationEpisodes, Manifest] | None,
    diagnostics: dict[str, float],
    progress: Progress,
) -> dict[str, Any]:
    """Plans on the pairs, if there are any, and writes results and report into the run folder.

    Args:
      run: the trained run.
      config: planner, planning, evaluation and environment; of a resumed run they need not be those in its folder.
      pairs: pairs of start and goal with the episodes that they are of; None where there is no environment.
      diagnostics: numbers of Validation.
      progress: progress that the bars are drawn in.

    Returns:
      The content of results.json.
    """
    identity = describe_model(run)
    if pairs is None or not isinstance(config.env, EnvConfig):
        results = {"identity": identity, "diagnostics": diagnostics}
        write_json(run.path / "results.json", results)
        return results
    policy = MPCPolicy(run.agent(planner=config.planner, planning=config.planning, seed=config.seed))
    identity["policy"] = describe_policy("mpc", config.planner, config.planning, config.seed, run)
    evaluation = evaluate(policy, *pairs, config.env, config.evaluation, run.path, identity, diagnostics, progress)
    save_evaluation(evaluation, run.path)
    return evaluation.results
