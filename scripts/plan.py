"""Evaluates a trained run by planning: `python scripts/plan.py run=runs/my_run planner=cem_paper seed=1`.

It plans as the run did at the end of its training, but for what the command line chooses.

Baselines are evaluated on the same pairs: `policy=expert name=expert`. An interrupted evaluation goes on where it was.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from envs.experts import EXPERTS
from lewm.config import Component, EnvConfig, PlanConfig, RecordingConfig, build, suggestion
from lewm.config.command_line import program
from lewm.data.clips import Clips, split_episodes
from lewm.data.episodes import Episodes
from lewm.diagnostics.validation import Validation
from lewm.distributed import use_all_cores
from lewm.errors import InputError
from lewm.evaluation.baselines import BASELINES, Privileged, make_baseline
from lewm.evaluation.cloning_policy import CloningPolicy
from lewm.evaluation.evaluate import evaluate, print_results
from lewm.evaluation.manifests import choose_manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.pairs import Manifest, read_pairs
from lewm.evaluation.play import Policy
from lewm.evaluation.results import describe_model, describe_policy
from lewm.files import run_lock
from lewm.heads.files import load_heads
from lewm.models import JEPA
from lewm.tracking import progress_bar
from lewm.training.build import build_mpc
from lewm.training.checkpoint import ModelSpec, latest_checkpoint, load_spec, load_weights

POLICIES = ("mpc", "amortized", "behaviour_cloning", "expert", *BASELINES)


def as_trained(chosen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Planner and planning of the run, as far as the command line chooses none."""
    run, groups = chosen.get("run"), [group for group in ("planner", "planning") if group not in chosen]
    if run is None or chosen.get("protocol") is not None or not groups:
        return {}
    if isinstance(run, list):
        raise InputError(f"several runs, which may plan differently: choose {' and '.join(map('{}='.format, groups))}")
    checkpoint = latest_checkpoint(Path(str(run)))
    if checkpoint is None:
        return {}  # which main refuses
    config = load_spec(checkpoint)[0].config
    if "planning" in groups and config.planning.proposal == "alone" and "planner" in chosen:
        raise InputError(
            f"planner={chosen['planner']} has nothing to do: in this run an inverse-dynamics head acts alone"
            " (planning.proposal=alone); choose planning=mpc or planning=proposed"
        )
    return {group: vars(config.planning) if group == "planning" else config.planner for group in groups}


@program("plan", PlanConfig, inherit=as_trained)
def main(config: PlanConfig) -> None:
    run_dir, console = Path(config.run), Console()
    checkpoint = latest_checkpoint(run_dir)
    if checkpoint is None:
        raise InputError(f"run={config.run} holds no checkpoint: give the folder of a trained run")
    if config.policy not in POLICIES:
        raise InputError(f"unknown policy={config.policy!r}{suggestion(config.policy, POLICIES)}")
    spec, step = load_spec(checkpoint)
    env = choose_env(config, spec)
    trained_in_it = env.name == spec.config.env.name
    data = open_data(config.data_path or (spec.config.data.path if trained_in_it else f"data/{env.name}"), env, spec)
    split = spec.config.data
    _, held_out = split_episodes(len(data), split.val_fraction, split.split_seed)
    device = choose_device(config.device)
    use_all_cores(config.num_threads, num_local_ranks=1)
    model = spec.build_model()
    load_weights(checkpoint, model)
    model.to(device).eval()

    manifest = choose_manifest(data, held_out, env, config.evaluation, console.print)
    policy, described = make_policy(config, spec, env, model, data, manifest, device)
    out_dir = run_dir / config.name
    identity = describe_model(spec.config, step, checkpoint / "model.safetensors", spec.dataset_hash, device)
    diagnostics = draw_validation(data, spec)(model) if config.policy == "mpc" else {}
    with run_lock(out_dir), progress_bar(console) as progress:
        results = evaluate(
            policy,
            data,
            manifest,
            env,
            config.evaluation,
            out_dir,
            identity | {"policy": described},
            diagnostics,
            progress,
        )
    print_results(results, out_dir, console)


