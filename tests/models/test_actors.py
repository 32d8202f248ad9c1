"""Actors: their losses against slow loops, where gradients flow, and a world that they learn to act in."""

import pytest
import torch
from torch.distributions import Normal

from lewm.config import build, read_yaml
from lewm.config.loading import CONFIGS
from lewm.models import ACTORS, IntentActor, PathActor
from tests.programs import refusal

B, T, D, A = 6, 5, 4, 3
SMALL = {"hidden_dim": 32, "num_layers": 2}
INTENT = SMALL | {"local_weight": 0.3, "goal_weight": 0.7, "sees_action": True, "sees_velocity": True}
PATH = SMALL | {
    "pairs_per_clip": 7,
    "path_weight": 2.0,
    "encoded_weight": 0.5,
    "consistency_weight": 0.25,
    "num_blocks": 3,
}


def make_intent(**changes):
    torch.manual_seed(0)
    return IntentActor(D, A, **INTENT | changes)


def make_path(**changes):
    torch.manual_seed(0)
    return PathActor(D, A, **PATH | changes)


def draw_clip(num=B):
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(num, T, D, generator=generator, requires_grad=True)
    return z, torch.randn(num, T - 1, A, generator=generator)


@pytest.mark.parametrize("name", ACTORS)
def test_each_actor_has_a_file_that_builds_it(name):
    component = read_yaml(CONFIGS / "actor" / f"{name}.yaml")["model"]["actor"]
    actor = build(ACTORS, component, "actor", embedding_dim=D, action_dim=A)
    z, actions = draw_clip()
    loss = actor.loss(z, actions)
    loss.backward()
    assert loss.shape == () and loss.isfinite() and z.grad.abs().sum() > 0
    assert actor(z[:, -1:], actions[:, :0], z[:, 0]).shape == (B, A)


def slow_intent_loss(actor, z, actions, goal_of):
    """Mean negative log-likelihood, up to its constant, over all frames but the last."""
    values = []
    for b in range(B):
        for t in range(T - 1):
            way = goal_of(z[b], t) - z[b, t]
            before = [actor.embed_action(actions[b, t - 1]) if t else actor.no_action]
            before.append(z[b, t] - z[b, t - 1] if t else actor.no_velocity)
            mean, log_std = actor.mlp(torch.cat([z[b, t], way, z[b, t] * way, *before])).chunk(2)
            surprise = -Normal(mean, log_std.clamp(-5, 2).exp()).log_prob(actions[b, t]).mean()
            values.append(surprise - 0.5 * torch.log(torch.tensor(2 * torch.pi)))
    return torch.stack(values).mean()


def test_the_loss_of_an_intent_is_the_likelihood_of_the_actions_for_the_next_frame_and_for_the_last():
    (z, actions), actor = draw_clip(), make_intent()
    torch.nn.init.normal_(actor.no_action)
    torch.nn.init.normal_(actor.no_velocity)
    local = slow_intent_loss(actor, z, actions, lambda frames, t: frames[t + 1])
    goal = slow_intent_loss(actor, z, actions, lambda frames, t: frames[-1])
    torch.testing.assert_close(actor.loss(z, actions), 0.3 * local + 0.7 * goal)


@pytest.mark.parametrize("goal_gradient", [False, True])
def test_gradient_flows_through_the_goal_of_an_intent_where_it_is_told_to(goal_gradient):
    z, actions = draw_clip()
    make_intent(local_weight=0.0, goal_gradient=goal_gradient).loss(z, actions).backward()
    assert (z.grad[:, -1].abs().max() > 0) == goal_gradient and (z.grad[:, :-1].abs().amax((0, 2)) > 0).all()


def test_through_the_next_frame_gradient_flows():
    z, actions = draw_clip()
    make_intent(goal_weight=0.0).loss(z, actions).backward()
    assert z.grad[:, -1].abs().max() > 0


@pytest.mark.parametrize("sees_action", [True, False])
def test_an_intent_sees_the_last_action_block_where_it_is_told_to(sees_action):
    (z, actions), actor = draw_clip(), make_intent(sees_action=sees_action)
    changed = actions.clone()
    changed[:, -1] += 1
    same = torch.equal(actor(z, actions, z[:, 0]), actor(z, changed, z[:, 0]))
    assert same is not sees_action
    assert torch.equal(actor(z, actions, z[:, 0]), actor(z[:, -2:], actions[:, -1:], z[:, 0]))


@pytest.mark.parametrize("sees_velocity", [True, False])
def test_an_intent_sees_the_frame_before_where_it_is_told_to(sees_velocity):
    (z, actions), actor = draw_clip(), make_intent(sees_velocity=sees_velocity)
    moved = z.clone()
    moved[:, -2] += 1
    same = torch.equal(actor(z, actions, z[:, 0]), actor(moved, actions, z[:, 0]))
    assert same is not sees_velocity


