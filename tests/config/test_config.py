"""Every configuration composes and builds; what is misspelt, missing or of a wrong type is refused in one line."""

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from lewm.config import (
    CONFIGS,
    CollectConfig,
    Component,
    ModelConfig,
    PlanConfig,
    TrainConfig,
    build,
    check_resumed,
    flat,
    from_dict,
    read_run_config,
    save,
)
from lewm.config.command_line import check_overrides
from lewm.data.identity import choose_path
from lewm.heads.config import TrainHeadConfig
from lewm.models.rollout.build import build_rollout
from lewm.planning import PLANNERS
from lewm.planning.build import build_mpc
from lewm.regularizers import build_regularizer
from lewm.training.model_spec import build_model
from tests.programs import compose, refusal
from tests.registries import ENV_CONFIGS

ALL_OPTIONS = sorted(f"{path.parent.name}={path.stem}" for path in CONFIGS.glob("*/*.yaml"))
OPTIONS = [option for option in ALL_OPTIONS if option.split("=")[0] not in ("head", "protocol")]
PLAN_OPTIONS = [
    option for option in ALL_OPTIONS if option.split("=")[0] in ("planner", "planning", "evaluation", "protocol")
]
HEADS = [option for option in ALL_OPTIONS if option.startswith("head=")]


def edited(values, key, value):
    """A copy of nested values with another one at a dotted key."""
    first, _, rest = key.partition(".")
    return {**values, first: edited(values[first], rest, value) if rest else value}


@pytest.fixture(scope="module")
def config():
    return compose()


@pytest.fixture(scope="module")
def values(config):
    return asdict(config)


@pytest.mark.parametrize("option", PLAN_OPTIONS)
def test_every_option_of_planning_composes_with_plan(option):
    assert isinstance(compose(option, "run=runs/x", program="plan", schema=PlanConfig), PlanConfig)


@pytest.mark.parametrize("option", HEADS)
def test_every_head_composes_with_train_head(option):
    config = compose(option, "run=runs/x", program="train_head", schema=TrainHeadConfig)
    assert option == f"head={config.head['name']}"


@pytest.mark.parametrize("name", ENV_CONFIGS)
def test_every_environment_composes_with_collect(name):
    config = compose(f"env={name}", program="collect", schema=CollectConfig)
    assert choose_path(config.env, config.data_path, config.data_root).parent.name == config.env.name


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_every_group_composes_and_builds(option):
    config = compose(option)
    assert isinstance(config, TrainConfig)
    size = config.env.frame_size
    if option.startswith("model="):  # alone it stands beside an environment whose frames it may not be made for
        size = 4 * config.model.encoder["patch_size"]
    with torch.device("meta") if config.model.embedding_dim > 100 else torch.device("cpu"):
        model = build_model(config.model, size, action_dim=2 * config.env.frameskip)
    build_regularizer(config.regularizer)
    bound = torch.ones(2 * config.env.frameskip)
    heads = {option.removeprefix("head="): torch.nn.Identity() for option in HEADS}
    rollout = build_rollout(model, config.planning, "cpu")
    mpc = build_mpc(model, rollout, config.planner, config.planning, -bound, bound, seed=0, heads=heads)
    assert mpc.horizon == config.planning.horizon


def test_an_experiment_chooses_the_options_of_its_groups():
    config = compose("experiment=paper")
    assert (config.model.name, config.env.frame_size) == ("paper", 224)
    assert config.regularizer["weight"] == pytest.approx(0.09 * 128)
    assert (config.planner["num_samples"], config.planning.num_executed) == (300, 5)


def test_the_presets_for_a_gpu_differ_in_the_frames_and_not_in_the_number_of_patches():
    small, large = compose("experiment=gpu"), compose("experiment=gpu_112")
    sizes = [(config.env.frame_size, config.model.encoder["patch_size"]) for config in (small, large)]
    assert sizes == [(64, 8), (112, 14)]
    assert small.training == large.training
    assert (small.training.batch_size, small.training.num_frames, small.data.device) == (128, 4, "auto")
    assert 20000 <= small.training.num_steps <= 40000
    paper = compose("experiment=paper").model.encoder
    assert {key: small.model.encoder[key] for key in ("width", "depth", "num_heads")} == {
        key: paper[key] for key in ("width", "depth", "num_heads")
    }


