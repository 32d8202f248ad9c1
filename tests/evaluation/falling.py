"""An environment that ends episodes. Worker processes import this: no torch."""

from dataclasses import replace

import gymnasium as gym

from tests.walk_env import Walk, walk_config


class Cliff(Walk):
    """A walk that is over where x is above 0.9; a step from there fails."""

    state_names = ("x", "y_velocity")
    velocities = ("y_velocity",)

    def advance(self, action):
        assert not self.is_over(), "an episode that was over has been played on"
        super().advance(action)

    def is_over(self):
        return bool(self._position[0] > 0.9)


gym.register("tests/Cliff-v0", "tests.evaluation.falling:Cliff")

CLIFF = replace(walk_config(), id="tests.evaluation.falling:tests/Cliff-v0")
