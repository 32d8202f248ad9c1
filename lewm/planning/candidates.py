"""Operations on candidates that searches share: clipping, drawing, evaluating, selecting."""

import torch
from torch import Tensor

from lewm.planning.protocols import ActionCost, Plan


def clip(actions: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clips actions (..., A) to the bounds of an action block, (A,) or (K, a)."""
    return actions.clamp(low.flatten(), high.flatten())


def candidates_around(mean: Tensor, std: Tensor | float, noise: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Candidates around a mean that lies within the bounds: the mean itself, then one for each noise.

    Args:
      mean: (B, H, A) mean of the candidates.
      std: (B, H, A) standard deviations, or one number.
      noise: (B, N-1, H, A) noise of standard deviation 1.
      low, high: bounds of an action block.

    Returns:
      (B, N, H, A).
    """
    scale = std[:, None] if isinstance(std, Tensor) else std
    return torch.cat([mean[:, None], clip(mean[:, None] + scale * noise, low, high)], dim=1)


@torch.no_grad()
def evaluate(cost: ActionCost, candidates: Tensor) -> Tensor:
    """Costs of (B, N, H, A) candidates, (B, N), without a gradient; inf where they are not finite."""
    return losing(cost(candidates))


def losing(costs: Tensor) -> Tensor:
    """Replaces costs that are not finite by inf: -inf comes from a model that overflows, not from a good plan."""
    return torch.where(costs.isfinite(), costs, torch.inf)


def cheapest(costs: Tensor, candidates: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """The `num` cheapest candidates.

    Args:
      costs: (B, N) costs.
      candidates: (B, N, H, A) candidates.
      num: number of candidates to select.

    Returns:
      (B, num) costs in ascending order, and their (B, num, H, A) candidates.
    """
    costs, index = costs.topk(num, dim=1, largest=False, sorted=True)
    return costs, candidates.gather(1, index[:, :, None, None].expand(-1, -1, *candidates.shape[2:]))


def nothing_yet(mean: Tensor) -> Plan:
    """Plan of infinite cost at `mean` (B, H, A), which any candidate of finite cost replaces."""
    return Plan(mean, torch.full_like(mean[:, 0, 0], torch.inf))


def cheaper(best: Plan, costs: Tensor, candidates: Tensor) -> Plan:
    """The best plan so far, or the cheapest of (B, N, H, A) further candidates where that costs less."""
    lowest, actions = (each[:, 0] for each in cheapest(costs, candidates, 1))
    better = lowest < best.cost
    return Plan(torch.where(better[:, None, None], actions, best.actions), torch.where(better, lowest, best.cost))


def fit(costs: Tensor, elites: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the elites of finite cost; those given where an episode has none.

    Args:
      costs: (B, E) costs of the elites.
      elites: (B, E, H, A) elites.
      mean, std: (B, H, A) present mean and standard deviation.

    Returns:
      (B, H, A) mean and (B, H, A) standard deviation.
    """
    counted = costs.isfinite()[:, :, None, None]
    num = counted.sum(1)
    average = torch.where(counted, elites, 0).sum(1) / num.clamp(min=1)
    deviation = torch.where(counted, elites, average[:, None]).std(1, correction=0) * (elites.shape[1] / num).sqrt()
    return torch.where(num > 0, average, mean), torch.where(num > 0, deviation, std)
