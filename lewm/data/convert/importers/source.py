"""Source of episodes: what every importer gives, one episode at a time."""

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lewm.config import CollectionConfig, EnvConfig
from lewm.data.episode_arrays import Episode
from lewm.data.metadata import Metadata
from lewm.environment import make_env
from lewm.errors import InputError

Name = TypeVar("Name")
Content = TypeVar("Content")


class TooShortError(InputError):
    """An episode without an action, which every importer leaves out."""


class Source(Protocol):
    """Episodes of any origin, in order.

    Attributes:
      metadata: metadata of the dataset that they make.
      notes: lines that whoever converts them should read; iterating may add some.
    """

    metadata: Metadata
    notes: list[str]

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Episode]: ...


class MissingFileError(InputError):
    """A file that the metadata name is not there.

    Attributes:
      file: its path.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(f"there is no {file}")
        self.file = file


class Recorded(NamedTuple):
    """What an importer found out about its files.

    Attributes:
      path, format: where the data are, and the importer's name.
      frame_size: height and width of the frames that it gives.
      action_low, action_high: (a,) smallest and largest actions in the data.
      state_names: S names.
      details: what else should stay with the data.
    """

    path: Path
    format: str
    frame_size: int
    action_low: NDArray[np.float32]
    action_high: NDArray[np.float32]
    state_names: list[str]
    details: dict[str, Any]


def imported_metadata(recorded: Recorded, env_id: str | None) -> Metadata:
    """Metadata of imported data.

    Args:
      recorded: what is known of the data.
      env_id: environment that they are from: its action bounds and, if a state has as many numbers, its state names,
        angles and velocities are taken. None: the bounds are the smallest and largest actions of the data.
    """
    low, high, names = recorded.action_low, recorded.action_high, recorded.state_names
    angles, velocities = list[str](), list[str]()
    if env_id is not None:
        env = make_env(env_config(env_id, recorded.frame_size, {}))
        if env.action_space.shape != low.shape:
            raise InputError(
                f"the actions in {recorded.path} have {len(low)} numbers, and those of {env_id}"
                f" {env.action_space.shape[0]}: give another --env-id, or none"
            )
        low, high = env.action_space.low, env.action_space.high
        if len(env.state_names) == len(names):
            names = list(env.state_names)
            angles, velocities = list(env.angles), list(env.velocities)
    source = {"path": recorded.path.name, "format": recorded.format, **recorded.details}
    return Metadata(
        env_id=env_id or f"imported/{recorded.path.stem}",
        frame_size=recorded.frame_size,
        state_names=names,
        action_low=low.tolist(),
        action_high=high.tolist(),
        collection={"imported_from": source},
        angles=angles,
        velocities=velocities,
    )


def env_config(env_id: str, frame_size: int, kwargs: dict[str, Any]) -> EnvConfig:
    """What makes the environment of a dataset; nothing is collected with it."""
    nothing = CollectionConfig(expert={}, num_episodes=0, max_steps=0, seed=0, num_test_episodes=0)
    return EnvConfig("", env_id, frame_size, frameskip=1, kwargs=kwargs, collection=nothing)


def readable(
    episodes: Iterable[Name], read: Callable[[Name], Content], notes: list[str], *, skip: bool
) -> Iterator[tuple[Name, Content]]:
    """Reads episodes one after another, and leaves out those without an action.

    Args:
      episodes: what `read` takes.
      read: gives the content of an episode, or raises InputError.
      notes: gets a line for each episode that is left out, and one that counts them.
      skip: whether an episode that cannot be read is left out, too; else its InputError is raised.
    """
    num_read, left_out = 0, list[str]()
    for episode in episodes:
        try:
            content = read(episode)
        except InputError as error:
            if not skip and not isinstance(error, TooShortError):
                raise
            left_out.append(f"left out: {error}")
            continue
        num_read += 1
        yield episode, content
    if left_out:
        notes += [*left_out, f"{len(left_out)} of {num_read + len(left_out)} episodes left out"]


def first_readable(episodes: Iterable[Name], read: Callable[[Name], Content], *, skip: bool) -> Content:
    """What `read` gives of the first episode, or of the first that can be read if `skip`."""
    error: InputError | None = None
    for episode in episodes:
        try:
            return read(episode)
        except InputError as found:
            error = error or found
            if not skip and not isinstance(found, TooShortError):
                raise
    raise error or InputError("there is no episode")


class ReadActions(NamedTuple, Generic[Name]):
    """The episodes whose actions can be read, with their (a,) smallest and (a,) largest actions."""

    episodes: list[Name]
    low: NDArray[np.float32]
    high: NDArray[np.float32]


def read_actions(
    episodes: Iterable[Name], read: Callable[[Name], NDArray[np.float32]], notes: list[str], *, skip: bool
) -> ReadActions[Name]:
    """Looks at the (L, a) actions of all episodes, at least one, once; the arguments are those of readable().

    InputError: no episode can be read.
    """
    extremes: dict[Name, NDArray[np.float32]] = {}
    for episode, actions in readable(episodes, read, notes, skip=skip):
        extremes[episode] = np.stack([actions.min(0), actions.max(0)])
    if not extremes:
        raise InputError(f"{notes[-2].removeprefix('left out: ')}; no other episode can be read either")
    if len(widths := {rows.shape[1] for rows in extremes.values()}) > 1:
        raise InputError(f"the actions of some episodes have {min(widths)} numbers, those of others {max(widths)}")
    both = np.concatenate(list(extremes.values()))
    return ReadActions(list(extremes), both.min(0), both.max(0))


def taken(actions: Sequence[str], states: Sequence[str], frames: str = "", left_out: Iterable[str] = ()) -> str:
    """A note on what an importer takes for frames, actions and states, and what it leaves out."""
    parts = {"frames": [frames] if frames else [], "actions": actions, "states": states or ["none"]}
    parts |= {"left out": list(left_out)}
    return "; ".join(f"{part}: {', '.join(names)}" for part, names in parts.items() if names)


def is_visible(path: Path) -> bool:
    """Whether a file is one of the user's: systems leave files of their own whose names begin with a dot."""
    return not path.name.startswith(".")


