"""The planning evaluation of one model: success on held-out pairs, baselines, probes, speed."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from lewm.config import EnvConfig, EvaluationConfig
from lewm.data.episodes import Episodes
from lewm.evaluation.baselines import BASELINES, Privileged, make_baseline
from lewm.evaluation.env_pool import EnvPool
from lewm.evaluation.evaluation_episodes import EvaluationEpisodes
from lewm.evaluation.film_choice import choose_films
from lewm.evaluation.imagination import film_imagination
from lewm.evaluation.manifest import Manifest
from lewm.evaluation.mpc_policy import MPCPolicy
from lewm.evaluation.pairs import Pairs, in_batches, read_pairs
from lewm.evaluation.partial_results import PartialResults
from lewm.evaluation.play import Outcome, Policy, play
from lewm.evaluation.process_env_pool import ProcessEnvPool, open_env_pool
from lewm.evaluation.results import (
    describe_pairs,
    describe_planning,
    describe_protocol,
    describe_source,
    fingerprint,
    join_outcomes,
    summarize,
)
from lewm.evaluation.traces import Trace, Traced


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation, of which nothing but the partial results is written.

    Attributes:
      results: content of results.json.
      manifest: the pairs.
      env: the environment.
      outcome: outcome of each of the P pairs.
      trace: what the policy's planning left.
      films: arrays of film_imagination, none of a policy without a model.
      filmed: numbers of the pairs to film.
      parts: partial results, to be removed when everything is written.
    """

    results: dict[str, Any]
    manifest: Manifest
    env: EnvConfig
    outcome: Outcome
    trace: Trace
    films: dict[str, NDArray[Any]]
    filmed: list[int]
    parts: PartialResults


def evaluate(
    policy: Policy | Privileged,
    episodes: EvaluationEpisodes,
    manifest: Manifest,
    env: EnvConfig,
    config: EvaluationConfig,
    out_dir: Path,
    identity: dict[str, Any],
    diagnostics: dict[str, float],
    progress: Progress,
) -> Evaluation:
    """Plays the pairs of a manifest; lewm.report.save_evaluation writes what it returns.

    Killed and called again with the same arguments, it goes on with the batches of episodes that are not played yet.

    Args:
      policy: the model behind its planner, or a baseline.
      episodes: episodes that the pairs come from.
      manifest: the pairs.
      env: the environment.
      config: budget, start, batches and processes.
      out_dir: folder of the evaluation; partial results are in its folder parts/.
      identity: description of the model and the policy.
      diagnostics: numbers of Validation.
      progress: progress that the bars are drawn in.
    """
    data = episodes.data
    known = {key: value for key, value in identity.items() if key != "command"}
    protocol = describe_protocol(manifest, config, episodes.split)
    parts = PartialResults(out_dir / "parts", fingerprint(known, protocol, config.batch_size, env))
    with open_env_pool(env, min(config.batch_size, len(manifest)), config.num_workers) as pool:
        player = policy.enter(pool, read_pairs(manifest, data)) if isinstance(policy, Privileged) else policy
        try:
            outcomes, trace = _Evaluation(player, data, manifest, env, config, pool, parts, progress).run()
        except KeyboardInterrupt:
            note = "interrupted: the same command goes on with what is played (that of a training with resume=true)"
            progress.console.print(note, soft_wrap=True)
            raise
        outcome = outcomes.pop("policy")
        filmed, films = choose_films(outcome.reached, outcome.solved_at_start, config.num_videos), {}
        if isinstance(player, MPCPolicy):
            films = film_imagination(player.agent, trace, outcome, pool, data, env.frameskip, filmed)
    results = {
        "identity": identity,
        "protocol": protocol,
        "source": describe_source(episodes, manifest),
        "model": summarize(outcome, manifest.episodes),
        "baselines": {name: summarize(each, manifest.episodes) for name, each in outcomes.items()},
        "already_solved": float(outcome.solved_at_start.mean()),
        "diagnostics": diagnostics,
        "planning": describe_planning(trace),
        "pairs": describe_pairs(manifest, outcome),
    }
    return Evaluation(results, manifest, env, outcome, trace, films, filmed, parts)


