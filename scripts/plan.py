"""Evaluates a trained run by planning: `python scripts/plan.py run=runs/my_run planner=cem_paper seed=1`.

It plans as the run did at the end of its training, but for what the command line chooses.

Baselines are evaluated on the same pairs: `policy=expert name=expert`. An interrupted evaluation goes on where it was.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from envs.experts import EXPERTS
from lewm.config import Component, EnvConfig, PlanConfig, build, suggestion
from lewm.config.command_line import program
from lewm.data.clips import Clips
from lewm.data.episodes import Episodes
from lewm.diagnostics.validation import Validation
from lewm.distributed import use_all_cores
from lewm.errors import InputError
from lewm.evaluation.baselines import BASELINES, Privileged, make_baseline
from lewm.evaluation.cloning_policy import CloningPolicy
from lewm.evaluation.evaluate import evaluate
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import choose_manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.pairs import read_pairs
from lewm.evaluation.play import Policy
from lewm.evaluation.results import describe_model, describe_policy
from lewm.files import run_lock
from lewm.report import print_results, save_evaluation
from lewm.run import Run
from lewm.tracking import progress_bar
from lewm.training.accelerator import choose_device
from lewm.training.checkpoint import latest_checkpoint

POLICIES = ("mpc", "amortized", "behaviour_cloning", "expert", *BASELINES)


def as_trained(chosen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Planner and planning of the run, as far as the command line chooses none."""
    run, groups = chosen.get("run"), [group for group in ("planner", "planning") if group not in chosen]
    if run is None or chosen.get("protocol") is not None or not groups:
        return {}
    if isinstance(run, list):
        raise InputError(f"several runs, which may plan differently: choose {' and '.join(map('{}='.format, groups))}")
    if latest_checkpoint(Path(str(run))) is None:
        return {}  # which main refuses
    config = Run.open(str(run)).config
    if "planning" in groups and config.planning.proposal == "alone" and "planner" in chosen:
        raise InputError(
            f"planner={chosen['planner']} has nothing to do: in this run an inverse-dynamics head acts alone"
            " (planning.proposal=alone); choose planning=mpc or planning=proposed"
        )
    return {group: asdict(config.planning) if group == "planning" else config.planner for group in groups}


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
    manifest = choose_manifest(data, held_out, env, config.evaluation, console.print)
    policy, described = make_policy(config, run, env, data, manifest)
    out_dir = run.path / config.name
    identity = describe_model(run) | {"policy": described}
    diagnostics = draw_validation(run, data, train_ids, held_out)(run.model) if config.policy == "mpc" else {}
    with run_lock(out_dir), progress_bar(console) as progress:
        evaluation = evaluate(policy, data, manifest, env, config.evaluation, out_dir, identity, diagnostics, progress)
        save_evaluation(evaluation, out_dir)
    print_results(evaluation.results, out_dir, console)


def choose_env(config: PlanConfig, run: Run) -> EnvConfig:
    """The environment to plan in: that of env=, else the one that the model was trained in."""
    env = config.env or run.config.env
    if not isinstance(env, EnvConfig):
        raise InputError(f"run={config.run} was trained on recordings: no environment to plan in; give one as env=")
    for key in ("frame_size", "frameskip"):
        wanted, given = getattr(run.spec, key), getattr(env, key)
        if given != wanted:
            raise InputError(f"env.{key}={given}, and the model was trained with {wanted}: give env.{key}={wanted}")
    return env


def choose_data(config: PlanConfig, run: Run, env: EnvConfig) -> Episodes:
    """The dataset of the pairs: that of data_path=, else the run's own, or in another environment that one's."""
    path = config.data_path
    if path is None and env.name != run.config.env.name:
        path = f"data/{env.name}"
    data = run.data(path)
    data.check_fits(env)
    return data


def make_policy(
    config: PlanConfig, run: Run, env: EnvConfig, data: Episodes, manifest: Manifest
) -> tuple[Policy | Privileged, dict[str, Any]]:
    """What acts, and a description of it."""
    name, spec = config.policy, run.spec
    bounds = np.array(spec.action_low), np.array(spec.action_high)
    if name in BASELINES:
        baseline = make_baseline(name, read_pairs(manifest, data), config.evaluation.budget, *bounds, config.seed)
        return baseline, {"name": name, "seed": config.seed}
    if name == "expert":
        expert = config.expert or without_noise(env.collection.expert)
        policy = Privileged(build(EXPERTS, expert, "expert"), config.seed)
        return policy, {"name": name, "expert": expert, "seed": config.seed}
    if name == "behaviour_cloning":
        clone = run.heads[name]
        described = {"name": name, "heads": run.heads.used()}
        return CloningPolicy(clone, spec.normalizer, env.frameskip, *bounds, run.device), described
    planning = config.planning
    if name == "amortized":
        planning = replace(planning, proposal="alone", horizon=planning.num_executed)  # nothing else is executed
    agent = run.agent(planner=config.planner, planning=planning, seed=config.seed)
    return MPCPolicy(agent), describe_policy(name, config.planner, planning, config.seed, run.heads.used())


def without_noise(expert: Component) -> Component:
    """The expert at its best: what makes data varied is left out, and of a mixture the first part is taken."""
    if expert["name"] == "mixture":
        return without_noise(expert["parts"][0]["expert"])
    return expert | {key: 0.0 for key in ("noise_std", "repeat_probability") if key in expert}


def draw_validation(run: Run, data: Episodes, train_ids: NDArray, held_out: NDArray) -> Validation:
    """The clips that train.py validates on; probes of other data are fitted on half of its episodes."""
    if not len(train_ids):
        train_ids, held_out = held_out[::2], held_out[1::2]
    num_frames, spec = run.config.training.num_frames, run.spec
    clips, held_out_clips = (
        Clips(data, ids, num_frames, spec.frameskip, spec.normalizer) for ids in (train_ids, held_out)
    )
    return Validation.draw(clips, held_out_clips, data.metadata, num_clips=512, seed=0)


if __name__ == "__main__":
    main()
