"""Hydra's command line in front of typed configurations, with suggestions and one-line errors."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_type_hints

import hydra
import torch.distributed as dist
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from lewm.config import CONFIGS, Component, alternatives, flat, from_dict, suggestion
from lewm.errors import InputError, one_line_errors

Schema = TypeVar("Schema")


Inherit = Callable[[dict[str, Any]], dict[str, dict[str, Any]]]
"""Values of the command line by key, those of a sweep as a list -> values of groups that it does not choose."""

INHERITED = "as_trained"
"""Name of the option that holds the inherited values of a group, beside the files of configs/<group>."""


FULL_ERROR = "HYDRA_FULL_ERROR"
"""Environment variable by which Hydra raises what goes wrong."""


def program(
    config_name: str, schema: type[Schema], inherit: Inherit | None = None
) -> Callable[[Callable[[Schema], None]], Callable[[], None]]:
    """Makes a program's entry point of a function of its typed configuration: Hydra's command line, one-line errors.

    Args:
      config_name: name of a file in configs/.
      schema: dataclass of the configuration.
      inherit: gives groups the values that they have elsewhere, before single keys of the command line change them.
    """

    def decorate(function: Callable[[Schema], None]) -> Callable[[], None]:
        def run() -> None:
            typed = sys.argv

            def task(config: DictConfig) -> None:
                sys.argv = typed  # what a run records as its command
                composing.close()
                with one_line_errors():
                    function(_load(config, schema))

            with one_line_errors(), ExitStack() as stack:
                words = expand_components(schema, plain_words(schema, typed[1:]))
                inherited = stack.enter_context(inherited_options(inherit, words)) if inherit else []
                if any(override.is_sweep_override() for override in _overrides(words)):
                    check_overrides(config_name, words, inherited)  # before the first job, not before the one at fault
                named = f"hydra.help.app_name='{Path(typed[0]).name}'"
                # Hydra reads these, and takes all its key=value words from one place among its options.
                place = next((i for i, word in enumerate(words) if "=" in word and word[0] != "-"), len(words))
                sys.argv = [typed[0], *words[:place], named, *inherited, *words[place:]]
                composing = stack.enter_context(ExitStack())
                composing.enter_context(_raised_errors())
                try:
                    hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)(task)()
                except HydraException as error:
                    check_overrides(config_name, words, inherited)  # says it with a suggestion
                    raise InputError(str(error).splitlines()[0]) from error
            if dist.is_available() and dist.is_initialized():
                dist.destroy_process_group()

        return run

    return decorate


@contextmanager
def _raised_errors() -> Iterator[None]:
    """Has Hydra raise its errors, instead of printing them without a suggestion and leaving."""
    before = os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FULL_ERROR]
        else:
            os.environ[FULL_ERROR] = before


def _load(config: DictConfig, schema: type[Schema]) -> Schema:
    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise InputError(f"give a value for {error.full_key}=") from None
    except OmegaConfBaseException as error:
        raise InputError(f"configuration: {str(error).splitlines()[0]}") from None
    return cast(Schema, from_dict(cast(dict[str, Any], values), schema))


def plain_words(schema: type[Any], arguments: Sequence[str]) -> list[str]:
    """Lets words mean what they do elsewhere: ~ is the home folder, and text that looks like a number stays text."""
    texts, words = {name for name, kinds in _flat_types(schema) if set(kinds) <= {str, NoneType}}, []
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals and not word.startswith("-"):
            value = _HOME.sub(lambda found: os.path.expanduser(found[0]), value)
            pieces = value.split(",")
            if key.lstrip("+") in texts and all(re.fullmatch(r"[\w.+-]+", piece) for piece in pieces):
                value = ",".join(piece if _is_text(piece) else _in_quotes(piece) for piece in pieces)
        words.append(f"{key}{equals}{value}")
    return words


_HOME = re.compile(r"""(?<![^,'"])~[\w.-]*(?=/|,|['"]|$)""")
"""A home folder at the begin of one of the values of a word, or ~user of another one."""


def _is_text(piece: str) -> bool:
    """Whether Hydra reads a value as a string, or as null; also if it cannot read it."""
    try:
        return not isinstance(parse_words([f"key={piece}"])[0].value(), int | float)
    except InputError:
        return True


def quoted(text: str) -> str:
    """A text as Hydra's grammar takes it: in quotes, unless it is a path of letters and digits."""
    return text if re.fullmatch(r"[\w./-]+", text, re.ASCII) else _in_quotes(text)


def _in_quotes(text: str) -> str:
    # Backslashes are themselves but in front of a quote.
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text) + "'"


def word_of(key: str, value: object) -> str:
    """The word of a command line that gives a key a text, with quotes for Hydra and for the shell if it needs them."""
    word = f"{key}={value}"
    if re.fullmatch(r"[\w.=/+-]*", word, re.ASCII) and _can_be_read(word):
        return word
    escaped = re.sub(r'(["\\$`])', r"\\\1", f"{key}={_in_quotes(str(value))}")
    return f'"{escaped}"'


