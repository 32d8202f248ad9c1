"""Heads learn what there is to learn in a world whose embeddings are positions."""

import math

import numpy as np
import pytest
import torch
from rich.progress import Progress

from lewm import precision
from lewm.config import from_dict
from lewm.data.clips import split_episodes
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.heads import HEADS, fitting
from lewm.heads.config import FittingConfig, read_heads
from lewm.heads.fitting import build_head, head_data
from tests.training.linear_world import (
    FRAMESKIP,
    METADATA,
    SMALL,
    SPEED,
    PositionModel,
    fit,
    head_config,
    spec_for,
    walk,
    write_walks,
)

NAMES = sorted(HEADS)


@pytest.fixture(scope="module")
def walks(tmp_path_factory):
    return write_walks(tmp_path_factory.mktemp("walks") / "data")


def weights_of(fitted):
    return torch.cat([value.flatten().float() for value in fitted.head.state_dict().values()])


def test_every_head_has_a_configuration():
    assert [config.name for config in read_heads(NAMES)] == NAMES


def test_inverse_dynamics_recovers_the_displacement(walks):
    head, errors = fit(walks, head_config("inverse_dynamics"))
    assert errors["r2"] > 0.99
    normalizer = spec_for(walks).normalizer
    z = torch.tensor([[[12.0, 12.0]]])
    ahead = torch.tensor([[3 * FRAMESKIP * SPEED / 10, 0.0]])
    raw = normalizer.denormalize(head(z, z[:, 0] + ahead).unflatten(1, (FRAMESKIP, 2)))
    torch.testing.assert_close(raw, torch.tensor([[[SPEED, 0.0]] * FRAMESKIP]), rtol=0, atol=0.3)


def test_a_frame_before_tells_what_the_goal_does_not(walks):
    """With the goal where it is already, only the way from the frame before shows where it moves."""
    head, _ = fit(walks, head_config("inverse_dynamics", {"context": 2}))
    z = torch.tensor([[[12.0, 12.0], [12.0 + FRAMESKIP * SPEED / 10, 12.0]]])
    moving = head(z, z[:, -1])
    assert moving[:, ::2].mean() > moving[:, 1::2].abs().mean() + 1


def test_temporal_distance_counts_the_steps(walks):
    head, errors = fit(walks, head_config("temporal_distance"))
    assert errors["rank_correlation"] > 0.98
    gaps = torch.arange(8.0)
    z_goal = torch.tensor([12.0, 12.0]) + torch.stack([gaps * FRAMESKIP * SPEED / 10, 0 * gaps], dim=1)
    steps = head(torch.tensor([12.0, 12.0]), z_goal)
    assert (steps.diff() > 0).all()
    torch.testing.assert_close(steps, gaps, rtol=0, atol=0.25)


def test_pairs_of_different_episodes_count_as_far(walks):
    diagonal = torch.tensor([6.0, 6.0])  # no episode goes both ways
    z = torch.tensor([12.0, 12.0]).expand(4, 2)
    z_goal = z + diagonal * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    head, _ = fit(walks, head_config("temporal_distance", far_share=0.3))
    assert (head(z, z_goal) > 7).all()


def test_behaviour_cloning_learns_from_frames_alone(walks):
    model = PositionModel()
    config = head_config("behaviour_cloning", num_steps=300)
    head, errors = fit(walks, config, model)
    assert model.num_encoded == 0
    assert errors["r2"] > 0.8
    frame = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    frame[:, :2] = 120
    goal = frame.clone()
    goal[:, 0] += 36
    action = head(frame, goal)[0]
    assert (action[::2] > 1).all() and (action[1::2].abs() < 0.5).all()


def test_every_frame_is_embedded_once_and_the_model_stays_as_it_is(walks):
    model = PositionModel()
    fit(walks, head_config("inverse_dynamics", num_steps=2), model)
    assert model.num_encoded == len(walks.pixels)
    assert model.unit.grad is None
    assert model.unit.item() == 10


def test_at_most_max_frames_of_the_training_episodes_are_embedded_and_a_quarter_of_the_others(walks):
    model, per_episode = PositionModel(), int(walks.lengths[0]) + 1
    fit(walks, head_config("inverse_dynamics", num_steps=2, max_frames=9 * per_episode + 3), model)
    assert model.num_encoded == (9 + 2) * per_episode


