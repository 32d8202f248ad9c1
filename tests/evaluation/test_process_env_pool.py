"""Environments in worker processes: the same as in this one, and no worse when something goes wrong."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from lewm.errors import InputError
from lewm.evaluation.baselines import Privileged
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.play import play
from lewm.evaluation.process_env_pool import MIN_EPISODES, ProcessEnvPool, choose_num_workers, open_env_pool
from tests.evaluation.falling import CLIFF
from tests.evaluation.scenes import Steady, make_pairs
from tests.walk_env import Walker


@pytest.fixture(scope="module")
def workers():
    with ProcessEnvPool(CLIFF, num_workers=2) as pool:
        yield pool


@pytest.fixture
def pool():
    return EnvPool(CLIFF)


def random_pairs(num_pairs, seed=0):
    rng = np.random.default_rng(seed)
    return make_pairs(rng.random((num_pairs, 2)), rng.random((num_pairs, 2)), rng.uniform(-1, 1, (num_pairs, 4, 2)))


@pytest.mark.parametrize("num_pairs", [1, 2, 5])
def test_an_evaluation_in_worker_processes_is_the_same_to_the_bit(workers, pool, num_pairs):
    pairs, watchers = random_pairs(num_pairs), [Steady([0.5, -0.25], block=2) for _ in range(2)]
    here, there = (
        play(each, watcher, pairs, 7, lambda num_steps: None)
        for each, watcher in zip((pool, workers), watchers, strict=True)
    )
    for field, expected in here._asdict().items():
        np.testing.assert_array_equal(getattr(there, field), expected)
    for (frames, actions), (frames_there, actions_there) in zip(watchers[0].seen, watchers[1].seen, strict=True):
        np.testing.assert_array_equal(frames_there, frames)
        np.testing.assert_array_equal(actions_there, actions)
    np.testing.assert_array_equal(watchers[1].goal, watchers[0].goal)
    assert watchers[1].kept == watchers[0].kept


def test_experts_in_worker_processes_do_the_same(workers, pool):
    pairs, told = random_pairs(5, seed=1), Privileged(Walker(scale=0.5), seed=3)
    here, there = (play(each, told.enter(each, pairs), pairs, 6, lambda num_steps: None) for each in (pool, workers))
    assert here.num_steps.max() == 6
    np.testing.assert_array_equal(there.states, here.states)


def test_an_expert_sees_the_state_and_the_goal_of_its_own_episode(pool):
    pairs = make_pairs([[0.1, 0.2], [0.3, 0.4]], [[0.5, 0.2], [0.3, 0.1]], np.zeros((2, 1, 2)))
    outcome = play(pool, Privileged(Homing(), 0).enter(pool, pairs), pairs, 10, lambda num_steps: None)
    np.testing.assert_allclose(outcome.states[:, -1], pairs.goal_states, atol=1e-6)


class Homing:
    """Goes straight to the goal."""

    def begin(self, env, rng):
        return self

    def __call__(self, state, goal_state, previous_action, rng):
        assert state.shape == goal_state.shape == previous_action.shape == (1, 2)
        return np.clip((goal_state - state) / 0.2, -1, 1).astype(np.float32)


def test_states_at_rest_and_frames_of_any_number_come_in_order(workers, pool):
    states = np.random.default_rng(2).random((7, 2))
    np.testing.assert_array_equal(workers.at_rest(states), pool.at_rest(states))
    np.testing.assert_array_equal(pool.at_rest(states), states * [1, 0])
    for each in (workers, pool):
        np.testing.assert_array_equal(each.begin(states), states)
        np.testing.assert_array_equal(each.complete(states[:6].reshape(3, 2, 2)), states[:6].reshape(3, 2, 2))
    for num in (1, 7):
        np.testing.assert_array_equal(workers.draw(states[:num]), pool.draw(states[:num]))
    np.testing.assert_array_equal(
        pool.draw(states[:6].reshape(2, 3, 2)), pool.draw(states[:6]).reshape(2, 3, 48, 48, 3)
    )


def test_a_worker_that_dies_is_reported_in_one_line():
    with ProcessEnvPool(CLIFF, num_workers=2) as pool:
        pool.begin(np.zeros((4, 2)))
        os.kill(pool._workers[1].process.pid, signal.SIGKILL)
        with pytest.raises(InputError, match=r"status -9.*evaluation\.num_workers") as error:
            pool.step(np.zeros((4, 1, 2), np.float32))
    assert "\n" not in str(error.value)


def test_an_error_in_a_worker_arrives_here():
    nowhere = replace(CLIFF, id="tests.walk_env:tests/Nowhere-v0")
    with pytest.raises(InputError, match="Nowhere"), ProcessEnvPool(nowhere, num_workers=2) as pool:
        pool.begin(np.zeros((4, 2)))


def test_no_worker_is_left_behind():
    with ProcessEnvPool(CLIFF, num_workers=2) as pool:
        processes = [worker.process for worker in pool._workers]
    assert all(process.poll() is not None for process in processes)


@pytest.mark.parametrize(
    ("num_episodes", "num_workers", "kind"), [(8, None, EnvPool), (4, 2, ProcessEnvPool), (400, 1, EnvPool)]
)
def test_few_episodes_are_played_in_this_process_unless_it_is_told_otherwise(num_episodes, num_workers, kind):
    with open_env_pool(CLIFF, num_episodes, num_workers) as pool:
        assert type(pool) is kind


@pytest.mark.parametrize("cores", [1, 2, 3, 13, 16, 64])
@pytest.mark.parametrize("num_episodes", [1, 31, 32, 33, 50, 200])
def test_every_core_that_shortens_the_longest_share_has_a_process(num_episodes, cores):
    num_workers = choose_num_workers(num_episodes, cores)
    assert 1 <= num_workers <= cores
    if num_episodes < MIN_EPISODES:
        assert num_workers == 1
    else:
        longest = -(-num_episodes // cores)
        assert -(-num_episodes // num_workers) == longest
        assert num_workers == 1 or -(-num_episodes // (num_workers - 1)) > longest


def test_the_50_episodes_of_an_evaluation_keep_16_cores_busy():
    assert choose_num_workers(50, 16) == 13
    assert choose_num_workers(50, 2) == 2
