"""A loop of one's own is recorded: what was played is in the dataset, and an interruption costs one episode."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from rich.progress import Progress

from lewm.data import Recorder
from lewm.data.episodes import Episodes
from lewm.data.inspect.validation import find_faults
from lewm.errors import InputError


class Counter(gym.Env):
    """Frames show the steps since the reset in red and the episode in green; it may end after `length` steps."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, length=None, height=8, width=8, observed="vector", render_mode="rgb_array"):
        self.length, self.shape, self.observed, self.render_mode = length, (height, width, 3), observed, render_mode
        image = spaces.Box(0, 255, self.shape, np.uint8)
        vector = spaces.Box(-np.inf, np.inf, (2,), np.float64)
        spaces_of = {"vector": vector, "image": image, "dict": spaces.Dict({"camera": image, "where": vector})}
        self.observation_space = spaces_of[observed]
        self.action_space = spaces.Box(np.array([-1, 0], np.float32), np.array([1, 4], np.float32))
        self.episode, self.is_open = -1, True

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        self.count += 1
        return self._observe(), 0.0, self.count == self.length, False, {}

    def render(self):
        frame = np.zeros(self.shape, np.uint8)
        frame[..., 0], frame[..., 1] = self.count, self.episode
        return frame

    def close(self):
        self.is_open = False

    def _observe(self):
        where, image = np.array([self.episode, self.count], np.float64), self.render()
        return {"vector": where, "image": image, "dict": {"camera": image, "where": where}}[self.observed]


def action_of(episode, step):
    return np.array([step / 10, episode], np.float32)


def play(env, *lengths):
    """Episodes of these lengths."""
    for length in lengths:
        env.reset()
        for step in range(length):
            env.step(action_of(env.unwrapped.episode, step))


def assert_recorded(path, lengths, first=0, size=8, num_states=2):
    data = Episodes(path)
    assert data.lengths.tolist() == list(lengths)
    for number, episode in enumerate(data):
        counts = np.arange(lengths[number] + 1)
        where = np.stack([np.full(len(counts), first + number), counts], 1)
        assert episode.pixels.shape == (len(counts), size, size, 3)
        np.testing.assert_array_equal(episode.pixels[:, 0, 0, 0], counts)
        np.testing.assert_array_equal(episode.pixels[:, 0, 0, 1], first + number)
        np.testing.assert_array_equal(episode.states, where[:, :num_states])
        np.testing.assert_array_equal(episode.actions, [action_of(first + number, step) for step in counts[:-1]])
    faults = find_faults(path, 0, Progress(disable=True)).faults
    assert {fault.kind for fault in faults} <= {"constant"}  # the second action, where there is one episode
    return data.metadata


def whole(observation):
    return observation


def test_what_is_played_is_recorded_whether_it_ends_is_reset_or_closed(tmp_path):
    env = Recorder(Counter(length=4), tmp_path / "data", states=whole)
    play(env, 4, 2, 3)
    assert env.num_episodes == 2
    env.close()
    env.close()
    assert not env.unwrapped.is_open
    metadata = assert_recorded(tmp_path / "data", (4, 2, 3))
    assert metadata.env_id == "recorded/Counter"
    assert (metadata.action_low, metadata.action_high) == ([-1, 0], [1, 4])
    assert metadata.state_names == ["state_0", "state_1"]


def test_an_episode_that_is_cut_by_a_wrapper_is_whole(tmp_path):
    with Recorder(TimeLimit(Counter(), 3), tmp_path / "data", states=whole, state_names=["episode", "step"]) as env:
        play(env, 3, 3)
        assert env.num_episodes == 2
    assert assert_recorded(tmp_path / "data", (3, 3)).state_names == ["episode", "step"]


def test_the_loop_sees_what_it_sees_without_the_recorder(tmp_path):
    plain = Counter(length=1)
    with Recorder(Counter(length=1), tmp_path / "data") as env:
        for seen, expected in ((env.reset(seed=3), plain.reset(seed=3)), (env.step([0, 0]), plain.step([0, 0]))):
            np.testing.assert_array_equal(seen[0], expected[0])
            assert seen[1:] == expected[1:]


@pytest.mark.parametrize(
    ("observed", "render_mode", "frames"),
    [
        ("vector", "rgb_array", None),
        ("image", None, None),
        ("dict", None, lambda observation: observation["camera"]),
        ("dict", "rgb_array", None),
    ],
)
def test_frames_are_rendered_or_observed(tmp_path, observed, render_mode, frames):
    env = Counter(observed=observed, render_mode=render_mode)
    with Recorder(env, tmp_path / "data", frames=frames) as recorded:
        play(recorded, 3, 2)
    assert_recorded(tmp_path / "data", (3, 2), num_states=0)


