"""Evaluates a trained run by planning: `python scripts/plan.py run=runs/my_run planner=cem_paper seed=1`."""

from pathlib import Path

import torch
from rich.console import Console

from lewm.command_line import program
from lewm.config import EnvConfig, PlanConfig
from lewm.data.clips import Clips, split_episodes
from lewm.data.episodes import Episodes
from lewm.distributed import use_all_cores
from lewm.errors import InputError
from lewm.evaluation.control import MPCPolicy
from lewm.evaluation.evaluate import draw_manifest, evaluate, print_results
from lewm.evaluation.probing import Validation
from lewm.tracking import describe_process, progress_bar
from lewm.training.build import build_mpc
from lewm.training.checkpoint import Recipe, latest_checkpoint, load_recipe, load_weights


@program("plan", PlanConfig)
def main(config: PlanConfig) -> None:
    run_dir = Path(config.run)
    checkpoint = latest_checkpoint(run_dir)
    if checkpoint is None:
        raise InputError(f"run={config.run} holds no checkpoint: give the folder of a trained run")
    recipe, step = load_recipe(checkpoint)
    trained = recipe.config
    if not isinstance(trained.env, EnvConfig):
        raise InputError(f"run={config.run} was trained on recordings: there is no environment to plan in")
    data = open_data(config.data_path or trained.data.path, recipe)
    train_ids, held_out = split_episodes(len(data), trained.data.val_fraction, trained.data.split_seed)
    clips, held_out_clips = (
        Clips(data, ids, trained.training.num_frames, trained.env.frameskip, recipe.normalizer)
        for ids in (train_ids, held_out)
    )
    validation = Validation.draw(clips, held_out_clips, data.metadata.state_names, num_clips=512, seed=0)

    device = choose_device(config.device)
    use_all_cores(config.num_threads, num_local_ranks=1)
    model = recipe.build_model()
    load_weights(checkpoint, model)
    model.to(device).eval()
    low, high = recipe.normalizer.block_bounds(recipe.action_low, recipe.action_high, trained.env.frameskip)
    mpc = build_mpc(model, config.planner, config.planning, low.to(device), high.to(device), config.seed)
    policy = MPCPolicy(
        mpc, recipe.normalizer, trained.env.frameskip, len(recipe.action_low), config.planning.num_executed, device
    )
    identity = {"run": trained.name, "step": step, "device": device, **describe_process()}
    console, out_dir = Console(), run_dir / config.name
    manifest = draw_manifest(data, held_out, config.evaluation)
    with progress_bar(console) as progress:
        results = evaluate(
            policy, data, manifest, trained.env, config.evaluation, out_dir, identity, validation(model), progress
        )
    print_results(results, out_dir, console)


def choose_device(device: str) -> str:
    """auto, cpu or cuda -> cpu or cuda."""
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device={device!r}: give auto or cpu, or cuda where torch sees a GPU")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def open_data(path: str, recipe: Recipe) -> Episodes:
    """The dataset, if its frames, actions and environment are the model's."""
    data = Episodes(path)
    data.check_fits(recipe.config.env)
    if data.actions.shape[1] != len(recipe.action_low):
        raise InputError(
            f"the actions in {path} have {data.actions.shape[1]} dimensions, and the model was trained on"
            f" {len(recipe.action_low)}: give the dataset of its environment as data_path"
        )
    return data


if __name__ == "__main__":
    main()
