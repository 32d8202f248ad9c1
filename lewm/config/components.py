"""Components: parts that a configuration names, and their construction from registries."""

import difflib
import inspect
from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import Any, get_origin, get_type_hints

from lewm.errors import InputError

Component = dict[str, Any]
"""{name, **arguments}: a key of a registry and the arguments of what it names."""


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
        if wanted in (int, float, bool, str) and not (is_a(value, wanted) or (wanted is float and is_a(value, int))):
            raise InputError(f"{kind} {name}: {key}={value!r} must be {wanted.__name__}")
    try:
        return registry[name](**own, **arguments)
    except (TypeError, ValueError, AssertionError) as error:  # of our own parts, and of the libraries under them
        raise InputError(f"{kind} {name}: {error} (in {own})") from error


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
