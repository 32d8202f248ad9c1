"""Trains a JEPA world model and evaluates it by planning: `accelerate launch train.py env=two_room seed=0`.

Collects the data if it is absent, trains, plans on held-out start/goal pairs, and leaves everything in the run folder.
`--help` lists the groups of configs/; any key can be given: `train.py training.num_steps=500`.
"""

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import Progress

from envs.experts import EXPERTS
from lewm.agent import Agent
from lewm.config import EnvConfig, TrainConfig, build
from lewm.config.command_line import program
from lewm.data.clips import Clips, split_episodes, training_actions
from lewm.data.collection import collect
from lewm.data.device_clips import DeviceClips
from lewm.data.episodes import Episodes
from lewm.data.identity import choose_path, open_dataset
from lewm.data.normalize import ActionNormalizer
from lewm.diagnostics.validation import Validation
from lewm.environment import make_env
from lewm.errors import InputError
from lewm.evaluation.evaluate import evaluate
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes, choose_episodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import choose_manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.results import describe_model, describe_policy
from lewm.files import write_json
from lewm.heads.config import read_heads
from lewm.heads.files import save_head
from lewm.heads.fitting import build_head, fit_head
from lewm.planning import PLANNERS
from lewm.report import print_results, save_evaluation
from lewm.run import Run
from lewm.tracking import progress_bar
from lewm.training.accelerator import start_accelerator
from lewm.training.checkpoint import Checkpoint, find_checkpoint
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import build_objective
from lewm.training.run_folder import check_same_data, open_run_folder
from lewm.training.trainer import Trainer


@program("train", TrainConfig)
def main(config: TrainConfig) -> None:
    accelerator = start_accelerator(config)
    console = Console(quiet=not accelerator.is_main_process)
    check_parts(config)
    head_configs = read_heads(config.heads)
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_run_folder(config, accelerator))
        progress = stack.enter_context(progress_bar(console))

        data = prepare_data(config, accelerator, console, progress)
        if checkpoint:
            check_same_data(checkpoint, data)
        train_ids, held_out = split_episodes(len(data), config.data.val_fraction, config.data.split_seed)
        env = config.env if isinstance(config.env, EnvConfig) else None
        pairs = None
        if env:
            make = partial(provide, accelerator=accelerator, progress=progress)
            split, split_seed = config.evaluation.split, config.data.split_seed
            episodes = choose_episodes(split, data, held_out, env, split_seed, make)
            pairs = episodes, choose_manifest(episodes, env, config.evaluation, console.print)

        initial = Checkpoint.open(find_checkpoint(Path(config.init_from))) if config.init_from else None
        spec = ModelSpec.of(config, data, ActionNormalizer.fit(training_actions(data, train_ids)))
        if initial:  # the weights know actions by these statistics
            spec = replace(spec, normalizer=initial.spec.normalizer)
        clips, held_out_clips = (
            Clips(data, ids, config.training.num_frames, spec.frameskip, spec.normalizer)
            for ids in (train_ids, held_out)
        )
        validation = Validation.draw(clips, held_out_clips, data.metadata, num_clips=512, seed=0)
        if config.data.device == "cuda":
            clips = DeviceClips(
                data, train_ids, config.training.num_frames, spec.frameskip, spec.normalizer, accelerator.device
            )

        torch.manual_seed(config.seed)
        model = spec.build_model()
        model.fit_normalization(validation.fit.pixels)
        if initial:
            initial.load_weights(model)
        objective = build_objective(model, config.regularizer)
        heads = {head.name: build_head(head, spec) for head in head_configs}
        Agent.of(spec, model, config.planner, config.planning, config.seed, heads, "cpu")  # finds mistakes by now

        trainer = Trainer(config, spec, accelerator, objective, clips, validation, progress)
        if not trainer.fit(checkpoint):
            console.print(f"interrupted; a checkpoint is written. Go on with resume=true name={config.name}")
            raise SystemExit(130)
        if not accelerator.is_main_process:
            return

        run = Run.open(config.run_dir, device=accelerator.device.type)
        for head in head_configs:
            fitted = fit_head(run.model, spec, data, head, seed=config.seed, progress=progress)
            save_head(run.path, head, fitted, run.checkpoint.weights_hash)
        results = evaluate_run(run, config, pairs, validation(run.model), progress)
    print_results(results, config.run_dir, console)
    console.print(f"checkpoint: {run.checkpoint.path}\ncurves: tensorboard --logdir {config.output_dir}")


def evaluate_run(
    run: Run,
    config: TrainConfig,
    pairs: tuple[EvaluationEpisodes, Manifest] | None,
    diagnostics: dict[str, float],
    progress: Progress,
) -> dict[str, Any]:
    """Plans on the pairs, if there are any, and writes results and report into the run folder."""
    identity = describe_model(run)
    if pairs is None or not isinstance(config.env, EnvConfig):
        results = {"identity": identity, "diagnostics": diagnostics}
        write_json(run.path / "results.json", results)
        return results
    policy = MPCPolicy(run.agent(planner=config.planner, planning=config.planning, seed=config.seed))
    identity["policy"] = describe_policy("mpc", config.planner, config.planning, config.seed, run.heads.used())
    evaluation = evaluate(policy, *pairs, config.env, config.evaluation, run.path, identity, diagnostics, progress)
    save_evaluation(evaluation, run.path)
    return evaluation.results


def check_parts(config: TrainConfig) -> None:
    """Finds mistakes in environment, planner and clips before there is a run folder and data are collected."""
    if isinstance(config.env, EnvConfig):
        make_env(config.env).close()
        build(EXPERTS, config.env.collection.expert, "expert")
    build(PLANNERS, config.planner, "planner", low=torch.zeros(1), high=torch.ones(1))
    if config.training.num_frames > config.model.context + 1:
        raise InputError(
            f"training.num_frames={config.training.num_frames} asks for longer contexts than"
            f" model.context={config.model.context} and the frame after it: change one of them"
        )


def prepare_data(config: TrainConfig, accelerator: Accelerator, console: Console, progress: Progress) -> Episodes:
    """The dataset, collected first by the expert if it is absent and there is an environment to collect it in."""
    path = choose_path(config.env, config.data.path, config.data.root)
    if isinstance(config.env, EnvConfig):
        provide(path, config.env, accelerator, progress)
    return open_dataset(config.env, path, partial(console.print, soft_wrap=True, highlight=False))


def provide(path: Path, env: EnvConfig, accelerator: Accelerator, progress: Progress) -> None:
    """Collects the dataset of a configuration into a folder, unless it is there; all ranks wait for the main one."""
    if accelerator.is_main_process and not path.exists():
        collect(path, env, build(EXPERTS, env.collection.expert, "expert"), progress)
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    main()