def test_an_intent_acts_at_the_start_of_an_episode_as_it_was_trained_to_at_the_start_of_a_clip():
    (z, actions), actor = draw_clip(), make_intent(local_weight=0.0, goal_weight=1.0)
    torch.nn.init.normal_(actor.no_action)
    torch.nn.init.normal_(actor.no_velocity)
    first = actor(z[:, :1], actions[:, :0], z[:, -1])
    other = actor(z[:, :1], actions[:, :0] + 1, z[:, -1])
    expected, _ = actor._gaussian(
        z[:, 0], z[:, -1] - z[:, 0], [actor.no_action.expand(B, -1), actor.no_velocity.expand(B, -1)]
    )
    assert torch.equal(first, other)
    torch.testing.assert_close(first, expected)


def test_the_loss_of_paths_is_that_of_a_loop_over_the_drawn_ones():
    (z, actions), actor = draw_clip(), make_path()
    torch.manual_seed(5)
    start, count, place = actor._draw(B, T - 1, z.device)
    on_path, consistency = [], []
    for b in range(B):
        for i, n, k in zip(start[b].tolist(), count[b].tolist(), place[b].tolist(), strict=True):
            step = (z[b, i + n] - z[b, i]) / n
            point = z[b, i] + k * step
            on_path.append((actor.mlp(torch.cat([point, step])) - actions[b, i + k]).square().mean())
            consistency.append((point - z[b, i + k]).square().mean())
    pairs = [(b, t) for b in range(B) for t in range(T - 1)]
    encoded = [
        (actor.mlp(torch.cat([z[b, t], z[b, t + 1] - z[b, t]])) - actions[b, t]).square().mean() for b, t in pairs
    ]
    terms = [torch.stack(each).mean() for each in (on_path, encoded, consistency)]
    torch.manual_seed(5)
    torch.testing.assert_close(actor.loss(z, actions), 2.0 * terms[0] + 0.5 * terms[1] + 0.25 * terms[2])


def test_paths_lie_within_the_clip_and_all_of_them_are_drawn():
    torch.manual_seed(0)
    start, count, place = make_path()._draw(4000, T - 1, torch.device("cpu"))
    assert start.min() == 0 and count.min() == 1 and place.min() == 0
    assert (start + count).max() == T - 1 and (place < count).all()
    drawn = set(zip(*(each.flatten().tolist() for each in (start, count, place)), strict=True))
    assert drawn == {(i, n, k) for i in range(T - 1) for n in range(1, T - i) for k in range(n)}


def test_what_is_drawn_is_a_function_of_the_global_seed():
    (z, actions), actor = draw_clip(), make_path()
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(actor.loss(z, actions).item())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("make", [make_intent, make_path])
def test_an_actor_learns_to_go_where_it_is_told_in_a_world_where_actions_are_steps(make):
    """z' = z + a: of a goal three blocks ahead on a straight way, the next block is a third of the way."""
    torch.manual_seed(3)
    ways = torch.randn(256, 1, A).expand(-1, T - 1, -1)
    z = torch.cat([torch.zeros(256, 1, A), ways.cumsum(1)], dim=1) + torch.randn(256, 1, A)
    torch.manual_seed(0)
    arguments = (
        INTENT | {"sees_action": False, "local_weight": 1.0, "goal_weight": 0.0} if make is make_intent else PATH
    )
    actor = (IntentActor if make is make_intent else PathActor)(A, A, **arguments)
    optimizer = torch.optim.Adam(actor.parameters(), lr=3e-3)
    for _ in range(400):
        optimizer.zero_grad()
        actor.loss(z, ways).backward()
        optimizer.step()
    blocks_ahead = 1 if make is make_intent else 3
    planned = actor(z[:, :1], ways[:, :0], z[:, 0] + blocks_ahead * ways[:, 0])
    error = (planned - ways[:, 0]).square().mean() / ways.square().mean()
    assert error < 0.1, f"{error:.3f} of the variance is left"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("intent", {"hidden_dim": 0}, ["hidden_dim=0"]),
        ("intent", {"goal_weight": -1.0}, ["goal_weight=-1.0"]),
        ("path", {"pairs_per_clip": 0}, ["pairs_per_clip=0"]),
        ("path", {"num_blocks": 0}, ["num_blocks=0"]),
        ("path", {"encoded_weight": -0.5}, ["encoded_weight=-0.5"]),
        ("paht", {}, ["'paht'", "'path'"]),
    ],
)
def test_an_actor_that_cannot_be_is_refused_by_name_and_value(name, changes, words):
    arguments = PATH if name == "path" else INTENT if name == "intent" else {}
    message = refusal(build, ACTORS, {"name": name} | arguments | changes, "actor", embedding_dim=D, action_dim=A)
    for word in words:
        assert word in message
