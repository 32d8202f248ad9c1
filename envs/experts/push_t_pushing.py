"""Where the disc of Push-T goes to bring the block to its goal pose, and then itself to its own goal.

Without friction and inertia, a push along the normal n at the point r (from the centre of mass) moves the centre of
mass along n and turns the block by (r x n) / rho^2 per unit, rho^2 = moment / mass: an arc. At every step the expert
compares arcs from all contacts by what they gain per unit of way, the way around the block to the contact included.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from envs.errors import ArgumentError, check_number
from envs.experts.expert import Expert
from envs.experts.push_t_routes import Array, Routes
from envs.goal_env import State
from envs.push_t_blocks import BLOCKS, Block, to_block, to_world
from envs.push_t_dynamics import ARENA, FAR_FACE, NEAR_FACE, NUM_SUBSTEPS, drive

_LENGTHS = np.array([3.0, 6, 12, 20, 35, 60, 100, 160])  # of the arcs
_ANGLE_WEIGHT = 70.0  # units of distance that a radian is worth
_OVERHEAD = 15.0  # units of way that a change of contact costs beside the way itself
_CLOSE_ENOUGH, _ANGLE_ENOUGH = 8.0, 0.15  # of the block; what remains of the tolerance is for the disc
_MARGIN = 75.0  # units that the centre of mass is to keep from the edge of the arena
_REACH = 6.0  # units from the place of a contact within which the disc pushes
STRIDE = 22.0
"""Units that the disc moves in a step at the greatest speed."""


def response(velocity: float, target: float) -> float:
    """Where a step of the PD law leads from 0."""
    position = 0.0
    for _ in range(NUM_SUBSTEPS):
        position, velocity = drive(position, velocity, target)
    return position


class Pusher:
    """Chooses the way for one block and one disc.

    Args:
      block: what is pushed.
      radius: radius of the disc.
      speed: speed of the disc, a share in (0, 1] of the greatest.
    """

    def __init__(self, block: Block, radius: float, speed: float) -> None:
        self.stride = speed * STRIDE
        self.block, self.centre = block, np.array(block.centre)
        self.low, self.high = NEAR_FACE + radius, FAR_FACE - radius
        self.radius = radius
        self.routes = Routes(block, radius)
        contacts = self.routes.contacts
        levers = contacts.points - self.centre
        arms = levers[:, 0] * contacts.normals[:, 1] - levers[:, 1] * contacts.normals[:, 0]
        self.curvatures = arms / block.moment
        self.turns = self.curvatures[:, None] * _LENGTHS  # (C, K)
        self.shifts = self._shift(contacts.normals[:, None], self.turns, _LENGTHS)  # (C, K, 2)
        self.ways = _LENGTHS * (1 + arms**2 / block.moment)[:, None]  # (C, K) of the disc

    def __call__(self, state: State, goal_state: State) -> Array:
        """(S,) state, (S,) goal -> (2,) where the disc is to be next, farther off than a stride where it only walks."""
        agent, position, angle = state[:2], state[2:4], float(state[4])
        error = to_block(goal_state[2:4], position, angle)
        turn = (goal_state[4] - angle + np.pi) % (2 * np.pi) - np.pi
        if np.linalg.norm(error) < _CLOSE_ENOUGH and abs(turn) < _ANGLE_ENOUGH:
            return self._way_to(state, goal_state[:2])
        cos, sin = np.cos(turn), np.sin(turn)
        offset = error + np.array([[cos, -sin], [sin, cos]]) @ self.centre - self.centre  # of the centre of mass
        return self._push(agent, position, angle, offset, turn)

    def _push(self, agent: Array, position: Array, angle: float, offset: Array, turn: float) -> Array:
        """Where the disc is to be after this step, in the arena."""
        contacts = self.routes.contacts
        here = to_block(agent, position, angle)
        ways, firsts = self.routes.to_contacts(here, self._inside(to_world(self.routes.nodes, position, angle)))
        ways = np.where(self._inside(to_world(contacts.discs, position, angle)), ways, np.inf)
        before = np.hypot(np.hypot(*offset), _ANGLE_WEIGHT * turn)
        left = offset - self.shifts
        after = np.sqrt((left**2).sum(2) + (_ANGLE_WEIGHT * (turn - self.turns)) ** 2)
        ends = to_world(np.concatenate([self.shifts.reshape(-1, 2), np.zeros((1, 2))]) + self.centre, position, angle)
        outside = np.maximum(np.abs(ends - ARENA / 2) - (ARENA / 2 - _MARGIN), 0).sum(1)
        worse = np.maximum(outside[:-1] - outside[-1], 0).reshape(after.shape)
        rates = (before - after - 2 * worse) / (ways[:, None] + self.ways + _OVERHEAD)
        rates[np.isinf(ways)] = -np.inf
        best, length = np.unravel_index(int(rates.argmax()), rates.shape)
        normal, point = contacts.normals[best], contacts.points[best]
        behind = here - point
        gap, aside = -float(behind @ normal) - self.radius, float(abs(behind[0] * normal[1] - behind[1] * normal[0]))
        if not (-_REACH < gap < _REACH and aside < _REACH):
            return to_world(firsts[best], position, angle)
        stretch = self.ways[best, length] / _LENGTHS[length]
        stride = min(_LENGTHS[length], self.stride / stretch)
        turned = self.curvatures[best] * stride
        centre = self.centre + self._shift(normal, turned, stride)
        cos, sin = np.cos(turned), np.sin(turned)
        disc = centre + np.array([[cos, -sin], [sin, cos]]) @ (point - self.radius * normal - self.centre)
        return to_world(disc, position, angle)

    @staticmethod
    def _shift(normals: Array, turns: Any, lengths: Any) -> Array:
        """(..., 2) chords of arcs that begin along the normals."""
        half = np.asarray(turns)[..., None] / 2
        across = np.stack([-normals[..., 1], normals[..., 0]], -1)
        return np.asarray(lengths)[..., None] * np.sinc(half / np.pi) * (np.cos(half) * normals + np.sin(half) * across)

    def _way_to(self, state: State, goal: Array) -> Array:
        """Where the disc is to be after this step on its way to its own goal."""
        position, angle = state[2:4], float(state[4])
        usable = self._inside(to_world(self.routes.nodes, position, angle))
        start, end = to_block(state[:2], position, angle), to_block(goal, position, angle)
        return to_world(self.routes.to_point(start, end, usable), position, angle)

    def _inside(self, points: Array) -> NDArray[np.bool_]:
        return np.all((points >= self.low - 2) & (points <= self.high + 2), axis=-1)


@lru_cache(maxsize=8)
def _pusher(name: str, scale: float, radius: float, speed: float) -> Pusher:
    return Pusher(BLOCKS[name].scaled(scale), radius, speed)


@dataclass(frozen=True)
class PushingExpert(Expert):
    """What the experts of Push-T have in common.

    Attributes:
      speed: speed of the disc, a share in (0, 1] of the greatest.
      block, scale, radius: sizes of the block and the disc that it acts for; begin() reads them from an environment.
    """

    speed: float = 1.0
    block: str = "T"
    scale: float = 1.0
    radius: float = 15.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("speed", self.speed, 0, 1)
        if self.speed == 0:
            raise ArgumentError("speed=0 of an expert of Push-T must be above 0")

    def begin(self, env: Any, rng: np.random.Generator) -> Self:
        variation = env.unwrapped.variation
        scale, radius = float(variation["block_scale"]), float(variation["agent_radius"])
        return replace(self, block=env.unwrapped.block_name, scale=scale, radius=radius)

    @property
    def pusher(self) -> Pusher:
        """Chooses the way for this block and this disc."""
        return _pusher(self.block, self.scale, self.radius, self.speed)
