"""Push-T: a disc pushes a block to a pose.

The task is that of Diffusion Policy (Chi et al., arXiv 2303.04137) with the relative actions of the LeWorldModel paper
(arXiv 2603.19312): a T of 120 x 120 units, whose position is the middle of its bar's long side, in a 512 x 512 arena.
"""

from typing import Any

import gymnasium as gym
import numpy as np
import pymunk

from envs.errors import ArgumentError
from envs.goal_env import GoalEnv, Pixels, State, Variation
from envs.push_t_blocks import BLOCKS, to_block, to_world
from envs.push_t_drawing import Renderer
from envs.push_t_dynamics import ACTION_SCALE, ARENA, FAR_FACE, NEAR_FACE, TAU, Simulator, wrap

SUCCESS_DISTANCE = 20.0
"""Units that disc and block may be off together."""
SUCCESS_ANGLE = np.pi / 9
"""Radians that the block may be turned."""

_START = (100.0, 400.0)  # where blocks are sampled, as published
_ROOM = 30.0  # units between a sampled block and the walls: the disc fits in and can push it away from them
_MAX_SPEED, _MAX_SPIN = 1e4, 1e3  # units and radians a second: far above what happens
_OUTSIDE = 64.0  # units that the origin of a block may lie outside the arena


class PushT(GoalEnv):
    """State = disc and block in units, radians and seconds; action = the disc's target from where it is, 1 = 100 units.

    A step takes 0.1 s. A state is complete for a given block and variation.

    Args:
      frame_size: height and width of the frames.
      block: T, L, I, Z, plus or square.
    """

    state_names = (
        "agent_x",
        "agent_y",
        "block_x",
        "block_y",
        "block_angle",
        "agent_velocity_x",
        "agent_velocity_y",
        "block_velocity_x",
        "block_velocity_y",
        "block_angular_velocity",
    )
    angles = ("block_angle",)
    velocities = state_names[5:]
    variation_space = gym.spaces.Dict(
        {
            "agent_color": gym.spaces.Box(0, 255, (3,), np.uint8),
            "block_color": gym.spaces.Box(0, 255, (3,), np.uint8),
            "background_color": gym.spaces.Box(0, 255, (3,), np.uint8),
            "agent_radius": gym.spaces.Box(10.0, 20.0, (), np.float64),
            "block_scale": gym.spaces.Box(0.75, 1.25, (), np.float64),
        }
    )
    default_variation = {  # noqa: RUF012 (as in GoalEnv)
        "agent_color": (65, 105, 225),
        "block_color": (119, 136, 153),
        "background_color": (244, 243, 238),
        "agent_radius": 15.0,
        "block_scale": 1.0,
    }

    def __init__(self, frame_size: int = 64, block: str = "T", render_mode: str = "rgb_array") -> None:
        if block not in BLOCKS:
            raise ArgumentError(f"there is no block {block!r}; there are {', '.join(BLOCKS)}")
        self.block_name = block
        speeds = [_MAX_SPEED] * 4 + [_MAX_SPIN]
        low = [0.0, 0.0, -_OUTSIDE, -_OUTSIDE, 0.0, *(-speed for speed in speeds)]
        high = [ARENA, ARENA, ARENA + _OUTSIDE, ARENA + _OUTSIDE, TAU, *speeds]
        state_space = gym.spaces.Box(np.array(low), np.array(high), dtype=np.float64)
        super().__init__(frame_size, state_space, gym.spaces.Box(-1, 1, (2,), np.float32), render_mode)
        middle = ARENA / 2
        self._state = np.array([middle, middle / 4, middle, middle, 0, 0, 0, 0, 0, 0])

    def vary(self, variation: Variation) -> None:
        block = BLOCKS[self.block_name].scaled(float(variation["block_scale"]))
        self.simulator = Simulator(block, float(variation["agent_radius"]))
        self._renderer = Renderer(self.frame_size, ARENA, (NEAR_FACE, FAR_FACE), block.rectangles, variation)

    def set_state(self, state: State) -> None:
        """Takes the ten numbers of `state_names`, or the first seven or five, as published, for bodies at rest."""
        num_lacking = {(7,): 3, (5,): 5}.get(np.shape(state), 0)
        super().set_state(np.pad(state, (0, num_lacking)) if num_lacking else state)

    def canonical(self, state: State) -> State:
        kept = np.array([*state[:4], wrap(state[4]), *state[5:]])
        if not self.observation_space["state"].contains(kept):
            raise ValueError(f"the state {kept.tolist()} is not in {self.observation_space['state']}")
        return kept

    def is_success(self, state: State, goal_state: State) -> bool:
        return self.distance(state, goal_state) < 1

    def distance(self, state: State, goal_state: State) -> float:
        """Of positions or of the block's angle, whichever is farther off; 1 is the edge of success."""
        distance = np.linalg.norm(state[:4] - goal_state[:4])
        angle = (state[4] - goal_state[4] + np.pi) % TAU - np.pi
        return float(max(distance / SUCCESS_DISTANCE, abs(angle) / SUCCESS_ANGLE))

    def moved(self, state: State, name: str, amount: float) -> State:
        """Changes one number of `state` (10,); the block turns about its centre of mass, which stays where it is."""
        changed = super().moved(state, name, amount)
        if name == "block_angle":
            centre, origin = np.array(self.simulator.block.centre), np.zeros(2)
            changed[2:4] += to_world(centre, origin, state[4]) - to_world(centre, origin, changed[4])
        return changed

    def sample_state(self) -> State:
        """A disc and a block at rest, apart from each other, with room for the disc between block and walls."""
        simulator, rng = self.simulator, self.np_random
        low, high = NEAR_FACE + simulator.radius, FAR_FACE - simulator.radius
        while True:
            agent, position = rng.uniform(low, high, 2), rng.uniform(*_START, 2)
            angle = rng.uniform(0, TAU)
            corners = to_world(simulator.block.corners(), position, angle)
            if corners.min() < NEAR_FACE + _ROOM or corners.max() > FAR_FACE - _ROOM:
                continue
            if simulator.block.distance(to_block(agent, position, angle)) > simulator.radius + 1:
                return np.array([*agent, *position, angle, 0, 0, 0, 0, 0])

    def action_towards(self, state: State, target: State) -> State:
        """(2,) the action whose target is `target` (2,), a place in the arena."""
        return (np.asarray(target, np.float64) - state[:2]) / ACTION_SCALE

    def advance(self, action: State) -> None:
        self._state = self.simulator(self._state, action)

    def render(self) -> Pixels:
        return self._renderer(self._state[:2], self._state[2:4], float(self._state[4]))

    def provenance(self) -> dict[str, Any]:
        return {"pymunk": pymunk.version, "chipmunk": pymunk.chipmunk_version, "block": self.block_name}
