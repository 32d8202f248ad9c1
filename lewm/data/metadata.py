"""Description of a dataset: metadata.json beside its arrays, checked when it is read."""

import re
import sys
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from lewm.config import is_a
from lewm.errors import InputError
from lewm.files import read_versioned

FORMAT = "lewm-episodes"
VERSION = 3


@dataclass(frozen=True)
class Metadata:
    """Everything that is known of a dataset beside its arrays.

    Attributes:
      env_id: Gymnasium id of the environment.
      frame_size: height and width of the frames, in pixels.
      state_names: S names, one for each number of a state.
      action_low: (a,) lower bounds of the raw actions.
      action_high: (a,) upper bounds of the raw actions.
      collection: how the data came about: see DatasetIdentity for data that were collected here.
      env_kwargs: arguments of the environment beside frame_size.
      angles: state names of angles in radians, where 2 pi more is the same place.
      velocities: state names of velocities, which are 0 in a state at rest.

    Raises:
      InputError: a field is of another type or contradicts another one.
    """

    env_id: str
    frame_size: int
    state_names: list[str]
    action_low: list[float]
    action_high: list[float]
    collection: dict[str, Any]
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    angles: list[str] = field(default_factory=list)
    velocities: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, kind in (("env_id", str), ("frame_size", int), ("collection", dict), ("env_kwargs", dict)):
            if not is_a(getattr(self, name), kind):
                raise InputError(f"{name} is {getattr(self, name)!r:.60}, and {kind.__name__} is expected")
        if self.frame_size < 1:
            raise InputError(f"frame_size is {self.frame_size}, and at least 1 is expected")
        self._check_names()
        self._check_bounds()

    def _check_names(self) -> None:
        for name in ("state_names", "angles", "velocities"):
            values = getattr(self, name)
            if not is_a(values, list) or not all(is_a(value, str) for value in values):
                raise InputError(f"{name} is {values!r:.60}, and a list of names is expected")
            if len(set(values)) < len(values):
                raise InputError(f"{name} names {max(values, key=values.count)!r} twice")
            if unknown := [value for value in values if value not in self.state_names]:
                there = ", ".join(self.state_names) or "none"
                raise InputError(f"{name} names {unknown[0]!r}, which is no number of a state; there are {there}")

    def _check_bounds(self) -> None:
        for name in ("action_low", "action_high"):
            values = getattr(self, name)
            if (
                not is_a(values, list)
                or not values
                or not all(is_a(value, int) or is_a(value, float) for value in values)
            ):
                raise InputError(f"{name} is {values!r:.60}, and a list of numbers is expected")
            if not all(
                abs(value) <= sys.float_info.max for value in values
            ):  # NaN is not, nor a whole number of 400 digits
                raise InputError(f"{name} is {values!r:.60}, and finite numbers are expected")
        if len(self.action_low) != len(self.action_high):
            raise InputError(f"action_low has {len(self.action_low)} numbers and action_high {len(self.action_high)}")
        for i, (low, high) in enumerate(zip(self.action_low, self.action_high, strict=True)):
            if low > high:
                raise InputError(f"action_low of action {i} is {low:g}, above its action_high of {high:g}")

    @classmethod
    def of_json(cls, values: Any) -> "Metadata":
        """Makes Metadata of what asdict() gave. InputError: a field is missing, unknown or wrong."""
        if not isinstance(values, dict):
            raise InputError(f"{values!r:.60} is not a dict of fields")
        names = [each.name for each in fields(cls)]
        for name in names:
            if name not in values:
                raise InputError(f"{name} is missing")
        if unknown := values.keys() - set(names):
            raise InputError(f"there is no field {min(unknown)!r}")
        return cls(**values)

    @property
    def action_names(self) -> list[str]:
        """Name of each action dimension: those of the files that were imported, else numbered ones."""
        names = self.collection.get("imported_from", {}).get("action_names")
        return list(names or (f"action {i}" for i in range(len(self.action_low))))

    def declaring(self, angles: str | None, velocities: str | None) -> "Metadata":
        """The same with other angles and velocities, each as names with commas between them; None keeps them."""
        return replace(
            self,
            angles=self.angles if angles is None else _names(angles),
            velocities=self.velocities if velocities is None else _names(velocities),
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


class Description(NamedTuple):
    """Content of metadata.json.

    Attributes:
      metadata: what is known of the dataset beside its arrays.
      content_hash: SHA-256 of digests.npy's array as hex digits; None while the dataset is unfinished.
      num_episodes, num_frames: how many of them are complete.
    """

    metadata: Metadata
    content_hash: str | None
    num_episodes: int
    num_frames: int

    def to_json(self) -> dict[str, Any]:
        """Values of metadata.json."""
        return {"format": FORMAT, "version": VERSION, **self._asdict(), "metadata": asdict(self.metadata)}


def read_description(path: Path, *, unfinished: bool = False) -> Description:
    """Reads metadata.json of a dataset.

    Args:
      path: folder of the dataset. InputError: metadata.json is missing, wrong, or of another version.
      unfinished: whether the dataset may be unfinished; else that is an InputError, too.
    """
    if not path.is_dir():
        raise InputError(
            f"no dataset at {path}: give the folder of one as data_path= (data.path= of train.py), or make one with"
            f" `lewm collect data_path={path}`"
        )
    file = path / "metadata.json"
    if not file.exists():
        raise InputError(f"{path} is not a dataset: it has no metadata.json; give another data path")
    remedy = "give another data path, or collect or convert it again"
    described = read_versioned(file, "a dataset", FORMAT, VERSION, remedy)
    try:
        found = Description(Metadata.of_json(described.get("metadata")), *_counts(described))
    except InputError as error:
        raise InputError(f"{file} is damaged ({error}): collect the dataset again, or mend the file") from None
    if found.content_hash is None and not unfinished:
        raise InputError(f"{path} is unfinished: go on with the command that began it, or remove it")
    return found


def _counts(described: dict[str, Any]) -> tuple[str | None, int, int]:
    """content_hash, num_episodes and num_frames. InputError: one of them is missing or of another type."""
    content_hash = described.get("content_hash", "missing")
    if content_hash is not None and not (is_a(content_hash, str) and re.fullmatch("[0-9a-f]{64}", content_hash)):
        raise InputError(f"content_hash is {content_hash!r:.80}, and 64 hex digits are expected")
    for name in ("num_episodes", "num_frames"):
        if not is_a(count := described.get(name), int) or described[name] < 0:
            raise InputError(f"{name} is {count!r:.40}, and a whole number is expected")
    return content_hash, described["num_episodes"], described["num_frames"]