def complete(pairs: Pairs, pool: EnvPool | ProcessEnvPool) -> Pairs:
    """Pairs whose states have all numbers of the environment's own, of which a dataset may have recorded a part."""
    return pairs._replace(
        start_states=pool.complete(pairs.start_states),
        goal_states=pool.complete(pairs.goal_states),
        past_states=pool.complete(pairs.past_states),
    )


class _Evaluation:
    """Plays a manifest batch by batch; arguments as in evaluate()."""

    def __init__(
        self,
        policy: Policy,
        data: Episodes,
        manifest: Manifest,
        env: EnvConfig,
        config: EvaluationConfig,
        pool: EnvPool | ProcessEnvPool,
        parts: PartialResults,
        progress: Progress,
    ) -> None:
        self._data, self._manifest, self._env, self._config = data, manifest, env, config
        self._pool, self._parts, self._progress = pool, parts, progress
        pairs = read_pairs(manifest, data)
        bounds = np.array(data.metadata.action_low), np.array(data.metadata.action_high)
        baselines = {name: make_baseline(name, pairs, config.budget, *bounds, manifest.seed) for name in BASELINES}
        self._policies: dict[str, Policy] = {"policy": policy, **baselines}
        # What came before a start at rest was in motion.
        context = 1 if config.start == "rest" else policy.context
        self._batches = in_batches(manifest, config.batch_size, context, env.frameskip)

    def run(self) -> tuple[dict[str, Outcome], Trace]:
        """Outcomes of the policy and of the baselines, by name, and what the policy's planning left."""
        total = len(self._manifest) * self._config.budget
        self._bars = {
            name: self._progress.add_task("planning" if name == "policy" else name, total=total, unit="env steps")
            for name in self._policies
        }
        played = [self._part(i, *batch) for i, batch in enumerate(self._batches)]
        order = np.argsort(np.concatenate([numbers for numbers, _ in self._batches]))
        outcomes = {
            name: join_outcomes([_unpack(Outcome, name, part) for part in played], order) for name in self._policies
        }
        return outcomes, Trace.join([_unpack(Trace, "trace", part) for part in played], order)

    def _part(self, i: int, numbers: NDArray[np.int64], num_past: int) -> dict[str, NDArray]:
        """The arrays of batch i, played now unless they are there."""
        arrays = self._parts.load(i)
        if arrays is None:
            arrays = self._play(read_pairs(self._manifest, self._data, numbers, num_past, self._env.frameskip))
            self._parts.save(i, arrays)
        else:
            for name in self._policies:
                self._advance(name, len(numbers), self._config.budget)
        return arrays

    def _play(self, recorded: Pairs) -> dict[str, NDArray]:
        pairs = complete(recorded, self._pool)
        if self._config.start == "rest":
            pairs = pairs._replace(start_states=self._pool.at_rest(pairs.start_states))
        arrays: dict[str, NDArray] = {}
        for name, policy in self._policies.items():
            outcome = play(
                self._pool, policy, pairs, self._config.budget, partial(self._advance, name, len(pairs.numbers))
            )
            arrays |= {f"{name}.{key}": value for key, value in outcome._asdict().items()}
        player = self._policies["policy"]
        trace = player.trace() if isinstance(player, Traced) else Trace.empty(len(pairs.numbers))
        return arrays | {f"trace.{key}": value for key, value in trace._asdict().items()}

    def _advance(self, name: str, num_episodes: int, num_steps: int) -> None:
        self._progress.advance(self._bars[name], num_episodes * num_steps)


def _unpack(kind: Any, name: str, arrays: dict[str, NDArray]) -> Any:
    return kind(**{field: arrays[f"{name}.{field}"] for field in kind._fields})
