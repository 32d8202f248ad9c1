"""Costs whose optimum is known, for planners: they open up what they imagine, and remember what they were shown."""

import torch


class Quadratic:
    """Squared distance to `target` (B, H, A), of actions that are their own embeddings.

    Attributes:
      candidates: every (B, N, H, A) it was shown.
      costs: (B, N) of those whose cost was asked for.
    """

    def __init__(self, target):
        self.target, self.candidates, self.costs = target, [], []

    def __call__(self, candidates):
        costs = self.judge(self.imagine(candidates), candidates)
        self.costs.append(costs.detach().clone())
        return costs

    def imagine(self, candidates):
        assert candidates.ndim == 4 and candidates.shape[0] == len(self.target)
        self.candidates.append(candidates.detach().clone())
        return candidates

    def predict(self, candidates, z):
        assert z.shape == candidates.shape
        return self.imagine(candidates)

    def judge(self, z_next, candidates):
        return (z_next - self.target[:, None]).square().sum((2, 3))


class Broken(Quadratic):
    """`value` for the candidates whose first number is above `limit`; by default for all, in every episode."""

    def __init__(self, target, value, limit=-torch.inf, episodes=slice(None)):
        super().__init__(target)
        self.value, self.limit, self.episodes = value, limit, episodes

    def judge(self, z_next, candidates):
        costs = super().judge(z_next, candidates)
        broken = torch.zeros_like(costs, dtype=torch.bool)
        broken[self.episodes] = candidates[self.episodes, :, 0, 0] > self.limit
        return costs.masked_fill(broken, self.value)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]
