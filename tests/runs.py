"""Run folders with random weights, written as train.py writes them."""

import torch

from lewm.config import save
from lewm.data.normalize import ActionNormalizer
from lewm.regularizers import SIGReg
from lewm.run import Run
from lewm.training.checkpoint import Snapshot, save_checkpoint
from lewm.training.model_spec import ModelSpec, TrainingData

UNIT = ActionNormalizer((0.0, 0.0), (1.0, 1.0))


def spec_of(config, normalizer=UNIT, low=(-1.0, -1.0), high=(1.0, 1.0), dataset_hash="abc"):
    """The specification of a model that was trained on data that are not at hand."""
    data = TrainingData(
        path="data/none",
        content_hash=dataset_hash,
        env_id="none",
        state_names=(),
        angles=(),
        velocities=(),
        collected_by=None,
        val_fraction=config.data.val_fraction,
        split_seed=config.data.split_seed,
    )
    return ModelSpec(config.model, config.env.frame_size, config.env.frameskip, normalizer, low, high, data)


def save_run(folder, config, spec, model, step=1):
    """Writes config.yaml and a checkpoint of an optimizer that has made no step, and opens the run."""
    optimizer = torch.optim.SGD(model.parameters())
    folder.mkdir(parents=True, exist_ok=True)
    save(config, folder / "config.yaml")
    save_checkpoint(folder / "checkpoints", spec, step, Snapshot.take(model, SIGReg(), optimizer))
    return Run.open(folder)