def choose_env(config: PlanConfig, spec: ModelSpec) -> EnvConfig:
    """The environment to plan in: that of env=, else the one that the model was trained in."""
    trained_in, env = spec.config.env, config.env or spec.config.env
    if not isinstance(env, EnvConfig):
        raise InputError(f"run={config.run} was trained on recordings: no environment to plan in; give one as env=")
    for key in ("frame_size", "frameskip"):
        wanted, given = getattr(trained_in, key), getattr(env, key)
        if given != wanted:
            raise InputError(f"env.{key}={given}, and the model was trained with {wanted}: give env.{key}={wanted}")
    return env


def make_policy(
    config: PlanConfig, spec: ModelSpec, env: EnvConfig, model: JEPA, data: Episodes, manifest: Manifest, device: str
) -> tuple[Policy | Privileged, dict[str, Any]]:
    """What acts, and a description of it."""
    name = config.policy
    raw_bounds = np.array(spec.action_low), np.array(spec.action_high)
    if name in BASELINES:
        baseline = make_baseline(name, read_pairs(manifest, data), config.evaluation.budget, *raw_bounds, config.seed)
        return baseline, {"name": name, "seed": config.seed}
    if name == "expert":
        expert = config.expert or without_noise(env.collection.expert)
        policy = Privileged(build(EXPERTS, expert, "expert"), config.seed)
        return policy, {"name": name, "expert": expert, "seed": config.seed}
    heads, action_dim = load_heads(Path(config.run), device), len(spec.action_low)
    if name == "behaviour_cloning":
        clone = heads[name]
        described = {"name": name, "heads": heads.used()}
        return CloningPolicy(clone, spec.normalizer, env.frameskip, *raw_bounds, device), described
    planning = config.planning
    if name == "amortized":
        planning = replace(planning, proposal="alone", horizon=planning.num_executed)  # nothing else is executed
    low, high = spec.normalizer.block_bounds(spec.action_low, spec.action_high, env.frameskip)
    bounds = (bound.unflatten(0, (env.frameskip, -1)).to(device) for bound in (low, high))
    mpc = build_mpc(model, config.planner, planning, *bounds, config.seed, heads)
    acting = MPCPolicy(mpc, spec.normalizer, env.frameskip, action_dim, planning.num_executed, device)
    return acting, describe_policy(name, config.planner, planning, config.seed, heads.used())


def without_noise(expert: Component) -> Component:
    """The expert at its best: what makes data varied is left out, and of a mixture the first part is taken."""
    if expert["name"] == "mixture":
        return without_noise(expert["parts"][0]["expert"])
    return expert | {key: 0.0 for key in ("noise_std", "repeat_probability") if key in expert}


def draw_validation(data: Episodes, spec: ModelSpec) -> Validation:
    """The clips that train.py validates on."""
    config = spec.config
    clips, held_out_clips = (
        Clips(data, ids, config.training.num_frames, config.env.frameskip, spec.normalizer)
        for ids in split_episodes(len(data), config.data.val_fraction, config.data.split_seed)
    )
    return Validation.draw(clips, held_out_clips, data.metadata, num_clips=512, seed=0)


def choose_device(device: str) -> str:
    """auto, cpu or cuda -> cpu or cuda."""
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device={device!r}: give auto or cpu, or cuda where torch sees a GPU")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def open_data(path: str, env: EnvConfig | RecordingConfig, spec: ModelSpec) -> Episodes:
    """The dataset, if it is of the environment, and its frames and actions are the model's."""
    data = Episodes(path)
    data.check_fits(env)
    if data.actions.shape[1] != len(spec.action_low):
        raise InputError(
            f"the actions of {env.name} in {path} have {data.actions.shape[1]} dimensions, and the model was trained on"
            f" {len(spec.action_low)}: give the environment that it was trained in, its data as data_path"
        )
    return data


if __name__ == "__main__":
    main()
