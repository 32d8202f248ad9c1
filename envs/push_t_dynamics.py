"""The dynamics of Push-T: a disc that a PD controller drives with unlimited force, and a block that gives way.

Nothing rubs, and nothing slides on by itself: a block that is not pushed stands still. Walls stop the block, not the
disc, whose centre goes anywhere in the arena, as published. Lengths are in units of a 512 x 512 arena, times in
seconds.
"""

from math import hypot, inf
from typing import Any

import numpy as np
import pymunk

from envs.goal_env import State
from envs.push_t_blocks import Block, to_world

ARENA = 512.0
NEAR_FACE, FAR_FACE = 7.0, 504.0
"""Inner faces of the walls, as published."""
ACTION_SCALE = 100.0
"""An action of length 1 sets the disc's target this far from where it is."""
NUM_SUBSTEPS = 10
"""Steps of the controller and of pymunk in one action, which takes a tenth of a second."""
TAU = 2 * np.pi

_DT = 0.01
_K_P, _K_V = 100.0, 20.0
_DEEP = 100.0  # units of solid behind the face of a wall: a block that is pressed into it comes back inside
_SQUEEZE = 0.6  # units that disc, block and wall may overlap before the disc stops; where they merely touch, 0.2
_NEAR = 60.0  # units; the disc goes no farther in one action, and so does what it pushes

Pair = tuple[float, float]


def wrap(angle: float) -> float:
    """The same angle in [0, tau)."""
    angle %= TAU
    return angle if angle < TAU else 0.0  # -1e-17 % tau is tau


def drive(p: float, v: float, target: float, low: float = -inf, high: float = inf) -> Pair:
    """A coordinate and its velocity a substep later, by the PD law; it does not leave [low, high]."""
    v += (_K_P * (target - p) - _K_V * v) * _DT
    ahead = p + v * _DT
    if low <= ahead <= high:
        return ahead, v
    stop = min(max(ahead, low), high)
    return stop, (stop - p) / _DT


class Simulator:
    """The dynamics as a function of state and action alone.

    Pymunk remembers contacts, their impulses, corrections of positions and a search tree from step to step. Moving the
    bodies to a new space before every action forgets them all, so that the ten numbers of a state are complete.

    Args:
      block: what is pushed.
      radius: radius of the disc.
    """

    def __init__(self, block: Block, radius: float) -> None:
        self.block, self.radius = block, radius
        self._extent = block.extent()
        self._body = pymunk.Body(1.0, block.moment)
        self._body.center_of_gravity = block.centre
        self._agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        self._shapes = [pymunk.Poly(self._body, corners.tolist()) for corners in block.corners()]
        walls = pymunk.Body(body_type=pymunk.Body.STATIC)
        low, high = NEAR_FACE - _DEEP, FAR_FACE + _DEEP
        corners = [(low, low), (high, low), (high, high), (low, high)]
        sides = [pymunk.Segment(walls, corners[i - 1], corners[i], _DEEP) for i in range(4)]
        disc = pymunk.Circle(self._agent, radius)
        self._objects: list[Any] = [walls, *sides, self._body, self._agent, *self._shapes, disc]
        self._space = pymunk.Space()
        self._space.add(*self._objects)

    def __call__(self, state: State, action: State) -> State:
        """(10,) state, (2,) action in [-1, 1] -> (10,) the state a tenth of a second later."""
        x, y, vx, vy = state[[0, 1, 5, 6]].tolist()
        target_x, target_y = np.clip(state[:2] + ACTION_SCALE * action, 0, ARENA).tolist()
        centre = to_world(np.array(self.block.centre), state[2:4], state[4])
        room = min(centre.min() - NEAR_FACE, FAR_FACE - centre.max()) - self._extent
        if room >= 0 and not state[7:].any():
            there = self._pass_by((x, y), (vx, vy), (target_x, target_y), centre.tolist())
            if there:
                return np.array([*there[0], *state[2:5], *there[1], 0, 0, 0])
        return self._simulate(state, (target_x, target_y), near_wall=room < _NEAR)

    def _drive(self, p: Pair, v: Pair, target: Pair) -> tuple[Pair, Pair]:
        """Position and velocity of the disc a substep later, if nothing stops it but the end of the arena."""
        x, vx = drive(p[0], v[0], target[0], 0, ARENA)
        y, vy = drive(p[1], v[1], target[1], 0, ARENA)
        return (x, y), (vx, vy)

    def _pass_by(self, p: Pair, v: Pair, target: Pair, centre: list[float]) -> tuple[Pair, Pair] | None:
        """Position and velocity of the disc after an action that leads it nowhere near the block, else None."""
        for _ in range(NUM_SUBSTEPS):
            p, v = self._drive(p, v, target)
            if hypot(p[0] - centre[0], p[1] - centre[1]) <= self._extent + self.radius + 1:
                return None
        return p, v

    def _simulate(self, state: State, target: Pair, near_wall: bool) -> State:
        x, y, block_x, block_y, angle, vx, vy, block_vx, block_vy, spin = state.tolist()
        self._place(((x, y), (vx, vy)), (block_x, block_y), angle, (block_vx, block_vy), spin)
        p, v = (x, y), (vx, vy)
        for _ in range(NUM_SUBSTEPS):
            ahead, v = self._drive(p, v, target)
            if near_wall and self._squeezes(p, v):
                ahead, v = p, (0.0, 0.0)
            p = ahead
            self._agent.velocity = v
            self._space.step(_DT)
        body = self._body
        return np.array([*p, *body.position, wrap(body.angle), *v, *body.velocity, body.angular_velocity])

    def _place(self, agent: tuple[Pair, Pair], block: Pair, angle: float, velocity: Pair, spin: float) -> None:
        """Puts both bodies into a new space."""
        self._space.remove(*self._objects)
        self._agent.position, self._agent.velocity = agent
        self._body.angle = angle
        self._body.position = block  # after the angle: pymunk turns a body about its centre of mass
        self._body.velocity, self._body.angular_velocity = velocity, spin
        pymunk.Body.update_position(self._body, 0)  # pymunk's pending correction of the position is forgotten
        self._space = pymunk.Space()
        self._space.damping = 0  # a block that is not pushed stands still at once
        self._space.add(*self._objects)

    def _squeezes(self, p: Pair, v: Pair) -> bool:
        """Whether a disc at p that goes on with v drives the block, where it cannot yield, into a wall."""
        boxes = [shape.bb for shape in self._shapes]
        low = min(min(box.left, box.bottom) for box in boxes)
        high = max(max(box.right, box.top) for box in boxes)
        depth = max(NEAR_FACE - low, high - FAR_FACE)
        if depth < 0:
            return False
        touches = [shape.point_query(p) for shape in self._shapes]
        if depth + self.radius - min(touch.distance for touch in touches) < _SQUEEZE:
            return False
        near = (touch.gradient for touch in touches if touch.distance < self.radius + 1)
        return any(v[0] * away_x + v[1] * away_y < 0 for away_x, away_y in near)
