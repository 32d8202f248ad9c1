"""Trains a JEPA world model and evaluates it by planning: `accelerate launch train.py env=two_room seed=0`.

Collects the data if it is absent, trains, plans on held-out start/goal pairs, and leaves everything in the run folder.
`--help` lists the groups of configs/; any key can be given: `train.py training.num_steps=500`.
"""

import json
import os
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from rich.console import Console
from rich.progress import Progress
from torch import nn

from envs.experts import EXPERTS
from envs.experts.expert import Expert
from lewm.config import EnvConfig, TrainConfig, build, check_resumed, save
from lewm.config.command_line import program
from lewm.data.clips import Clips, split_episodes, training_actions
from lewm.data.collection import collect
from lewm.data.device_clips import DeviceClips
from lewm.data.episodes import Episodes
from lewm.data.normalize import ActionNormalizer
from lewm.diagnostics.validation import Validation
from lewm.distributed import use_all_cores
from lewm.environment import make_env
from lewm.errors import InputError
from lewm.evaluation.evaluate import evaluate, print_results
from lewm.evaluation.manifests import choose_manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.results import describe_model, describe_policy
from lewm.files import run_lock, sha256_of, write_json
from lewm.heads.config import HeadConfig, read_heads
from lewm.heads.files import save_head
from lewm.heads.fitting import build_head, fit_head
from lewm.models import JEPA
from lewm.planning import PLANNERS
from lewm.provenance import describe_process
from lewm.tracking import progress_bar
from lewm.training.build import build_mpc, build_objective
from lewm.training.checkpoint import ModelSpec, latest_checkpoint, load_spec
from lewm.training.trainer import Trainer


@program("train", TrainConfig)
def main(config: TrainConfig) -> None:
    accelerator = start_accelerator(config)
    console = Console(quiet=not accelerator.is_main_process)
    env = config.env if isinstance(config.env, EnvConfig) else None
    check_parts(config)
    expert = build(EXPERTS, env.collection.expert, "expert") if env else None
    head_configs = read_heads(config.heads)
    with ExitStack() as stack:
        checkpoint = find_checkpoint(config)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            stack.enter_context(run_lock(config.run_dir))
            describe_run(config, accelerator.num_processes)
        progress = stack.enter_context(progress_bar(console))
        data = prepare_data(config, expert, accelerator, progress)
        train_ids, held_out = split_episodes(len(data), config.data.val_fraction, config.data.split_seed)
        normalizer = ActionNormalizer.fit(training_actions(data, train_ids))
        spec = ModelSpec(
            config, normalizer, tuple(data.metadata.action_low), tuple(data.metadata.action_high), data.content_hash
        )
        clips, held_out_clips = (
            Clips(data, ids, config.training.num_frames, config.env.frameskip, normalizer)
            for ids in (train_ids, held_out)
        )
        validation = Validation.draw(clips, held_out_clips, data.metadata, num_clips=512, seed=0)

        torch.manual_seed(config.seed)
        model = spec.build_model()
        model.fit_normalization(validation.fit.pixels)
        objective = build_objective(model, config.regularizer)
        device = str(accelerator.device)
        heads = {
            head.head["name"]: build_head(head.head, spec, head.fitting.max_steps).to(device).eval()
            for head in head_configs
        }
        policy = make_policy(spec, model, heads, device)
        manifest = choose_manifest(data, held_out, env, config.evaluation, console.print) if env else None
        if config.data.device == "cuda":
            clips = DeviceClips(
                data, train_ids, config.training.num_frames, config.env.frameskip, normalizer, accelerator.device
            )
        trainer = Trainer(config, spec, accelerator, objective, clips, validation, progress)
        start = start_of(checkpoint, data) if checkpoint else 0
        if not trainer.fit(checkpoint, start):
            console.print(f"interrupted; a checkpoint is written. Go on with resume=true name={config.name}")
            raise SystemExit(130)
        if not accelerator.is_main_process:
            return

        model.eval()
        fit_heads(heads, head_configs, spec, model, data, progress)
        results = {"identity": identify(spec, list(heads), device), "diagnostics": validation(model)}
        if env and manifest:
            results = evaluate(
                policy, data, manifest, env, config.evaluation, config.run_dir, **results, progress=progress
            )
        else:
            write_json(config.run_dir / "results.json", results)
    print_results(results, config.run_dir, console)
    console.print(f"checkpoint: {latest_checkpoint(config.run_dir)}\ncurves: tensorboard --logdir {config.output_dir}")


def check_parts(config: TrainConfig) -> None:
    """What is wrong with environment, planner or clips is said before there is a run folder and data are collected."""
    if isinstance(config.env, EnvConfig):
        make_env(config.env).close()
    build(PLANNERS, config.planner, "planner", low=torch.zeros(1), high=torch.ones(1))
    if config.training.num_frames > config.model.context + 1:
        raise InputError(
            f"training.num_frames={config.training.num_frames} asks for longer contexts than"
            f" model.context={config.model.context} and the frame after it: change one of them"
        )


