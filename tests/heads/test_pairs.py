"""Pairs of frames: of one episode, as far apart as they say, all frames of it, with the actions that follow."""

import numpy as np
import pytest

from lewm.data.normalize import ActionNormalizer
from lewm.errors import InputError
from lewm.heads.pairs import PairSampler, choose_episodes
from tests.conftest import COUNTING_LENGTHS

FRAMESKIP, MAX_STEPS, CONTEXT = 3, 4, 3
PLAIN = ActionNormalizer((0.0, 0.0), (1.0, 1.0))
EPISODES = np.array([0, 2, 3, 4])


@pytest.fixture(scope="module")
def sampler(counting_data):
    return PairSampler(counting_data, EPISODES, FRAMESKIP, PLAIN)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def where(counting_data, sampler):
    """(...) indices -> (..., 2) episodes and steps."""
    return lambda indices: np.asarray(counting_data.states)[sampler.rows[indices]].astype(int)


def test_rows_are_all_frames_of_the_chosen_episodes(counting_data, sampler, where):
    assert len(sampler.rows) == sum(COUNTING_LENGTHS[i] + 1 for i in EPISODES)
    assert set(where(slice(None))[:, 0]) == set(EPISODES)


def test_a_goal_is_any_number_of_env_steps_ahead_in_the_same_episode(sampler, where, rng):
    pairs = sampler.ahead(2000, CONTEXT, MAX_STEPS, rng)
    start, goal = where(pairs.frames[:, -1]), where(pairs.goals)
    gaps = goal[:, 1] - start[:, 1]
    assert (start[:, 0] == goal[:, 0]).all()
    assert set(gaps) == set(range(1, FRAMESKIP * MAX_STEPS + 1))


def test_every_frame_with_a_model_step_after_it_is_a_start(sampler, where, rng):
    starts = {tuple(start) for start in where(sampler.ahead(5000, 1, MAX_STEPS, rng).frames[:, -1])}
    assert starts == {(i, t) for i in EPISODES for t in range(COUNTING_LENGTHS[i] - FRAMESKIP + 1)}


def test_goals_of_a_start_are_equally_likely(sampler, where, rng):
    pairs = sampler.ahead(40000, 1, MAX_STEPS, rng)
    start, goal = where(pairs.frames[:, 0]), where(pairs.goals)
    early = (start[:, 0] == 2) & (start[:, 1] <= 8)  # the whole reach lies ahead
    counts = np.bincount((goal - start)[early, 1])[1:]
    assert len(counts) == FRAMESKIP * MAX_STEPS
    assert counts.min() > 0.85 * counts.mean()  # of about 540 each, whose spread is 4%


def test_actions_are_those_that_follow_the_last_frame(sampler, where, rng):
    pairs = sampler.ahead(500, CONTEXT, MAX_STEPS, rng)
    episodes, steps = where(pairs.frames[:, -1]).T
    steps = steps[:, None] + np.arange(FRAMESKIP)
    blocks = np.stack([steps, 100 * episodes[:, None] + steps], axis=2).reshape(500, -1)
    np.testing.assert_array_equal(pairs.actions, blocks)


def test_frames_before_are_model_steps_apart_and_the_oldest_stands_for_the_missing(sampler, where, rng):
    frames = where(sampler.ahead(5000, CONTEXT, MAX_STEPS, rng).frames)
    assert (frames[..., 0] == frames[:, :1, 0]).all()
    gaps = {tuple(row) for row in np.diff(frames[..., 1], axis=1)}
    assert gaps == {(0, 0), (0, FRAMESKIP), (FRAMESKIP, FRAMESKIP)}


def test_a_tenth_of_the_time_a_random_number_of_the_frames_before_is_shown(sampler, where, rng):
    frames = where(sampler.ahead(40000, CONTEXT, MAX_STEPS, rng).frames)
    shown = frames[frames[:, -1, 1] >= FRAMESKIP * (CONTEXT - 1), :, 1]
    num_shown = (np.diff(shown, axis=1) > 0).sum(1)
    shares = np.bincount(num_shown, minlength=CONTEXT) / len(num_shown)
    np.testing.assert_allclose(shares, [0.1 / 3, 0.1 / 3, 0.9 + 0.1 / 3], atol=0.005)


def test_frames_apart_are_as_far_as_they_say(sampler, where, rng):
    first, second, gaps = sampler.apart(5000, 0.0, rng)
    np.testing.assert_array_equal(where(first)[:, 0], where(second)[:, 0])
    np.testing.assert_allclose(where(second)[:, 1] - where(first)[:, 1], FRAMESKIP * gaps, rtol=1e-6)
    assert gaps.min() == 0
    assert gaps.max() == pytest.approx(max(COUNTING_LENGTHS) / FRAMESKIP)


def test_a_share_of_pairs_are_any_two_frames_infinitely_apart(sampler, where, rng):
    first, second, gaps = sampler.apart(20000, 0.25, rng)
    far = np.isinf(gaps)
    assert far.mean() == pytest.approx(0.25, abs=0.01)
    assert len({(a, b) for a, b in zip(where(first[far])[:, 0], where(second[far])[:, 0], strict=True)}) == 16
    assert (where(first[~far])[:, 0] == where(second[~far])[:, 0]).all()


def test_pairs_are_a_function_of_the_generator(sampler):
    first, again, other = (sampler.ahead(50, CONTEXT, MAX_STEPS, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.goals, again.goals)
    assert (first.goals != other.goals).any()


def test_episodes_shorter_than_a_model_step_are_refused(counting_data):
    with pytest.raises(InputError, match="3 actions"):
        PairSampler(counting_data, np.array([1, 5]), 4, PLAIN)
    assert PairSampler(counting_data, np.array([1, 5]), 3, PLAIN).ahead(5, 1, 1, np.random.default_rng(0))


def test_episodes_are_chosen_up_to_a_number_of_frames(counting_data):
    ids = np.arange(len(COUNTING_LENGTHS))
    frames = np.array(COUNTING_LENGTHS) + 1
    assert list(choose_episodes(counting_data, ids, 10**9, 0)) == list(ids)
    some = choose_episodes(counting_data, ids, 40, 0)
    assert 1 <= len(some) < len(ids)
    assert frames[some].sum() <= 40


def test_there_is_always_an_episode(counting_data):
    assert len(choose_episodes(counting_data, np.arange(6), 1, 0)) == 1
