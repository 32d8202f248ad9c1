"""Agents: a trained model that plans, in frames and raw actions. No environment is needed."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lewm.arrays import Actions, Frames
from lewm.config import Component, PlanningConfig
from lewm.errors import InputError
from lewm.models import JEPA
from lewm.models.rollout.build import build_rollout
from lewm.planning.build import build_mpc
from lewm.planning.mpc import MPC
from lewm.raw_units import RawUnits
from lewm.session import RawPlan, Session, for_each
from lewm.training.model_spec import ModelSpec


@dataclass(frozen=True)
class Agent:
    """A trained model that plans.

    `plan` is a function: its result depends on its arguments alone. `begin` returns a Session, which remembers frames,
    so that each is encoded once, and where the next search starts.

    Example:
      ```python
      agent = Run.open("runs/two_room_micro_sigreg_seed0").agent(planner="icem", horizon=5)
      plan = agent.plan(frames, past_actions, goal_frame)  # (T, h, w, 3) uint8, ((T-1) x K, a), (h, w, 3) uint8
      robot.execute(plan.actions[:K])  # raw actions within their bounds

      session = agent.begin(frames[-1:], goal_frame[None])  # episodes under way: session.plan(), session.observe(...)
      ```

    Attributes:
      mpc: control in embeddings and normalized action blocks.
      units: translation to and from frames and raw actions.
      num_executed: model steps to execute before the next plan.
    """

    mpc: MPC
    units: RawUnits
    num_executed: int

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
        rollout = build_rollout(model, planning, device)
        mpc = build_mpc(model, rollout, planner, planning, low, high, seed, heads, model.actor)
        return cls(mpc, RawUnits(spec, device), planning.num_executed)

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
        """Plans from the last frames and the actions between them.

        Args:
          frames: (T, h, w, C) uint8 last frames, K env steps apart, the newest last, T at least 1; those beyond
            planning.context are not looked at. (B, T, h, w, C) for B episodes, and likewise the others.
          past_actions: ((T-1) x K, a) raw actions executed between them; [] for one frame.
          goal_frame: (h, w, C) uint8.
          initial_actions: at most (H x K, a) raw actions around which the search begins, whole blocks of K, such as the
            rest of the last plan; the mean action of the training data stands for the rest. None with
            planning.proposal=amortized or seeded, which begin at the proposal.
          episodes: B identifiers that the planner's noise is keyed by; 0 to B-1 by default.
          number: number of plans made before, which the noise is keyed by, too.

        Returns:
          The plan.

        Raises:
          InputError: frames or actions do not have the size that the model was trained on, or do not fit each other.
        """
        frames, past_actions, goal_frame = np.asarray(frames), np.asarray(past_actions), np.asarray(goal_frame)
        is_batch = frames.ndim == 5
        if not past_actions.size and past_actions.ndim < frames.ndim - 2:  # [] of one frame
            past_actions = np.zeros((*frames.shape[:is_batch], 0, len(self.units.spec.action_low)))
        if not is_batch:
            frames, past_actions, goal_frame = frames[None], past_actions[None], goal_frame[None]
            initial_actions = None if initial_actions is None else np.asarray(initial_actions)[None]
        frames, past_actions = self._last(frames, past_actions)
        frameskip = self.units.spec.frameskip
        session = self.begin(frames[:, 0], goal_frame, episodes)
        for_each(len(frames), "sequences of past actions", self.units.blocks(past_actions))
        for t in range(1, frames.shape[1]):
            session.observe(frames[:, t], past_actions[:, (t - 1) * frameskip : t * frameskip])
        if initial_actions is not None:
            session.search_from(initial_actions)
        session.state = session.state._replace(num_plans=(number,) * len(frames))
        planned = session.plan()
        return planned if is_batch else RawPlan(planned.actions[0], planned.cost[0])

    def begin(self, frame: Frames, goal_frame: Frames, episodes: tuple[int, ...] | None = None) -> Session:
        """Begins B episodes, at least one.

        Args:
          frame: (B, h, w, C) uint8 first frames.
          goal_frame: (B, h, w, C) uint8 goal frames.
          episodes: B identifiers that the planner's noise is keyed by; 0 to B-1 by default.

        Raises:
          InputError: frames of another size than the model was trained on, or not one for each episode.
        """
        pixels = self.units.pixels(frame)
        episodes = tuple(range(len(pixels))) if episodes is None else tuple(episodes)
        if not len(pixels) == len(episodes) > 0:
            raise InputError(f"{len(pixels)} first frames of {len(episodes)} episodes: give one for each, at least one")
        goal_pixels = for_each(len(pixels), "goal frames", self.units.pixels(goal_frame))
        state = self.mpc.start(pixels, goal_pixels, episodes, self.units.spec.action_dim)
        return Session(self.mpc, self.units, state)

    @torch.no_grad()
    def embed(self, frames: Frames, batch_size: int = 256) -> NDArray[np.float32]:
        """Embeddings of frames: (N, h, w, C) uint8 -> (N, D), at most batch_size frames at a time."""
        pieces = (self.units.pixels(frames[i : i + batch_size]) for i in range(0, len(frames), batch_size))
        return torch.cat([self.mpc.model.encode(piece[:, None])[:, 0].float() for piece in pieces]).cpu().numpy()

    def _last(self, frames: Frames, past_actions: Actions) -> tuple[Frames, Actions]:
        """The frames within the context and the actions between them. InputError: they do not fit each other."""
        if frames.ndim != 5 or not frames.shape[1]:
            raise InputError(f"frames of shape {frames.shape[1:]}: give (T, h, w, C) for an episode, T at least 1")
        frameskip, num_steps = self.units.spec.frameskip, frames.shape[1] - 1
        if past_actions.ndim != 3 or past_actions.shape[1] != num_steps * frameskip:
            raise InputError(
                f"past actions of shape {past_actions.shape[1:]} between {num_steps + 1} frames:"
                f" give {frameskip} for each model step"
            )
        num_unseen = max(num_steps + 1 - self.mpc.context, 0)
        return frames[:, num_unseen:], past_actions[:, num_unseen * frameskip :]
