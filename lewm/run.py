"""Runs: the one reader of what train.py leaves behind."""

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm import hub
from lewm.agent import Agent
from lewm.config import (
    CONFIGS,
    Component,
    PlanningConfig,
    TrainConfig,
    from_dict,
    read_run_config,
    read_yaml,
    suggestion,
)
from lewm.data.clips import split_dataset
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.files import whole_folder, write_json, write_text
from lewm.heads.files import Heads
from lewm.models import JEPA
from lewm.results import read_results
from lewm.training.accelerator import choose_device
from lewm.training.checkpoint import Checkpoint, find_checkpoint
from lewm.training.model_spec import ModelSpec


@dataclass(frozen=True)
class Run:
    """A trained run: its model, its heads, its data, and agents that plan with them.

    Everything is read when it is first asked for and checked against what was written.

    Example:
      ```python
      run = Run.open("runs/two_room_micro_sigreg_seed0")
      agent = run.agent(planner="icem", horizon=8)
      plan = agent.plan(frames, past_actions, goal_frame)  # raw actions within their bounds
      ```

    Attributes:
      path: the run folder.
      checkpoint: the checkpoint that is used.
      device: cpu, cuda or cuda:1, where model, heads and agents are.
    """

    path: Path
    checkpoint: Checkpoint
    device: str

    @classmethod
    def open(cls, path: str | Path, *, device: str = "cpu") -> "Run":
        """Opens a run folder at its last checkpoint, or a checkpoint folder.

        Raises:
          InputError: there is none, it is damaged, or there is no such device.
        """
        kind, colon, number = device.partition(":")
        device = choose_device(kind) + colon + number
        found = find_checkpoint(Path(path))
        inside = found.parent.name == "checkpoints"
        return cls(found.parent.parent if inside else found, Checkpoint.open(found), device)

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, *, revision: str | None = None, device: str = "cpu") -> "Run":
        """Opens a folder as open() does, or downloads a model from the Hugging Face Hub.

        Args:
          path_or_id: a folder, or an id on the hub, as "user/name".
          revision: branch, tag or commit on the hub; the latest commit by default.
          device: cpu or cuda.

        Raises:
          InputError: there is no such folder or model, or it is damaged.
        """
        is_folder = Path(path_or_id).exists()
        return cls.open(path_or_id if is_folder else hub.download(str(path_or_id), revision), device=device)

    def save_pretrained(self, folder: str | Path, *, evaluation: str | Path | None = None, name: str = "") -> None:
        """Writes what it takes to plan and to fine-tune into a new folder, which open() and from_pretrained() read.

        These are the weights, their description, the configuration, the heads, the results of an evaluation, and a
        model card.

        Args:
          folder: folder to make.
          evaluation: folder of an evaluation of these weights, for the card; None for the one of the training, if any.
          name: name of the model on the card; the folder's by default.

        Raises:
          InputError: the folder exists, the evaluation is none of these weights, or the disk is full.
        """
        folder = Path(folder)
        if folder.exists():
            raise InputError(f"{folder} exists already: remove it, or give another folder")
        results, training = self._results(evaluation), self._training()
        try:
            with whole_folder(folder) as partial:
                self.checkpoint.copy_weights(partial)
                for file in ("config.yaml", "process.json"):
                    if (self.path / file).exists():
                        shutil.copyfile(self.path / file, partial / file)
                for head in self.heads:
                    shutil.copytree(self.path / "heads" / head, partial / "heads" / head)
                if results is not None:
                    write_json(partial / "results.json", results)
                card = hub.model_card(name or folder.name, self.spec, self.step, training, results)
                write_text(partial / "README.md", card)
        except OSError as error:  # a full disk, say
            raise InputError(f"cannot write {folder}: {error}") from error

    def push_to_hub(self, model_id: str, *, evaluation: str | Path | None = None, private: bool | None = None) -> str:
        """Uploads what save_pretrained() writes to the Hugging Face Hub and returns the URL of the commit.

        Args:
          model_id: id on the hub, as "user/name"; the repository is made if there is none.
          evaluation: as in save_pretrained().
          private: whether a new repository is private; None for the default of the account.

        Raises:
          InputError: no token may write there, the hub cannot be reached, or as for save_pretrained().
        """
        with TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            self.save_pretrained(folder, evaluation=evaluation, name=model_id)
            return hub.upload(folder, model_id, private=private)

    def _training(self) -> dict[str, Any]:
        """Command, commit and versions of the training; older runs lack them."""
        file = self.path / "process.json"
        try:
            return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{file} is damaged ({error}): remove it") from None

    def _results(self, evaluation: str | Path | None) -> dict[str, Any] | None:
        """Results of an evaluation of these weights. Those of the training may be missing or of other weights: None."""
        path = self.path if evaluation is None else Path(evaluation)
        if evaluation is None and not (path / "results.json").exists():
            return None
        results = read_results(path)
        if results["identity"].get("weights_hash") == self.checkpoint.weights_hash:
            return results
        if evaluation is None:
            return None
        raise InputError(f"{path} is an evaluation of other weights than those of {self.checkpoint.path}")

    @property
    def spec(self) -> ModelSpec:
        """What using the weights takes: architecture, frame size, frameskip, action statistics and bounds."""
        return self.checkpoint.spec

    @property
    def step(self) -> int:
        """Training steps that led to the weights."""
        return self.checkpoint.step

    @cached_property
    def config(self) -> TrainConfig:
        """The configuration that the run was begun with, read from config.yaml."""
        return read_run_config(self.path / "config.yaml")

    @cached_property
    def model(self) -> JEPA:
        """The trained model in eval mode, without gradients, on the device."""
        model = self.spec.build_model()
        self.checkpoint.load_weights(model)
        return model.to(self.device).eval().requires_grad_(False)

    @cached_property
    def heads(self) -> Heads:
        """The heads that were fitted to these weights, by name."""
        return Heads(self.path, self.checkpoint, self.device)

    def data(self, path: str | Path | None = None) -> Episodes:
        """Opens the dataset that the model was trained on, or the one at `path`.

        Raises:
          InputError: another dataset lies where the run's own was, or frames or actions are not the model's.
        """
        data, trained_on = Episodes(path or self.spec.data.path), self.spec.data
        if path is None and data.content_hash != trained_on.content_hash:
            raise InputError(
                f"{data.path} is not the dataset that {self.path} was trained on, but another one"
                f" ({data.content_hash[:12]}, not {trained_on.content_hash[:12]}): give the path of that one as"
                f" data_path=, or data_path={data.path} to take every episode of this one for held out"
            )
        if data.metadata.frame_size != self.spec.frame_size:
            raise InputError(
                f"the frames of {data.path} are {data.metadata.frame_size} pixels wide, and {self.path} was trained on"
                f" {self.spec.frame_size}: give data of that size as data_path="
            )
        if data.actions.shape[1] != len(self.spec.action_low):
            raise InputError(
                f"the actions in {data.path} have {data.actions.shape[1]} dimensions, and {self.path} was trained on"
                f" {len(self.spec.action_low)}: give data of the environment that it was trained in as data_path="
            )
        return data

    def owns(self, data: Episodes) -> bool:
        """Whether the model was trained on episodes of this dataset."""
        return data.content_hash == self.spec.data.content_hash

    def split(self, data: Episodes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the episodes that the model was trained on and of those held out: of other data, all are."""
        if not self.owns(data):
            return np.zeros(0, np.int64), np.arange(len(data))
        return split_dataset(data, self.spec.data.val_fraction, self.spec.data.split_seed)

    def agent(
        self,
        *,
        planner: str | Component | None = None,
        planning: str | PlanningConfig | None = None,
        seed: int | None = None,
        **changes: Any,
    ) -> Agent:
        """An agent that plans with this model.

        Args:
          planner: name of a file in configs/planner, or {name, **arguments}; None for the run's own.
          planning: name of a file in configs/planning, or a PlanningConfig; None for the run's own.
          seed: seed of the planner's noise; None for the run's own.
          changes: keys of the PlanningConfig with their values, such as horizon=5.

        Raises:
          InputError: there is no such file or key, or it does not fit the model.
        """
        if isinstance(planner, str):
            planner = _option("planner", planner)
        if isinstance(planning, str):
            planning = from_dict(_option("planning", planning), PlanningConfig, "planning.")
        settings = from_dict(vars(planning or self.config.planning) | changes, PlanningConfig, "planning.")
        seed = self.config.seed if seed is None else seed
        return Agent.of(self.spec, self.model, planner or self.config.planner, settings, seed, self.heads, self.device)


def _option(group: str, name: str) -> dict[str, Any]:
    """The values of configs/<group>/<name>.yaml."""
    names = {path.stem for path in (CONFIGS / group).glob("*.yaml")}
    if name not in names:
        raise InputError(f"{group}={name!r} is no file of configs/{group}{suggestion(name, names)}")
    values: dict[str, Any] = read_yaml(CONFIGS / group / f"{name}.yaml")[group]
    return values
