"""Planning on arrays, without an environment, from a run folder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lewm.config import CONFIGS
from lewm.data.normalize import ActionNormalizer
from lewm.planning.latent_planners import Amortized, Seeded
from lewm.run import Run
from tests.programs import TINY, compose, refusal
from tests.runs import save_run, spec_of

SIZE, FRAMESKIP, ACTION_DIM, HORIZON = 48, 5, 2, 3
LOW, HIGH = (-1.0, -2.0), (3.0, 2.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("run")
    config = compose(*TINY)
    config = replace(config, planning=replace(config.planning, horizon=HORIZON, context=2, window=3))
    spec = spec_of(config, ActionNormalizer((1.0, 0.5), (0.5, 2.0)), LOW, HIGH)
    torch.manual_seed(0)
    model = spec.build_model()
    for block in model.predictor.blocks:
        torch.nn.init.normal_(block.modulation[-1].weight, std=0.3)
    return save_run(folder, config, spec, model)


@pytest.fixture(scope="module")
def agent(run):
    return run.agent()


def scene(num_episodes=2, num_frames=2):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (num_episodes, num_frames + 1, SIZE, SIZE, 3), np.uint8)
    actions = rng.uniform(LOW, HIGH, (num_episodes, (num_frames - 1) * FRAMESKIP, ACTION_DIM)).astype(np.float32)
    return frames[:, :-1], actions, frames[:, -1]


def one_of(arrays, row):
    return [array[row] for array in arrays]


def test_a_plan_is_raw_actions_within_the_bounds_and_their_cost(agent):
    plan = agent.plan(*one_of(scene(), 0))
    assert plan.actions.shape == (HORIZON * FRAMESKIP, ACTION_DIM)
    assert plan.actions.dtype == np.float32
    assert (plan.actions >= LOW).all() and (plan.actions <= HIGH).all()
    assert plan.cost.shape == () and np.isfinite(plan.cost)


def test_one_frame_has_no_past(agent):
    frames, actions, goals = scene(num_frames=1)
    expected = agent.plan(frames, actions, goals)
    np.testing.assert_array_equal(agent.plan(frames, [], goals).actions, expected.actions)
    np.testing.assert_array_equal(agent.plan(frames[0], [], goals[0]).actions, expected.actions[0])


def test_a_batch_of_episodes_is_planned_as_each_alone(agent):
    arrays = scene()
    together = agent.plan(*arrays)
    alone = agent.plan(*one_of(arrays, 1), episodes=(1,))
    np.testing.assert_allclose(together.actions[1], alone.actions, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together.cost[1], alone.cost, rtol=1e-4)


def test_plans_are_a_function_of_the_arguments(agent):
    arrays = one_of(scene(), 0)
    first, again, other = (agent.plan(*arrays, number=number) for number in (0, 0, 1))
    assert (first.actions == again.actions).all()
    assert (first.actions != other.actions).any()


def test_the_actions_of_the_past_are_normalized_and_packed_as_in_training(agent):
    frames, actions, goal = scene()
    session = agent.begin(frames[:, 0], goal)
    session.observe(frames[:, 1], actions)
    expected = ((actions - (1.0, 0.5)) / (0.5, 2.0)).reshape(2, FRAMESKIP * ACTION_DIM)
    np.testing.assert_allclose(session.state.actions[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_a_plan_depends_on_the_last_actions(agent):
    frames, actions, goal = scene()
    costs = [agent.plan(frames, array, goal).cost for array in (actions, actions + 0.5)]
    assert (costs[0] != costs[1]).all()


def test_frames_beyond_the_context_are_not_looked_at(agent):
    frames, actions, goal = scene(num_frames=4)
    whole, last = (agent.plan(frames[:, s:], actions[:, s * FRAMESKIP :], goal) for s in (0, 2))
    np.testing.assert_allclose(whole.actions, last.actions, rtol=1e-4, atol=1e-4)


def test_frames_beyond_the_context_are_not_even_encoded(agent):
    numbers = []
    hook = agent.mpc.model.encoder.register_forward_pre_hook(lambda _, inputs: numbers.append(len(inputs[0])))
    agent.plan(*one_of(scene(num_frames=6), 0))
    hook.remove()
    assert sum(numbers) == agent.mpc.context + 1  # the goal


def test_a_search_begins_around_the_actions_that_it_is_given(run):
    agent = run.agent(planner={**compose(*TINY).planner, "num_samples": 1, "num_elites": 1})
    arrays = one_of(scene(), 0)
    rest = np.random.default_rng(1).uniform(LOW, HIGH, (2 * FRAMESKIP, ACTION_DIM)).astype(np.float32)
    plan = agent.plan(*arrays, initial_actions=rest)
    np.testing.assert_allclose(plan.actions[: len(rest)], rest, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(plan.actions[len(rest) :], np.tile([1.0, 0.5], (FRAMESKIP, 1)), rtol=1e-5)


def test_a_session_plans_as_the_function_does(agent):
    frames, actions, goal = scene()
    session = agent.begin(frames[:, 0], goal)
    session.observe(frames[:, 1], actions)
    np.testing.assert_array_equal(session.plan().actions, agent.plan(frames, actions, goal).actions)


def test_a_session_begins_the_next_search_with_what_is_left_of_the_plan(agent):
    frames, _, goal = scene()
    session = agent.begin(frames[:, 0], goal)
    plan = session.plan()
    session.observe(frames[:, 1], plan.actions[:, :FRAMESKIP])
    left = agent.units.raw(session.state.mean)
    np.testing.assert_allclose(left[:, : 2 * FRAMESKIP], plan.actions[:, FRAMESKIP:], rtol=1e-5, atol=1e-5)


def test_planner_and_planning_can_be_chosen_by_the_names_of_their_files(run):
    agent = run.agent(planner="cem_paper", planning="lewm", horizon=4, num_executed=1)
    assert agent.mpc.planner.search.num_samples == 300
    assert (agent.mpc.horizon, agent.mpc.context, agent.mpc.rollout.window) == (4, 1, 3)


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "planning").glob("*.yaml")))
def test_every_file_of_planning_says_all_that_a_controller_needs(run, name):
    agent = run.agent(planning=name, goal_cost="last_distance", proposal="none")
    assert agent.mpc.horizon == compose(f"planning={name}").planning.horizon


def test_planning_by_a_head_that_is_not_there_says_how_to_fit_it(run):
    assert "lewm train-head head=temporal_distance" in refusal(run.agent, planning="temporal")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"planner": "cemm"}, ("planner='cemm'", "'cem'")),
        ({"planning": "lewn"}, ("planning='lewn'", "'lewm'")),
        ({"horizonn": 3}, ("planning.horizonn", "'horizon'")),
        ({"horizon": 0}, ("planning.horizon=0",)),
        ({"window": 4}, ("planning.window=4", "3 frames")),
        ({"precision": "half"}, ("planning.precision='half'", "bfloat16")),
        ({"proposal": "cheaper"}, ("planning.proposal=cheaper", "train-head")),
        ({"planner": "actor"}, ("planner=actor", "train-head")),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_in_one_line(run, changes, words):
    message = refusal(run.agent, **changes)
    for word in words:
        assert word in message


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    assert f"{tmp_path}" in refusal(Run.open, tmp_path)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda"])
def test_a_device_that_is_none_is_refused(run, device):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert "give auto or cpu, or cuda where torch sees a GPU" in refusal(Run.open, run.path, device=device)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f, a, g: (f[:, :24], a, g), ("24 x 48 x 3", "48 x 48")),
        (lambda f, a, g: (f.astype(np.float32), a, g), ("frames are float32: give uint8",)),
        (lambda f, a, g: (f, [], g), ("past actions of shape (0, 2)", "2 frames")),
        (lambda f, a, g: (f, a, g[:40]), ("40 x 48 x 3",)),
        (lambda f, a, g: (f, a[:3], g), ("past actions of shape (3, 2)", "2 frames")),
        (lambda f, a, g: (f, None, g), ("past actions of shape ()", "2 frames")),
        (lambda f, a, g: (f[:0], a[:0], g), ("(0, 48, 48, 3)", "T at least 1")),
        (lambda f, a, g: (f[0], a[:0], g), ("(48, 48, 3)", "(T, h, w, C)")),
        (lambda f, a, g: (f, a, f), ("2 x 48 x 48 x 3",)),
        (lambda f, a, g: (f, a[:, :1], g), ("2 numbers for each env step",)),
        (lambda f, a, g: (f, a * np.nan, g), ("nan",)),
    ],
)
def test_arrays_that_do_not_fit_the_model_are_refused_in_one_line(agent, change, words):
    message = refusal(agent.plan, *change(*one_of(scene(), 0)))
    for word in words:
        assert word in message


BATCHES = {
    "goals of a plan": lambda c, s, f, a, g: c.plan(f, a, g[:1]),
    "past actions of a plan": lambda c, s, f, a, g: c.plan(f, a[:1], g),
    "initial actions of a plan": lambda c, s, f, a, g: c.plan(f, a, g, initial_actions=a[:1]),
    "identifiers of a plan": lambda c, s, f, a, g: c.plan(f, a, g, episodes=(1, 2, 3)),
    "a plan of nothing": lambda c, s, f, a, g: c.plan(f[:0], a[:0], g[:0]),
    "goals of a session": lambda c, s, f, a, g: c.begin(f[:, 0], g[:1]),
    "identifiers of a session": lambda c, s, f, a, g: c.begin(f[:, 0], g, episodes=()),
    "a session of nothing": lambda c, s, f, a, g: c.begin(f[:0, 0], g[:0]),
    "frames that follow": lambda c, s, f, a, g: s.observe(f[:1, 1], a),
    "actions before them": lambda c, s, f, a, g: s.observe(f[:, 1], a[:1]),
    "frames of one row": lambda c, s, f, a, g: s.observe(f[:, 1], a[:1], rows=[1]),
    "new goals": lambda c, s, f, a, g: s.set_goal(g[:1]),
    "where a search begins": lambda c, s, f, a, g: s.search_from(a[:1]),
}


@pytest.mark.parametrize("call", BATCHES.values(), ids=BATCHES)
def test_arrays_that_are_not_one_for_each_episode_are_refused_in_one_line(agent, call):
    frames, actions, goal = scene()
    message = refusal(call, agent, agent.begin(frames[:, 0], goal), frames, actions, goal)
    assert "one for each" in message


@pytest.mark.parametrize("rows", [[2], [-1], [0, 0]])
def test_rows_that_a_session_does_not_have_are_refused(agent, rows):
    frames, _, goal = scene()
    assert f"rows={rows}" in refusal(agent.begin(frames[:, 0], goal).plan, rows)


def test_rows_of_a_session_go_on_as_they_would_alone(agent):
    frames, actions, goal = scene()
    session, alone = agent.begin(frames[:, 0], goal), agent.begin(frames[1:, 0], goal[1:], episodes=(1,))
    session.observe(frames[1:, 1], actions[1:], rows=[1])
    alone.observe(frames[1:, 1], actions[1:])
    assert session.state.num_frames == (1, 2)
    plan = session.plan(rows=[1])
    assert session.state.num_plans == (0, 1)
    np.testing.assert_allclose(plan.actions, alone.plan().actions, rtol=1e-4, atol=1e-4)


def test_no_rows_at_all_change_nothing(agent):
    frames, actions, goal = scene()
    session = agent.begin(frames[:, 0], goal)
    before = session.state
    assert session.plan(rows=[]).actions.shape == (0, HORIZON * FRAMESKIP, ACTION_DIM)
    session.observe(frames[:0, 1], actions[:0], rows=[])
    assert torch.equal(session.state.memory, before.memory) and session.state.num_plans == before.num_plans


def test_arrays_that_may_not_be_written_to_plan_without_a_warning(agent):
    arrays = scene()
    expected = agent.plan(*arrays).actions
    for array in arrays:
        array.flags.writeable = False
    np.testing.assert_array_equal(agent.plan(*arrays).actions, expected)


@pytest.mark.parametrize("planner", [Seeded(None, None), Amortized(None)])
def test_initial_actions_that_a_proposal_would_replace_are_refused(agent, planner):
    proposing, use = replace(agent, mpc=replace(agent.mpc, planner=planner)), planner.name
    arrays = one_of(scene(), 0)
    message = refusal(proposing.plan, *arrays, initial_actions=arrays[1])
    assert f"planning.proposal={use}" in message


def test_more_initial_actions_than_a_plan_has_are_refused(agent):
    actions = np.zeros(((HORIZON + 1) * FRAMESKIP, ACTION_DIM), np.float32)
    message = refusal(agent.plan, *one_of(scene(), 0), initial_actions=actions)
    assert f"{len(actions)} initial actions" in message
