"""Scripted policies that produce the data, by name."""

from envs.experts.two_room import TwoRoomExpert

EXPERTS = {"two_room": TwoRoomExpert}
