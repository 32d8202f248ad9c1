"""Files of an evaluation, written when it is finished."""

from contextlib import closing
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.evaluate import Evaluation
from lewm.evaluation.traces import save_arrays
from lewm.files import write_json
from lewm.report.page import save_page
from lewm.report.summary import save_overview, save_videos


def save_evaluation(evaluation: Evaluation, out_dir: Path) -> None:
    """Writes report.html, results.json, manifest.json, traces.npz, overview.png and videos/ into a folder.

    An earlier evaluation there is written over: its results go first and the new ones come last, so that results.json
    never stands beside films of other pairs. The partial results are removed at the end.
    """
    for name in ("report.html", "results.json", "manifest.json"):
        (out_dir / name).unlink(missing_ok=True)
    save_traces(evaluation, out_dir / "traces.npz")
    with closing(EnvPool(evaluation.env)) as pool:
        save_videos(evaluation.outcome, evaluation.filmed, pool, out_dir / "videos")
        save_overview(evaluation.results, evaluation.outcome, pool, out_dir / "overview.png")
    evaluation.manifest.save(out_dir / "manifest.json")
    write_json(out_dir / "results.json", evaluation.results)
    save_page(out_dir)
    evaluation.parts.remove()


def save_traces(evaluation: Evaluation, path: Path) -> None:
    """Writes traces.npz.

    states (P, budget+1, S), goal_states (P, S) and distances (P, budget+1) of the episodes; z_distance, observed_steps
    and best_costs of the trace, plan_milliseconds (number of plans,) per episode, and the films, where there are any.
    """
    outcome, trace = evaluation.outcome, evaluation.trace
    arrays: dict[str, NDArray[Any]] = {}
    arrays |= {"states": outcome.states, "goal_states": outcome.goal_states, "distances": outcome.distances}
    arrays |= {"z_distance": trace.z_distance, "observed_steps": trace.observed_steps, "best_costs": trace.best_costs}
    arrays |= {"plan_milliseconds": trace.milliseconds()}
    save_arrays(path, {name: array for name, array in arrays.items() if array.size} | evaluation.films)
