"""Scripted policies that produce the data, by name."""

from envs.experts.cube import CubeExpert
from envs.experts.demonstrations import DemonstrationsExpert
from envs.experts.gym import MountainCarExpert, PendulumExpert, UniformExpert
from envs.experts.inverted_pendulum import InvertedPendulumExpert
from envs.experts.mixture import Mixture
from envs.experts.push_t import PushTExpert
from envs.experts.push_t_brisk import BriskPushTExpert
from envs.experts.push_t_disc import PushTDiscExpert
from envs.experts.reacher import ReacherExpert
from envs.experts.two_room import TwoRoomExpert

EXPERTS = {
    "cube": CubeExpert,
    "demonstrations": DemonstrationsExpert,
    "inverted_pendulum": InvertedPendulumExpert,
    "mixture": Mixture,
    "mountain_car": MountainCarExpert,
    "pendulum": PendulumExpert,
    "push_t": PushTExpert,
    "push_t_brisk": BriskPushTExpert,
    "push_t_disc": PushTDiscExpert,
    "reacher": ReacherExpert,
    "two_room": TwoRoomExpert,
    "uniform": UniformExpert,
}

NOISE = ("noise_std", "repeat_probability", "pause_probability")
"""Arguments of experts that are 0 where they act without noise."""
