"""Planning without an environment, for people with a robot: arrays in, raw actions out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lewm.config import Component, PlanningConfig
from lewm.data.normalize import pack_actions, unpack_actions
from lewm.errors import InputError
from lewm.models import JEPA
from lewm.planning.mpc import MPC, MPCState
from lewm.training.build import build_mpc
from lewm.training.model_spec import ModelSpec

Frames = NDArray[np.uint8]
Actions = NDArray[np.float32]


class RawPlan(NamedTuple):
    """A plan in the units of the robot.

    Attributes:
      actions: (H x K, a) raw actions in the order of time, within the bounds of the training data; (B, H x K, a) for B
        episodes.
      cost: () what the model predicts that they cost, (B,) for B episodes; nan for a proposal alone.
    """

    actions: Actions
    cost: NDArray[np.float32]


@dataclass(frozen=True)
class Agent:
    """A trained run that plans.

    `plan` is a function: what it returns depends on its arguments alone. `begin` gives a Session, which remembers the
    frames, so that each is encoded once, and where the next search starts.

    Attributes:
      mpc: plans in normalized action blocks.
      spec: of the run: frame size, frameskip K, bounds and statistics of the actions.
      num_executed: model steps that are meant to be executed before the next plan.
      device: device of the model.
    """

    mpc: MPC
    spec: ModelSpec
    num_executed: int
    device: str

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        model: JEPA,
        planner: Component,
        planning: PlanningConfig,
        seed: int,
        heads: Mapping[str, nn.Module],
        device: str,
    ) -> "Agent":
        """Builds an agent; Run.agent() does it for a run folder.

        Args:
          spec: specification of the model.
          model: world model; in eval mode when it plans.
          planner, planning: configuration of the search and of control.
          seed: seed of the planner's noise.
          heads: heads that were fitted to the model's embeddings, by name; asked only for what is needed.
          device: device of the model.
        """
        bounds = spec.normalizer.block_bounds(spec.action_low, spec.action_high, spec.frameskip)
        low, high = (bound.unflatten(0, (spec.frameskip, -1)).to(device) for bound in bounds)
        return cls(build_mpc(model, planner, planning, low, high, seed, heads), spec, planning.num_executed, device)

    def plan(
        self,
        frames: Frames,
        past_actions: Actions,
        goal_frame: Frames,
        *,
        initial_actions: Actions | None = None,
        episodes: tuple[int, ...] | None = None,
        number: int = 0,
    ) -> RawPlan:
        """Plans from what was just seen and done.

        Args:
          frames: (T, h, w, C) uint8 last frames, K env steps apart, the newest last, T at least 1; those beyond
            planning.context are not looked at. (B, T, h, w, C) for B episodes, and likewise the others.
          past_actions: ((T-1) x K, a) raw actions executed between them.
          goal_frame: (h, w, C) uint8.
          initial_actions: raw actions around which the search begins, such as the rest of the last plan: at most
            (H x K, a), whole blocks of K; the mean action of the training data stands for those that are missing. None
            where planning.proposal is initial or alone: the proposal is where these begin.
          episodes, number: which noise the planner draws: B identifiers, and how many plans went before.

        Returns:
          The plan.

        Raises:
          InputError: frames or actions do not have the size that the model was trained on, or do not fit each other.
        """
        frames, past_actions, goal_frame = np.asarray(frames), np.asarray(past_actions), np.asarray(goal_frame)
        is_batch = frames.ndim == 5
        if not is_batch:
            frames, past_actions, goal_frame = frames[None], past_actions[None], goal_frame[None]
            initial_actions = None if initial_actions is None else np.asarray(initial_actions)[None]
        if frames.ndim != 5 or not frames.shape[1]:
            raise InputError(f"frames of shape {frames.shape[1:]}: give (T, h, w, C) for an episode, T at least 1")
        frameskip, num_steps = self.spec.frameskip, frames.shape[1] - 1
        if past_actions.ndim != 3 or past_actions.shape[1] != num_steps * frameskip:
            raise InputError(
                f"past actions of shape {past_actions.shape[1:]} between {num_steps + 1} frames:"
                f" give {frameskip} for each model step"
            )
        num_unseen = max(num_steps + 1 - self.mpc.context, 0)
        frames, past_actions = frames[:, num_unseen:], past_actions[:, num_unseen * frameskip :]
        session = self.begin(frames[:, 0], goal_frame, episodes)
        _for_each(len(frames), "sequences of past actions", self.blocks(past_actions))
        for t in range(1, frames.shape[1]):
            session.observe(frames[:, t], past_actions[:, (t - 1) * frameskip : t * frameskip])
        if initial_actions is not None:
            session.search_from(initial_actions)
        session.state = session.state._replace(num_plans=(number,) * len(frames))
        planned = session.plan()
        return planned if is_batch else RawPlan(planned.actions[0], planned.cost[0])

    def begin(self, frame: Frames, goal_frame: Frames, episodes: tuple[int, ...] | None = None) -> "Session":
        """(B, h, w, C) first frames and goal frames of B episodes, at least one, and their identifiers -> a Session."""
        pixels = self.pixels(frame)
        episodes = tuple(range(len(pixels))) if episodes is None else tuple(episodes)
        if not len(pixels) == len(episodes) > 0:
            raise InputError(f"{len(pixels)} first frames of {len(episodes)} episodes: give one for each, at least one")
        goal_pixels = _for_each(len(pixels), "goal frames", self.pixels(goal_frame))
        return Session(self, self.mpc.start(pixels, goal_pixels, episodes, self.spec.action_dim))

    def pixels(self, frames: Frames) -> Tensor:
        """(B, h, w, C) uint8 -> (B, C, h, w), on the device. InputError: they are not what the model was trained on."""
        size, frames = self.spec.frame_size, np.array(frames)
        if frames.shape[1:] != (size, size, 3) or frames.dtype != np.uint8:
            raise InputError(
                f"a frame is {' x '.join(map(str, frames.shape[1:]))} {frames.dtype},"
                f" and the model was trained on {size} x {size} x 3 uint8: resize it as its data were"
            )
        return torch.from_numpy(frames).movedim(-1, -3).to(self.device)

    def blocks(self, actions: Actions) -> Tensor:
        """(B, n x K, a) raw -> (B, n, A) normalized blocks. InputError: of another size, or not finite."""
        frameskip, action_dim = self.spec.frameskip, len(self.spec.action_low)
        actions = np.array(actions, np.float32)
        if actions.ndim != 3 or actions.shape[2] != action_dim or actions.shape[1] % frameskip:
            raise InputError(
                f"actions of shape {actions.shape[1:]}: the model takes {action_dim} numbers for each env step,"
                f" and {frameskip} env steps for each of its own"
            )
        if not np.isfinite(actions).all():
            raise InputError("an action is nan or infinite")
        return pack_actions(self.spec.normalizer.normalize(actions), frameskip).to(self.device)

    def raw(self, blocks: Tensor) -> Actions:
        """(B, H, A) normalized blocks -> (B, H x K, a) raw actions within their bounds."""
        actions = self.spec.normalizer.denormalize(unpack_actions(blocks.cpu(), self.spec.frameskip))
        low, high = (np.array(bound, np.float32) for bound in (self.spec.action_low, self.spec.action_high))
        return np.clip(actions.numpy(), low, high)


class Session:
    """Episodes under way. Its one state is `state`: keep it and put it back to return to that moment.

    Args:
      agent: plans.
      state: of B episodes.
    """

    def __init__(self, agent: Agent, state: MPCState) -> None:
        self.agent, self.state = agent, state

    def plan(self, rows: Sequence[int] | None = None) -> RawPlan:
        """Plans from the last frames. The next search starts from what is left of this plan by then.

        Where planning.proposal is initial or alone, every plan starts from a proposal instead.

        Args:
          rows: those that plan now, in the order of the plan; all by default.
        """
        plan, self.state = self.agent.mpc.plan(self.state, self._chosen(rows))
        return RawPlan(self.agent.raw(plan.actions), plan.cost.cpu().numpy())

    def observe(self, frame: Frames, actions: Actions, rows: Sequence[int] | None = None) -> None:
        """Takes in the (R, h, w, C) frames that followed the executed (R, K, a) raw actions of R rows, else of all."""
        rows = self._chosen(rows)
        block = _for_each(len(rows), "blocks of actions", self.agent.blocks(actions))
        if block.shape[1] != 1:
            raise InputError(f"{np.shape(actions)[1]} actions before each frame: give those of one model step")
        pixels = _for_each(len(rows), "frames", self.agent.pixels(frame))
        self.state = self.agent.mpc.observe(self.state, pixels, block[:, 0], rows)

    def set_goal(self, goal_frame: Frames) -> None:
        """Goes on to other goals, (B, h, w, C)."""
        goal_pixels = _for_each(self._num_episodes, "goal frames", self.agent.pixels(goal_frame))
        self.state = self.agent.mpc.set_goal(self.state, goal_pixels)

    def search_from(self, actions: Actions) -> None:
        """Lets the next search begin around (B, n, a) raw actions, n at most H x K, else the mean action.

        Raises:
          InputError: they do not fit, or planning.proposal is initial or alone: then no search begins around them.
        """
        use = self.agent.mpc.proposal_use
        if use in ("initial", "alone"):
            raise InputError(f"no search begins around initial actions with planning.proposal={use}: leave them out")
        blocks = _for_each(self._num_episodes, "sequences of initial actions", self.agent.blocks(actions))
        mean = torch.zeros_like(self.state.mean)
        if blocks.shape[1] > mean.shape[1]:
            given = np.shape(actions)[1]
            raise InputError(f"{given} initial actions are more than the {mean.shape[1]} blocks of a plan")
        mean[:, : blocks.shape[1]] = blocks
        self.state = self.state._replace(mean=mean)

    @property
    def _num_episodes(self) -> int:
        return len(self.state.episodes)

    def _chosen(self, rows: Sequence[int] | None) -> list[int]:
        """All rows for None. InputError: one of them is none of this session's, or comes twice."""
        chosen = [int(row) for row in (range(self._num_episodes) if rows is None else rows)]
        if len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(self._num_episodes)):
            raise InputError(f"rows={chosen} must be different numbers from 0 to {self._num_episodes - 1}")
        return chosen


def _for_each(num_episodes: int, what: str, values: Tensor) -> Tensor:
    """The values. InputError: they are not one for each episode."""
    if len(values) != num_episodes:
        raise InputError(f"{len(values)} {what} for {num_episodes} episodes: give one for each")
    return values