def check_finite(rows: NDArray[Any], what: str, path: Path, episode: int | str) -> None:
    """InputError that names episode and row, if there is a NaN or an infinite number in rows (N, dim)."""
    if not (finite := np.isfinite(rows)).all():
        row, column = np.argwhere(~finite)[0]
        raise InputError(
            f"{what} {column} in row {row} of episode {episode} in {path} is {rows[row, column]}: mend or leave out the"
            " episode"
        )


def action_bounds(episodes: Iterable[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(L, a) actions of each episode -> (a,) smallest, (a,) largest."""
    low, high = zip(*((actions.min(0), actions.max(0)) for actions in episodes), strict=True)
    return np.min(low, 0), np.max(high, 0)


def as_columns(values: NDArray[Any]) -> NDArray[Any]:
    """(N,) or (N, ...) -> (N, dim)."""
    return values.reshape(len(values), -1)


def numbered(name: str, width: int) -> list[str]:
    return [f"{name}_{i}" for i in range(width)]


def choose(asked: str | None, there: Sequence[str], what: str, option: str) -> str:
    """The name that was asked for, or the only one that there is."""
    if asked is None and len(there) == 1:
        return there[0]
    if asked is None or asked not in there:
        problem = f"there is no {what} {asked!r}" if asked is not None else f"there are {len(there)} of {what}"
        raise InputError(f"{problem}: give {option}, one of {', '.join(there)}" if there else f"there is no {what}")
    return asked


def require(module: str) -> Any:
    """A module of the extra `formats`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"this format needs the package {module.partition('.')[0]} ({error}): run `uv run --extra formats …`"
        ) from error
