"""Hydra's command line in front of typed configurations, with suggestions and one-line errors."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import hydra
import torch.distributed as dist
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from lewm.config import CONFIGS, flat, from_dict, suggestion
from lewm.errors import InputError, one_line_errors

Schema = TypeVar("Schema")


def program(config_name: str, schema: type[Schema]) -> Callable[[Callable[[Schema], None]], Callable[[], None]]:
    """Makes a program's entry point of a function of its typed configuration: Hydra's command line, one-line errors."""

    def decorate(function: Callable[[Schema], None]) -> Callable[[], None]:
        def task(config: DictConfig) -> None:
            with one_line_errors():
                function(_load(config, schema))

        def run() -> None:
            with one_line_errors():
                check_overrides(config_name, sys.argv[1:])
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


def check_overrides(config_name: str, arguments: list[str]) -> None:
    """Refuses a misspelt key or choice on the command line with a suggestion, before Hydra does without one."""
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
                raise InputError(f"no {override.key_or_group} {choice!r}{suggestion(choice, known)}")
        choices.append(f"{override.key_or_group}={choice}")
    try:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            composed = hydra.compose(config_name, choices)
    except HydraException as error:  # a group that this program does not have
        raise InputError(f"{config_name}: {str(error).splitlines()[0]}") from None
    keys = flat(OmegaConf.to_container(composed, resolve=False))
    for override in parsed:
        key = override.key_or_group
        if not (override.is_add() or key in groups or key in keys or key.startswith("hydra")):
            raise InputError(f"unknown key {key!r}{suggestion(key, [*keys, *groups])}")
