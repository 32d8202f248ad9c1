"""The typed schema of configs/, and the one way in which train.py and the scripts read it.

Hydra composes the YAML files and the command line; what a program's main() gets is one of the frozen dataclasses below.
"""

import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import hydra
import torch.distributed as dist
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from lewm.errors import InputError, one_line_errors

CONFIGS = Path(__file__).parents[1] / "configs"

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
    collection: CollectionConfig


@dataclass(frozen=True)
class DataConfig:
    path: str
    val_fraction: float
    split_seed: int
    num_workers: int


@dataclass(frozen=True)
class ModelConfig:
    name: str
    embedding_dim: int
    context: int
    encoder: Component
    projector: Component
    action_encoder: Component
    predictor: Component


@dataclass(frozen=True)
class ObjectiveConfig:
    regularizer_weight: float


@dataclass(frozen=True)
class TrainingConfig:
    num_steps: int
    num_frames: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    max_grad_norm: float
    precision: str
    log_every: int
    validate_every: int
    checkpoint_every: int


@dataclass(frozen=True)
class PlanningConfig:
    goal_cost: str
    context: int
    horizon: int
    num_executed: int
    batch_size: int


@dataclass(frozen=True)
class EvaluationConfig:
    num_pairs: int
    offset: int
    budget: int
    manifest_seed: int
    num_videos: int


@dataclass(frozen=True)
class TrainConfig:
    name: str
    output_dir: str
    seed: int
    resume: bool
    device: str
    num_threads: int | None
    env: EnvConfig
    data: DataConfig
    model: ModelConfig
    regularizer: Component
    objective: ObjectiveConfig
    training: TrainingConfig
    planner: Component
    planning: PlanningConfig
    evaluation: EvaluationConfig

    @property
    def run_dir(self) -> Path:
        return Path(self.output_dir) / self.name


@dataclass(frozen=True)
class CollectConfig:
    data_path: str
    env: EnvConfig


@dataclass(frozen=True)
class PlanConfig:
    run: str
    name: str
    data_path: str | None
    seed: int
    device: str
    num_threads: int | None
    planner: Component
    planning: PlanningConfig
    evaluation: EvaluationConfig


Schema = TypeVar("Schema")


def from_dict(values: dict[str, Any], schema: Any, prefix: str = "") -> Any:
    """Nested values as an instance of `schema`. InputError: a key is unknown, missing or of a wrong type."""
    types = get_type_hints(schema)
    for key in values:
        if key not in types:
            raise InputError(f"unknown key {prefix + str(key)!r} in the configuration{_suggestion(str(key), types)}")
    arguments: dict[str, Any] = {}
    for key, kind in types.items():
        if key not in values:
            raise InputError(f"the configuration lacks {prefix + key!r}")
        value = values[key]
        if is_dataclass(kind) and isinstance(value, dict):
            arguments[key] = from_dict(value, kind, f"{prefix}{key}.")
        elif kind is float and type(value) is int:
            arguments[key] = float(value)
        elif is_dataclass(kind) or not _is_a(value, kind):
            wanted = getattr(kind, "__name__", kind)
            raise InputError(f"{prefix}{key}={value!r} must be {wanted}")
        else:
            arguments[key] = value
    return schema(**arguments)


def _is_a(value: object, kind: Any) -> bool:
    """isinstance for the types of the schema; a bool is no int here."""
    kind = dict if kind == Component else kind
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def save(config: Any, path: Path) -> None:
    """Writes a schema instance as YAML."""
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(asdict(config))))


def check_resumed(path: Path, config: TrainConfig) -> None:
    """Refuses to go on with a run under other settings than it was begun with; training never sees the free ones."""
    begun, now = _flat(OmegaConf.to_container(OmegaConf.load(path))), _flat(asdict(config))
    free = ("resume", "device", "num_threads", "data.num_workers", "planner", "planning", "evaluation")
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
        raise InputError(f"unknown {kind} {name!r}{_suggestion(str(name), registry)}")
    try:
        return registry[name](**own, **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"{kind} {name}: {error}") from error


def program(config_name: str, schema: type[Schema]) -> Callable[[Callable[[Schema], None]], Callable[[], None]]:
    """Makes a program's entry point of a function of its typed configuration: Hydra's command line, one-line errors."""

    def decorate(function: Callable[[Schema], None]) -> Callable[[], None]:
        def task(config: DictConfig) -> None:
            with one_line_errors():
                function(_load(config, schema))

        def run() -> None:
            with one_line_errors():
                _check_overrides(config_name, sys.argv[1:])
            hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(task)()
            if dist.is_available() and dist.is_initialized():
                dist.destroy_process_group()

        return run

    return decorate


def _load(config: DictConfig, schema: type[Schema]) -> Schema:
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise InputError(f"give a value for {error.full_key}=") from None
    except OmegaConfBaseException as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from None
    return cast(Schema, from_dict(cast(dict[str, Any], values), schema))


def _check_overrides(config_name: str, arguments: list[str]) -> None:
    """Refuses a misspelt key or choice on the command line with a suggestion, before Hydra does without one."""
    overrides = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    groups = {
        path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in CONFIGS.iterdir() if path.is_dir()
    }
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise InputError(str(error).splitlines()[0]) from None
    choices = []
    for override in parsed:
        if override.key_or_group not in groups or override.is_delete():
            continue
        values = override.sweep_iterator() if override.is_sweep_override() else iter([override.value()])
        for choice in map(str, values):
            if choice not in groups[override.key_or_group]:
                known = groups[override.key_or_group]
                raise InputError(f"no {override.key_or_group} {choice!r}{_suggestion(choice, known)}")
        choices.append(f"{override.key_or_group}={choice}")
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        keys = _flat(OmegaConf.to_container(hydra.compose(config_name, choices), resolve=False))
    for override in parsed:
        key = override.key_or_group
        if not (override.is_add() or key in groups or key in keys or key.startswith("hydra")):
            raise InputError(f"unknown key {key!r}{_suggestion(key, [*keys, *groups])}")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of a nested dict, dotted, with its value; groups of keys are there too, with None."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        is_group = isinstance(value, dict)
        flat[f"{prefix}{key}"] = None if is_group else value
        if is_group:
            flat |= _flat(value, f"{prefix}{key}.")
    return flat


def _suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" or the list of what there is."""
    known = list(known)
    # The last part of a dotted key is often right and its group forgotten.
    close = [name for name in known if name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
    close = close or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(known)[:20])}"
