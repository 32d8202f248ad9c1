"""Which pairs of Cube count: those whose cube is not at its goal at the start."""

from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

from envs.experts.cube import CubeExpert
from envs.mujoco_gl import why_unavailable
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.metadata import Metadata
from lewm.environment import make_env
from lewm.evaluation.baselines import Privileged
from lewm.evaluation.evaluate import evaluate
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import draw
from lewm.evaluation.pairs import read_pairs
from tests.conftest import short_evaluation
from tests.registries import ENVS

MISSING = why_unavailable() or ""
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

ENV = replace(ENVS["cube"], frame_size=48)
OFFSET, NUM_EPISODES = 25, 2
CUBE, NEAR = slice(14, 17), 0.04


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two episodes of the expert; their frames are black."""
    env, path, expert = make_env(ENV), tmp_path_factory.mktemp("cube") / "data", CubeExpert()
    bounds = env.action_space.low.tolist(), env.action_space.high.tolist()
    metadata = Metadata(ENV.id, 48, list(env.state_names), *bounds, {}, ENV.kwargs)
    with EpisodeWriter(path, metadata) as writer:
        for seed in range(NUM_EPISODES):
            rng = np.random.default_rng(seed)
            goal = env.reset(seed=seed)[1]["goal_state"]
            policy, states, actions = expert.begin(env, rng), [env.state], [np.zeros((1, 5), np.float32)]
            while not env.is_success(env.state, goal):
                actions.append(policy(env.state[None], goal[None], actions[-1], rng))
                env.advance(actions[-1][0])
                states.append(env.state)
            pixels = np.zeros((len(states), 48, 48, 3), np.uint8)
            writer.append(pixels, np.stack(states), np.concatenate(actions[1:]))
    return Episodes(path)


def distances(pairs):
    """(P,) metres from the cube at the start to the goal's."""
    return np.linalg.norm(pairs.start_states[:, CUBE] - pairs.goal_states[:, CUBE], axis=1)


def every_pair(data):
    """(P, 2) episodes and steps of all pairs that there are, and (P,) metres from the cube to its goal."""
    places = [(e, t) for e in range(len(data)) for t in range(data.lengths[e] - OFFSET + 1)]
    rows = np.array([data.index.frame_rows(e, t) for e, t in places])
    return np.array(places), np.linalg.norm(data.states[rows, CUBE] - data.states[rows + OFFSET, CUBE], axis=1)


def test_strict_pairs_are_those_whose_cube_is_further_than_the_tolerance_from_its_goal(data):
    _, expected = every_pair(data)
    num_open = int((expected > NEAR).sum())
    assert 0 < num_open < len(expected)
    strict = draw(data, np.arange(NUM_EPISODES), ENV, OFFSET, num_open, 0, strict=True)
    assert distances(read_pairs(strict, data)).min() > NEAR
    np.testing.assert_allclose(np.sort(distances(read_pairs(strict, data))), np.sort(expected[expected > NEAR]))


def test_doing_nothing_stands_beside_the_success_of_a_policy(data, tmp_path):
    places, metres = every_pair(data)
    solved = metres <= NEAR
    chosen = np.concatenate([np.flatnonzero(solved)[:2], np.flatnonzero(~solved)[:3]])
    episode_ids, steps = places[chosen].T.tolist()
    manifest = Manifest(ENV.id, data.content_hash, OFFSET, False, 0, episode_ids, steps)
    config = replace(short_evaluation(num_pairs=5), offset=OFFSET, budget=5, strict=False, num_videos=0)
    episodes = EvaluationEpisodes(data, np.arange(NUM_EPISODES), "test", "made up")
    policy = Privileged(CubeExpert(), 0)
    results = evaluate(policy, episodes, manifest, ENV, config, tmp_path, {}, {}, Progress(disable=True)).results
    assert [pair["solved_at_start"] for pair in results["pairs"]] == [True, True, False, False, False]
    for row in (results["model"], results["baselines"]["no_op"]):
        assert (row["success"]["trials"], row["strict_success"]["trials"]) == (5, 3)
        assert 5 * row["success"]["rate"] == pytest.approx(2 + 3 * row["strict_success"]["rate"])
    assert results["baselines"]["no_op"]["strict_success"]["rate"] < 1
