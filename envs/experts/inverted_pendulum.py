"""Pushes the cart with the force that is foreseen to come closest to the goal.

Goals are poles in the middle of a fall: no steady law holds them, but a push passes through them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.experts.expert import Expert
from envs.goal_env import State

_STRONGEST = 3.0
_FORCES = np.linspace(-_STRONGEST, _STRONGEST, 13)
_HORIZON = 10  # steps that are foreseen
_STEP_COST = 0.02  # metres or radians that a step later is worth

_DT = 0.04  # s, a step
_NEWTON = 100.0  # an action of 1
_MASS = 15.49  # kg, of cart and pole
_LEVER = 1.506  # kg m, the pole's mass times the distance of its centre from the hinge
_INERTIA = 0.6404  # kg m^2, of the pole about the hinge
_DAMPING = 1.0  # N s/m of the cart, N m s of the pole
_GRAVITY = 9.81  # m/s^2


@dataclass(frozen=True)
class InvertedPendulumExpert(Expert):
    """For InvertedPendulum-v5: at every step the one of 13 constant forces whose path comes closest to the goal.

    Attributes:
      noise_std: standard deviation of the Gaussian noise on each action, as a share of the strongest.
      repeat_probability: chance that a step repeats the action before it.
    """

    noise_std: float = 0.5
    repeat_probability: float = 0.1

    def __call__(
        self, state: State, goal_state: State, previous_action: NDArray, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """(N, 4) states, (N, 4) goals, (N, 1) previous actions -> (N, 1) actions."""
        path = foresee(state[:, None], _FORCES, _HORIZON)  # (N, 13, H, 4)
        off = np.linalg.norm(path[..., :2] - goal_state[:, None, None, :2], axis=-1)
        best = (off + _STEP_COST * np.arange(_HORIZON)).min(2).argmin(1)
        noisy = _FORCES[best] + self.noise_std * _STRONGEST * rng.standard_normal(len(state))
        repeat = rng.random(len(state)) < self.repeat_probability
        action = np.clip(noisy, -_STRONGEST, _STRONGEST)[:, None]
        return np.where(repeat[:, None], previous_action, action).astype(np.float32)


def foresee(state: State, action: State, num_steps: int) -> State:
    """(..., 4) states, (...) actions that last -> (..., num_steps, 4) states; the stops of the joints are left out."""
    path = []
    state = np.broadcast_to(state, (*np.broadcast_shapes(state.shape[:-1], action.shape), 4))
    for _ in range(num_steps):
        middle = state + _DT / 2 * _derivative(state, action)
        state = state + _DT * _derivative(middle, action)
        path.append(state)
    return np.stack(path, -2)


def _derivative(state: State, action: State) -> State:
    """(..., 4) of the equations of motion of a cart and a pole that stands at angle 0."""
    _, angle, velocity, spin = np.moveaxis(state, -1, 0)
    sin, cos = np.sin(angle), np.cos(angle)
    force = _NEWTON * action - _DAMPING * velocity + _LEVER * sin * spin**2
    torque = _GRAVITY * _LEVER * sin - _DAMPING * spin
    coupling = _LEVER * cos
    determinant = _MASS * _INERTIA - coupling**2
    acceleration = (_INERTIA * force - coupling * torque) / determinant
    angular_acceleration = (_MASS * torque - coupling * force) / determinant
    return np.stack([velocity, spin, acceleration, angular_acceleration], -1)
