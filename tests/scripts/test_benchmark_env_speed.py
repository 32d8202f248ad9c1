"""The benchmark of environments measures what it says, and names what it leaves out."""

import json

import numpy as np
import pytest
from rich.console import Console

from scripts.benchmarks import env_speed
from scripts.benchmarks.env_speed import PEERS, Contender, race, turn

NAMES = ("push_t", "two_room")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "table.json"
    env_speed.main(["--quick", "--repeats", "1", "--envs", *NAMES, "--sizes", "48", "64", "--json", str(path)])
    return json.loads(path.read_text())


class Slow:
    """An environment that notes its calls and moves a clock: its reset takes an hour, a step a second."""

    def __init__(self):
        self.calls, self.seconds = [], 0.0
        self.action_space = env_speed.gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, seed):
        self.calls.append("reset")
        self.seconds += 3600

    def step(self, action):
        assert self.action_space.contains(action)
        self.calls.append("step")
        self.seconds += 1


def test_there_is_a_row_for_each_environment_and_size(results):
    ours = [row for row in results["rows"] if row["name"] not in PEERS]
    assert sorted((row["name"], row["frame_size"]) for row in ours) == [(n, s) for n in NAMES for s in (48, 64)]
    assert all(row["steps_per_s"] > 0 for row in ours)


@pytest.mark.skipif(
    env_speed.importlib.util.find_spec("stable_worldmodel") is not None, reason="the package is installed"
)
def test_without_the_package_its_environments_are_named_with_what_to_do(results):
    assert set(results["left_out"]) == set(PEERS)
    assert all("stable-worldmodel" in reason for reason in results["left_out"].values())


def test_the_results_name_the_machine_and_the_versions(results):
    assert results["machine"]["device"] == "cpu"
    assert results["versions"]["pymunk"]


def test_the_reset_is_not_timed(monkeypatch):
    env = Slow()
    monkeypatch.setattr(env_speed.time, "perf_counter", lambda: env.seconds)
    assert turn(Contender("slow", 64, env, env.step), 3, seed=0) == 3
    assert env.calls == ["reset", "step", "step", "step"]


def test_environments_are_compared_with_their_peer_at_the_same_size():
    env = Slow()
    contenders = [Contender(*key, env, env.step) for key in (("swm/PushT-v1", 64), ("push_t", 64), ("push_t", 224))]
    peer, same_size, other_size = race(contenders, 1, 0.0, Console(quiet=True))
    assert peer["times_peer"] is None and other_size["times_peer"] is None
    assert same_size["times_peer"] == same_size["steps_per_s"] / peer["steps_per_s"]


def test_environments_take_turns():
    calls = []
    contenders = []
    for name in "ab":
        env = Slow()
        contenders.append(Contender(name, 64, env, lambda action, name=name: calls.append(name)))
    race(contenders, 2, 0.0, Console(quiet=True))
    assert "".join(calls) == "aabb" * 3  # two steps a turn; the first turns find out how long a step takes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "--repeats 0"),
        (["--envs", "pusht"], "--envs pusht: there are .*push_t"),
        (["--json", "nowhere/table.json"], "no folder nowhere"),
    ],
)
def test_a_wrong_argument_ends_it_before_anything_is_measured(arguments, message):
    with pytest.raises(SystemExit, match=message):
        env_speed.main(arguments)
