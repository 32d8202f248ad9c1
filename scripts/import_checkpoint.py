"""Makes a run folder of a released LeWorldModel checkpoint: `lewm import-checkpoint weights=lewm_push_t env=push_t`.

weights= is a folder with weights.pt and config.json. What they lack (action statistics and bounds, the environment)
comes from env= and a dataset: data.path=, or the one that train.py would train on. The run evaluates, plans and
fine-tunes (init_from=) like any other. Every key of train.py can be given, and is that of the run.
"""

from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from rich.console import Console

from lewm.config import ImportCheckpointConfig, RecordingConfig, TrainConfig, save
from lewm.config.command_line import program
from lewm.data.clips import fit_normalizer, split_dataset
from lewm.data.episodes import Episodes
from lewm.data.identity import choose_path, open_dataset
from lewm.errors import InputError
from lewm.files import run_lock, write_json
from lewm.models import ViTEncoder
from lewm.provenance import describe_process
from lewm.training.checkpoint import Snapshot, latest_checkpoint, save_checkpoint
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import build_objective
from lewm.training.released import ReleasedCheckpoint


@program("import_checkpoint", ImportCheckpointConfig)
def main(config: ImportCheckpointConfig) -> None:
    console = Console()
    say = partial(console.print, soft_wrap=True, highlight=False, markup=False)
    if latest_checkpoint(config.run_dir):
        raise InputError(f"{config.run_dir} holds a run already: give another name=")
    if not len(config.pixel_mean) == len(config.pixel_std) == 3 or min(config.pixel_std) <= 0:
        given = f"pixel_mean={list(config.pixel_mean)}, pixel_std={list(config.pixel_std)}"
        raise InputError(f"{given}: give three numbers each, of colours between 0 and 1, and each std above 0")
    released = ReleasedCheckpoint.open(Path(config.weights))
    training = TrainConfig(**{field.name: getattr(config, field.name) for field in fields(TrainConfig)})
    training = replace(training, model=released.model, env=replace(training.env, frame_size=released.frame_size))
    path = choose_path(training.env, training.data.path, training.data.root)
    if not path.exists():
        raise InputError(f"{path} is no dataset: {remedy(training)}")
    data = open_dataset(training.env, path, say)
    training = replace(training, env=replace(training.env, frameskip=frameskip(released, data)))

    train_ids, _ = split_dataset(data, training.data.val_fraction, training.data.split_seed)
    spec = ModelSpec.of(training, data, fit_normalizer(data, train_ids, say))
    model = spec.build_model()
    released.load_into(model)
    cast(ViTEncoder, model.encoder).normalize_by(config.pixel_mean, config.pixel_std)
    objective = build_objective(model, training.regularizer, training.training.rollout_steps)
    snapshot = Snapshot.take(model, objective.regularizer, torch.optim.SGD(model.parameters()))

    with run_lock(training.run_dir):
        write_json(training.run_dir / "process.json", describe_process())
        save(training, training.run_dir / "config.yaml")
        save_checkpoint(training.run_dir / "checkpoints", spec, 0, snapshot)
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    say(f"{num_parameters:,} parameters, {spec.frameskip} env steps to a model step: {training.run_dir}")


def remedy(config: TrainConfig) -> str:
    """How to get a dataset that a checkpoint needs."""
    if isinstance(config.env, RecordingConfig):
        return "give data.path=, the folder of a dataset of its environment"
    wanted = f"lewm collect env={config.env.name} env.frame_size={config.env.frame_size} num_episodes=200"
    return f"give data.path=, the folder of a dataset of its environment, or make one: {wanted} data_path=…"


def frameskip(released: ReleasedCheckpoint, data: Episodes) -> int:
    """K, env steps in a model step: as many raw actions as make up an action block of the model.

    Raises:
      InputError: no whole number of them does.
    """
    num_steps, rest = divmod(released.action_dim, data.actions.shape[1])
    if rest:
        raise InputError(
            f"{released.path} takes {released.action_dim} numbers an action block, which {data.actions.shape[1]} do not"
            f" divide, the dimensions of an action in {data.path}: give data of the checkpoint's environment"
        )
    return num_steps


if __name__ == "__main__":
    main()
