"""A Gymnasium wrapper that records a loop of the user's: own environment, own policy."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from lewm.data.episode_writer import EpisodeWriter
from lewm.data.metadata import Metadata
from lewm.errors import InputError


class Recorder(gym.Wrapper[Any, Any, Any, Any]):
    """Records every episode that is played in an environment into a dataset.

    An episode is written when it ends, at the next reset(), and at close(), which completes the dataset. A loop that is
    interrupted leaves its whole episodes in `<path>.partial`, and the next Recorder with the same path goes on with
    them. As a context, it completes the dataset unless an error leaves the context.

    Args:
      env: environment with continuous actions: a bounded Box of one axis.
      path: folder of the dataset; nothing may be there.
      frames: makes the frame (h, w, 3) uint8 of an observation. None: the observation is the frame if its space is one
        of such frames, else env.render() gives it, in the mode rgb_array.
      states: makes the state (S,) of an observation; None for no states. They are used for probes only.
      state_names: S names; None numbers them.
      frame_size: height and width of the recorded frames; None keeps those of the frames.
      fit: how frames that are not square become so: crop or pad.

    Raises:
      InputError: there is something at `path`, the actions are of another kind, or there are no frames; at a step, the
        action is out of its bounds, or frame or state are not as before.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        path: str | Path,
        *,
        frames: Callable[[Any], NDArray[np.uint8]] | None = None,
        states: Callable[[Any], ArrayLike] | None = None,
        state_names: Sequence[str] | None = None,
        frame_size: int | None = None,
        fit: str | None = None,
    ) -> None:
        from lewm.data.convert.resizing import Resize  # here, because processes that collect must not import torch

        if not isinstance(env, gym.Env):
            raise InputError(f"{type(env).__name__} is no gymnasium.Env: record one environment, not a vector of them")
        super().__init__(env)
        self.path = Path(path)
        if self.path.exists():
            raise InputError(f"{self.path} exists already: remove it, or give another data path")
        space = env.action_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1 or not space.is_bounded():
            raise InputError(
                f"the actions are {space}, and a bounded Box of one axis is recorded: wrap the environment in"
                " gymnasium.wrappers.TransformAction first"
            )
        self._bounds = space.low.astype(np.float64), space.high.astype(np.float64)
        self._frame_of, self._state_of = frames or _own_frames(env), states
        self._state_names = None if state_names is None else list(state_names)
        self._resize = Resize(frame_size, fit)
        self._writer: EpisodeWriter | None = None
        self._frames: list[NDArray[np.uint8]] = []
        self._states: list[NDArray[np.float64]] = []
        self._actions: list[NDArray[np.float32]] = []

    @property
    def num_episodes(self) -> int:
        """Episodes that are written, with those of an interrupted loop; 0 before the first reset()."""
        return self._writer.num_episodes if self._writer else 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._end_episode()
        observation, info = self.env.reset(seed=seed, options=options)
        self._see(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if not self._frames:
            raise InputError("no episode is under way: call reset() before step(), and after the end of an episode")
        raw = self._checked(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._see(observation)
        self._actions.append(raw)
        if terminated or truncated:
            self._end_episode()
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        """Writes the episode that is under way, completes the dataset and closes the environment."""
        try:
            self._end_episode()
            if writer := self._writer:
                self._writer = None
                writer.__exit__(None, None, None)
        finally:
            super().close()

    def __exit__(self, *error: Any) -> Literal[False]:
        if error[0] is None:
            self.close()
            return False
        if writer := self._writer:
            self._writer = None
            writer.__exit__(*error)  # keeps the whole episodes for the next one
        super().close()
        return False

    def _see(self, observation: Any) -> None:
        """Takes frame and state of an observation."""
        frame = np.asarray(self._frame_of(observation))
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise InputError(f"a frame is {frame.dtype} {frame.shape}, and uint8 (h, w, 3) is recorded: give frames=")
        frame = self._resize(frame[None])[0]
        state = np.zeros(0) if self._state_of is None else np.asarray(self._state_of(observation), np.float64).ravel()
        if self._writer is None:
            metadata = self._describe(len(frame), len(state))
            self._writer = EpisodeWriter(self.path, metadata, resumable=True).__enter__()
            self._shapes = frame.shape, state.shape
        if (frame.shape, state.shape) != self._shapes:
            raise InputError(
                f"a frame is {frame.shape} and a state {state.shape}, and the first ones were {self._shapes[0]} and"
                f" {self._shapes[1]}"
            )
        if not np.isfinite(state).all():
            raise InputError(f"number {np.flatnonzero(~np.isfinite(state))[0]} of a state is not finite")
        self._frames.append(frame)
        self._states.append(state)

    def _describe(self, frame_size: int, num_states: int) -> Metadata:
        names = self._state_names
        if names is None:
            names = [f"state_{i}" for i in range(num_states)]
        if len(names) != num_states:
            raise InputError(f"{len(names)} state_names, and a state has {num_states} numbers")
        name = self.env.spec.id if self.env.spec else type(self.env.unwrapped).__name__
        return Metadata(
            env_id=f"recorded/{name}",
            frame_size=frame_size,
            state_names=names,
            action_low=self._bounds[0].tolist(),
            action_high=self._bounds[1].tolist(),
            collection={"recorded_from": {"environment": name}},
        )

    def _checked(self, action: Any) -> NDArray[np.float32]:
        """(a,) the action. InputError: it is out of its bounds, or no such vector."""
        low, high = self._bounds
        values = np.asarray(action, np.float64)
        if values.shape != low.shape:
            raise InputError(f"an action of shape {values.shape}, and the environment takes {low.shape}")
        slack = 1e-6 * (high - low)
        for i in np.flatnonzero(~((values >= low - slack) & (values <= high + slack))):
            raise InputError(f"action {i} is {values[i]:g}, and takes {low[i]:g} to {high[i]:g}: clip it before step()")
        return values.astype(np.float32)

    def _end_episode(self) -> None:
        """Writes the episode that is under way, if there is an action in it."""
        frames, states, actions = self._frames, self._states, self._actions
        self._frames, self._states, self._actions = [], [], []
        if not actions:
            return
        assert self._writer is not None
        num_episodes = self._writer.num_episodes
        num_frames = len(actions) + 1  # Ctrl-C may have come between a frame and its action
        try:
            self._writer.append(np.stack(frames[:num_frames]), np.stack(states[:num_frames]), np.stack(actions))
            self._writer.commit()
        except BaseException:
            self._writer.truncate(num_episodes)
            raise


def _own_frames(env: gym.Env[Any, Any]) -> Callable[[Any], NDArray[np.uint8]]:
    """What makes frames where the user gives nothing."""
    space = env.observation_space
    if isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] == 3:
        return lambda observation: observation
    if env.render_mode != "rgb_array":
        raise InputError(
            "the environment shows no frames: make it with render_mode='rgb_array', or give frames=, which makes a"
            " frame of an observation"
        )
    return lambda observation: env.render()  # type: ignore[return-value]