@pytest.mark.parametrize("env", ["two_room", "push_t", "cube"])
def test_the_preset_for_a_gpu_leaves_environment_and_heads_to_the_command_line(env):
    config = compose("experiment=gpu", f"env={env}", "heads=[inverse_dynamics]", "planning=proposed")
    assert (config.env.name, config.heads) == (env, ["inverse_dynamics"])
    assert (config.planning.proposal, config.model.name) == ("seeded", "paper")


@pytest.mark.parametrize("value", ["null", "1", "90.5"])
def test_a_training_may_have_a_budget_of_seconds(value):
    wanted = None if value == "null" else float(value)
    assert compose(f"training.max_seconds={value}").training.max_seconds == wanted
    assert "training.max_seconds=0" in refusal(compose, "training.max_seconds=0")


def test_planning_by_temporal_distance_differs_in_the_cost_alone(values):
    temporal = asdict(compose("planning=temporal"))
    assert temporal == edited(values, "planning.goal_cost", "temporal_distance")


def test_the_command_line_beats_an_experiment():
    config = compose("experiment=paper", "model=micro", "training.batch_size=7", "env.frame_size=64")
    assert (config.model.name, config.training.batch_size, config.env.frame_size) == ("micro", 7, 64)


def test_a_run_is_named_by_its_choices_and_its_seed(config):
    assert config.name == "two_room_micro_sigreg_seed0"
    assert compose("seed=3").name == "two_room_micro_sigreg_seed3"


def test_the_run_folder_depends_on_the_configuration_only():
    assert compose("name=x", "output_dir=somewhere").run_dir.as_posix() == "somewhere/x"


@pytest.mark.parametrize(
    ("program", "argument", "named", "suggestion"),
    [
        ("train", "trainin.num_steps=5", "'trainin.num_steps'", "'training.num_steps'"),
        ("train", "training.num_step=5", "'training.num_step'", "'training.num_steps'"),
        ("train", "num_steps=5", "'num_steps'", "'training.num_steps'"),
        ("train", "regulariser=sigreg", "'regulariser'", "'regularizer'"),
        ("train", "regularizer.num_direction=3", "'regularizer.num_direction'", "'regularizer.num_directions'"),
        ("train", "model.encoder.widht=96", "'model.encoder.widht'", "'model.encoder.width'"),
        ("train", "sead=1", "'sead'", "'seed'"),
        ("train", "env=tworoom", "'tworoom'", "'two_room'"),
        ("train", "regularizer=sigregg", "'sigregg'", "'sigreg'"),
        ("train", "model=mikro", "'mikro'", "'micro'"),
        ("train", "planner=cem_papr", "'cem_papr'", "'cem_paper'"),
        ("train", "experiment=quikstart", "'quikstart'", "'quickstart'"),
        ("train", "regularizer=sigreg,sigreg_papr", "'sigreg_papr'", "'sigreg_paper'"),
        ("train", "model=", "''", "micro, paper"),
        ("plan", "rum=runs/x", "'rum'", "'run'"),
        ("plan", "data.path=x", "'data.path'", "data_path"),
        ("plan", "planner=cam", "'cam'", "'cem'"),
        ("collect", "env.collection.num_episode=3", "'env.collection.num_episode'", "'env.collection.num_episodes'"),
    ],
)
def test_a_misspelt_argument_is_refused_with_a_suggestion(program, argument, named, suggestion):
    message = refusal(check_overrides, program, [argument])
    assert named in message
    assert suggestion in message


