"""Control environments whose goals are images. They know nothing of lewm, which reaches them by `gymnasium.make` only.

Importing this package registers them, as Gymnasium has it: `gym.make("envs:lewm/TwoRoom-v0")` does both.
"""

import gymnasium as gym

gym.register(
    id="lewm/TwoRoom-v0",
    entry_point="envs.two_room:TwoRoom",
    vector_entry_point="envs.two_room:TwoRoomVector",
    max_episode_steps=200,
)
