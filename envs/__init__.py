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
gym.register(id="lewm/Gym-v0", entry_point="envs.gym_goal_env:GymGoalEnv")
gym.register(id="lewm/PushT-v0", entry_point="envs.push_t:PushT", max_episode_steps=300)
gym.register(id="lewm/Reacher-v0", entry_point="envs.reacher:Reacher", max_episode_steps=200)
gym.register(id="lewm/Cube-v0", entry_point="envs.cube:Cube", max_episode_steps=200)
