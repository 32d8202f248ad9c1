"""Schema of configs/: one frozen dataclass for each program and group, with the allowed values beside the fields."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from lewm.config.components import Component


class Range(NamedTuple):
    """Allowed range of a number, both ends included; None where there is no end."""

    low: float
    high: float | None = None


class OneOf(NamedTuple):
    """Allowed words of a string."""

    words: tuple[str, ...]


class FolderName(NamedTuple):
    """Allowed names of a folder: one path component of letters, digits, dots, dashes, underscores and equals signs.

    The first character is no dot: hidden folders and the way up are none of these.
    """

    reserved: frozenset[str]

    def allows(self, name: str) -> bool:
        """Whether a folder may have this name; capitals count for nothing, as on the file systems of laptops."""
        return re.fullmatch(r"[\w-][\w.=-]*", name) is not None and name.lower() not in self.reserved


RESERVED = frozenset(
    [
        *(
            "board.jsonl",
            "data",
            "checkpoints",
            "heads",
            "tensorboard",
            "videos",
            "parts",
            "lock",
            "log.txt",
            "failed.txt",
        ),
        *("config.yaml", "process.json", "metrics.jsonl", "results.json", "report.html"),
    ]
)
"""Files and folders that a run folder holds beside its evaluations."""

MAX_PROCESSES = 4096
"""Most threads or processes that a key may ask for: more is a typing error."""

Name = Annotated[str, FolderName(RESERVED)]
Count = Annotated[int, Range(1)]
Seed = Annotated[int, Range(0, 2**63 - 1)]
Share = Annotated[float, Range(0, 1)]
NonNegative = Annotated[float, Range(0)]
Workers = Annotated[int, Range(1, MAX_PROCESSES)]
Auto = Annotated[str, OneOf(("auto",))]


@dataclass(frozen=True)
class CollectionConfig:
    expert: Component
    num_episodes: Annotated[int, Range(2)]  # one to train on, one held out
    max_steps: Count
    seed: Seed
    num_test_episodes: Count  # of the same recipe under another seed, for evaluation alone


@dataclass(frozen=True)
class EnvConfig:
    name: str
    id: str
    frame_size: Count
    frameskip: Count
    kwargs: dict[str, Any]  # of the environment, beside frame_size
    collection: CollectionConfig


@dataclass(frozen=True)
class RecordingConfig:
    """Data of something that is not at hand: nothing to collect, nothing to plan in."""

    name: str
    frame_size: Count
    frameskip: Count


@dataclass(frozen=True)
class DataConfig:
    path: str | None
    root: str
    val_fraction: Share
    split_seed: Seed
    num_workers: Annotated[int, Range(0, MAX_PROCESSES)] | None
    device: str


@dataclass(frozen=True)
class ModelConfig:
    name: str
    embedding_dim: Count
    context: Count
    encoder: Component
    projector: Component
    flow: Component | None
    action_encoder: Component
    predictor: Component
    actor: Component | None
    contrast: Component | None


@dataclass(frozen=True)
class TrainingConfig:
    num_steps: Count
    max_seconds: Annotated[float, Range(1)] | None
    num_frames: Annotated[int, Range(2)]
    rollout_steps: Count
    batch_size: Count
    clips_per_episode: Count
    learning_rate: NonNegative
    weight_decay: NonNegative
    warmup_fraction: Share
    final_weight_fraction: NonNegative
    max_grad_norm: Annotated[float, Range(1e-6)]  # 0 would leave no gradient
    ema_decay: Annotated[float, Range(1e-6, 0.999999)] | None  # 1 would keep the random start
    precision: str
    graph: bool | Auto
    compile: bool | Auto
    log_every: Count
    validate_every: Count
    checkpoint_every: Count
    keep_checkpoints: Count
    keep_every: Count | None


@dataclass(frozen=True)
class PlanningConfig:
    goal_cost: str | Component
    proposal: str
    context: Count
    window: Count | None
    horizon: Count
    num_executed: Count
    subgoal: Annotated[float, Range(1e-3, 1)]
    batch_size: Count | None
    precision: str


@dataclass(frozen=True)
class EvaluationConfig:
    split: str
    num_pairs: Count
    offset: Count
    budget: Count
    strict: bool
    start: str
    manifest: str | None
    manifest_seed: Seed
    batch_size: Count
    num_workers: Workers | None
    num_videos: Annotated[int, Range(0)]


@dataclass(frozen=True)
class TrainConfig:
    name: Name
    output_dir: str
    seed: Seed
    resume: bool
    init_from: str | None
    device: str
    num_threads: Workers | None
    tracker: Annotated[str, OneOf(("none", "trackio", "wandb"))]
    env: EnvConfig | RecordingConfig
    data: DataConfig
    model: ModelConfig
    regularizer: Component
    optimizer: Component
    training: TrainingConfig
    heads: list[str | Component]
    planner: Component
    planning: PlanningConfig
    evaluation: EvaluationConfig

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir) / self.name


@dataclass(frozen=True)
class SpeedrunConfig(TrainConfig):
    minutes: Annotated[float, Range(0.1)]
    reserve: NonNegative | None


@dataclass(frozen=True)
class ImportCheckpointConfig(TrainConfig):
    weights: str
    pixel_mean: tuple[float, ...]
    pixel_std: tuple[float, ...]


@dataclass(frozen=True)
class CollectConfig:
    data_path: str | None
    data_root: str
    num_episodes: Annotated[int, Range(2)] | None
    num_workers: Workers | None
    env: EnvConfig


@dataclass(frozen=True)
class PlanConfig:
    run: str
    name: Name
    env: EnvConfig | RecordingConfig | None
    data_path: str | None
    policy: str
    expert: Component | None
    seed: Seed | None
    device: str
    num_threads: Workers | None
    planner: Component
    planning: PlanningConfig
    evaluation: EvaluationConfig


@dataclass(frozen=True)
class AblateConfig:
    name: Name
    output_dir: str
    jobs: Workers | None
    jobs_per_gpu: Workers | None
    report_only: bool
    cell: str
