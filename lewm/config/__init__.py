"""The typed schema of configs/, and the one way in which train.py and the scripts read it.

Hydra composes the YAML files and the command line; what a program's main() gets is one of the frozen dataclasses below.
"""

import difflib
import inspect
from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf

from lewm.errors import InputError
from lewm.limits import LIMITS

CONFIGS = Path(__file__).parents[2] / "configs"

Component = dict[str, Any]
"""{name, **arguments}: a key of a registry and the arguments of what it names."""


@dataclass(frozen=True)
class CollectionConfig:
    expert: Component
    num_episodes: int
    max_steps: int
    seed: int


@dataclass(frozen=True)
class EnvConfig:
    name: str
    id: str
    frame_size: int
    frameskip: int
    kwargs: dict[str, Any]  # of the environment, beside frame_size
    collection: CollectionConfig


@dataclass(frozen=True)
class RecordingConfig:
    """Data of something that is not at hand: nothing to collect, nothing to plan in."""

    name: str
    frame_size: int
    frameskip: int


@dataclass(frozen=True)
class DataConfig:
    path: str
    val_fraction: float
    split_seed: int
    num_workers: int
    device: str


@dataclass(frozen=True)
class ModelConfig:
    name: str
    embedding_dim: int
    context: int
    encoder: Component
    projector: Component
    flow: Component | None
    action_encoder: Component
    predictor: Component


@dataclass(frozen=True)
class TrainingConfig:
    num_steps: int
    num_frames: int
    batch_size: int
    clips_per_episode: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    final_weight_fraction: float
    max_grad_norm: float
    precision: str
    log_every: int
    validate_every: int
    checkpoint_every: int


@dataclass(frozen=True)
class PlanningConfig:
    goal_cost: str | Component
    proposal: str
    context: int
    window: int | None
    horizon: int
    num_executed: int
    batch_size: int | None
    precision: str


@dataclass(frozen=True)
class EvaluationConfig:
    num_pairs: int
    offset: int
    budget: int
    strict: bool
    start: str
    manifest: str | None
    manifest_seed: int
    batch_size: int
    num_workers: int | None
    num_videos: int


@dataclass(frozen=True)
class TrainConfig:
    name: str
    output_dir: str
    seed: int
    resume: bool
    device: str
    num_threads: int | None
    env: EnvConfig | RecordingConfig
    data: DataConfig
    model: ModelConfig
    regularizer: Component
    training: TrainingConfig
    heads: list[str | Component]
    planner: Component
    planning: PlanningConfig
    evaluation: EvaluationConfig

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir) / self.name


@dataclass(frozen=True)
class CollectConfig:
    data_path: str
    num_episodes: int | None
    num_workers: int | None
    env: EnvConfig


@dataclass(frozen=True)
class PlanConfig:
    run: str
    name: str
    env: EnvConfig | RecordingConfig | None
    data_path: str | None
    policy: str
    expert: Component | None
    seed: int
    device: str
    num_threads: int | None
    planner: Component
    planning: PlanningConfig
    evaluation: EvaluationConfig


@dataclass(frozen=True)
class AblateConfig:
    name: str
    output_dir: str
    jobs: int | None
    report_only: bool
    cell: str


def from_dict(values: dict[str, Any], schema: Any, prefix: str = "") -> Any:
    """Nested values as an instance of `schema`. InputError: a key is unknown, missing or of a wrong type."""
    types = get_type_hints(schema)
    for key in values:
        if key not in types:
            raise InputError(f"unknown key {prefix + str(key)!r} in the configuration{suggestion(str(key), types)}")
    arguments: dict[str, Any] = {}
    for key, kind in types.items():
        if key not in values:
            raise InputError(f"the configuration lacks {prefix + key!r}")
        kinds = alternatives(kind)
        value = float(values[key]) if float in kinds and type(values[key]) is int else values[key]
        nested = [option for option in kinds if is_dataclass(option)]
        if nested and isinstance(value, dict):
            fitting = [option for option in nested if value.keys() == get_type_hints(option).keys()]
            arguments[key] = from_dict(value, (fitting or nested)[0], f"{prefix}{key}.")
        elif not any(_is_a(value, option) for option in kinds):
            wanted = " or ".join("null" if option is NoneType else option.__name__ for option in kinds)
            raise InputError(f"{prefix}{key}={value!r} must be {wanted}")
        else:
            arguments[key] = value
            _check_limits(f"{prefix}{key}", value)
    return schema(**arguments)


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types that a value of the schema may have: int and NoneType for int | None."""
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _check_limits(key: str, value: Any) -> None:
    low, high = (None, None) if value is None else LIMITS.get(key, (None, None))
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
        raise InputError(f"{key}={value} must be {' and '.join(bounds)}")


def _is_a(value: object, kind: Any) -> bool:
    """isinstance for the types of the schema; a bool is no int here."""
    kind = get_origin(kind) or kind
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def save(config: Any, path: Path) -> None:
    """Writes a schema instance as YAML."""
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(asdict(config))))


def check_resumed(path: Path, config: TrainConfig) -> None:
    """Refuses to go on with a run under other settings than it was begun with; training never sees the free ones."""
    begun, now = flat(OmegaConf.to_container(OmegaConf.load(path))), flat(asdict(config))
    free = (
        *("resume", "name", "output_dir", "device", "num_threads", "data.num_workers", "data.device", "data.path"),
        *("heads", "planner", "planning", "evaluation"),
    )
    for key in sorted(begun.keys() | now.keys()):
        if begun.get(key) != now.get(key) and not key.startswith(free):
            raise InputError(
                f"the run in {path.parent} was begun with {key}={begun.get(key)}, not {now.get(key)}:"
                " resume it with that, or give another name="
            )


def build(registry: dict[str, Any], component: Component, kind: str, **arguments: Any) -> Any:
    """Constructs what `component` names in `registry` from its arguments and the further ones given here."""
    if "name" not in component:
        raise InputError(f"{kind} has no name; choose one of {', '.join(sorted(registry))}")
    name, own = component["name"], {key: value for key, value in component.items() if key != "name"}
    if name not in registry:
        raise InputError(f"unknown {kind} {name!r}{suggestion(str(name), registry)}")
    parameters = inspect.signature(registry[name]).parameters
    types = get_type_hints(registry[name] if is_dataclass(registry[name]) else registry[name].__init__)
    for key, value in own.items():
        if key not in parameters:
            raise InputError(
                f"{kind} {name} has no argument {key!r}{suggestion(key, set(parameters) - set(arguments))}"
            )
        wanted = types.get(key)
        if wanted in (int, float, bool, str) and not (_is_a(value, wanted) or (wanted is float and _is_a(value, int))):
            raise InputError(f"{kind} {name}: {key}={value!r} must be {wanted.__name__}")
    try:
        return registry[name](**own, **arguments)
    except (TypeError, ValueError, AssertionError) as error:  # of our own parts, and of the libraries under them
        raise InputError(f"{kind} {name}: {error} (in {own})") from error


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of a nested dict, dotted, with its value; groups of keys are there too, with None."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        is_group = isinstance(value, dict)
        found[f"{prefix}{key}"] = None if is_group else value
        if is_group:
            found |= flat(value, f"{prefix}{key}.")
    return found


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" or the list of what there is."""
    known = list(known)
    # The last part of a dotted key is often right and its group forgotten.
    close = [name for name in known if name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
    close = close or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(known)[:20])}"
