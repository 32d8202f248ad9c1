"""Components: parts that a configuration names, and their construction from registries."""

import difflib
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import gymnasium as gym

from lewm.errors import InputError

Component = dict[str, Any]
"""{name, **arguments}: a key of a registry and the arguments of what it names."""


def build(registry: dict[str, Any], component: Component, kind: str, **arguments: Any) -> Any:
    """Constructs what `component` names in `registry` from its arguments and the further ones given here.

    Raises:
      InputError: the name or an argument is unknown, an argument is missing or has another type than the constructor
        says, or the constructor refuses a value by an InputError, or by one of Gymnasium's errors as experts do.
        Whatever else happens in a constructor is a mistake in it, and passes as it is.
    """
    if "name" not in component:
        raise InputError(f"{kind} has no name; choose one of {', '.join(sorted(registry))}")
    name, own = component["name"], {key: value for key, value in component.items() if key != "name"}
    if not isinstance(name, str) or name not in registry:
        raise InputError(f"unknown {kind} {name!r}{suggestion(str(name), registry)}")
    try:
        check_arguments(registry[name], own, arguments)
        built = registry[name](**own, **arguments)
        _check_finite(own)  # last, because a constructor that knows its range has more to say
    except (InputError, gym.error.Error) as error:
        raise InputError(f"{kind} {name}: {error} (in {own})") from error
    return built


def check_arguments(constructor: Callable[..., Any], own: Mapping[str, Any], given: Collection[str]) -> None:
    """Checks arguments from a configuration against a constructor's signature.

    Args:
      constructor: a class or function.
      own: arguments of the configuration.
      given: names of arguments that the caller adds, which a configuration cannot have.

    Raises:
      InputError: one of `own` is unknown or of another type than annotated, or one is missing.
    """
    parameters = inspect.signature(constructor).parameters
    takes_all = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {key for key, parameter in parameters.items() if parameter.kind not in _VARIADIC} - set(given)
    types = _annotations(constructor)
    for key, value in own.items():
        if key in given or not (key in known or takes_all):
            raise InputError(f"there is no argument {key!r}{suggestion(str(key), known)}")
        if key in types and not _fits(value, types[key]):
            raise InputError(f"{key}={value!r} must be {_described(types[key])}")
    for key in parameters:
        if key in known and parameters[key].default is inspect.Parameter.empty and key not in own:
            raise InputError(f"the argument {key!r} is missing")


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

_LARGEST_INT, _LARGEST_FLOAT = 2**63 - 1, 3.4e38
"""Largest numbers of a configuration: tensors hold 64-bit integers and 32-bit floats."""


def _check_finite(own: Mapping[str, Any]) -> None:
    """InputError: an argument is NaN, infinite, or too large a number for a tensor of 32-bit floats."""
    for key, value in own.items():
        if isinstance(value, float) and not abs(value) <= _LARGEST_FLOAT:
            raise InputError(f"{key}={value} must be a finite number")


def _annotations(constructor: Callable[..., Any]) -> dict[str, Any]:
    described = constructor if is_dataclass(constructor) or not inspect.isclass(constructor) else constructor.__init__
    try:
        return get_type_hints(described)
    except NameError:  # somebody's annotations that are there for type checkers only
        return {}


def _fits(value: object, kind: Any) -> bool:
    """Whether a value read from YAML can be what an annotation says; what YAML cannot hold fits only itself."""
    if kind in (int, float):
        is_number = isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
        return is_number and (kind is float or abs(value) <= _LARGEST_INT)  # type: ignore[arg-type]
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in options)
    if origin in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(_fits(each, options[0]) for each in value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(_fits(each, options[1]) for each in value.values())
    if kind is Any or origin is not None or not isinstance(kind, type):
        return True
    return isinstance(value, kind)


def _described(kind: Any) -> str:
    """An annotation as a user reads it: "float or null"."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_described(option) for option in get_args(kind))
    if kind is NoneType:
        return "null"
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")


def suggestion(word: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" or the list of what there is."""
    known = list(known)
    # The last part of a dotted key is often right and its group forgotten.
    close = [name for name in known if name.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]]
    close = close or difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(known)[:20])}"


def is_a(value: object, kind: Any) -> bool:
    """isinstance for the types of the schema; a bool is no int here."""
    kind = get_origin(kind) or kind
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
