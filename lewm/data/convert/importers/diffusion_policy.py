"""The replay buffer of Diffusion Policy: a zarr group of flat columns over all rows, and where episodes end.

data/action (N, a), data/state (N, S), data/img (N, h, w, 3) with numbers from 0 to 255, meta/episode_ends (E,). The
same columns may be in an .npz file as action, state, img and episode_ends. A row is a frame and the action taken there:
the action of an episode's last row leads nowhere and is dropped.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from lewm.data.convert.importers.source import (
    Recorded,
    as_columns,
    check_finite,
    env_config,
    imported_metadata,
    numbered,
    read_actions,
    readable,
    require,
    taken,
)
from lewm.data.convert.resizing import BLOCK, Resize
from lewm.data.episode_arrays import Episode
from lewm.data.metadata import Metadata
from lewm.environment import make_env
from lewm.errors import InputError, one_line

COLUMNS = {"action": "data/action", "state": "data/state", "img": "data/img", "episode_ends": "meta/episode_ends"}


class DiffusionPolicySource:
    """Args:
    path: the zarr group's folder, or an .npz file.
    resize: makes the frames.
    env_id: Gymnasium id of the environment that the data are from, if it can be made. The recorded actions are absolute
      targets then, which become the environment's own actions, clipped to its bounds.
    states: "none" for no states.
    render: whether the environment draws the frames anew from the states, in the size of `resize`.
    skip: whether episodes that cannot be read are left out and noted.
    """

    def __init__(
        self,
        path: Path,
        resize: Resize,
        *,
        env_id: str | None = None,
        states: str | None = None,
        render: bool = False,
        skip: bool = False,
    ) -> None:
        self.path, self._resize, self._skip = path, resize, skip
        if states not in (None, "none"):
            raise InputError(f"--states {states} has no meaning with --from diffusion_policy, but for none")
        if render and (env_id is None or resize.frame_size is None):
            raise InputError("--render draws frames by an environment: give --env-id and --frame-size")
        self._columns = self._open()
        if "img" not in self._columns and not render:
            raise InputError(f"{path} has no frames: give --render, --env-id and --frame-size to have them drawn")
        self._ends = self._read_ends()
        self._episodes = [i for i in range(len(self._ends)) if self._length(i) >= 2]
        has_states = states is None
        frames = "drawn by the environment" if render else "img"
        self.notes = [taken(["action"], ["state"] if has_states else [], frames)]
        if left_out := len(self._ends) - len(self._episodes):
            self.notes.append(f"{left_out} episodes of less than 2 rows left out")
        if not self._episodes:
            raise InputError(f"{path} has no episode of at least 2 rows: there is no action in it")
        size = resize.frame_size if render else resize.size_of(*self._columns["img"].shape[1:3])
        assert size is not None
        self._env = None if env_id is None else make_env(env_config(env_id, size, {}))
        self._render, self._has_states = render, has_states
        self._low, self._high = -np.inf, np.inf
        self.metadata = self._describe(env_id, size)

    def __len__(self) -> int:
        return len(self._episodes)

    def __iter__(self) -> Iterator[Episode]:
        return (episode for _, episode in readable(self._episodes, self._episode, self.notes, skip=self._skip))

    def _episode(self, episode: int) -> Episode:
        states = self._states(episode)
        pixels = self._drawn(states, episode) if self._render else self._frames(episode)
        kept = states if self._has_states else states[:, :0]
        return Episode(pixels, kept, np.clip(self._actions(episode), self._low, self._high))

    def _open(self) -> dict[str, Any]:
        """The columns that there are, unread where they are large."""
        if not self.path.exists():
            raise InputError(f"there is no {self.path}: give the folder of a replay buffer, such as x.zarr, or an .npz")
        try:
            if self.path.is_file():
                with np.load(self.path, allow_pickle=False) as file:
                    columns = {name: file[name] for name in COLUMNS if name in file}
            else:
                group = require("zarr").open_group(self.path, mode="r")
                columns = {name: group[place] for name, place in COLUMNS.items() if place in group}
            for name in columns.keys() - {"img"}:
                columns[name] = columns[name][:]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, BadZipFile) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path} is not a whole replay buffer ({one_line(error)})") from error
        if lacking := COLUMNS.keys() - columns.keys() - {"img"}:
            raise InputError(f"{self.path} has no column {COLUMNS[min(lacking)]!r} (in an .npz: {min(lacking)!r})")
        return columns

    def _read_ends(self) -> NDArray[np.int64]:
        """Where each episode ends, checked against the other columns."""
        ends, num_rows = self._columns["episode_ends"], len(self._columns["action"])
        lengths = {name: int(column.shape[0]) for name, column in self._columns.items() if name != "episode_ends"}
        for name in lengths:
            if (kind := self._columns[name].dtype).kind not in "fiub":
                raise InputError(f"{COLUMNS[name]!r} in {self.path} is {kind}: give numbers")
        if len(set(lengths.values())) > 1:
            raise InputError(f"the columns of {self.path} have different numbers of rows: {lengths}")
        is_rising = (
            ends.ndim == 1 and ends.dtype.kind in "iu" and len(ends) > 0 and (np.diff(ends, prepend=0) >= 0).all()
        )
        if not is_rising or ends[-1] != num_rows:
            raise InputError(f"episode_ends in {self.path} do not rise to its {num_rows} rows: the file is damaged")
        if "img" in self._columns and (len(shape := self._columns["img"].shape) != 4 or shape[3] != 3):
            raise InputError(f"the frames in {self.path} are {shape}, and (N, h, w, 3) is expected")
        return ends.astype(np.int64)

    def _describe(self, env_id: str | None, size: int) -> Metadata:
        self._episodes, low, high = read_actions(
            self._episodes, lambda episode: self._recorded(episode).astype(np.float32), self.notes, skip=self._skip
        )
        first = self._states(self._episodes[0])[0]
        names = numbered("state", len(first)) if self._has_states else []
        recorded = Recorded(self.path, "diffusion_policy", size, low, high, names, {"rendered": self._render})
        metadata = imported_metadata(recorded, env_id)
        if self._env is None:
            return metadata
        self._low, self._high = self._env.action_space.low, self._env.action_space.high
        actions = np.concatenate([self._actions(episode) for episode in self._episodes])
        if num_beyond := int(((actions < self._low) | (actions > self._high)).any(1).sum()):
            self.notes.append(
                f"{num_beyond} of {len(actions)} actions were beyond the bounds of {env_id} and are clipped"
            )
        if self._has_states and self._takes(first):
            names = list(self._env.state_names[: len(first)])
            angles, velocities = (
                [name for name in kind if name in names] for kind in (self._env.angles, self._env.velocities)
            )
            metadata = replace(metadata, state_names=names, angles=angles, velocities=velocities)
        return metadata

    def _takes(self, state: NDArray[np.float64]) -> bool:
        """Whether the environment can be put into a recorded state, which may be the first numbers of its own."""
        assert self._env is not None
        try:
            self._env.set_state(state)
        except ValueError:
            return False
        return True

    def _length(self, episode: int) -> int:
        return int(self._ends[episode] - self._begin(episode))

    def _begin(self, episode: int) -> int:
        return int(self._ends[episode - 1]) if episode else 0

    def _rows(self, column: str, episode: int) -> NDArray[Any]:
        rows: NDArray[Any] = self._columns[column][self._begin(episode) : int(self._ends[episode])]
        return rows

    def _states(self, episode: int) -> NDArray[np.float64]:
        states = as_columns(self._rows("state", episode)).astype(np.float64)
        check_finite(states, "state", self.path, episode)
        return states

    def _recorded(self, episode: int) -> NDArray[np.float64]:
        """(L, a) actions as they were recorded."""
        recorded = as_columns(self._rows("action", episode))[:-1].astype(np.float64)
        check_finite(recorded, "action", self.path, episode)
        return recorded

    def _actions(self, episode: int) -> NDArray[np.float32]:
        """(L, a) actions of the environment, or the recorded ones where there is none."""
        recorded = self._recorded(episode)
        if self._env is None:
            return recorded.astype(np.float32)
        try:
            pairs = zip(self._states(episode), recorded, strict=False)
            actions = [self._env.action_towards(state, target) for state, target in pairs]
        except gym.error.Error as error:
            raise InputError(f"{self.path}: {error}: give another --env-id, or none") from error
        return np.stack(actions).astype(np.float32)

    def _frames(self, episode: int) -> NDArray[np.uint8]:
        rows = self._rows("img", episode)
        if not (np.isfinite(rows).all() and rows.min() >= 0 and rows.max() <= 255):
            raise InputError(f"the frames of episode {episode} in {self.path} are not numbers from 0 to 255")
        pixels = np.rint(rows).astype(np.uint8)
        return np.concatenate([self._resize(pixels[i : i + BLOCK]) for i in range(0, len(pixels), BLOCK)])

    def _drawn(self, states: NDArray[np.float64], episode: int) -> NDArray[np.uint8]:
        assert self._env is not None
        frames = []
        for state in states:
            try:
                self._env.set_state(state)
            except ValueError as error:
                raise InputError(f"episode {episode} in {self.path} cannot be drawn: {error}") from error
            frames.append(self._env.render())
        return np.stack(frames)
