"""A whole evaluation of a policy that walks at random, by what it leaves."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.progress import Progress

from envs.push_t import PushT
from lewm.data.episode_writer import EpisodeWriter
from lewm.data.episodes import Episodes
from lewm.data.metadata import Metadata
from lewm.evaluation.baselines import Privileged
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.evaluate import evaluate
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.manifests import choose_manifest
from lewm.report import save_evaluation
from tests.conftest import short_evaluation, two_room_config
from tests.folders import contents
from tests.registries import ENVS

ENV = two_room_config(num_episodes=12, max_steps=40, seed=0)
HELD_OUT = np.array([1, 4, 7])
CONFIG = short_evaluation(num_pairs=7)
PUSH_T = replace(ENVS["push_t"], frame_size=48)
IDENTITY = {"run": "walk", "step": 3, "weights_hash": "abc", "command": ["test"]}


class RandomWalk:
    """Walks at random, each pair in its own way; Ctrl-C is pressed when batch number `interrupted` begins."""

    def __init__(self, context=1, interrupted=None):
        self.context, self.interrupted, self.num_started, self.pasts = context, interrupted, 0, []

    def start(self, scene):
        if self.num_started == self.interrupted:
            raise KeyboardInterrupt
        self.num_started += 1
        self.pasts.append(scene.past()[0].shape[1])
        self.rngs = [np.random.default_rng(number) for number in scene.numbers]

    def act(self):
        return np.stack([rng.uniform(-1, 1, (5, 2)).astype(np.float32) for rng in self.rngs])

    def observe(self, scene, actions):
        scene.frames()

    def keep(self, rows):
        self.rngs = [self.rngs[row] for row in rows]


def run(data, out_dir, policy=None, identity=IDENTITY, env=ENV, **changes):
    config = replace(CONFIG, **changes)
    episodes = EvaluationEpisodes(data, HELD_OUT, config.split, "made up")
    manifest = choose_manifest(episodes, env, config, print)
    progress = Progress(disable=True)
    evaluation = evaluate(policy or RandomWalk(), episodes, manifest, env, config, out_dir, identity, {}, progress)
    save_evaluation(evaluation, out_dir)
    return evaluation.results


@pytest.fixture(scope="module")
def whole(two_room_data, tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("whole")
    return run(two_room_data, out_dir), out_dir


def test_results_have_rates_distances_floors_and_every_pair(whole):
    results, out_dir = whole
    assert json.loads((out_dir / "results.json").read_text()) == results
    assert list(results["baselines"]) == ["random", "no_op", "replay"]
    for row in (results["model"], *results["baselines"].values()):
        assert row["success"]["trials"] == row["success_at_end"]["trials"] == 7
        assert row["strict_success"]["trials"] == 7 - sum(pair["solved_at_start"] for pair in results["pairs"])
    assert results["baselines"]["replay"]["success"]["rate"] == 1
    protocol, manifest = results["protocol"], Manifest.load(out_dir / "manifest.json")
    assert (protocol["offset"], protocol["start"], protocol["num_pairs"]) == (10, "recorded", 7)
    assert protocol["manifest_hash"] == manifest.hash and protocol["split"] == "test"
    assert results["source"]["episodes"] == "made up" and results["source"]["manifest"] is None
    assert protocol["num_episodes"] == len(set(manifest.episodes)) == 3
    assert results["planning"] is None


def test_an_evaluation_that_is_not_saved_leaves_nothing_but_its_partial_results(two_room_data, tmp_path):
    episodes = EvaluationEpisodes(two_room_data, HELD_OUT, "test", "made up")
    manifest = choose_manifest(episodes, ENV, CONFIG, print)
    progress = Progress(disable=True)
    evaluation = evaluate(RandomWalk(), episodes, manifest, ENV, CONFIG, tmp_path, IDENTITY, {}, progress)
    assert {name.split("/")[0] for name in contents(tmp_path)} == {"parts"}
    assert evaluation.outcome.states.shape == (7, 13, 2)
    assert len(evaluation.filmed) == CONFIG.num_videos


def test_pairs_tell_their_first_success_and_their_final_distance(whole):
    results, out_dir = whole
    with np.load(out_dir / "traces.npz") as traces:
        states, goals, distances = traces["states"], traces["goal_states"], traces["distances"]
    assert states.shape == (7, 13, 2)
    np.testing.assert_allclose(distances, np.linalg.norm(states - goals[:, None], axis=2) / 16)
    for pair, row in zip(results["pairs"], distances, strict=True):
        near = np.flatnonzero(row < 1)
        assert pair["first_success"] == (near[0] if len(near) else None)
        assert pair["final_distance"] == row[-1]
    assert results["model"]["final_distance"] == np.median(distances[:, -1])


@pytest.mark.parametrize("changes", [{"batch_size": 100}, {"batch_size": 1}, {"num_workers": 2}])
def test_results_do_not_depend_on_batches_and_processes(two_room_data, whole, tmp_path, changes):
    assert run(two_room_data, tmp_path, **changes) == whole[0]
    with np.load(tmp_path / "traces.npz") as traces, np.load(whole[1] / "traces.npz") as expected:
        assert set(traces) == set(expected)
        for name in traces:
            np.testing.assert_array_equal(traces[name], expected[name])


@pytest.mark.parametrize("interrupted", [0, 1, 2])
def test_an_interrupted_evaluation_goes_on_with_the_next_batch_and_ends_the_same(
    two_room_data, whole, tmp_path, interrupted
):
    with pytest.raises(KeyboardInterrupt):
        run(two_room_data, tmp_path, RandomWalk(interrupted=interrupted))
    assert not (tmp_path / "results.json").exists()
    rest = RandomWalk()
    run(two_room_data, tmp_path, rest)
    assert rest.num_started == 3 - interrupted
    assert contents(tmp_path) == contents(whole[1])


def test_a_damaged_part_is_played_again(two_room_data, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(two_room_data, tmp_path, RandomWalk(interrupted=2))
    part = tmp_path / "parts" / "part_0001.npz"
    part.write_bytes(part.read_bytes()[:-100])
    rest = RandomWalk()
    assert run(two_room_data, tmp_path, rest) == whole[0]
    assert rest.num_started == 2


@pytest.mark.parametrize(
    ("identity", "changes"),
    [
        ({"weights_hash": "abd"}, {}),
        ({"policy": {"name": "random", "seed": 1}}, {}),
        ({}, {"budget": 11}),
        ({}, {"split": "validation"}),
        ({}, {"start": "rest"}),
        ({}, {"manifest_seed": 1}),
        ({}, {"batch_size": 2}),
    ],
)
def test_parts_of_another_evaluation_are_not_used(two_room_data, tmp_path, identity, changes):
    with pytest.raises(KeyboardInterrupt):
        run(two_room_data, tmp_path, RandomWalk(interrupted=1))
    rest = RandomWalk()
    run(two_room_data, tmp_path, rest, IDENTITY | identity, **changes)
    assert rest.num_started == -(-7 // (CONFIG.batch_size if "batch_size" not in changes else 2))


@pytest.mark.parametrize(
    "changes", [{"frameskip": 4}, {"kwargs": {"render_mode": "rgb_array"}}, {"frame_size": 96}], ids=str
)
def test_parts_of_another_environment_are_not_used(two_room_data, tmp_path, changes):
    with pytest.raises(KeyboardInterrupt):
        run(two_room_data, tmp_path, RandomWalk(interrupted=1))
    rest = RandomWalk()
    run(two_room_data, tmp_path, rest, env=replace(ENV, **changes))
    assert rest.num_started == 3


def test_another_command_goes_on_with_the_same_parts(two_room_data, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(two_room_data, tmp_path, RandomWalk(interrupted=1))
    rest = RandomWalk()
    run(two_room_data, tmp_path, rest, IDENTITY | {"command": ["another"]}, num_workers=2)
    assert rest.num_started == 2


def test_a_policy_with_a_context_sees_the_past_of_recorded_starts_and_none_at_rest(two_room_data, tmp_path):
    recorded, rest = RandomWalk(context=3), RandomWalk(context=3)
    run(two_room_data, tmp_path / "recorded", recorded)
    run(two_room_data, tmp_path / "rest", rest, start="rest")
    assert max(recorded.pasts) == 2
    assert set(rest.pasts) == {0}


@pytest.mark.parametrize("start", ["recorded", "rest"])
def test_episodes_begin_at_rest_where_that_is_asked_for_and_else_as_recorded(
    two_room_data, tmp_path, monkeypatch, start
):
    monkeypatch.setattr(EnvPool, "at_rest", lambda pool, states: states + 0.5)
    results = run(two_room_data, tmp_path, start=start)
    pairs = results["pairs"]
    frames = [two_room_data.index.frame_offsets[pair["episode"]] + pair["step"] for pair in pairs]
    expected = two_room_data.states[frames] + (0.5 if start == "rest" else 0)
    np.testing.assert_array_equal([pair["start_state"] for pair in pairs], expected)


@pytest.mark.parametrize("interrupted", [0, 2])
def test_an_interrupted_evaluation_leaves_the_earlier_one_of_other_pairs_as_it_was(
    two_room_data, tmp_path, interrupted
):
    run(two_room_data, tmp_path, manifest_seed=1)
    earlier = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(two_room_data, tmp_path, RandomWalk(interrupted=interrupted))
    left = contents(tmp_path)
    assert {name: left[name] for name in left if not name.startswith("parts/")} == earlier


def test_an_evaluation_that_ends_while_it_writes_leaves_nothing_of_other_pairs_and_goes_on(
    two_room_data, whole, tmp_path, monkeypatch
):
    run(two_room_data, tmp_path, manifest_seed=1)
    with monkeypatch.context() as patched:
        patched.setattr("lewm.report.saving.save_overview", press_ctrl_c)
        with pytest.raises(KeyboardInterrupt):
            run(two_room_data, tmp_path)
    assert not {"results.json", "report.html", "manifest.json"} & set(contents(tmp_path))
    rest = RandomWalk()
    run(two_room_data, tmp_path, rest)
    assert rest.num_started == 0
    assert contents(tmp_path) == contents(whole[1])


def press_ctrl_c(*_):
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def push_t_data(tmp_path_factory):
    """Eight episodes of Push-T, whose states are the seven numbers that are published, and the same with all ten."""
    env, rng = PushT(PUSH_T.frame_size), np.random.default_rng(0)
    episodes = [play_push_t(env, rng) for _ in range(8)]
    bounds = {"action_low": [-1.0, -1.0], "action_high": [1.0, 1.0]}
    data = []
    for num_numbers in (7, 10):
        path, names = tmp_path_factory.mktemp("push_t") / "data", list(env.state_names[:num_numbers])
        metadata = Metadata(PUSH_T.id, PUSH_T.frame_size, state_names=names, collection={}, **bounds)
        with EpisodeWriter(path, metadata) as writer:
            for frames, states, actions in episodes:
                writer.append(frames, np.pad(states, ((0, 0), (0, num_numbers - 7))), actions)
        data.append(Episodes(path))
    return data


def play_push_t(env, rng):
    """The frames, the first seven numbers of the states, and the random actions of an episode."""
    env.reset(seed=int(rng.integers(1000)))
    frames, states, actions = [env.render()], [env.state[:7]], rng.uniform(-1, 1, (20, 2)).astype(np.float32)
    for action in actions:
        env.advance(action.astype(np.float64))
        frames.append(env.render())
        states.append(env.state[:7])
    return np.stack(frames), np.stack(states), actions


@pytest.mark.parametrize("start", ["recorded", "rest"])
@pytest.mark.parametrize("policy", ["walk", "expert"])
def test_data_with_a_part_of_each_state_are_evaluated_as_with_all_of_it(push_t_data, tmp_path, start, policy):
    given = {"walk": RandomWalk(context=2), "expert": Privileged(Ahead(), seed=0)}[policy]
    part, all_of_it = (
        run(data, tmp_path / str(i), given, env=PUSH_T, start=start, strict=True) for i, data in enumerate(push_t_data)
    )
    assert part["pairs"] == all_of_it["pairs"]
    assert {len(pair["goal_state"]) for pair in part["pairs"]} == {10}
    with np.load(tmp_path / "0" / "traces.npz") as traces, np.load(tmp_path / "1" / "traces.npz") as expected:
        assert set(traces) == set(expected)
        for name in traces:
            np.testing.assert_array_equal(traces[name], expected[name])
        assert traces["states"].shape == (7, 13, 10)


class Ahead:
    """Goes to where the disc of the goal is, whose state it is told as it is told its own."""

    def begin(self, env, rng):
        return self

    def __call__(self, state, goal_state, previous_action, rng):
        assert state.shape == goal_state.shape == (1, 10)
        return np.clip((goal_state - state)[:, :2] / 100, -1, 1).astype(np.float32)


def test_an_expert_can_be_evaluated_without_noise_from_the_pairs(two_room_data, tmp_path):
    results = run(two_room_data, tmp_path, Privileged(Straight(), seed=0), budget=60)
    near = [
        pair
        for pair in results["pairs"]
        if np.sign(pair["start_state"][0] - 112) == np.sign(pair["goal_state"][0] - 112)
    ]
    assert near and all(pair["at_end"] and pair["final_distance"] < 0.1 for pair in near)


class Straight:
    """Goes straight to the goal, whatever is in between."""

    def begin(self, env, rng):
        return self

    def __call__(self, state, goal_state, previous_action, rng):
        return np.clip((goal_state - state) / 5, -1, 1).astype(np.float32)
