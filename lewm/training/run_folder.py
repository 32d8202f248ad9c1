"""Run folder of a training: opened for a new run or to resume one, by one process at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from accelerate import Accelerator

from lewm.config import TrainConfig, check_resumed, save
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.files import run_lock, write_json
from lewm.provenance import describe_process
from lewm.training.accelerator import describe_accelerator
from lewm.training.checkpoint import Checkpoint, latest_checkpoint


@contextmanager
def open_run_folder(config: TrainConfig, accelerator: Accelerator) -> Iterator[Checkpoint | None]:
    """Opens a run folder for training and gives the checkpoint to go on from, None for a new run.

    The main process holds its lock, and writes config.yaml and process.json when the run is new.

    Raises:
      InputError: the folder holds a run already, or none to resume, or one of other settings; or it is in use.
    """
    saved, latest = config.run_dir / "config.yaml", latest_checkpoint(config.run_dir)
    if latest and not config.resume:
        raise InputError(f"{config.run_dir} holds a run already: give resume=true to go on with it, or another name=")
    if config.resume and not saved.exists():
        raise InputError(f"resume=true, but {config.run_dir} holds no run: check name={config.name}, or leave it out")
    if config.resume:
        check_resumed(saved, config)
    accelerator.wait_for_everyone()
    checkpoint = Checkpoint.open(latest) if latest else None
    if changes := changed_machine(checkpoint.trained_on if checkpoint else {}, describe_accelerator(accelerator)):
        accelerator.print(f"the run goes on with {changes}")
    if not accelerator.is_main_process:
        yield checkpoint
        return
    with run_lock(config.run_dir):
        if not config.resume:
            process = {**describe_process(), **describe_accelerator(accelerator)}
            write_json(config.run_dir / "process.json", process)
            save(config, saved)
        yield checkpoint


def changed_machine(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What a resumed training runs on that may change its numbers: `precision bfloat16 (before: float32)`."""
    keys = "device", "precision", "num_processes"
    return ", ".join(
        f"{key} {now[key]} (before: {before[key]})" for key in keys if before.get(key, now[key]) != now[key]
    )


def check_same_data(checkpoint: Checkpoint, data: Episodes) -> None:
    """Refuses to go on with a run on other data than it was begun with."""
    if checkpoint.spec.data.content_hash != data.content_hash:
        raise InputError(
            f"{data.path} is not the dataset that {checkpoint.path} was trained on: give its path, data.path="
        )
