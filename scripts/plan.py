"""Evaluates a trained run by planning: `lewm plan run=runs/my_run planner=cem_paper seed=1`.

Planner, planning, evaluation and seed are those of the run, unless the command line chooses others.

Baselines are evaluated on the same pairs: `policy=expert name=expert`. An interrupted evaluation goes on where it was.
"""

from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from envs.experts import EXPERTS, NOISE
from lewm.config import Component, EnvConfig, PlanConfig, build, suggestion
from lewm.config.command_line import program
from lewm.data.collection import collect_if_absent
from lewm.data.episodes import Episodes
from lewm.data.identity import dataset_path
from lewm.diagnostics.validation import Validation
from lewm.distributed import use_all_cores
from lewm.errors import InputError
from lewm.evaluation.baselines import BASELINES, Privileged, make_baseline
from lewm.evaluation.cloning_policy import CloningPolicy
from lewm.evaluation.evaluate import evaluate
from lewm.evaluation.evaluation_episodes import choose_episodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import choose_manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.pairs import read_pairs
from lewm.evaluation.play import Policy
from lewm.evaluation.results import describe_model, describe_policy
from lewm.files import run_lock
from lewm.raw_units import RawUnits
from lewm.report import print_results, save_evaluation
from lewm.run import Run
from lewm.tracking import progress_bar
from lewm.training.accelerator import choose_device

POLICIES = ("mpc", "amortized", "behaviour_cloning", "expert", *BASELINES)


def as_trained(chosen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Planner, planning and evaluation of the run, as far as the command line chooses none.

    Args:
      chosen: values of the command line by key; a list of those of a sweep.

    Raises:
      InputError: the runs of a sweep differ in them, or the planner has nothing to do.
    """
    by_protocol = ("planner", "planning") if chosen.get("protocol") is not None else ()
    groups = [group for group in ("planner", "planning", "evaluation") if group not in (*chosen, *by_protocol)]
    runs = chosen.get("run") if isinstance(chosen.get("run"), list) else [chosen.get("run")]
    trained = []
    for run in runs:
        with suppress(InputError):  # main refuses it
            trained.append(asdict(Run.open(str(run)).config))
    if not trained or not groups:
        return {}
    differing = [group for group in groups if any(config[group] != trained[0][group] for config in trained)]
    if differing:
        raise InputError(f"these runs differ: choose {' and '.join(f'{group}=' for group in differing)}")
    inherited = {group: trained[0][group] for group in groups}
    if "planner" in chosen and inherited.get("planning", {}).get("proposal") == "amortized":
        raise InputError(
            f"planner={chosen['planner']} has nothing to do: in this run an inverse-dynamics head acts without a search"
            " (planning.proposal=amortized); choose planning=mpc or planning=proposed"
        )
    return inherited


@program("plan", PlanConfig, inherit=as_trained)
def main(config: PlanConfig) -> None:
    if config.policy not in POLICIES:
        raise InputError(f"unknown policy={config.policy!r}{suggestion(config.policy, POLICIES)}")
    run, console = Run.open(config.run, device=choose_device(config.device)), Console()
    use_all_cores(config.num_threads, num_local_ranks=1)
    env = choose_env(config, run)
    data = choose_data(config, run, env)
    train_ids, held_out = run.split(data)
    if not run.owns(data):
        console.print(f"{data.path} is not what {run.path} was trained on: every episode counts as held out")
    out_dir, split_seed = run.path / config.name, run.spec.data.split_seed
    with progress_bar(console) as progress:
        provide = partial(collect_if_absent, experts=EXPERTS, progress=progress)
        episodes = choose_episodes(config.evaluation.split, data, held_out, env, split_seed, provide)
        manifest = choose_manifest(episodes, env, config.evaluation, console.print)
    policy, described = make_policy(config, run, env, episodes.data, manifest)
    identity = describe_model(run) | {"policy": described}
    diagnostics = draw_validation(run, data, train_ids, held_out)(run.model) if config.policy == "mpc" else {}
    with run_lock(out_dir), progress_bar(console) as progress:
        evaluation = evaluate(
            policy, episodes, manifest, env, config.evaluation, out_dir, identity, diagnostics, progress
        )
        save_evaluation(evaluation, out_dir)
    print_results(evaluation.results, out_dir, console)


def choose_env(config: PlanConfig, run: Run) -> EnvConfig:
    """Environment to plan in: the one of env=, else the one that the model was trained in."""
    env = config.env or run.config.env
    if not isinstance(env, EnvConfig):
        raise InputError(f"run={config.run} was trained on recordings: no environment to plan in; give one as env=")
    for key in ("frame_size", "frameskip"):
        wanted, given = getattr(run.spec, key), getattr(env, key)
        if given != wanted:
            raise InputError(f"env.{key}={given}, and the model was trained with {wanted}: give env.{key}={wanted}")
    return env


def choose_data(config: PlanConfig, run: Run, env: EnvConfig) -> Episodes:
    """Dataset of the pairs: the one of data_path=, else the run's own, or data/<env> for another environment."""
    path = config.data_path
    if path is None and env.name != run.config.env.name:
        path = str(dataset_path(env, run.config.data.root))
    data = run.data(path)
    data.check_fits(env)
    return data


def make_policy(
    config: PlanConfig, run: Run, env: EnvConfig, data: Episodes, manifest: Manifest
) -> tuple[Policy | Privileged, dict[str, Any]]:
    """Makes the policy, and a description of it for results.json."""
    name, spec, seed = config.policy, run.spec, run.config.seed if config.seed is None else config.seed
    if name in BASELINES:
        bounds = np.array(spec.action_low), np.array(spec.action_high)
        baseline = make_baseline(name, read_pairs(manifest, data), config.evaluation.budget, *bounds, seed)
        return baseline, {"name": name, "seed": seed}
    if name == "expert":
        expert = config.expert or without_noise(env.collection.expert)
        policy = Privileged(build(EXPERTS, expert, "expert"), seed)
        return policy, {"name": name, "expert": expert, "seed": seed}
    if name == "behaviour_cloning":
        clone = run.heads[name]
        return CloningPolicy(clone, RawUnits(spec, run.device)), {"name": name, "heads": run.heads.used()}
    planning = config.planning
    if name == "amortized":
        planning = replace(planning, proposal="amortized", horizon=planning.num_executed)  # nothing else is executed
    agent = run.agent(planner=config.planner, planning=planning, seed=seed)
    return MPCPolicy(agent), describe_policy(name, config.planner, planning, seed, run)


def without_noise(expert: Component) -> Component:
    """The expert without the noise that makes data varied; of a mixture, its first part."""
    if expert["name"] == "mixture":
        return without_noise(expert["parts"][0]["expert"])
    return expert | {key: 0.0 for key in NOISE if key in expert}


def draw_validation(run: Run, data: Episodes, train_ids: NDArray, held_out: NDArray) -> Validation:
    """Draws the clips of the diagnostics, those of train.py on the run's own data.

    Of other data no episode was trained on: probes are fitted on one half of them and judged on the other.
    """
    if not len(train_ids):
        if len(held_out) < 2:
            raise InputError(f"{data.path} has {len(held_out)} episode, and probes need at least 2: give more data")
        train_ids, held_out = held_out[::2], held_out[1::2]
    clips, held_out_clips = (run.spec.clips(data, ids, run.config.training.num_frames) for ids in (train_ids, held_out))
    return Validation.draw(clips, held_out_clips, data.metadata, num_clips=512, seed=0)


if __name__ == "__main__":
    main()
