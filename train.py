"""Trains a JEPA world model and evaluates it by planning: `accelerate launch train.py env=two_room seed=0`.

Collects the data if it is absent, trains, plans on held-out start/goal pairs, and leaves everything in the run folder.
`--help` lists the groups of configs/; any key can be given: `train.py training.num_steps=500`.
"""

from collections.abc import Callable
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from envs.experts import EXPERTS
from lewm.agent import Agent
from lewm.config import EnvConfig, TrainConfig, build
from lewm.config.command_line import program, word_of
from lewm.data.clips import fit_normalizer, split_dataset
from lewm.data.collection import collect_if_absent
from lewm.data.device_clips import place_clips
from lewm.data.episodes import Episodes
from lewm.data.identity import choose_path, open_dataset
from lewm.diagnostics.validation import Validation
from lewm.environment import make_env
from lewm.errors import InputError
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes, choose_episodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import choose_manifest
from lewm.heads.config import read_heads
from lewm.heads.files import save_head
from lewm.heads.fitting import build_head, fit_head
from lewm.report import evaluate_run, print_results
from lewm.run import Run
from lewm.trackers import check_tracker, log_evaluation, open_tracker
from lewm.tracking import progress_bar
from lewm.training.accelerator import start_accelerator
from lewm.training.checkpoint import Checkpoint, find_checkpoint
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import Objective, build_objective
from lewm.training.run_folder import check_same_data, open_run_folder
from lewm.training.trainer import Trainer

Pairs = tuple[EvaluationEpisodes, Manifest]
"""Pairs of start and goal to evaluate on, with the episodes that they are of."""


@program("train", TrainConfig)
def main(config: TrainConfig) -> None:
    train(config)


def train(config: TrainConfig, end_part: Callable[[str], None] = lambda part: None) -> dict[str, Any] | None:
    """Collects the data if they are absent, trains, fits the heads and evaluates.

    Args:
      config: configuration of the run.
      end_part: called when a part has ended, with its name: prepare, train, heads, evaluate.

    Returns:
      The content of results.json; None on the other ranks than the main one.
    """
    accelerator = start_accelerator(config)
    console = Console(quiet=not accelerator.is_main_process)
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    check_parts(config)
    check_tracker(config.tracker)
    mirrored = open_tracker(config) if accelerator.is_main_process else nullcontext()
    with open_run_folder(config, accelerator) as checkpoint, progress_bar(console) as progress, mirrored as mirror:
        data, train_ids, held_out, pairs = prepare_data(config, accelerator, console, progress)
        if checkpoint:
            check_same_data(checkpoint, data)

        initial = initial_checkpoint(config)
        given = checkpoint or initial
        normalizer = given.spec.normalizer if given else fit_normalizer(data, train_ids, say)
        spec, num_frames = ModelSpec.of(config, data, normalizer), config.training.num_frames
        clips, held_out_clips = (spec.clips(data, ids, num_frames) for ids in (train_ids, held_out))
        validation = Validation.draw(clips, held_out_clips, data.metadata, num_clips=512, seed=0)
        clips = place_clips(clips, config.data.device, accelerator.device, say)

        objective = build_parts(config, spec, initial)
        if not initial:
            objective.model.fit_normalization(validation.fit.pixels)

        trainer = Trainer(config, spec, accelerator, objective, clips, validation, progress, mirror)
        end_part("prepare")
        if not trainer.fit(checkpoint):
            named = word_of("name", config.name)
            say(f"interrupted; a checkpoint is written. Go on with resume=true {named}")
            raise SystemExit(130)
        end_part("train")
        if not accelerator.is_main_process:
            return None

        run = Run.open(config.run_dir, device=accelerator.device.type)
        for head in read_heads(config.heads):
            fitted_head = fit_head(run.model, spec, data, head, seed=config.seed, progress=progress)
            save_head(run.path, head, fitted_head, run.checkpoint.weights_hash)
        end_part("heads")
        results = evaluate_run(run, config, pairs, validation(run.model), progress)
        end_part("evaluate")
        if mirror is not None:
            log_evaluation(mirror, results, sorted((run.path / "videos").glob("pair_*.mp4")))
    print_results(results, config.run_dir, console)
    console.print(f"checkpoint: {run.checkpoint.path}\ncurves: tensorboard --logdir {config.output_dir}")
    return results


