"""A mixture plays each episode with one of its experts, from the first action to the last."""

from dataclasses import dataclass

import numpy as np
import pytest
from rich.progress import Progress

from envs.experts import EXPERTS
from envs.experts.expert import Expert
from envs.experts.mixture import Mixture
from lewm.config import build
from lewm.data.collection import collect
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from tests.conftest import two_room_config
from tests.walk_env import Walk, walk_config


@dataclass(frozen=True)
class Constant(Expert):
    """Always acts with `value`; in a single environment, with the value that it was begun with."""

    value: float
    num_begun: int = 0

    def begin(self, env, rng):
        assert isinstance(env, Walk)
        return Constant(self.value, self.num_begun + 1)

    def __call__(self, state, goal_state, previous_action, rng):
        assert self.num_begun == 1
        return np.full(state.shape, self.value, np.float32)


class Still(Constant):
    """One for any number of environments."""

    def __call__(self, state, goal_state, previous_action, rng):
        return np.full(state.shape, self.value, np.float32)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(EXPERTS, "constant", Constant)
    monkeypatch.setitem(EXPERTS, "still", Still)


def parts(name="constant", **weights):
    """{"0.5": 1} and the like: a part for each value of an action."""
    return [{"weight": weight, "expert": {"name": name, "value": float(value)}} for value, weight in weights.items()]


def values(data):
    """The one action of each episode; fails if there are two."""
    found = []
    for start, length in zip(data.index.action_offsets, data.lengths, strict=True):
        (value,) = np.unique(data.actions[start : start + length])
        found.append(float(value))
    return found


def collected(path, config, expert):
    collect(path, config, expert, Progress(disable=True), num_workers=1)
    return Episodes(path)


def test_an_episode_of_a_single_environment_has_one_expert_for_its_whole_length(tmp_path):
    data = collected(tmp_path / "data", walk_config(60), Mixture(parts(**{"0.5": 1, "-0.25": 1})))
    assert set(values(data)) == {0.5, -0.25}
    assert data.lengths.max() > 1


def test_an_episode_side_by_side_has_one_expert_for_its_whole_length(tmp_path):
    mixture = Mixture(parts("still", **{"0.5": 1, "-0.25": 1}))
    data = collected(tmp_path / "data", two_room_config(40, max_steps=5, seed=0), mixture)
    assert set(values(data)) == {0.5, -0.25}


@pytest.mark.parametrize("env", ["Walk", "WalkVector"])
def test_parts_are_drawn_with_their_weights(tmp_path, env):
    mixture = Mixture(parts("still", **{"0.5": 30, "-0.25": 10}))
    drawn = values(collected(tmp_path / "data", walk_config(400, max_steps=2, env=env), mixture))
    assert 260 <= drawn.count(0.5) <= 340  # 300 expected, standard deviation 8.7


@pytest.mark.parametrize("env", ["Walk", "WalkVector"])
def test_a_mixture_may_hold_a_mixture(tmp_path, env):
    inner = {"name": "mixture", "parts": parts("still", **{"0.5": 1, "-0.25": 1})}
    mixture = Mixture([*parts("still", **{"0.125": 1}), {"weight": 1, "expert": inner}])
    drawn = values(collected(tmp_path / "data", walk_config(60, max_steps=2, env=env), mixture))
    assert set(drawn) == {0.125, 0.5, -0.25}


def test_a_mixture_of_one_expert_in_two_parts_acts_as_that_expert_does(tmp_path):
    expert = {"name": "two_room", "noise_std": 0.0, "repeat_probability": 0.0}
    config = two_room_config(20, max_steps=5, seed=0)
    mixture = build(EXPERTS, {"name": "mixture", "parts": [{"weight": 1, "expert": expert}] * 2}, "expert")
    mixed, alone = (
        collected(tmp_path / name, config, policy)
        for name, policy in (("mixed", mixture), ("alone", build(EXPERTS, expert, "expert")))
    )
    assert mixed.content_hash == alone.content_hash


def test_the_metadata_hold_the_parts(tmp_path):
    mixture = Mixture(parts(**{"0.5": 1, "-0.25": 3}))
    policy = collected(tmp_path / "data", walk_config(2), mixture).metadata.collection["policy"]
    assert policy == f"Mixture(parts={mixture.parts})"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "parts=[]"),
        ("two_room", "parts='two_room'"),
        ([{"expert": {"name": "two_room"}}], "must have a weight and an expert"),
        ([{"weight": 1, "expert": {"name": "two_room"}, "share": 2}], "nothing else"),
        ([{"weight": -1, "expert": {"name": "two_room"}}], "weight=-1"),
        ([{"weight": float("nan"), "expert": {"name": "two_room"}}], "weight=nan"),
        ([{"weight": True, "expert": {"name": "two_room"}}], "weight=True"),
        ([{"weight": 1, "expert": {"noise_std": 2.0}}], "{name: ..., **arguments}"),
        ([{"weight": 1, "expert": {"name": "two_rooms"}}], "did you mean two_room?"),
        ([{"weight": 1, "expert": {"name": "two_room", "noise": 2.0}}], "expert two_room: "),
    ],
)
def test_parts_that_are_none_are_refused_in_one_line(given, words):
    with pytest.raises(InputError) as error:
        build(EXPERTS, {"name": "mixture", "parts": given}, "expert")
    assert words in str(error.value)
    assert "\n" not in str(error.value)
