"""Evaluation policy of an agent, with a trace of its planning."""

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lewm.agent import Agent
from lewm.arrays import Actions, Rows
from lewm.evaluation.play import Scene
from lewm.evaluation.traces import Trace, padded


class MPCPolicy:
    """Policy that plans, executes a part of the plan, and plans again.

    Args:
      agent: agent that plans.
    """

    def __init__(self, agent: Agent) -> None:
        self.agent, self.context = agent, agent.mpc.context

    def start(self, scene: Scene) -> None:
        """Takes in the goals, the frames before the start, and the start."""
        past, past_actions = scene.past()
        frames = np.concatenate([past, scene.frames()[:, None]], axis=1)
        self._session = self.agent.begin(frames[:, 0], scene.goal_frames(), tuple(scene.numbers.tolist()))
        for t in range(past.shape[1]):
            self._session.observe(frames[:, t + 1], past_actions[:, t])
        self._queue: list[Actions] = []
        self._rows, self._num_steps = np.arange(len(frames)), 0
        self._num_encoded = np.full(len(frames), frames.shape[1] + 1)
        self._seconds, self._num_planned = list[float](), list[int]()
        self._costs, self._distances = list[NDArray](), list[NDArray]()
        self._observed_steps = list[int]()
        self._note_distance()

    def act(self) -> Actions:
        """(B, K, a) raw actions of the next model step."""
        if not self._queue:
            steps = np.split(self._plan(), self.agent.mpc.horizon, axis=1)
            self._queue = steps[: self.agent.num_executed]
        self._num_steps += self._queue[0].shape[1]
        return self._queue.pop(0)

    def observe(self, scene: Scene, actions: Actions) -> None:
        self._session.observe(scene.frames(), actions)
        self._num_encoded[self._rows] += 1
        self._note_distance()

    def keep(self, rows: Rows) -> None:
        self._rows = self._rows[rows]
        self._queue = [actions[rows] for actions in self._queue]
        self._session.keep(rows.tolist())

    def trace(self) -> Trace:
        """Trace of the episodes since start()."""
        return Trace(
            observed_steps=np.array(self._observed_steps),
            z_distance=np.stack(self._distances, axis=1),
            best_costs=padded([costs[None] for costs in self._costs]).swapaxes(0, 1),
            plan_seconds=np.array(self._seconds),
            num_planned=np.array(self._num_planned),
            num_encoded=self._num_encoded,
            first_plan=self._first_plan,
            imagined_z=self._imagined_z,
        )

    def _plan(self) -> Actions:
        """(B, H x K, a) raw actions of a plan, which is noted in the trace."""
        costs = list[Tensor]()
        begin = time.perf_counter()
        plan = self._session.plan(on_iteration=lambda found: costs.append(found.best_cost))
        self._seconds.append(time.perf_counter() - begin)
        self._num_planned.append(len(plan.actions))
        best = torch.stack(costs, dim=1).float().cpu().numpy() if costs else plan.cost[:, None]
        self._costs.append(self._of_all(best))
        if len(self._seconds) == 1:
            self._first_plan, self._imagined_z = plan.actions, self._session.imagine()
        return plan.actions

    def _note_distance(self) -> None:
        self._distances.append(self._of_all(self._session.goal_distance()))
        self._observed_steps.append(self._num_steps)

    def _of_all(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of the episodes that go on -> values of all episodes, nan for the others."""
        found = np.full((len(self._num_encoded), *values.shape[1:]), np.nan, np.float32)
        found[self._rows] = values
        return found
