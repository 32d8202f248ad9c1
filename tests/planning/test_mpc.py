"""Receding-horizon control of a world that its model knows exactly: z' = z + a."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from lewm.errors import InputError
from lewm.planning import CEM, MPC
from lewm.planning.costs import LastDistance, MeanDistance
from lewm.planning.keyed_noise import KeyedNoise
from lewm.planning.latent_planners import Amortized, Cheaper, Search, Seeded
from lewm.planning.proposal import Proposal
from lewm.planning.protocols import Plan
from lewm.seeding import derive_seed
from tests.fakes import AdditiveModel, FoldedRollout

WIDTH, MAX_ACTION = 2, 0.5
STARTS = torch.tensor([[0.0, 0.0], [1.0, -1.0], [3.0, 3.0]])
GOALS = torch.tensor([[1.7, -0.9], [1.2, 1.0], [3.0, 3.0]])
EPISODES = (4, 7, 9)
CONTEXTS = (1, 3)
GOAL_COSTS = {"last": LastDistance(), "mean": MeanDistance()}


def as_frames(position):
    return position[:, :, None, None]


BOUND = torch.full((WIDTH,), MAX_ACTION)
CHEAPEST = CEM(-BOUND, BOUND, num_samples=64, num_elites=8, num_iterations=6, std=0.5, min_std=0.02)


def make_mpc(model, context=1, horizon=4, window=3, **changes):
    arguments = {"planner": Search(CHEAPEST), "goal_cost": LastDistance(), "subgoal": 1.0, "seed": 0}
    rollout = FoldedRollout(model, window, batch_size=1000)
    return MPC(model=model, rollout=rollout, context=context, horizon=horizon, **arguments | changes)


def drive(mpc, num_steps, rows=slice(None), disturbance=0.0):
    """Positions (num_steps + 1, B, 2) and the last state of control."""
    position = STARTS[rows]
    state = mpc.start(as_frames(position), as_frames(GOALS[rows]), EPISODES[rows], action_dim=WIDTH)
    positions = [position]
    for _ in range(num_steps):
        plan, state = mpc.plan(state)
        action = plan.actions[:, 0] + disturbance
        position = position + action
        positions.append(position)
        state = mpc.observe(state, as_frames(position), action)
    return torch.stack(positions), state


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("goal_cost", GOAL_COSTS.values(), ids=GOAL_COSTS)
def test_it_drives_to_the_goal_within_the_bounds(context, goal_cost):
    positions, _ = drive(make_mpc(AdditiveModel(), context, goal_cost=goal_cost), num_steps=16)
    assert ((positions - GOALS).norm(dim=2).amin(0) < 0.15).all()
    assert (positions.diff(dim=0).abs() <= MAX_ACTION + 1e-6).all()


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("goal_cost", GOAL_COSTS.values(), ids=GOAL_COSTS)
def test_a_whole_plan_leads_from_where_the_world_is_to_the_goal(context, goal_cost):
    mpc = make_mpc(AdditiveModel(), context, goal_cost=goal_cost)
    positions, state = drive(mpc, num_steps=3, disturbance=torch.tensor([-0.1, 0.1]))
    plan, _ = mpc.plan(state)
    assert (positions[-1] + plan.actions.sum(1) - GOALS).abs().max() < 0.1


@pytest.mark.parametrize("context", CONTEXTS)
def test_with_a_cost_of_every_step_it_stays_at_the_goal(context):
    positions, _ = drive(make_mpc(AdditiveModel(), context, goal_cost=MeanDistance()), num_steps=14)
    assert (positions[-4:] - GOALS).abs().max() < 0.12


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_frame_and_every_goal_is_encoded_once(context):
    model = AdditiveModel()
    drive(make_mpc(model, context), num_steps=5)
    assert model.num_encoded == len(STARTS) * (1 + 1 + 5)


@pytest.mark.parametrize("context", CONTEXTS)
def test_it_remembers_as_many_frames_as_the_context_and_the_executed_actions_between_them(context):
    model = AdditiveModel()  # asserts that the frames and actions of the past fit each other
    positions, state = drive(make_mpc(model, context), num_steps=5, disturbance=torch.tensor([0.05, -0.02]))
    assert model.max_frames == context
    torch.testing.assert_close(state.z, positions[-context:].movedim(0, 1))
    torch.testing.assert_close(state.actions, positions[-context:].diff(dim=0).movedim(0, 1))


def test_the_context_fills_up_from_the_first_frame():
    mpc = make_mpc(AdditiveModel(), context=3)
    sizes = []
    for num_steps in range(5):
        _, state = drive(mpc, num_steps)
        sizes.append((state.z.shape[1], state.actions.shape[1]))
    assert sizes == [(1, 0), (2, 1), (3, 2), (3, 2), (3, 2)]


def test_the_next_search_starts_from_the_rest_of_the_last_plan():
    mpc = make_mpc(AdditiveModel(), horizon=4)
    state = mpc.start(as_frames(STARTS), as_frames(GOALS), EPISODES, action_dim=WIDTH)
    assert (state.mean == 0).all()
    plan, state = mpc.plan(state)
    state = mpc.observe(state, as_frames(STARTS + plan.actions[:, 0]), plan.actions[:, 0])
    assert torch.equal(state.mean[:, :-1], plan.actions[:, 1:])
    assert (state.mean[:, -1] == 0).all()


def test_a_plan_is_a_function_of_seed_episode_and_number_of_the_plan():
    noise = []

    def planner(cost, mean, *, generator, on_iteration=None):
        noise.append([torch.rand(1, generator=source).item() for source in generator])
        return Plan(mean, torch.zeros(len(mean)))

    for seed in (0, 0, 1):
        mpc = make_mpc(AdditiveModel(), planner=Search(planner), seed=seed)
        drive(mpc, num_steps=2)
    first, again, other = noise[:2], noise[2:4], noise[4:]
    assert first == again
    assert len({number for plan in (*first, *other) for number in plan}) == 2 * 2 * len(EPISODES)


def test_on_a_gpu_the_noise_of_all_episodes_is_keyed_by_the_same_seeds():
    on_gpu = SimpleNamespace(is_cuda=True, device="cpu")
    noise = make_mpc(AdditiveModel(), seed=3).noise(SimpleNamespace(z=on_gpu, episodes=(4, 7), num_plans=(0, 2)))
    assert isinstance(noise, KeyedNoise)
    assert noise.seeds.tolist() == [derive_seed(3, 4, 0), derive_seed(3, 7, 2)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_an_episode_does_not_depend_on_its_neighbours(context):
    together, _ = drive(make_mpc(AdditiveModel(), context), num_steps=4)
    alone, _ = drive(make_mpc(AdditiveModel(), context), num_steps=4, rows=slice(1, 2))
    torch.testing.assert_close(alone[:, 0], together[:, 1])


def test_planning_leaves_the_state_it_was_given():
    mpc = make_mpc(AdditiveModel())
    state = mpc.start(as_frames(STARTS), as_frames(GOALS), EPISODES, action_dim=WIDTH)
    first, _ = mpc.plan(state)
    again, _ = mpc.plan(state)
    assert torch.equal(first.actions, again.actions)
    assert state.num_plans == (0, 0, 0)
    assert state.mean.abs().max() == 0


@pytest.mark.parametrize("changes", [{"horizon": 0}, {"context": 0}])
def test_numbers_below_1_are_refused(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))}=0"):
        make_mpc(AdditiveModel(), **changes)


@pytest.mark.parametrize("context", CONTEXTS)
def test_episodes_that_observe_and_plan_at_their_own_times_do_what_they_do_alone(context):
    mpc = make_mpc(AdditiveModel(), context)
    position = STARTS.clone()
    state = mpc.start(as_frames(position), as_frames(GOALS), EPISODES, action_dim=WIDTH)
    for rows in ([0], [2, 0], [0, 1], [1], [0, 2], [2, 1, 0], [1]):
        plan, state = mpc.plan(state, rows)
        position[rows] += plan.actions[:, 0]
        state = mpc.observe(state, as_frames(position[rows]), plan.actions[:, 0], rows)
    for row, num_steps in enumerate((5, 4, 3)):
        alone, _ = drive(make_mpc(AdditiveModel(), context), num_steps, rows=slice(row, row + 1))
        torch.testing.assert_close(position[row], alone[-1, 0])


def test_what_is_kept_of_a_state_goes_on_as_before():
    mpc = make_mpc(AdditiveModel(), context=3)
    _, state = drive(mpc, num_steps=2)
    kept, _ = mpc.plan(mpc.keep(state, torch.tensor([2, 0])))
    whole, _ = mpc.plan(state)
    torch.testing.assert_close(kept.actions, whole.actions[[2, 0]])


def test_a_goal_that_changes_is_encoded_once_and_reached():
    model = AdditiveModel()
    mpc = make_mpc(model)
    state = mpc.start(as_frames(STARTS), as_frames(STARTS), EPISODES, action_dim=WIDTH)
    before = model.num_encoded
    state = mpc.set_goal(state, as_frames(GOALS))
    for _ in range(3):
        plan, _ = mpc.plan(state)
    assert model.num_encoded == before + len(GOALS)
    assert (STARTS + plan.actions.sum(1) - GOALS).abs().max() < 0.1


def test_each_iteration_of_a_search_is_reported():
    seen = []
    mpc = make_mpc(AdditiveModel())
    state = mpc.start(as_frames(STARTS), as_frames(GOALS), EPISODES, action_dim=WIDTH)
    mpc.plan(state, on_iteration=seen.append)
    assert [len(iteration.best_cost) for iteration in seen] == [len(STARTS)] * CHEAPEST.num_iterations


def test_what_a_plan_is_taken_to_lead_to_can_be_seen():
    mpc = make_mpc(AdditiveModel(), context=3)
    positions, state = drive(mpc, num_steps=2)
    plan, _ = mpc.plan(state)
    torch.testing.assert_close(mpc.imagine(state, plan.actions), positions[-1][:, None] + plan.actions.cumsum(1))


def unequal_pasts(mpc):
    """Positions and the state of episodes that have seen 2, 1 and 3 frames."""
    position = STARTS.clone()
    state = mpc.start(as_frames(position), as_frames(GOALS), EPISODES, action_dim=WIDTH)
    for rows in ([0, 2], [2]):
        plan, state = mpc.plan(state, rows)
        position[rows] += plan.actions[:, 0]
        state = mpc.observe(state, as_frames(position[rows]), plan.actions[:, 0], rows)
    return position, state


def test_what_is_imagined_of_an_episode_does_not_depend_on_how_many_frames_the_others_have_seen():
    mpc = make_mpc(AdditiveModel(), context=3)  # whose model asserts that no padding is among what it is shown
    position, state = unequal_pasts(mpc)
    actions = torch.linspace(-0.5, 0.5, 3 * 4 * WIDTH).reshape(3, 4, WIDTH)
    torch.testing.assert_close(mpc.imagine(state, actions), position[:, None] + actions.cumsum(1))


def test_where_no_episode_plans_or_observes_nothing_changes():
    model = AdditiveModel()
    mpc = make_mpc(model, context=3)
    _, state = unequal_pasts(mpc)
    num_encoded = model.num_encoded
    plan, planned = mpc.plan(state, rows=[])
    observed = mpc.observe(state, torch.zeros(0, WIDTH, 1, 1), torch.zeros(0, WIDTH), rows=[])
    assert (plan.actions.shape, plan.cost.shape) == ((0, 4, WIDTH), (0,))
    assert model.num_encoded == num_encoded
    for now in (planned, observed):
        assert all(
            torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(now, state, strict=True)
        )


def towards_the_goal(z, past_actions, z_goal):
    return 0.9 * (z_goal - z[:, -1])


def away_from_the_goal(z, past_actions, z_goal):
    return -towards_the_goal(z, past_actions, z_goal)


def stands_still(cost, mean, *, generator, on_iteration=None):
    return Plan(mean, cost(mean[:, None])[:, 0])


def proposal_of(head):
    return Proposal(AdditiveModel(), head, 3, -BOUND, BOUND)


def with_planner(planner, **changes):
    return make_mpc(AdditiveModel(), planner=planner, **changes)


def plan_of(mpc):
    return mpc.plan(mpc.start(as_frames(STARTS), as_frames(GOALS), EPISODES, action_dim=WIDTH))[0]


def test_a_proposal_alone_is_the_plan_without_a_search():
    plan = plan_of(with_planner(Amortized(proposal_of(towards_the_goal))))
    first = (0.9 * (GOALS - STARTS)).clamp(-MAX_ACTION, MAX_ACTION)
    torch.testing.assert_close(plan.actions[:, 0], first)
    assert plan.cost.isnan().all()


def test_a_proposal_alone_takes_no_context_into_the_rollout():
    mpc = with_planner(Amortized(proposal_of(towards_the_goal)))
    torch.testing.assert_close(plan_of(replace(mpc, rollout=None)).actions, plan_of(mpc).actions)


def test_a_search_can_begin_at_the_proposal():
    proposal = proposal_of(towards_the_goal)
    alone = plan_of(with_planner(Amortized(proposal)))
    torch.testing.assert_close(plan_of(with_planner(Seeded(stands_still, proposal))).actions, alone.actions)


@pytest.mark.parametrize(
    ("head", "better"),
    [(towards_the_goal, Amortized(proposal_of(towards_the_goal))), (away_from_the_goal, Search(stands_still))],
)
def test_of_plan_and_proposal_the_cheaper_is_taken(head, better):
    cheaper, expected = (plan_of(with_planner(each)) for each in (Cheaper(stands_still, proposal_of(head)), better))
    moves = slice(0, 2)  # the third episode is at its goal, where both do the same
    torch.testing.assert_close(cheaper.actions[moves], expected.actions[moves])
    assert cheaper.cost.isfinite().all()


@pytest.mark.parametrize("kind", [Seeded, Cheaper])
def test_each_iteration_of_a_search_with_a_proposal_is_reported(kind):
    seen = []
    mpc = with_planner(kind(CHEAPEST, proposal_of(towards_the_goal)))
    state = mpc.start(as_frames(STARTS), as_frames(GOALS), EPISODES, action_dim=WIDTH)
    mpc.plan(state, on_iteration=seen.append)
    assert len(seen) == CHEAPEST.num_iterations


class Overflowing:
    """A planner that stands still at no cost, and a goal cost that is `value` for all that moves."""

    def __init__(self, value):
        self.value = value

    def __call__(self, cost, mean, *, generator, on_iteration=None):
        return Plan(mean, torch.zeros(len(mean)))

    def judge(self, z_next, z_goal, actions):
        return torch.where((actions != 0).any(-1).any(-1), self.value, 0.0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_proposal_whose_cost_is_not_finite_loses(value):
    fake = Overflowing(value)
    plan = plan_of(with_planner(Cheaper(fake, proposal_of(towards_the_goal)), goal_cost=fake.judge))
    assert (plan.actions == 0).all() and (plan.cost == 0).all()


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_plan_aims_at_a_share_of_the_straight_way_to_the_goal(share):
    mpc = with_planner(Amortized(proposal_of(lambda z, past_actions, z_goal: z_goal - z[:, -1])), subgoal=share)
    first = (share * (GOALS - STARTS)).clamp(-MAX_ACTION, MAX_ACTION)
    torch.testing.assert_close(plan_of(mpc).actions[:, 0], first)


def test_a_search_goes_to_the_subgoal_and_not_beyond():
    plan = plan_of(make_mpc(AdditiveModel(), subgoal=0.5))
    torch.testing.assert_close(STARTS + plan.actions.sum(1), STARTS + 0.5 * (GOALS - STARTS), atol=0.1, rtol=0)
