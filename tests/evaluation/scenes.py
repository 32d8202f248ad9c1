"""Pairs and policies for tests of control."""

import numpy as np

from lewm.evaluation.pairs import Pairs


def make_pairs(start_states, goal_states, recorded_actions, num_past=0):
    """Pairs without a past."""
    start_states, recorded_actions = np.asarray(start_states, float), np.asarray(recorded_actions, np.float32)
    num_pairs, _, action_dim = recorded_actions.shape
    return Pairs(
        numbers=np.arange(num_pairs),
        start_states=start_states,
        goal_states=np.asarray(goal_states, float),
        recorded_actions=recorded_actions,
        past_states=np.zeros((num_pairs, 0, start_states.shape[1])),
        past_actions=np.zeros((num_pairs, 0, 1, action_dim), np.float32),
    )


class Steady:
    """Does the same in blocks of n steps and remembers what it is shown."""

    context = 1

    def __init__(self, action, block=1):
        self.action, self.block, self.seen, self.kept = np.asarray(action, np.float32), block, [], []

    def start(self, scene):
        self.num_episodes, self.scene = len(scene.numbers), scene
        self.first, self.goal, self.past = scene.frames(), scene.goal_frames(), scene.past()

    def act(self):
        return np.broadcast_to(self.action, (self.num_episodes, self.block, len(self.action)))

    def observe(self, scene, actions):
        self.seen.append((scene.frames(), actions))

    def keep(self, rows):
        self.num_episodes = len(rows)
        self.kept.append(rows.tolist())
