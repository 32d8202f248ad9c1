"""A planner in a world model behind the interface of frames and raw actions."""

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lewm.agent import Agent
from lewm.data.normalize import pack_actions, unpack_actions
from lewm.evaluation.play import Actions, Rows, Scene
from lewm.evaluation.traces import Trace, padded


class MPCPolicy:
    """Model-predictive control of the episodes of a scene.

    Args:
      agent: agent that plans.
    """

    def __init__(self, agent: Agent) -> None:
        self.mpc, self.device, self.num_executed = agent.mpc, agent.device, agent.num_executed
        self.normalizer, self.frameskip = agent.spec.normalizer, agent.spec.frameskip
        self.action_dim = len(agent.spec.action_low)
        self.context: int = agent.mpc.context

    def start(self, scene: Scene) -> None:
        """Looks at the goal, at what there is of the past, and at the start."""
        past, past_actions = scene.past()
        frames = np.concatenate([past, scene.frames()[:, None]], axis=1)
        episodes, width = tuple(scene.numbers.tolist()), self.frameskip * self.action_dim
        self._state = self.mpc.start(self._tensor(frames[:, 0]), self._tensor(scene.goal_frames()), episodes, width)
        for t in range(past.shape[1]):
            self._see(frames[:, t + 1], past_actions[:, t])
        self._queue: list[Tensor] = []
        self._rows, self._num_steps = np.arange(len(frames)), 0
        self._num_encoded = np.full(len(frames), frames.shape[1] + 1)
        self._seconds, self._num_planned = list[float](), list[int]()
        self._costs, self._distances = list[NDArray](), list[NDArray]()
        self._observed_steps = list[int]()
        self._look()

    def act(self) -> Actions:
        if not self._queue:
            self._queue = list(self._plan()[:, : self.num_executed].unbind(1))
        raw: Actions = self._raw(self._queue.pop(0)[:, None])
        self._num_steps += raw.shape[1]
        return raw

    def observe(self, scene: Scene, actions: Actions) -> None:
        self._see(scene.frames(), actions)
        self._num_encoded[self._rows] += 1
        self._look()

    def keep(self, rows: Rows) -> None:
        self._rows = self._rows[rows]
        index = torch.from_numpy(rows)
        self._queue = [block[index] for block in self._queue]
        self._state = self.mpc.keep(self._state, rows.tolist())

    def trace(self) -> Trace:
        """Of the episodes since start()."""
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

    @torch.no_grad()
    def embed(self, pixels: NDArray[np.uint8], batch_size: int = 256) -> NDArray[np.float32]:
        """(N, h, w, C) frames -> (N, D)."""
        pieces = (self._tensor(pixels[i : i + batch_size]) for i in range(0, len(pixels), batch_size))
        return torch.cat([self.mpc.model.encode(piece[:, None])[:, 0].float().cpu() for piece in pieces]).numpy()

    def _plan(self) -> Tensor:
        """(B, H, A) on the CPU."""
        before, costs = self._state, list[Tensor]()
        begin = time.perf_counter()
        plan, self._state = self.mpc.plan(before, on_iteration=lambda found: costs.append(found.best_cost))
        actions = plan.actions.cpu()  # which waits for a GPU
        self._seconds.append(time.perf_counter() - begin)
        self._num_planned.append(len(actions))
        self._costs.append(self._spread(torch.stack(costs or [plan.cost], dim=1)))
        if len(self._seconds) == 1:
            self._first_plan = self._raw(actions)
            self._imagined_z = self.mpc.imagine(before, plan.actions).float().cpu().numpy()
        return actions

    def _see(self, pixels: NDArray[np.uint8], actions: Actions) -> None:
        """Takes in the (B, h, w, C) frames after the executed (B, K, a) actions."""
        block = pack_actions(self.normalizer.normalize(actions), self.frameskip)[:, 0]
        self._state = self.mpc.observe(self._state, self._tensor(pixels), block.to(self.device))

    def _look(self) -> None:
        """Notes how far from the goal it looks."""
        distance = (self._state.z[:, -1] - self._state.z_goal).square().sum(-1)
        self._distances.append(self._spread(distance))
        self._observed_steps.append(self._num_steps)

    def _spread(self, values: Tensor) -> NDArray[np.float32]:
        """Values of the episodes that go on -> those of all, nan for the others."""
        spread = np.full((len(self._num_encoded), *values.shape[1:]), np.nan, np.float32)
        spread[self._rows] = values.float().cpu().numpy()
        return spread

    def _raw(self, blocks: Tensor) -> NDArray[np.float32]:
        raw: NDArray[np.float32] = self.normalizer.denormalize(unpack_actions(blocks, self.frameskip)).numpy()
        return raw

    def _tensor(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(pixels).movedim(-1, -3).to(self.device)
