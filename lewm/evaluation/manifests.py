"""Choice of the manifest of an evaluation: the one that is given, the committed one, or one drawn by the same rule."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lewm.config import EnvConfig, EvaluationConfig
from lewm.data.episodes import Episodes
from lewm.errors import InputError
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes
from lewm.evaluation.manifest import AreSolved, Manifest
from lewm.shipped import shipped

MANIFESTS = shipped("manifests")
"""<env>/offset_<offset>.json and <env>/offset_<offset>_strict.json of the datasets that the shipped recipes give."""

STARTS = ("recorded", "rest")


def committed(name: str, offset: int, strict: bool) -> Path:
    """Path of the committed manifest of an environment, which need not exist."""
    return MANIFESTS / name / f"offset_{offset}{'_strict' if strict else ''}.json"


def choose_manifest(
    episodes: EvaluationEpisodes, env: EnvConfig, config: EvaluationConfig, tell: Callable[[str], Any]
) -> Manifest:
    """The pairs that every model is tried on, a function of the episodes and the protocol.

    Args:
      episodes: the episodes to draw from.
      env: their environment.
      config: names a manifest, or says which pairs to draw.
      tell: takes a line about where the pairs are from, if that is not what one would expect.
    """
    if config.start not in STARTS:
        raise InputError(f"evaluation.start={config.start!r}; there are {' and '.join(STARTS)}")
    data, ids = episodes.data, episodes.ids
    check_states(data, env)
    if config.manifest is not None:
        return _given(Path(config.manifest), episodes, env, config.num_pairs, tell)
    path = committed(env.name, config.offset, config.strict)
    if episodes.split == "test" and path.exists():
        manifest = Manifest.load(path)
        if manifest.dataset_hash != data.content_hash:
            tell(f"{path} is of other data than {data.path}: its pairs are drawn anew from these, by the same rule")
        elif manifest.seed == config.manifest_seed:
            if set(manifest.episodes) <= set(ids.tolist()):
                if len(manifest) < config.num_pairs:
                    tell(f"{path} has {len(manifest)} pairs of evaluation.num_pairs={config.num_pairs}: all are tried")
                return manifest.first(config.num_pairs)
            tell(f"{path} is of other episodes of {data.path}: its pairs are drawn anew, by the same rule")
    return draw(data, ids, env, config.offset, config.num_pairs, config.manifest_seed, config.strict)


def check_states(data: Episodes, env: EnvConfig) -> None:
    """InputError unless the environment can be put into recorded states: starts and goals are made so."""
    with closing(EnvPool(env)) as pool:
        try:
            pool.complete(data.states[:1])
        except ValueError as error:
            raise InputError(
                f"the states of {data.path} have {data.states.shape[1]} numbers, and evaluation puts {env.id} into them"
                f" ({error}): give data with its states, or env=recorded to train without an evaluation"
            ) from None


def draw(
    data: Episodes, ids: NDArray, env: EnvConfig, offset: int, num_pairs: int, seed: int, strict: bool
) -> Manifest:
    """Draws a manifest; a strict one asks the environment which pairs are solved at the start."""
    if not strict:
        return Manifest.draw(data, ids, offset, num_pairs, seed)
    with closing(EnvPool(env)) as pool:
        return Manifest.draw(data, ids, offset, num_pairs, seed, judged_in(pool))


def judged_in(pool: EnvPool) -> AreSolved:
    """Tells the pairs that the environment takes for solved."""

    def are_solved(starts: NDArray[np.float64], goals: NDArray[np.float64]) -> NDArray[np.bool_]:
        return pool.judge(pool.complete(starts)[:, None], pool.complete(goals))[0][:, 0]

    return are_solved


def _given(
    path: Path, episodes: EvaluationEpisodes, env: EnvConfig, num_pairs: int, tell: Callable[[str], Any]
) -> Manifest:
    """The manifest of evaluation.manifest. InputError: it is not of these data, or of episodes that were trained on."""
    manifest, data = Manifest.load(path), episodes.data
    if manifest.env_id != env.id:
        raise InputError(
            f"evaluation.manifest={path} is of {manifest.env_id}, not of {env.id}: give one of this environment, or"
            " leave it out to have pairs drawn"
        )
    if manifest.dataset_hash != data.content_hash:
        raise InputError(
            f"evaluation.manifest={path} is of other data than {data.path}: give the data and the evaluation.split"
            " that it was drawn from, or leave it out to have pairs drawn from these"
        )
    for episode, step in zip(manifest.episodes, manifest.steps, strict=True):
        if episode >= len(data) or step > data.lengths[episode] - manifest.offset:
            raise InputError(
                f"evaluation.manifest={path} has a pair from step {step} of episode {episode} to"
                f" {manifest.offset} steps later, which {data.path} has not: draw the manifest again"
            )
    if not set(manifest.episodes) <= set(episodes.ids.tolist()):
        raise InputError(
            f"evaluation.manifest={path} has pairs of episodes that are not of evaluation.split={episodes.split}, and"
            " may have been trained on: give a manifest of that split"
        )
    chosen = manifest.first(num_pairs)
    tell(
        f"evaluation.manifest={path} decides: offset={chosen.offset}, strict={str(chosen.strict).lower()},"
        f" manifest_seed={chosen.seed}; {len(chosen)} of its {len(manifest)} pairs are tried"
    )
    return chosen
