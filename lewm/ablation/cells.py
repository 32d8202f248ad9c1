"""The cells of an ablation: which there are, what each is trained with, and how far each has come."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lewm.config import CONFIGS, WHERE_AND_HOW_FAST, TrainConfig, changed_key, flat, from_dict
from lewm.config.command_line import expand_components, parse_words, quoted
from lewm.errors import InputError
from lewm.results import read_results


@dataclass(frozen=True)
class Cell:
    """One run of train.py.

    Attributes:
      name: name of the run folder, made of the swept values and the seed.
      column: the swept values but for the seed, as tables show them.
      values: every swept key with its value, as text.
      seed: seed of the run.
      folder: the run folder.
      arguments: arguments of train.py.
      config: what train.py makes of them.
    """

    name: str
    column: str
    values: dict[str, str]
    seed: int
    folder: Path
    arguments: tuple[str, ...]
    config: TrainConfig

    @property
    def state(self) -> str:
        """done, failed, started or absent."""
        if (self.folder / "results.json").exists():
            return "done"
        if (self.folder / "failed.txt").exists():
            return "failed"
        return "started" if (self.folder / "config.yaml").exists() else "absent"

    @property
    def error(self) -> str:
        """What a failed cell ended with, "" of another."""
        return (self.folder / "failed.txt").read_text(encoding="utf-8").strip() if self.state == "failed" else ""

    @property
    def steps(self) -> int:
        """Training steps of a finished cell's weights, else those that are logged.

        The last of these is read from the end of a file that may be growing.
        """
        path = self.folder / "metrics.jsonl"
        if self.state == "done" and self.results is not None:
            return int(self.results["identity"]["step"])
        if not path.exists():
            return 0
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 8192, 0))
            found = re.findall(rb'^\{"step": (\d+),.*\}\n', file.read(), flags=re.MULTILINE)
        return int(found[-1]) + 1 if found else 0

    @cached_property
    def results(self) -> dict[str, Any] | None:
        """Content of results.json; None without one."""
        path = self.folder / "results.json"
        return read_results(path) if path.exists() else None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every dotted key with its value: what the run was begun with, or would be."""
        path = self.folder / "config.yaml"
        return flat(OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else asdict(self.config))

    def check_settings(self) -> None:
        """Refuses a folder that was begun with other settings than these."""
        begun, now = self.settings, flat(asdict(self.config))
        if key := changed_key(begun, now, WHERE_AND_HOW_FAST):
            raise InputError(
                f"the cell in {self.folder} was begun with {key}={begun.get(key)}, not {now.get(key)}:"
                " give that, or another name= for this ablation"
            )


def swept_keys(arguments: Sequence[str]) -> list[str]:
    """The keys that have several values, in the order of the command line."""
    return [override.get_key_element() for override in parse_words(arguments) if override.is_sweep_override()]


def make_cells(arguments: Sequence[str], folder: Path) -> list[Cell]:
    """The product of all swept values, the first key slowest, as runs under `folder`.

    Args:
      arguments: Hydra's overrides of train.yaml, some of them with several values.
      folder: folder of the ablation.

    Raises:
      InputError: a cell has no valid configuration, or two cells are one.
    """
    # The last one of a key counts.
    overrides = {override.get_key_element(): override for override in parse_words(arguments)}.values()
    sweeps = {override.get_key_element(): _texts(override) for override in overrides if override.is_sweep_override()}
    cells: list[Cell] = []
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for texts in itertools.product(*sweeps.values()):
            values = dict(zip(sweeps, texts, strict=True))
            words = [  # in the order of the command line, which may matter
                f"{key}={values[key]}" if (key := override.get_key_element()) in values else str(override.input_line)
                for override in overrides
            ]
            cells.append(_make_cell(words, values, folder))
    for cell in cells:
        twins = [other for other in cells if other.name == cell.name]
        if len(twins) > 1:
            raise InputError(f"{twins[0].values} and {twins[1].values} are one cell, {cell.name}: leave one out")
    return cells


def _texts(override: Override) -> list[str]:
    """The values of a sweep, each as it would stand alone on the command line."""
    try:
        return [*override.sweep_string_iterator()]
    except HydraException as error:
        raise InputError(f"{override.input_line}: {str(error).splitlines()[0]}") from None


def _make_cell(arguments: list[str], values: dict[str, str], folder: Path) -> Cell:
    config = _compose(arguments)
    # A choice of a group says enough by itself; a number needs its key.
    words = [
        text if (CONFIGS / key).is_dir() else f"{key.rsplit('.', 1)[-1]}={text}"
        for key, text in values.items()
        if key != "seed"
    ]
    slugs = [re.sub(r"[^A-Za-z0-9_.-]+", "-", word.replace("=", "")).strip("-.") for word in words]
    name = "_".join([*slugs, f"seed{config.seed}"])
    config = replace(config, name=name, output_dir=str(folder))
    arguments = [*arguments, f"name={name}", f"output_dir={quoted(str(folder))}"]
    column = ", ".join(words) or "all"
    return Cell(name, column, values, config.seed, folder / name, tuple(arguments), config)


def _compose(overrides: list[str]) -> TrainConfig:
    """What train.py gets for these arguments; needs hydra.initialize_config_dir() around it."""
    words = expand_components(TrainConfig, overrides)
    try:
        values = OmegaConf.to_container(hydra.compose("train", words), resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(f"{' '.join(overrides)}: {str(error).splitlines()[0]}") from None
    return cast(TrainConfig, from_dict(cast(dict[str, Any], values), TrainConfig))
