"""Schema of configs/head/ and configs/train_head.yaml, with the allowed ranges beside the fields."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, cast

from lewm.config import CONFIGS, Component, from_dict, read_yaml, suggestion
from lewm.config.schema import Count, NonNegative, Range, Seed, Workers
from lewm.errors import InputError


@dataclass(frozen=True)
class FittingConfig:
    """Settings of the fitting of a head; settings of one head alone are arguments of its constructor.

    Attributes:
      num_steps: optimizer steps.
      batch_size: examples in a step.
      learning_rate: peak rate of AdamW; it warms up, then falls along a cosine.
      weight_decay: weight decay of AdamW.
      max_steps: most model steps from a frame to its goal.
      far_share: share of the pairs that are any two frames and count as max_steps apart, for heads that count steps.
      max_frames: most frames of the training episodes to learn from, whole episodes drawn at random; embeddings take 4
        bytes x D for each.
      precision: float32, bfloat16, or auto: bfloat16 on a GPU that has it, float32 elsewhere. Of matrix products: the
        weights of a head stay float32.
    """

    num_steps: Count
    batch_size: Count
    learning_rate: NonNegative
    weight_decay: NonNegative
    max_steps: Count
    far_share: Annotated[float, Range(0, 0.99)]  # at 1, no pair would have a number of steps
    max_frames: Count
    precision: str


@dataclass(frozen=True)
class HeadConfig:
    """A file of configs/head/.

    Attributes:
      head: name in lewm.heads.HEADS and constructor arguments.
      fitting: settings of the fitting.
    """

    head: Component
    fitting: FittingConfig

    @property
    def name(self) -> str:
        """Name in lewm.heads.HEADS, and of the folder in a run."""
        return str(self.head.get("name"))


@dataclass(frozen=True)
class TrainHeadConfig:
    run: str
    data_path: str | None
    seed: Seed
    device: str
    num_threads: Workers | None
    head: Component
    fitting: FittingConfig

    @property
    def head_config(self) -> HeadConfig:
        return HeadConfig(self.head, self.fitting)


def read_heads(entries: Iterable[str | Component]) -> list[HeadConfig]:
    """Reads files of configs/head/.

    Args:
      entries: names of the files, or {name, **changes}, where a change is any key below head or fitting.

    Raises:
      InputError: there is no such file or key, or a value is out of its range.
    """
    return [_read_head(entry if isinstance(entry, dict) else {"name": entry}) for entry in entries]


def _read_head(entry: Component) -> HeadConfig:
    files = {path.stem: path for path in (CONFIGS / "head").glob("*.yaml")}
    name = str(entry.get("name"))
    if name not in files:
        raise InputError(f"no head {name!r}{suggestion(name, files)}")
    values = read_yaml(files[name])
    for key, value in entry.items():
        groups = [group for group in values.values() if key in group]
        if not groups:
            known = [key for group in values.values() for key in group]
            raise InputError(f"head {name} has no key {key!r}{suggestion(key, known)}")
        groups[0][key] = value
    return cast(HeadConfig, from_dict(values, HeadConfig))