@pytest.mark.parametrize(
    ("program", "argument", "word"),
    [
        ("plan", "model=paper", "model"),
        ("plan", "regularizer=none", "regularizer"),
        ("collect", "planner=cem", "planner"),
        ("train", "two_room", "two_room"),
        ("train", "seed=[1", "[1"),
    ],
)
def test_an_argument_that_the_program_does_not_have_is_refused(program, argument, word):
    assert word in refusal(check_overrides, program, [argument])


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("train", ["env=two_room", "seed=1"]),
        ("train", ["-m", "seed=0,1,2", "regularizer=sigreg,sigreg_paper"]),
        ("train", ["model=paper", "model.encoder.width=96", "+hydra.job.id=1"]),
        ("train", ["hydra.verbose=true"]),
        ("train", ["--cfg", "job"]),
        ("plan", ["run=runs/x", "planner=cem_paper", "planning=lewm"]),
        ("collect", ["env.collection.num_episodes=5", "data_path=elsewhere"]),
    ],
)
def test_what_is_spelt_right_is_let_through(program, arguments):
    assert check_overrides(program, arguments) is None


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("training.num_steps", "many", "training.num_steps='many'"),
        ("training.num_steps", 1.5, "training.num_steps=1.5"),
        ("training.num_steps", True, "training.num_steps=True"),
        ("training.learning_rate", "fast", "training.learning_rate='fast'"),
        ("training.learning_rate", False, "training.learning_rate=False"),
        ("resume", 1, "resume=1"),
        ("seed", None, "seed=None"),
        ("data.path", 7, "data.path=7"),
        ("data.root", None, "data.root=None"),
        ("model.encoder", "vit", "model.encoder='vit'"),
        ("training", 5, "training=5"),
        ("training.nun_steps", 5, "'training.nun_steps'"),
        ("foo", 5, "'foo'"),
    ],
)
def test_a_value_of_a_wrong_type_and_an_unknown_key_are_refused_by_name(values, key, value, named):
    assert named in refusal(from_dict, edited(values, key, value), TrainConfig)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.num_steps", 0),
        ("training.num_frames", 1),
        ("training.batch_size", 0),
        ("training.log_every", 0),
        ("training.validate_every", 0),
        ("training.checkpoint_every", 0),
        ("training.learning_rate", math.nan),
        ("training.warmup_fraction", 1.5),
        ("training.warmup_fraction", 2),
        ("data.val_fraction", 1.5),
        ("data.val_fraction", 2),
        ("num_threads", 0),
        ("env.frameskip", 0),
        ("env.collection.num_episodes", 1),
        ("env.collection.max_steps", 0),
        ("planning.horizon", 0),
        ("planning.num_executed", 0),
        ("planning.batch_size", 0),
        ("evaluation.num_pairs", 0),
        ("evaluation.offset", 0),
        ("evaluation.budget", 0),
    ],
)
def test_a_number_that_means_nothing_is_refused_by_name_and_value(values, key, value):
    assert re.search(
        rf"{re.escape(key)}={value}(\.0)? must be", refusal(from_dict, edited(values, key, value), TrainConfig)
    )


NUMBERS = sorted(
    key
    for key, value in flat(asdict(compose())).items()
    if type(value) in (int, float)
    and not key.startswith(("model.", "regularizer.", "planner.", "env.collection.expert."))
)


@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_of_training_and_evaluation_may_be_negative(values, key):
    assert f"{key}=-1" in refusal(from_dict, edited(values, key, -1), TrainConfig)


@pytest.mark.parametrize(
    ("override", "named"),
    [("+training.foo=5", "'training.foo'"), ("~evaluation", "'evaluation'"), ("~seed", "seed"), ("name=${foo}", "foo")],
)
def test_the_command_line_cannot_add_or_take_away_a_key(override, named):
    assert named in refusal(compose, override)


@pytest.mark.parametrize(
    ("key", "value"),
    [("encoder.depth", "deep"), ("encoder.depth", 1.5), ("predictor.dropout", "some"), ("projector.hidden_dim", None)],
)
def test_an_argument_of_a_part_of_the_model_has_the_type_that_its_constructor_says(values, key, value):
    config = from_dict(edited(values["model"], key, value), ModelConfig)
    message = refusal(build_model, config, 64, 10)
    assert key.split(".")[1] in message
    assert repr(value) in message


@pytest.mark.parametrize(("key", "value"), [("num_samples", "many"), ("num_samples", 96.5), ("std", "big")])
def test_an_argument_of_a_planner_has_the_type_that_its_constructor_says(config, key, value):
    bound = torch.ones(10)
    message = refusal(build, PLANNERS, {**config.planner, key: value}, "planner", low=-bound, high=bound)
    assert key in message
    assert repr(value) in message


def test_an_unknown_key_is_answered_with_the_one_that_was_meant(values):
    message = refusal(from_dict, edited(values, "training.num_step", 5), TrainConfig)
    assert "'training.num_step'" in message
    assert "'num_steps'" in message


def test_plan_without_a_run_says_what_is_missing():
    assert "run=" in refusal(compose, program="plan", schema=PlanConfig)


def test_an_int_is_a_float_where_one_is_wanted():
    config = compose("training.learning_rate=1")
    assert isinstance(config.training.learning_rate, float)


@pytest.mark.parametrize("option", ["experiment=quickstart", "experiment=paper", "experiment=gpu"])
def test_a_configuration_is_the_same_after_a_round_trip_through_a_dict(option):
    config = compose(option)
    assert from_dict(asdict(config), TrainConfig) == config


