"""Loading of configurations: nested values to the dataclasses of the schema, and back."""

from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lewm.config.components import is_a, suggestion
from lewm.config.schema import FolderName, OneOf, Range, TrainConfig
from lewm.errors import InputError
from lewm.files import write_text
from lewm.shipped import shipped

CONFIGS = shipped("configs")

WHERE_AND_HOW_FAST = (
    *("name", "output_dir", "resume", "device", "num_threads", "tracker", "data.num_workers", "data.device"),
    *("training.graph", "training.compile"),
)
"""Keys that decide where a run lies and how fast it trains. The data are told apart by their hash, not their path."""

AFTER_TRAINING = ("heads", "planner", "planning", "evaluation", "env.collection.num_test_episodes")
"""Groups and keys that training never sees."""

DEFAULTS = (
    ("model", "actor/none.yaml"),
    ("model", "contrast/none.yaml"),
    ("training", "experiment/quickstart.yaml"),
    ("planning", "planning/mpc.yaml"),
    ("evaluation", "evaluation/held_out.yaml"),
    ("data", "train.yaml"),
    ("env.collection", "env/two_room.yaml"),
)
"""Groups, and files of configs/ with the values of keys that older runs lack."""

LATER_KEYS = {"optimizer": "optimizer/adamw.yaml", "tracker": "train.yaml"}
"""Files of configs/ with the values that older runs lack beside groups, by key."""


def from_dict(values: dict[str, Any], schema: Any, prefix: str = "") -> Any:
    """Makes an instance of `schema` of nested values.

    Raises:
      InputError: a key is unknown, missing, of a wrong type, or out of its range.
    """
    types = get_type_hints(schema, include_extras=True)
    for key in values:
        if key not in types:
            raise InputError(f"unknown key {prefix + str(key)!r} in the configuration{suggestion(str(key), types)}")
    arguments: dict[str, Any] = {}
    for key, kind in types.items():
        if key not in values:
            raise InputError(f"the configuration lacks {prefix + key!r}")
        kinds = alternatives(kind)
        value = _as_kind(values[key], kinds)
        nested = [option for option in kinds if is_dataclass(option)]
        if nested and isinstance(value, dict):
            fitting = [option for option in nested if value.keys() == get_type_hints(option).keys()]
            arguments[key] = from_dict(value, (fitting or nested)[0], f"{prefix}{key}.")
        elif not any(is_a(value, option) for option in kinds):
            raise InputError(f"{prefix}{key}={value!r} must be {_wanted(kind)}")
        else:
            arguments[key] = value
            _check_allowed(f"{prefix}{key}", value, kind)
    return schema(**arguments)


def _as_kind(value: Any, kinds: tuple[Any, ...]) -> Any:
    """An int as a float and a list as a tuple, where these are wanted: YAML and JSON tell them apart less well."""
    if float in kinds and type(value) is int:
        return float(value)
    wanted = next((kind for kind in kinds if get_origin(kind) is tuple), None)
    if wanted is None or not isinstance(value, list):
        return value
    item = get_args(wanted)[0]
    items = tuple(_as_kind(each, (item,)) for each in value)
    return items if all(is_a(each, item) for each in items) else value


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types that a value of the schema may have: int and NoneType for Count | None."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(get_args(each)[0] if get_origin(each) is Annotated else each for each in kinds)


def _wanted(kind: Any) -> str:
    """What a value of the schema may be, for messages: `int or null`, `true, false or auto`."""
    names = {NoneType: "null", bool: "true or false"}
    words = [word for option in (kind, *get_args(kind)) for allowed in _metadata(option) for word in _words(allowed)]
    kinds = [option for option in alternatives(kind) if not (words and option is str)]
    return " or ".join([*(names.get(option, option.__name__) for option in kinds), *words])


