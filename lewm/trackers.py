"""Trackers beside TensorBoard, by accelerate's classes: trackio, and Weights & Biases."""

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker, TrackioTracker, WandBTracker

from lewm.config import TrainConfig, flat
from lewm.errors import InputError, one_line

TRACKERS = {"trackio": TrackioTracker, "wandb": WandBTracker}
"""Classes by the value of tracker=, which is the name of their package, too."""

PROJECT = "lewm"


def check_tracker(name: str) -> None:
    """Refuses a tracker whose package is not installed, before there is anything to track."""
    if name in TRACKERS and importlib.util.find_spec(name) is None:
        raise InputError(f"tracker={name} needs a package: uv pip install {name}")


@contextmanager
def open_tracker(config: TrainConfig) -> Iterator[GeneralTracker | None]:
    """Starts the tracker that a configuration asks for, or goes on with it, and ends it behind the block.

    The run has the name of the run folder in the project PROJECT, with the configuration as its hyper-parameters.

    Args:
      config: configuration of the run; without a tracker, None is given.

    Raises:
      InputError: it does not start.
    """
    if config.tracker not in TRACKERS:
        yield None
        return
    chosen = {"name": config.name, "resume": "allow"}
    if config.tracker == "wandb":
        chosen |= {"id": config.name, "dir": str(config.run_dir)}
    tracker = TRACKERS[config.tracker](PROJECT, **chosen)
    try:
        tracker.start()
        tracker.store_init_configuration({key: _plain(value) for key, value in flat(asdict(config)).items()})
    except Exception as error:  # whatever a library's own class raises without a login, say
        raise InputError(
            f"tracker={config.tracker} does not start ({one_line(error)}): mend that, or leave it out"
        ) from error
    try:
        yield tracker
    finally:
        tracker.finish()


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def log_evaluation(tracker: GeneralTracker, results: Mapping[str, Any], videos: Sequence[Path]) -> None:
    """Logs an evaluation: each success rate of the model, all policies' as a table, and the videos.

    Args:
      tracker: tracker of open_tracker().
      results: content of results.json; that of recordings, without a model in it, has nothing to log.
      videos: mp4 files.
    """
    if "model" not in results:
        return
    module = importlib.import_module(tracker.name)
    rates = {name: rate["rate"] for name, rate in results["model"].items() if isinstance(rate, dict)}
    rows = {"model": results["model"], **results["baselines"]}
    table = [[policy, *(row[name]["rate"] for name in rates)] for policy, row in rows.items()]
    tracker.log(
        {
            **{f"evaluation/{name}": rate for name, rate in rates.items()},
            "evaluation/policies": module.Table(columns=["policy", *rates], data=table),
            **{f"evaluation/{video.stem}": module.Video(str(video), format="mp4") for video in videos},
        }
    )
