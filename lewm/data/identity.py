"""Identity of a dataset: what it was collected by, and the folder that follows from it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lewm.config import Component, EnvConfig, RecordingConfig, flat
from lewm.data.episodes import Episodes
from lewm.errors import InputError


@dataclass(frozen=True)
class DatasetIdentity:
    """Everything that decides the episodes of a collected dataset.

    The frameskip is not among it: every env step is recorded, and experts know nothing of model steps.

    Attributes:
      env_id, env_kwargs, frame_size: environment and size of its frames.
      expert: component of the expert that acted.
      seed: seed of everything random.
      max_steps: most actions of an episode.
      num_episodes: episodes collected.
    """

    env_id: str
    env_kwargs: dict[str, Any]
    frame_size: int
    expert: Component
    seed: int
    max_steps: int
    num_episodes: int

    @classmethod
    def wanted(cls, env: EnvConfig) -> "DatasetIdentity":
        """The identity of the dataset that a configuration asks for."""
        collection = env.collection
        return cls(
            env_id=env.id,
            env_kwargs=env.kwargs,
            frame_size=env.frame_size,
            expert=collection.expert,
            seed=collection.seed,
            max_steps=collection.max_steps,
            num_episodes=collection.num_episodes,
        )

    @classmethod
    def recorded(cls, data: Episodes) -> "DatasetIdentity | None":
        """The identity of a dataset that was collected here; None of imported, merged, split and resized ones."""
        metadata, collection = data.metadata, data.metadata.collection
        if not {"expert", "seed", "max_steps"} <= collection.keys() or "resized_from" in collection:
            return None
        return cls(
            env_id=metadata.env_id,
            env_kwargs=metadata.env_kwargs,
            frame_size=metadata.frame_size,
            expert=collection["expert"],
            seed=collection["seed"],
            max_steps=collection["max_steps"],
            num_episodes=len(data),
        )

    @property
    def fingerprint(self) -> str:
        """The first 12 hex digits of a SHA-256 of all fields; 2 and 2.0 are the same number."""
        values = asdict(self) | {"expert": _with_floats(self.expert), "env_kwargs": _with_floats(self.env_kwargs)}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, other: "DatasetIdentity") -> dict[str, tuple[Any, Any]]:
        """Dotted keys in which two identities differ, each with both values."""
        ours, theirs = (flat(json.loads(json.dumps(asdict(each)))) for each in (self, other))
        keys = sorted(ours.keys() | theirs.keys())
        return {key: (ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)}


def _with_floats(values: Any) -> Any:
    """Nested values with a float for every whole number."""
    if isinstance(values, dict):
        return {key: _with_floats(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_with_floats(value) for value in values]
    return float(values) if isinstance(values, int) and not isinstance(values, bool) else values


def dataset_path(env: EnvConfig, root: str | Path = "data") -> Path:
    """The folder of the dataset that a configuration asks for: <root>/<environment>/<fingerprint>."""
    return Path(root) / env.name / DatasetIdentity.wanted(env).fingerprint


def choose_path(env: EnvConfig | RecordingConfig, path: str | None, root: str) -> Path:
    """The folder that is given, else the one that follows from the configuration. InputError: of recordings, none."""
    if path is not None:
        return Path(path)
    if isinstance(env, RecordingConfig):
        raise InputError(f"env={env.name} needs recordings: give data.path=, the folder of a dataset")
    return dataset_path(env, root)


def open_dataset(env: EnvConfig | RecordingConfig, path: Path, tell: Callable[[str], Any]) -> Episodes:
    """Opens a dataset for a configuration, and tells in one line how it differs from what was asked for.

    Args:
      env: the configuration.
      path: folder of the dataset.
      tell: takes the line, if there is one.

    Raises:
      InputError: there is no dataset, or its frames or its environment are others.
    """
    data = Episodes(path)
    data.check_fits(env)
    if isinstance(env, EnvConfig):
        recorded, wanted = DatasetIdentity.recorded(data), DatasetIdentity.wanted(env)
        if recorded is None:
            tell(f"{path} is used as it is: {len(data)} episodes that were not collected by a configuration")
        elif differences := recorded.differences(wanted):
            words = ", ".join(f"{key}={there} (configured: {asked})" for key, (there, asked) in differences.items())
            tell(f"{path} is used as it is: {words}")
    return data
