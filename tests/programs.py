"""Composes configurations, builds trainers and runs programs in this process, all of them small enough for a test."""

import sys
from functools import cache

import hydra
import pytest
import torch
from accelerate.state import AcceleratorState
from rich.console import Console
from rich.progress import Progress

from lewm.config import CONFIGS, TrainConfig
from lewm.config.command_line import _load, expand_components
from lewm.data.clips import Clips, split_episodes, training_actions
from lewm.data.normalize import ActionNormalizer
from lewm.diagnostics.validation import Validation
from lewm.errors import InputError
from lewm.training.accelerator import start_accelerator
from lewm.training.model_spec import ModelSpec
from lewm.training.objective import build_objective
from lewm.training.trainer import Trainer

TINY_TRAINING = (
    "name=tiny",
    "device=cpu",
    "num_threads=1",  # these runs are too small to share, and other tests may want the other cores
    "env.frame_size=48",
    "env.collection.num_episodes=12",
    "env.collection.max_steps=40",
    "env.collection.num_test_episodes=6",
    "data.val_fraction=0.25",
    "model.embedding_dim=8",
    "model.encoder.width=16",
    "model.encoder.depth=1",
    "model.encoder.num_heads=1",
    "model.projector.hidden_dim=16",
    "model.action_encoder.bottleneck_dim=4",
    "model.action_encoder.hidden_dim=16",
    "model.predictor.width=16",
    "model.predictor.depth=1",
    "model.predictor.num_heads=2",
    "model.predictor.head_dim=8",
    "model.predictor.mlp_dim=16",
    "regularizer.num_directions=16",
    "training.num_steps=6",
    "training.batch_size=8",
    "training.log_every=1",
    "training.validate_every=3",
    "training.checkpoint_every=3",
)
TINY_EVALUATION = (
    "planner.num_samples=6",
    "planner.num_elites=2",
    "planner.num_kept=1",
    "planner.num_iterations=1",
    "planning.horizon=2",
    "evaluation.num_pairs=4",
    "evaluation.offset=12",
    "evaluation.budget=10",
    "evaluation.num_videos=1",
)
TINY = TINY_TRAINING + TINY_EVALUATION
"""Overrides of configs/train.yaml: a run of seconds, on the data of the fixture two_room_data."""


@cache
def compose(*overrides, program="train", schema=TrainConfig):
    """The configuration that a program's main() gets for these arguments."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return _load(hydra.compose(program, expand_components(schema, list(overrides))), schema)


def run_program(main, *arguments):
    """What a program ends with: None, or what it gives to sys.exit, which is the text of a one-line error."""
    before, num_threads = sys.argv, torch.get_num_threads()
    sys.argv = ["program.py", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
        torch.set_num_threads(num_threads)
        AcceleratorState._reset_state(reset_partial_state=True)
    return None


def refusal(function, *arguments, **keywords):
    """The text of the InputError that a call raises: one line."""
    with pytest.raises(InputError) as error:
        function(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_one_line_error(code, *words):
    """A program ended with one line that holds these words."""
    assert isinstance(code, str), f"ended with {code!r}"
    assert code.startswith("error: ")
    assert "\n" not in code
    for word in words:
        assert word in code


def make_trainer(config, data, make_clips=Clips):
    """The trainer that train.py makes; make_clips(*arguments of Clips) gives the training split."""
    train_ids, held_out = split_episodes(len(data), config.data.val_fraction, config.data.split_seed)
    normalizer = ActionNormalizer.fit(training_actions(data, train_ids))
    spec = ModelSpec.of(config, data, normalizer)
    sizes = config.training.num_frames, config.env.frameskip, normalizer
    clips, held_out_clips = make_clips(data, train_ids, *sizes), Clips(data, held_out, *sizes)
    validation = Validation.draw(clips, held_out_clips, data.metadata, num_clips=16, seed=0)
    torch.manual_seed(config.seed)
    model = spec.build_model()
    model.fit_normalization(validation.fit.pixels)
    objective = build_objective(model, config.regularizer, config.training.rollout_steps)
    progress = Progress(disable=True, console=Console(quiet=True))
    AcceleratorState._reset_state(reset_partial_state=True)
    num_threads = torch.get_num_threads()
    accelerator = start_accelerator(config)
    torch.set_num_threads(num_threads)
    return Trainer(config, spec, accelerator, objective, clips, validation, progress)
