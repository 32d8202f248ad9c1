"""Recorded episodes that evaluation pairs are drawn from, of one of two splits.

Episodes of a dataset are for training, but for the share that is held out. What weights, planners and numbers of steps
are chosen by is the success on `validation` pairs; `test` pairs report the number in the end, and nothing is chosen by
them. So test episodes are not even of the dataset: they are collected for evaluation alone, by the same recipe under
another seed. Of data that no recipe made there are no more: their held-out episodes are halved.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig, TrainConfig
from lewm.data.episodes import Episodes
from lewm.data.identity import DatasetIdentity, choose_path
from lewm.errors import InputError

SPLITS = ("test", "validation")
TEST_SEED = 1_000_003
"""Added to env.collection.seed for the test episodes."""


@dataclass(frozen=True)
class EvaluationEpisodes:
    """Episodes that pairs of start and goal are drawn from.

    Attributes:
      data: dataset that they are in.
      ids: (E,) their numbers, ascending; no model was trained on them.
      split: test or validation.
      origin: where they are from, in words for reports.
    """

    data: Episodes
    ids: NDArray[np.int64]
    split: str
    origin: str


def recipe_of_test_episodes(env: EnvConfig) -> EnvConfig:
    """The configuration that test episodes are collected by: the same recipe, another seed and number.

    An expert that has a `split` of its own, as one that plays recordings again, takes that of test episodes.
    """
    collection = env.collection
    expert = collection.expert | ({"split": "test"} if "split" in collection.expert else {})
    num_episodes, seed = collection.num_test_episodes, collection.seed + TEST_SEED
    return replace(env, collection=replace(collection, expert=expert, num_episodes=num_episodes, seed=seed))


def path_of_test_episodes(data: Path, env: EnvConfig) -> Path:
    """The folder of the test episodes that belong to a dataset, beside it."""
    return data.absolute().parent / DatasetIdentity.wanted(recipe_of_test_episodes(env)).fingerprint


def provide_datasets(config: TrainConfig, provide: Callable[[Path, EnvConfig], Any]) -> None:
    """Collects what train.py reads, if it is absent: the dataset and, to evaluate on split test, the test episodes.

    Args:
      config: configuration of the training.
      provide: collects the dataset of a configuration into a folder, unless it is there.

    Raises:
      InputError: recordings are not where they should be.
    """
    path = choose_path(config.env, config.data.path, config.data.root)
    if isinstance(config.env, EnvConfig):
        provide(path, config.env)
        if config.evaluation.split == "test":
            provide(path_of_test_episodes(path, config.env), recipe_of_test_episodes(config.env))
    elif not path.exists():
        raise InputError(f"no dataset at {path}: give data.path=, the folder of your recordings")


def choose_episodes(
    split: str,
    data: Episodes,
    held_out: NDArray[np.int64],
    env: EnvConfig,
    split_seed: int,
    provide: Callable[[Path, EnvConfig], Any],
) -> EvaluationEpisodes:
    """The episodes of a split.

    Args:
      split: test or validation.
      data: dataset with the held-out episodes.
      held_out: (E,) its episodes that no model was trained on.
      env: environment and recipe that the data should be of.
      split_seed: seed of the halves of data that no recipe made.
      provide: collects the dataset of a configuration into a folder, unless it is there.

    Raises:
      InputError: there is no such split, or there are not enough held-out episodes.
    """
    if split not in SPLITS:
        raise InputError(f"evaluation.split={split!r}; there are {' and '.join(SPLITS)}")
    if _is_of_recipe(data, env):
        if split == "validation":
            return EvaluationEpisodes(data, held_out, split, f"held-out episodes of {data.path}")
        path = path_of_test_episodes(data.path, env)
        provide(path, recipe_of_test_episodes(env))
        collected = Episodes(path)
        collected.check_fits(env)
        origin = f"episodes collected for evaluation alone in {path}"
        return EvaluationEpisodes(collected, np.arange(len(collected)), split, origin)
    sources = data.sources[held_out]
    if len(found := np.unique(sources)) < 2:
        raise InputError(
            f"{data.path} has {len(found)} held-out episode, and validation and test need one each: raise"
            " data.val_fraction, or give more data"
        )
    half = np.random.default_rng(split_seed).permutation(found)[SPLITS.index(split) :: 2]
    ids = held_out[np.isin(sources, half)]
    return EvaluationEpisodes(data, ids, split, f"one half of the held-out episodes of {data.path}")


def _is_of_recipe(data: Episodes, env: EnvConfig) -> bool:
    """Whether the data are what the configuration collects, so that more of the kind can be collected."""
    recorded = DatasetIdentity.recorded(data)
    return recorded is not None and not recorded.differences(DatasetIdentity.wanted(env))
