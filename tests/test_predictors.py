"""Each predictor of configs/predictor: on the command line, in training, in plans, and through the whole program."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

import train
from lewm.agent import Agent
from lewm.config import CONFIGS
from lewm.models import PREDICTORS
from lewm.run import Run
from lewm.tracking import read_metrics
from lewm.training.model_spec import ModelSpec
from scripts import report
from tests.conftest import collect_two_room
from tests.programs import TINY, compose, make_trainer, run_program
from tests.registries import read_model
from tests.runs import spec_of

SMALL = tuple(word for word in TINY if not word.startswith("model.predictor."))
"""Tiny, but for the predictor, whose sizes follow the encoder's, or are none."""

CASES = {
    "affine": ("predictor=affine",),
    "affine, fed back": ("predictor=affine", "model.context=1", "training.num_frames=4", "training.rollout_steps=3"),
    "adaln, fed back": (
        "predictor=adaln_micro",
        "model.predictor.depth=1",
        "training.num_frames=5",
        "training.rollout_steps=3",
    ),
    "prefix": ("predictor=prefix",),
}


@pytest.fixture(scope="module", params=CASES)
def words(request):
    return CASES[request.param]


def test_every_predictor_has_a_file_and_every_file_names_one():
    names = {read_model(f"predictor={path.stem}").predictor["name"] for path in (CONFIGS / "predictor").glob("*.yaml")}
    assert names == set(PREDICTORS)


@pytest.mark.parametrize(
    "others", [(), ("model=paper",), ("experiment=paper",), ("experiment=push_t_brisk",), ("experiment=gpu",)]
)
@pytest.mark.parametrize("name", ["affine", "prefix"])
def test_a_chosen_predictor_has_nothing_of_the_one_before_it(name, others):
    before, now = read_model(*others), read_model(*others, f"predictor={name}")
    assert now.predictor["name"] == name
    assert not now.predictor.keys() & {"head_dim", "width", "mlp_dim", "dropout"} or name == "prefix"
    assert asdict(now) | {"predictor": None} == asdict(before) | {"predictor": None}
    size = 4 * now.encoder["patch_size"]
    built = spec_of(compose(*others, f"predictor={name}", f"env.frame_size={size}", "model.encoder.depth=1"))
    assert type(built.build_model().predictor) is PREDICTORS[name]


def test_the_sizes_of_the_prefix_predictor_follow_the_model_and_can_be_given():
    assert read_model("predictor=prefix", "model=paper").predictor["mlp_dim"] == 2048
    words = ("predictor=prefix", "model.projector=euclidean_attention", "model.predictor.mlp_dim=40")
    assert compose(*words).model.predictor["mlp_dim"] == 40
    assert read_model("predictor=affine", "model.predictor.rank=4").predictor == {"name": "affine", "rank": 4}


def fitted(folder, data, *words):
    """A trainer after a training of seconds, in its run folder."""
    config = compose(*SMALL, *words, f"data.path={data.path}", f"output_dir={folder}")
    config.run_dir.mkdir(parents=True)
    trainer = make_trainer(config, data)
    assert trainer.fit()
    return trainer


@pytest.fixture(scope="module")
def trained(words, tmp_path_factory, two_room_data):
    return fitted(tmp_path_factory.mktemp("trained"), two_room_data, *words)


NUM_STEPS = {"affine": 150, "affine, fed back": 150, "adaln, fed back": 400, "prefix": 400}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=[pytest.mark.slow] if number > 150 else []) for name, number in NUM_STEPS.items()]
)
def test_a_small_training_predicts_better_than_no_change(case, tmp_path):
    data, number = collect_two_room(tmp_path / "data", num_episodes=120, max_steps=40, seed=0), NUM_STEPS[case]
    words = ("training.batch_size=16", "training.learning_rate=0.003", "training.log_every=50")
    words += tuple(f"training.{key}={number}" for key in ("num_steps", "validate_every", "checkpoint_every"))
    small = ("model.predictor.width=16", "model.predictor.depth=1") if case.startswith("adaln") else ()
    run = fitted(tmp_path, data, *CASES[case], *words, *small).config.run_dir
    last = read_metrics(run)[-1]
    assert 0 < last["val/prediction_over_copy_last"] < 1
    probes = [value for tag, value in last.items() if tag.startswith("probe/")]
    assert len(probes) == 2 and max(probes) > 0.5  # of embeddings that tell where the agent is, along one axis at least


@pytest.mark.parametrize("horizon", [1, 3, 5])
@pytest.mark.parametrize("planner", ["icem", "gradient", "grasp"])
def test_a_trained_model_plans_through_an_agent(trained, horizon, planner, two_room_data):
    changes = {"icem": {}, "gradient": {"num_iterations": 2}, "grasp": {"num_iterations": 3}}[planner]
    config = trained.config
    composed = compose(f"planner={planner}").planner | changes if planner != "icem" else config.planner
    planning = type(config.planning)(**vars(config.planning) | {"horizon": horizon})
    spec: ModelSpec = trained.spec
    agent = Agent.of(spec, trained.model.eval(), composed, planning, 0, {}, "cpu")
    frames = two_room_data.pixels[[0, 30]]
    plan = agent.plan(frames[:1], np.zeros((0, 2), np.float32), frames[1])
    assert plan.actions.shape == (horizon * spec.frameskip, 2)
    assert (plan.actions >= spec.action_low).all() and (plan.actions <= spec.action_high).all()
    assert np.isfinite(plan.cost)
    again = agent.plan(frames[:1], np.zeros((0, 2), np.float32), frames[1])
    assert np.array_equal(again.actions, plan.actions)


def test_a_plan_costs_what_the_model_imagines(trained):
    config, model = trained.config, trained.model.eval()
    agent = Agent.of(trained.spec, model, config.planner, config.planning, 0, {}, "cpu")
    z, z_goal = torch.randn(2, 1, 8), torch.randn(2, 8)
    actions = torch.randn(2, 3, 5, trained.spec.action_dim)
    with torch.no_grad():
        imagined = agent.mpc.rollout(z, actions[:, 0, :0])(actions)
        for candidate in range(3):
            expected = model.rollout(z, actions[:, candidate], config.planning.window)
            torch.testing.assert_close(imagined[:, candidate], expected, rtol=1e-4, atol=1e-5)
        cost = agent.mpc.goal_cost(imagined, z_goal, actions)
    assert cost.shape == (2, 3) and cost.isfinite().all()


def test_the_whole_program_trains_evaluates_and_reports(words, tmp_path, two_room_data):
    arguments = (
        *SMALL,
        *words,
        f"data.path={two_room_data.path}",
        f"output_dir={tmp_path}",
        f"data.root={tmp_path}/data",
    )
    assert run_program(train.main, *arguments, "planning.horizon=4") is None
    run = tmp_path / "tiny"
    assert (run / "results.json").is_file()
    page = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert run_program(report.main, str(run)) is None
    assert len((run / "report.html").read_bytes()) > len(page) / 2
    weights = Run.open(run).model.state_dict()
    assert weights and all(tensor.isfinite().all() for tensor in weights.values() if tensor.is_floating_point())