def check_parts(config: TrainConfig) -> None:
    """Finds mistakes in all parts before there is a run folder and data are collected."""
    check_clips(config)
    if isinstance(config.env, EnvConfig):
        build(EXPERTS, config.env.collection.expert, "expert")
        with closing(make_env(config.env)) as env:
            low, high = env.action_space.low.tolist(), env.action_space.high.tolist()
    else:
        metadata = Episodes(choose_path(config.env, config.data.path, config.data.root)).metadata
        low, high = metadata.action_low, metadata.action_high
    build_parts(config, ModelSpec.draft(config, low, high), initial_checkpoint(config))


def build_parts(config: TrainConfig, spec: ModelSpec, initial: Checkpoint | None) -> Objective:
    """Builds model and regularizer, and tries heads and planning, so that mistakes in them are found by now.

    Args:
      config: configuration of the run.
      spec: specification of the model.
      initial: checkpoint of the weights to begin with; None for random ones, a function of the seed.
    """
    torch.manual_seed(config.seed)
    model = spec.build_model()
    if initial:
        initial.load_weights(model)
    objective = build_objective(model, config.regularizer, config.training.rollout_steps)
    heads = {head.name: build_head(head, spec) for head in read_heads(config.heads)}
    Agent.of(spec, model, config.planner, config.planning, config.seed, heads, "cpu")
    return objective


def initial_checkpoint(config: TrainConfig) -> Checkpoint | None:
    """The checkpoint that init_from names."""
    return Checkpoint.open(find_checkpoint(Path(config.init_from))) if config.init_from else None


def check_clips(config: TrainConfig) -> None:
    """Refuses clips that do not fit the model's context and the predictions that are fed back."""
    num_frames, steps, context = config.training.num_frames, config.training.rollout_steps, config.model.context
    if config.model.predictor.get("name") == "prefix" and (steps != 1 or num_frames != context + 1):
        raise InputError(
            f"predictor=prefix predicts model.context={context} steps ahead without feeding back: give"
            f" training.num_frames={context + 1} and training.rollout_steps=1, not {num_frames} and {steps}"
        )
    if steps > num_frames - 1:
        raise InputError(
            f"training.rollout_steps={steps} predicts more frames than the {num_frames - 1} after the first of"
            f" training.num_frames={num_frames}: change one of them"
        )
    if num_frames > context + steps:
        fed_back = "" if steps == 1 else f", and training.rollout_steps={steps} with predictions fed back"
        raise InputError(
            f"training.num_frames={num_frames} asks for longer contexts than model.context={context} and the frame"
            f" after it{fed_back}: change one of them"
        )


def prepare_data(
    config: TrainConfig, accelerator: Accelerator, console: Console, progress: Progress
) -> tuple[Episodes, NDArray, NDArray, Pairs | None]:
    """Opens the dataset, collected first if it is absent and there is an environment to collect it in.

    Returns:
      The dataset, the indices of its training and of its held-out episodes, and the pairs to evaluate on, None where
      there is no environment.
    """

    def provide(path: Path, env: EnvConfig) -> None:
        with accelerator.main_process_first():  # collects; the other ranks find what it has collected
            collect_if_absent(path, env, EXPERTS, progress)

    path = choose_path(config.env, config.data.path, config.data.root)
    if isinstance(config.env, EnvConfig):
        provide(path, config.env)
    data = open_dataset(config.env, path, partial(console.print, soft_wrap=True, highlight=False))
    train_ids, held_out = split_dataset(data, config.data.val_fraction, config.data.split_seed)
    if not isinstance(config.env, EnvConfig):
        return data, train_ids, held_out, None
    split, split_seed = config.evaluation.split, config.data.split_seed
    episodes = choose_episodes(split, data, held_out, config.env, split_seed, provide)
    manifest = choose_manifest(episodes, config.env, config.evaluation, console.print)
    return data, train_ids, held_out, (episodes, manifest)


if __name__ == "__main__":
    main()