def expand_components(schema: type[Any], arguments: list[str]) -> list[str]:
    """Lets a component that is given whole replace the one before it; Hydra alone would merge their arguments.

    `model.flow=affine_coupling` and `model.flow='{name: affine_coupling, num_layers: 6}'` become two words each: null,
    which empties the key, and the component in braces. Single keys after them may be new ones.
    """
    components, replaced, words = _component_keys(schema), set(), []
    for word in arguments:
        key, _, rest = word.lstrip("+").partition("=")
        component = next((name for name in components if f"{key}.".startswith(f"{name}.")), None)
        whole = _whole_components(word, key) if rest and key == component else None
        if whole:
            replaced.add(component)
            words += [f"{key}=null", f"++{key}={whole}"]
        elif component in replaced:
            words.append(f"++{word.lstrip('+')}")
        else:
            words.append(word)
    return words


@contextmanager
def inherited_options(inherit: Inherit, arguments: list[str]) -> Iterator[list[str]]:
    """Adds an option with the inherited values to each group for a while, and gives the words that choose them."""
    chosen = {
        override.key_or_group: list(override.sweep_iterator()) if override.is_sweep_override() else override.value()
        for override in _overrides(arguments)
        if not override.is_delete()
    }
    inherited, store = inherit(chosen), ConfigStore.instance()
    for group, values in inherited.items():
        node = OmegaConf.create({group: values})
        store.store(name=INHERITED, node=node, group=group, package="_global_")
    try:
        yield [f"{group}={INHERITED}" for group in inherited]
    finally:
        for group in inherited:
            del store.repo[group][f"{INHERITED}.yaml"]


def _component_keys(schema: type[Any]) -> list[str]:
    """Dotted keys of the components of a schema, but for those that are chosen by their file in configs/."""
    return [key for key, kinds in _flat_types(schema) if Component in kinds and not (CONFIGS / key).is_dir()]


def _flat_types(schema: type[Any], prefix: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Dotted keys of a schema with the types that their values may have."""
    for key, kind in get_type_hints(schema).items():
        kinds = alternatives(kind)
        yield f"{prefix}{key}", kinds
        for option in kinds:
            if is_dataclass(option):
                yield from _flat_types(cast(type[Any], option), f"{prefix}{key}.")


def _whole_components(word: str, key: str) -> str | None:
    """The value of a word with names in braces, all values of a sweep; None if none is a name or has one."""
    try:
        override = parse_words([word])[0]
        sweeps = override.is_discrete_sweep()
        texts = list(override.sweep_string_iterator()) if sweeps else [override.get_value_element_as_str()]
        values = [parsed.value() for parsed in parse_words([f"{key}={text}" for text in texts])]
    except InputError:  # check_overrides says so
        return None
    if not any(isinstance(value, str) or (isinstance(value, dict) and "name" in value) for value in values):
        return None
    pairs = zip(texts, values, strict=True)
    return ",".join(f"{{name: {text}}}" if isinstance(value, str) else text for text, value in pairs)


def _overrides(arguments: list[str]) -> list[Override]:
    """The key=value words among the arguments, parsed."""
    return parse_words([word for word in arguments if "=" in word and not word.startswith("-")])


def parse_words(words: Sequence[str]) -> list[Override]:
    """Parses key=value words. InputError: names the first one that cannot be read, with the quotes that it needs."""
    try:
        return OverridesParser.create().parse_overrides(list(words))
    except HydraException as error:
        word = next((word for word in words if not _can_be_read(word)), str(error).splitlines()[0])
        raise InputError(_unreadable(word)) from None


def _can_be_read(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def _unreadable(word: str) -> str:
    key, _, value = word.partition("=")
    if not _can_be_read(f"{key}="):
        return f"{word!r}: {key!r} is no key; --help lists the keys"
    if value[:1] in "[{'\"":
        return f"{word!r}: its brackets, commas or quotes do not match"
    return f"{word!r} has characters that need quotes: give {word_of(key, value)}"


def check_overrides(config_name: str, arguments: list[str], inherited: Sequence[str] = ()) -> None:
    """Refuses a misspelt key or choice on the command line with a suggestion, where Hydra has none.

    Args:
      config_name: name of a file in configs/.
      arguments: the words.
      inherited: words that stand before them; see inherited_options.
    """
    # Hydra's own options begin with a dash and may take the word after them (--cfg job).
    before = ["", *arguments]
    words = [word for word, last in zip(arguments, before, strict=False) if "=" in word or not last.startswith("-")]
    overrides = [word for word in words if not word.startswith("-")]
    for argument in overrides:
        if "=" not in argument and not argument.startswith("~"):
            raise InputError(f"{argument!r} is no key=value; --help lists the keys")
    groups = {
        path.name: sorted(file.stem for file in path.glob("*.yaml")) for path in CONFIGS.iterdir() if path.is_dir()
    }
    parsed = parse_words(overrides)
    choices = []
    for override in parsed:
        if override.key_or_group not in groups or override.is_delete():
            continue
        values = override.sweep_iterator() if override.is_sweep_override() else iter([override.value()])
        for choice in map(str, values):
            if choice not in groups[override.key_or_group]:
                known = groups[override.key_or_group]
                raise InputError(f"no {override.key_or_group} {choice!r}{suggestion(choice, known)}")
        choices.append(f"{override.key_or_group}={choice}")
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = hydra.compose(config_name, [*inherited, *choices])
    except HydraException as error:  # a group that this program does not have
        raise InputError(f"{config_name}: {str(error).splitlines()[0]}") from None
    keys = flat(OmegaConf.to_container(composed, resolve=False))
    for override in parsed:
        key = override.key_or_group
        is_new = override.is_add() or override.is_force_add()
        if not (is_new or key in groups or key in keys or key.startswith("hydra")):
            raise InputError(f"unknown key {key!r}{suggestion(key, [*keys, *groups])}")