def test_a_head_is_judged_on_a_number_of_frames_of_the_held_out_episodes(walks, monkeypatch):
    model, per_episode = PositionModel(), int(walks.lengths[0]) + 1
    monkeypatch.setattr(fitting, "MAX_HELD_OUT", 3 * per_episode + 1)
    fit(walks, head_config("inverse_dynamics", num_steps=2), model)
    train_ids, _ = split_of(walks)
    assert model.num_encoded == (len(train_ids) + 3) * per_episode


@pytest.mark.parametrize("name", ["inverse_dynamics", "temporal_distance"])
def test_the_input_of_a_head_is_standardized_by_the_embeddings_of_the_training_episodes(walks, name):
    mlp = fit(walks, head_config(name, num_steps=1)).head.mlp
    train_ids, _ = split_of(walks)
    rows = walks.index.frame_rows(*walks.index.places(train_ids))
    z = torch.from_numpy(np.asarray(walks.states)[rows] / 10).float()
    torch.testing.assert_close(mlp.mean, z.mean(0), rtol=0, atol=0.5)
    torch.testing.assert_close(mlp.std, (z - z.mean(0)).square().mean().sqrt(), rtol=0.1, atol=0)


def test_actions_that_are_all_the_same_leave_finite_errors(tmp_path):
    rng = np.random.default_rng(0)
    with EpisodeWriter(tmp_path / "data", METADATA) as writer:
        for _ in range(8):
            episode = walk(rng)
            writer.append(*episode._replace(actions=np.zeros_like(episode.actions)))
    _, errors = fit(Episodes(tmp_path / "data"), head_config("inverse_dynamics", num_steps=2))
    assert all(math.isfinite(error) for error in errors.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_head_is_a_function_of_the_seed(walks, name):
    config = head_config(name, num_steps=3)
    fitted = []
    for state, seed in enumerate((0, 0, 1)):
        torch.manual_seed(state)  # has no say
        fitted.append(fit(walks, config, seed=seed))
    first, again, other = fitted
    assert torch.equal(weights_of(first), weights_of(again))
    assert first.errors == again.errors
    assert not torch.equal(weights_of(first), weights_of(other))


def test_fitting_leaves_the_global_generator_alone(walks):
    before = torch.random.get_rng_state()
    fit(walks, head_config("inverse_dynamics", num_steps=2))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", NAMES)
def test_a_fitted_head_is_ready_for_use(walks, name):
    head, errors = fit(walks, head_config(name, num_steps=2))
    assert not head.training
    assert not any(parameter.requires_grad for parameter in head.parameters())
    assert all(math.isfinite(error) for error in errors.values())


def test_embeddings_that_say_nothing_have_no_rank_correlation(walks):
    model = PositionModel()
    model.encode = lambda pixels: torch.zeros(*pixels.shape[:2], 2)
    _, errors = fit(walks, head_config("temporal_distance", num_steps=2), model)
    assert errors["rank_correlation_of_squared_distance"] == 0


def test_a_loss_that_is_not_finite_is_one_line(walks):
    model = PositionModel()
    model.encode = lambda pixels: torch.full((*pixels.shape[:2], 2), torch.nan)
    with pytest.raises(InputError, match=r"fitting\.learning_rate=0\.01"):
        fit(walks, head_config("inverse_dynamics", num_steps=2), model)


def test_weights_that_are_not_finite_in_the_end_are_one_line(walks):
    """The loss of the first step is finite, and no other is looked at."""
    with pytest.raises(InputError, match=r"weights of inverse_dynamics .* fitting\.learning_rate=1e\+30"):
        fit(walks, head_config("inverse_dynamics", num_steps=4, learning_rate=1e30))


def test_a_head_that_does_not_exist_is_answered_with_the_one_that_was_meant():
    with pytest.raises(InputError, match="'inverse_dynamics'"):
        read_heads(["inverse_dynamic"])


@pytest.mark.parametrize("key", ["num_steps", "batch_size", "max_steps", "max_frames", "learning_rate", "far_share"])
def test_numbers_of_fitting_that_make_no_sense_are_refused_by_name_and_value(key):
    with pytest.raises(InputError, match=f"fitting.{key}=-1"):
        from_dict(SMALL | {key: -1}, FittingConfig, "fitting.")


def split_of(data):
    """Training and held-out episodes of the model of these data."""
    split = spec_for(data).data
    return split_episodes(len(data), split.val_fraction, split.split_seed)


def write_reversed_walks(path, held_out, num_episodes=80):
    """Walks in which the recorded actions of the held-out episodes are the opposite of what happened."""
    rng = np.random.default_rng(0)
    with EpisodeWriter(path, METADATA) as writer:
        for number in range(num_episodes):
            episode = walk(rng)
            writer.append(*(episode._replace(actions=-episode.actions) if number in held_out else episode))
    return Episodes(path)


def test_heads_are_fitted_to_training_episodes_and_judged_on_held_out_ones(walks, tmp_path):
    """What is learned of one half is wrong by twice its size on the other: R2 = 1 - 4."""
    _, held_out = split_of(walks)
    _, errors = fit(write_reversed_walks(tmp_path / "data", set(held_out)), head_config("inverse_dynamics"))
    assert errors["r2"] == pytest.approx(-3, abs=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_other_data_than_the_models_are_never_fitted_to(walks, tmp_path, name):
    other = write_walks(tmp_path / "data", num_episodes=4)
    with pytest.raises(AssertionError, match="held-out"):
        fit(other, head_config(name, num_steps=2), spec=spec_for(walks))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_any_head_has_a_finite_loss_and_the_size_that_was_asked_for(walks, name):
    config, spec = head_config(name), spec_for(walks)
    head = build_head(config, spec)
    data = head_data(head, PositionModel(), spec, walks, np.arange(5), config, Progress(disable=True))
    batch = head.draw(data, 7, np.random.default_rng(0))
    assert {len(tensor) for tensor in batch} == {7}
    head.fit_normalization(batch.seen)
    assert head.loss(*batch).shape == ()
    assert head.loss(*batch).isfinite()
    assert head(batch.seen, batch.goals).shape == batch.targets.shape


def test_errors_are_of_held_out_episodes(walks):
    """Embeddings of noise: what is learned of them by heart says nothing of other frames."""
    noise = torch.Generator().manual_seed(0)
    model = PositionModel()
    model.encode = lambda pixels: torch.randn(*pixels.shape[:2], 2, generator=noise)
    _, errors = fit(walks, head_config("inverse_dynamics", num_steps=100), model)
    assert errors["r2"] < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_weights_and_losses_stay_float32(walks, name, monkeypatch):
    losses, loss = [], HEADS[name].loss

    def note(self, *batch):
        losses.append(loss(self, *batch))
        return losses[-1]

    monkeypatch.setattr(HEADS[name], "loss", note)
    exact, rounded = (fit(walks, head_config(name, num_steps=3, precision=p)) for p in ("float32", "bfloat16"))
    assert {each.dtype for each in losses} == {torch.float32}
    assert {parameter.dtype for parameter in rounded.head.parameters()} == {torch.float32}
    assert not torch.equal(weights_of(exact), weights_of(rounded))
    torch.testing.assert_close(losses[3], losses[0], rtol=0.02, atol=0.02)


def test_in_bfloat16_a_head_learns_as_well(walks):
    errors = [fit(walks, head_config("inverse_dynamics", precision=p)).errors["r2"] for p in ("float32", "bfloat16")]
    assert errors[0] > 0.9
    assert errors[1] == pytest.approx(errors[0], abs=0.02)


def test_left_to_the_hardware_a_cpu_fits_in_float32(walks, monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    exact, chosen = (fit(walks, head_config("inverse_dynamics", num_steps=3, precision=p)) for p in ("float32", "auto"))
    assert torch.equal(weights_of(exact), weights_of(chosen))


def test_a_precision_that_there_is_not_is_refused_before_any_work(walks):
    with pytest.raises(InputError, match=r"fitting\.precision='half'"):
        build_head(head_config("inverse_dynamics", precision="half"), spec_for(walks))