@pytest.mark.parametrize("option", ["experiment=quickstart", "experiment=paper", "name='007'", "output_dir='a: #b'"])
def test_a_saved_configuration_is_read_as_it_was(tmp_path, option):
    config = compose(option)
    save(config, tmp_path / "config.yaml")
    assert from_dict(OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")), TrainConfig) == config
    check_resumed(tmp_path / "config.yaml", config)


def test_a_run_of_before_there_were_optimizers_to_choose_was_trained_by_adamw(tmp_path, config):
    older = asdict(config)
    del older["optimizer"], older["training"]["ema_decay"]
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(older)))
    assert read_run_config(tmp_path / "config.yaml") == config
    assert config.optimizer == {"name": "adamw"}
    check_resumed(tmp_path / "config.yaml", config)
    for changed in (compose("optimizer=muon"), compose("training.ema_decay=0.9")):
        assert "was begun with" in refusal(check_resumed, tmp_path / "config.yaml", changed)


@pytest.mark.parametrize("decay", ["0", "1", "-0.5", "1.5"])
def test_an_average_keeps_a_share_between_0_and_1(decay):
    assert f"training.ema_decay={float(decay)} must be at least" in refusal(compose, f"training.ema_decay={decay}")
    assert compose("training.ema_decay=0.999").training.ema_decay == 0.999


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.learning_rate", 0.5),
        ("training.num_steps", 7),
        ("seed", 5),
        ("model.encoder.depth", 1),
        ("model.encoder.width", "96"),
        ("regularizer.num_directions", 3),
        ("regularizer.weight", 3.0),
        ("env.frameskip", 2),
        ("regularizer.foo", 1),
    ],
)
def test_a_run_is_not_resumed_with_other_settings_of_training(tmp_path, config, values, key, value):
    save(config, tmp_path / "config.yaml")
    message = refusal(check_resumed, tmp_path / "config.yaml", from_dict(edited(values, key, value), TrainConfig))
    assert f" {key}=" in message
    assert f"not {value}" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("resume", True),
        ("device", "cpu"),
        ("num_threads", 3),
        ("data.num_workers", 3),
        ("planner", {"name": "another", "num_samples": 5}),
        ("planner.num_samples", 5),
        ("planning.horizon", 9),
        ("evaluation.num_pairs", 3),
    ],
)
def test_a_run_is_resumed_with_settings_that_training_never_sees(tmp_path, config, values, key, value):
    save(config, tmp_path / "config.yaml")
    changed = from_dict(edited(values, key, value), TrainConfig)
    assert changed != config
    check_resumed(tmp_path / "config.yaml", changed)


@dataclass
class Part:
    width: int
    depth: int = 1


REGISTRY: dict[str, Any] = {"part": Part, "other": Part}


def test_a_component_is_built_of_its_arguments_and_those_of_the_caller():
    assert build(REGISTRY, {"name": "part", "depth": 2}, "kind", width=3) == Part(3, 2)


@pytest.mark.parametrize(
    ("component", "words"),
    [
        ({"name": "prat", "width": 1}, ["kind", "'prat'", "did you mean 'part'"]),
        ({"name": "zzzzz", "width": 1}, ["kind", "'zzzzz'", "other, part"]),
        ({"width": 1}, ["kind", "other, part"]),
        ({"name": "part", "widht": 1}, ["part", "'widht'"]),
        ({"name": "part"}, ["part", "'width'"]),
        ({"name": "part", "width": "wide"}, ["part", "width", "'wide'"]),
        ({"name": "lewm.config.save", "width": 1}, ["'lewm.config.save'"]),
        ({"name": "part", "width": 1, "_target_": "os.system"}, ["part", "'_target_'"]),
    ],
)
def test_a_component_that_cannot_be_built_is_refused_by_name(component: Component, words):
    message = refusal(build, REGISTRY, component, "kind")
    for word in words:
        assert word in message


def test_an_int_is_a_float_where_a_constructor_wants_one(config):
    bound = torch.ones(10)
    assert build(PLANNERS, {**config.planner, "std": 1}, "planner", low=-bound, high=bound).std == 1.0


@pytest.mark.parametrize("program", ["train", "plan", "collect"])
def test_a_command_without_arguments_is_let_through(program):
    assert check_overrides(program, []) is None
