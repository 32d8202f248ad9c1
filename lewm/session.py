"""Sessions: episodes that an agent is in the middle of, in frames and raw actions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lewm.arrays import Actions, Frames
from lewm.errors import InputError
from lewm.planning.mpc import MPC, MPCState
from lewm.planning.protocols import OnIteration
from lewm.raw_units import RawUnits


class RawPlan(NamedTuple):
    """A plan in the units of the robot.

    Attributes:
      actions: (H x K, a) raw actions in the order of time, within the bounds of the training data; (B, H x K, a) for B
        episodes.
      cost: () predicted cost of these actions, (B,) for B episodes; nan without a search (planning.proposal=amortized).
    """

    actions: Actions
    cost: NDArray[np.float32]


class Session:
    """Episodes under way; Agent.begin() starts them. Each frame is encoded once.

    Its one state is `state`: keep it and put it back to return to that moment.

    Example:
      ```python
      session = agent.begin(frame[None], goal_frame[None])  # one episode
      while True:
          actions = session.plan().actions[0, :K]  # K raw actions, one model step
          frame = robot.execute(actions)
          session.observe(frame[None], actions[None])
      ```

    Args:
      mpc: control in embeddings and normalized action blocks.
      units: translation to and from frames and raw actions.
      state: state of B episodes.
    """

    def __init__(self, mpc: MPC, units: RawUnits, state: MPCState) -> None:
        self.mpc, self.units, self.state = mpc, units, state

    def plan(self, rows: Sequence[int] | None = None, on_iteration: OnIteration | None = None) -> RawPlan:
        """Plans from the last frames. The next search starts from what is left of this plan by then.

        With planning.proposal=amortized or seeded, each plan starts from a proposal instead.

        Args:
          rows: R episodes that plan now, in the order of the plan; all by default.
          on_iteration: called after each iteration of a search; see MPC.plan.

        Returns:
          The plan: (R, H x K, a) actions and (R,) costs.
        """
        plan, self.state = self.mpc.plan(self.state, self._chosen(rows), on_iteration)
        return RawPlan(self.units.raw(plan.actions), plan.cost.cpu().numpy())

    def observe(self, frame: Frames, actions: Actions, rows: Sequence[int] | None = None) -> None:
        """Takes in the frames after one executed model step.

        Args:
          frame: (R, h, w, C) uint8 frames that followed the actions.
          actions: (R, K, a) raw actions executed since the frames before.
          rows: R episodes that this happened to; all by default.
        """
        rows = self._chosen(rows)
        block = for_each(len(rows), "blocks of actions", self.units.blocks(actions))
        if block.shape[1] != 1:
            raise InputError(f"{np.shape(actions)[1]} actions before each frame: give those of one model step")
        pixels = for_each(len(rows), "frames", self.units.pixels(frame))
        self.state = self.mpc.observe(self.state, pixels, block[:, 0], rows)

    def set_goal(self, goal_frame: Frames) -> None:
        """Goes on to other goals: (B, h, w, C) uint8 frames."""
        goal_pixels = for_each(self._num_episodes, "goal frames", self.units.pixels(goal_frame))
        self.state = self.mpc.set_goal(self.state, goal_pixels)

    def search_from(self, actions: Actions) -> None:
        """Starts the next search from given actions.

        Args:
          actions: (B, n, a) raw actions, n at most H x K; the mean action of the training data stands for the rest.

        Raises:
          InputError: they do not fit, or planning.proposal is amortized or seeded: then each plan starts elsewhere.
        """
        if not self.mpc.planner.uses_mean:
            proposal = self.mpc.planner.name
            raise InputError(
                f"no search begins around initial actions with planning.proposal={proposal}: leave them out"
            )
        blocks = for_each(self._num_episodes, "sequences of initial actions", self.units.blocks(actions))
        mean = torch.zeros_like(self.state.mean)
        if blocks.shape[1] > mean.shape[1]:
            given = np.shape(actions)[1]
            raise InputError(f"{given} initial actions are more than the {mean.shape[1]} blocks of a plan")
        mean[:, : blocks.shape[1]] = blocks
        self.state = self.state._replace(mean=mean)

    def keep(self, rows: Sequence[int]) -> None:
        """Forgets all episodes but these, which take this order."""
        self.state = self.mpc.keep(self.state, self._chosen(rows))

    def imagine(self) -> NDArray[np.float32]:
        """(B, H, D) embeddings that the model predicts for the last plans, before their first action is executed."""
        return self.mpc.imagine(self.state, self.state.mean).float().cpu().numpy()

    def goal_distance(self) -> NDArray[np.float32]:
        """(B,) squared distances between the embeddings of the last frames and the goals."""
        return (self.state.z[:, -1] - self.state.z_goal).square().sum(-1).float().cpu().numpy()

    @property
    def _num_episodes(self) -> int:
        return len(self.state.episodes)

    def _chosen(self, rows: Sequence[int] | None) -> list[int]:
        """All rows for None. InputError: this session lacks one of them, or one comes twice."""
        chosen = [int(row) for row in (range(self._num_episodes) if rows is None else rows)]
        if len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(self._num_episodes)):
            raise InputError(f"rows={chosen} must be different numbers from 0 to {self._num_episodes - 1}")
        return chosen


def for_each(num_episodes: int, what: str, values: Tensor) -> Tensor:
    """Returns the values. InputError: they are not one for each episode."""
    if len(values) != num_episodes:
        raise InputError(f"{len(values)} {what} for {num_episodes} episodes: give one for each")
    return values