def _metadata(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__metadata__", ())


def _words(allowed: Any) -> tuple[str, ...]:
    return allowed.words if isinstance(allowed, OneOf) else ()


def _check_allowed(key: str, value: Any, kind: Any) -> None:
    """Refuses a value that the annotations of its type do not allow."""
    if value is None:
        return
    for allowed in (each for option in (kind, *get_args(kind)) for each in _metadata(option)):
        if isinstance(allowed, Range):
            low, high = allowed
            if not (low <= value and (high is None or value <= high)):
                bounds = f"at least {low}" + ("" if high is None else f" and at most {high}")
                raise InputError(f"{key}={value} must be {bounds}")
        if isinstance(allowed, OneOf) and isinstance(value, str) and value not in allowed.words:
            raise InputError(f"{key}={value!r} must be {_wanted(kind)}")
        if isinstance(allowed, FolderName) and not allowed.allows(value):
            raise InputError(
                f"{key}={value!r} must be the name of one folder: letters, digits, dots, dashes, underscores and equals"
                f" signs, no dot in front, and none of {', '.join(sorted(allowed.reserved))}"
            )


def save(config: Any, path: Path) -> None:
    """Writes a schema instance as YAML."""
    write_text(path, OmegaConf.to_yaml(OmegaConf.create(asdict(config))))


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file of keys and values. InputError: it is missing, damaged, or something else."""
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path} is not a readable configuration ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is not a readable configuration: it holds {type(values).__name__}, not keys")
    return cast(dict[str, Any], values)


def read_run_config(path: Path) -> TrainConfig:
    """Reads the config.yaml of a run, also one of an older version.

    Keys that are not known any more are left out; those that it lacks have their defaults of configs/.
    """
    values = read_yaml(path)
    for group, file in DEFAULTS:
        own: Any = values
        default = read_yaml(CONFIGS / file)
        for key in group.split("."):
            own, default = own.get(key) if isinstance(own, dict) else None, default[key]
        if isinstance(own, dict):
            own |= {key: value for key, value in default.items() if key not in own}
    values = {key: read_yaml(CONFIGS / file)[key] for key, file in LATER_KEYS.items()} | values
    return cast(TrainConfig, from_dict(known_keys(values, TrainConfig), TrainConfig))


def known_keys(values: dict[str, Any], schema: Any) -> dict[str, Any]:
    """The values without the keys that the schema does not have; components are left as they are."""
    kept: dict[str, Any] = {}
    for key, kind in get_type_hints(schema).items():
        nested = [option for option in alternatives(kind) if is_dataclass(option)]
        if key not in values:
            continue
        is_group = bool(nested) and isinstance(values[key], dict)
        best = (
            max(nested, key=lambda option: len(values[key].keys() & get_type_hints(option).keys()))
            if is_group
            else None
        )
        kept[key] = known_keys(values[key], best) if is_group else values[key]
    return kept


def check_resumed(path: Path, config: TrainConfig) -> None:
    """Refuses to go on with a run under other settings of its training than it was begun with.

    Args:
      path: config.yaml of the run.
      config: what is asked for now.
    """
    free = (*WHERE_AND_HOW_FAST, "data.path", "data.root", *AFTER_TRAINING)
    if key := changed_key(flat(asdict(read_run_config(path))), flat(asdict(config)), free):
        begun, now = flat(read_yaml(path)).get(key), flat(asdict(config)).get(key)
        raise InputError(
            f"the run in {path.parent} was begun with {key}={begun}, not {now}: resume it with that, or give another"
            " name="
        )


def changed_key(begun: dict[str, Any], now: dict[str, Any], free: tuple[str, ...]) -> str | None:
    """The first dotted key, by name, whose values differ; `free` names keys and groups that may differ."""
    for key in sorted(begun.keys() | now.keys()):
        is_free = any(key == name or key.startswith(f"{name}.") for name in free)
        if begun.get(key) != now.get(key) and not is_free:
            return key
    return None


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of a nested dict, dotted, with its value; groups of keys are there too, with None."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        is_group = isinstance(value, dict)
        found[f"{prefix}{key}"] = None if is_group else value
        if is_group:
            found |= flat(value, f"{prefix}{key}.")
    return found