def test_frames_are_resized(tmp_path):
    with pytest.raises(InputError, match="10 wide and 8 high"):
        play(Recorder(Counter(width=10), tmp_path / "other"), 1)
    with Recorder(Counter(width=10), tmp_path / "data", frame_size=4, fit="crop", states=whole) as env:
        play(env, 3)
    assert_recorded(tmp_path / "data", (3,), size=4)


def test_an_interrupted_loop_loses_the_episode_under_way_and_the_next_one_goes_on(tmp_path):
    path = tmp_path / "data"

    def interrupted():
        with Recorder(Counter(), path, states=whole) as env:
            play(env, 3, 2)
            env.reset()
            env.step(action_of(2, 0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not path.exists()
    env = Counter()
    env.episode = 1
    with Recorder(env, path, states=whole) as recorder:
        play(recorder, 5)
        assert recorder.num_episodes == 2
    assert_recorded(path, (3, 2, 5))


def test_a_loop_that_was_killed_has_its_whole_episodes(tmp_path):
    path = tmp_path / "data"
    killed = Recorder(Counter(), path, states=whole)
    play(killed, 3, 2, 4)
    killed._writer._open.close()  # as the system closes files
    with Recorder(Counter(), path, states=whole) as env:
        env.reset()
    assert_recorded(path, (3, 2))


def test_an_episode_that_cannot_be_written_leaves_those_before_it(tmp_path, monkeypatch):
    env = Recorder(Counter(), tmp_path / "data", states=whole)
    play(env, 3, 2)
    column = env._writer._columns["actions"]
    full = OSError("no room")
    monkeypatch.setattr(column, "append", lambda rows: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="no room"):
        env.reset()
    monkeypatch.undo()
    env.close()
    assert_recorded(tmp_path / "data", (3,))


def test_steps_outside_an_episode_are_refused(tmp_path):
    env = Recorder(Counter(length=2), tmp_path / "data")
    with pytest.raises(InputError, match=r"call reset\(\) before step"):
        env.step(action_of(0, 0))
    play(env, 2)
    with pytest.raises(InputError, match="after the end of an episode"):
        env.step(action_of(0, 2))
    env.close()
    assert Episodes(tmp_path / "data").lengths.tolist() == [2]


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0, 5], "action 1 is 5, and takes 0 to 4: clip it"),
        ([-1.01, 0], r"action 0 is -1\.01, and takes -1 to 1"),
        ([np.nan, 0], "action 0 is nan"),
        ([0], r"shape \(1,\), and the environment takes \(2,\)"),
        (0.0, r"shape \(\)"),
        ([[0, 0]], r"shape \(1, 2\)"),
    ],
)
def test_an_action_out_of_its_bounds_is_refused_before_it_is_played(tmp_path, action, message):
    env = Recorder(Counter(), tmp_path / "data", states=whole)
    play(env, 2)
    with pytest.raises(InputError, match=message):
        env.step(action)
    assert env.unwrapped.count == 2
    env.close()
    assert_recorded(tmp_path / "data", (2,))


class Discrete(Counter):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Discrete(3)


class Unbounded(Counter):
    def __init__(self):
        super().__init__()
        self.action_space = spaces.Box(-np.inf, np.inf, (2,))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (Discrete, {}, r"the actions are Discrete\(3\), and a bounded Box"),
        (Unbounded, {}, "the actions are Box.* and a bounded Box of one axis"),
        (lambda: Counter(render_mode=None), {}, "shows no frames: make it with render_mode='rgb_array'"),
        (Counter, {"frames": lambda observation: observation}, r"a frame is float64 \(2,\), and uint8 \(h, w, 3\)"),
        (Counter, {"state_names": ["x"]}, "1 state_names, and a state has 0 numbers"),
        (Counter, {"states": lambda observation: [0, np.nan]}, "number 1 of a state is not finite"),
        (Counter, {"states": lambda observation: observation[: int(observation[1]) + 1]}, r"a state \(2,\)"),
        (object, {}, "object is no gymnasium.Env"),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_one_line(tmp_path, make, options, message):
    with pytest.raises(InputError, match=message) as error, Recorder(make(), tmp_path / "data", **options) as env:
        play(env, 2)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "data").exists()


def test_what_is_there_is_left_as_it_is(tmp_path):
    (tmp_path / "data").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        Recorder(Counter(), tmp_path / "data")
    assert (tmp_path / "data").read_text() == "mine"


def test_a_loop_without_an_action_writes_no_dataset(tmp_path):
    env = Recorder(Counter(), tmp_path / "data")
    env.reset()
    with pytest.raises(InputError, match="there is no episode to write"):
        env.close()
    assert not (tmp_path / "data").exists()
    assert not env.unwrapped.is_open


def test_an_unfinished_dataset_of_another_environment_is_not_gone_on_with(tmp_path):
    play(killed := Recorder(Counter(), tmp_path / "data"), 3, 1)
    killed._writer._open.close()
    with pytest.raises(InputError, match=r"was begun with .*frame_size=8"):
        play(Recorder(Counter(height=9, width=9), tmp_path / "data"), 1)
