"""Scripted policies that produce the data, by name."""

from envs.experts.cube import CubeExpert
from envs.experts.gym import MountainCarExpert, PendulumExpert, UniformExpert
from envs.experts.inverted_pendulum import InvertedPendulumExpert
from envs.experts.mixture import Mixture
from envs.experts.push_t import PushTExpert
from envs.experts.reacher import ReacherExpert
from envs.experts.two_room import TwoRoomExpert

EXPERTS = {
    "cube": CubeExpert,
    "inverted_pendulum": InvertedPendulumExpert,
    "mixture": Mixture,
    "mountain_car": MountainCarExpert,
    "pendulum": PendulumExpert,
    "push_t": PushTExpert,
    "reacher": ReacherExpert,
    "two_room": TwoRoomExpert,
    "uniform": UniformExpert,
}