def make_policy(spec: ModelSpec, model: JEPA, heads: dict[str, nn.Module], device: str) -> MPCPolicy:
    """What acts in the evaluation; made before training, so that mistakes in its configuration are found by then."""
    config, frameskip = spec.config, spec.config.env.frameskip
    bounds = spec.normalizer.block_bounds(spec.action_low, spec.action_high, frameskip)
    low, high = (bound.unflatten(0, (frameskip, -1)).to(device) for bound in bounds)
    mpc = build_mpc(model, config.planner, config.planning, low, high, config.seed, heads)
    return MPCPolicy(mpc, spec.normalizer, frameskip, len(spec.action_low), config.planning.num_executed, device)


def fit_heads(
    heads: dict[str, nn.Module],
    configs: list[HeadConfig],
    spec: ModelSpec,
    model: JEPA,
    data: Episodes,
    progress: Progress,
) -> None:
    """Fits and saves the heads of the trained model, and fills the modules that the policy has with them."""
    for config in configs:
        fitted = fit_head(model, spec, data, config, seed=spec.config.seed, progress=progress)
        save_head(spec.config.run_dir, config, fitted)
        heads[config.head["name"]].load_state_dict(fitted.head.state_dict())


def identify(spec: ModelSpec, heads: list[str], device: str) -> dict[str, Any]:
    """Which weights were evaluated, those of heads too, and how they acted."""
    config, step = spec.config, spec.config.training.num_steps
    weights = config.run_dir / "checkpoints" / f"step_{step:07d}" / "model.safetensors"
    identity = describe_model(config, step, weights, spec.dataset_hash, device)
    hashes = {name: sha256_of(config.run_dir / "heads" / name / "head.safetensors") for name in sorted(heads)}
    return identity | {"policy": describe_policy("mpc", config.planner, config.planning, config.seed, hashes)}


def start_accelerator(config: TrainConfig) -> Accelerator:
    """Device, precision and ranks. A GPU trains in bfloat16 unless told otherwise, a CPU in float32."""
    precisions = {"auto": "bf16" if torch.cuda.is_available() and config.device != "cpu" else "no"}
    precisions |= {"float32": "no", "bfloat16": "bf16"}
    if config.training.precision not in precisions:
        raise InputError(f"training.precision={config.training.precision!r}; there are {', '.join(precisions)}")
    if config.device not in ("auto", "cpu", "cuda") or (config.device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device={config.device!r}: give auto or cpu, or cuda where torch sees a GPU")
    accelerator = Accelerator(
        cpu=config.device == "cpu" or not torch.cuda.is_available(),
        mixed_precision=precisions[config.training.precision],
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=1))],  # ranks wait while one collects or plans
    )
    on_gpu = accelerator.device.type == "cuda"
    if config.data.device not in ("cpu", "cuda") or (config.data.device == "cuda" and not on_gpu):
        raise InputError(f"data.device={config.data.device!r}: give cpu, or cuda where the model trains on a GPU")
    if config.data.device == "cuda" and config.data.num_workers > 0:
        raise InputError(
            f"data.device=cuda gathers clips on the GPU: data.num_workers={config.data.num_workers} must be 0"
        )
    use_all_cores(config.num_threads, int(os.environ.get("LOCAL_WORLD_SIZE", accelerator.num_processes)))
    return accelerator


def prepare_data(config: TrainConfig, expert: Expert | None, accelerator: Accelerator, progress: Progress) -> Episodes:
    """The dataset, collected first by the expert if it is absent and there is an environment to collect it in."""
    if isinstance(config.env, EnvConfig) and accelerator.is_main_process and not Path(config.data.path).exists():
        collect(config.data.path, config.env, expert, progress)
    accelerator.wait_for_everyone()
    data = Episodes(config.data.path)
    data.check_fits(config.env)
    return data


def find_checkpoint(config: TrainConfig) -> Path | None:
    """The checkpoint to go on from, None for a new run. Refuses to write over a run."""
    saved, checkpoint = config.run_dir / "config.yaml", latest_checkpoint(config.run_dir)
    if checkpoint and not config.resume:
        raise InputError(f"{config.run_dir} holds a run already: give resume=true to go on with it, or another name=")
    if config.resume and not saved.exists():
        raise InputError(f"resume=true, but {config.run_dir} holds no run: check name={config.name}, or leave it out")
    if config.resume:
        check_resumed(saved, config)
    return checkpoint


def start_of(checkpoint: Path, data: Episodes) -> int:
    """The step to go on with; refuses other data than the run was begun on."""
    spec, step = load_spec(checkpoint)
    if spec.dataset_hash != data.content_hash:
        raise InputError(f"{data.path} is not the dataset that {checkpoint} was trained on: give its path, data.path=")
    return step


def describe_run(config: TrainConfig, num_processes: int) -> None:
    """Writes what a run was begun with; a resumed one keeps it."""
    if not config.resume:
        process = {**describe_process(), "num_processes": num_processes}
        (config.run_dir / "process.json").write_text(json.dumps(process, indent=2) + "\n")
        save(config, config.run_dir / "config.yaml")


if __name__ == "__main__":
    main()
