"""Optimizers of a training, by name: AdamW, and Muon for the matrices of the transformer blocks."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw
from torch.optim.optimizer import Optimizer

from lewm.config import TrainConfig, TrainingConfig, build
from lewm.errors import InputError

BETAS, EPS = (0.9, 0.999), 1e-8
"""Decays of AdamW's moments, and what is added to its denominator: torch's defaults."""

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration x, x^3, x^5 (Jordan et al., 2024), which takes singular values to 0.7 ... 1.2."""

BLOCK = re.compile(r"model\.(encoder|predictor)\.(\w+\.)*blocks\.\d+\.")
STACKED = {".qkv": 3, ".to_qkv": 3, ".modulation.1": 6}
"""Number of matrices that a linear map of a block stacks, by the end of its name: others are one matrix."""


class Weight(NamedTuple):
    """A parameter that is trained.

    Attributes:
      position: its place among the trained parameters, in the order of the modules, by which checkpoints name it.
      parameter: the parameter.
      decays: whether it is the weight of a linear map or a convolution. Biases, norms, positions, class tokens and
        tables do not decay.
      num_matrices: matrices that it stacks, if it is a linear map of a transformer block; else 0.
    """

    position: int
    parameter: nn.Parameter
    decays: bool
    num_matrices: int


def trained_weights(objective: nn.Module) -> list[Weight]:
    """The parameters of an objective that are trained, in the order of its modules."""
    owners: dict[Tensor, str] = {}
    for name, module in objective.named_modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
            owners[module.weight] = name
    parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    return [
        Weight(position, parameter, parameter in owners, count_matrices(owners.get(parameter, ""), parameter))
        for position, parameter in enumerate(parameters)
    ]


def count_matrices(name: str, parameter: Tensor) -> int:
    """Matrices that the weight of the linear map of this name stacks; 0 outside the transformer blocks."""
    if not BLOCK.match(name) or parameter.dim() != 2:
        return 0
    return next((number for end, number in STACKED.items() if name.endswith(end)), 1)


def make_group(weights: Sequence[Weight], learning_rate: float, weight_decay: float, **settings: Any) -> dict[str, Any]:
    """A parameter group of weights that all decay or all do not; `initial_lr` is the peak of its learning rate."""
    return {
        "params": [weight.parameter for weight in weights],
        "positions": [weight.position for weight in weights],
        "lr": learning_rate,
        "initial_lr": learning_rate,
        "weight_decay": weight_decay if weights[0].decays else 0.0,
        **settings,
    }


def adamw_groups(weights: Sequence[Weight], training: TrainingConfig, **settings: Any) -> list[dict[str, Any]]:
    """Groups of AdamW: what decays, and what does not."""
    parts = ([weight for weight in weights if weight.decays == decays] for decays in (True, False))
    rate, decay = training.learning_rate, training.weight_decay
    return [make_group(part, rate, decay, **settings) for part in parts if part]


def build_adamw(
    weights: Sequence[Weight], training: TrainingConfig, device: torch.device, dtype: torch.dtype
) -> Optimizer:
    """AdamW for everything, with training.learning_rate and training.weight_decay."""
    groups = adamw_groups(weights, training)
    return torch.optim.AdamW(groups, betas=BETAS, eps=EPS, fused=True, capturable=device.type == "cuda")


class Muon(Optimizer):
    """Muon for the matrices of the transformer blocks, AdamW for everything else (Jordan et al., 2024).

    A matrix moves by the orthogonalized Nesterov momentum of its gradient, times its learning rate and
    sqrt(max(1, rows / columns)). The matrices of queries, keys and values, and the six of an AdaLN modulation, lie in
    one weight each: they are orthogonalized one by one, as if they were weights of their own. Matrices of a shape are
    orthogonalized together. Everything is a tensor operation, so that a CUDA graph can record a step: of
    torch.optim.Muon, the learning rate is a number of the host.

    Args:
      weights: weights to train.
      training: settings of AdamW; its weight_decay is Muon's, too, each times its own learning rate.
      device: device of the training, ignored: the states lie where the parameters lie.
      dtype: number format of the orthogonalization, bfloat16 or float32.
      learning_rate: peak learning rate of the matrices, on the schedule of training.learning_rate.
      momentum: decay of the momentum.
      num_iterations: Newton-Schulz iterations of the orthogonalization.

    Raises:
      InputError: a setting is out of its range.
    """

    def __init__(
        self,
        weights: Sequence[Weight],
        training: TrainingConfig,
        device: torch.device,
        dtype: torch.dtype,
        learning_rate: float,
        momentum: float,
        num_iterations: int,
    ) -> None:
        if not 0 <= learning_rate < math.inf:
            raise InputError(f"learning_rate={learning_rate} must be a number of at least 0")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum={momentum} must be at least 0 and below 1")
        if num_iterations < 1:
            raise InputError(f"num_iterations={num_iterations} must be at least 1")
        self.momentum, self.num_iterations, self.dtype = momentum, num_iterations, dtype
        groups = adamw_groups([weight for weight in weights if not weight.num_matrices], training, num_matrices=0)
        for number in sorted({weight.num_matrices for weight in weights} - {0}):
            part = [weight for weight in weights if weight.num_matrices == number]
            groups.append(make_group(part, learning_rate, training.weight_decay, num_matrices=number))
        for group in groups:
            group["fused"] = True  # load_state_dict() then leaves AdamW's steps in float32
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Makes a step along the gradients. A closure is not called."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters and group["num_matrices"]:
                self._step_muon(group, parameters)
            elif parameters:
                self._step_adamw(group, parameters)

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                self.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}
        adamw(
            parameters,
            _gradients(parameters),
            exp_avgs=self._entries("exp_avg", parameters),
            exp_avg_sqs=self._entries("exp_avg_sq", parameters),
            max_exp_avg_sqs=[],
            state_steps=self._entries("step", parameters),
            fused=True,
            capturable=parameters[0].is_cuda,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=EPS,
            maximize=False,
        )

    def _step_muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {"momentum": torch.zeros_like(parameter)}
        gradients, momenta = _gradients(parameters), self._entries("momentum", parameters)
        torch._foreach_lerp_(momenta, gradients, 1 - self.momentum)
        updates = torch._foreach_lerp(gradients, momenta, self.momentum)  # Nesterov's
        matrices = [update.unflatten(0, (group["num_matrices"], -1)) for update in updates]
        directions = orthogonalize(matrices, self.num_iterations, self.dtype)
        steps = [
            group["lr"] * math.sqrt(max(1, direction.shape[1] / direction.shape[2])) * direction.flatten(0, 1)
            for direction in directions
        ]
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_sub_(parameters, steps)

    def _entries(self, name: str, parameters: list[Tensor]) -> list[Tensor]:
        return [self.state[parameter][name] for parameter in parameters]


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def orthogonalize(stacks: Sequence[Tensor], num_iterations: int, dtype: torch.dtype) -> list[Tensor]:
    """Orthogonalizes matrices approximately: U S V^T becomes about U V^T.

    Args:
      stacks: (n, rows, columns) float32, n matrices each; rows and columns may differ between stacks.
      num_iterations: Newton-Schulz iterations.
      dtype: number format of the iterations.

    Returns:
      The matrices in their shapes, float32. Singular values are within about 0.7 ... 1.2 after 5 iterations, if they
      were above a hundredth of the matrix's norm.
    """
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    wide = [stack.mT if stack.shape[1] > stack.shape[2] else stack for stack in stacks]
    for index, stack in enumerate(wide):
        by_shape[tuple(stack.shape[1:])].append(index)
    results = list(stacks)
    for indices in by_shape.values():
        together = newton_schulz(torch.cat([wide[index] for index in indices]), num_iterations, dtype)
        for index, result in zip(indices, together.split([len(wide[index]) for index in indices]), strict=True):
            results[index] = result.mT if wide[index] is not stacks[index] else result
    return results


def newton_schulz(x: Tensor, num_iterations: int, dtype: torch.dtype) -> Tensor:
    """Newton-Schulz iteration on (n, rows, columns) float32 matrices with at most as many rows as columns."""
    a, b, c = NEWTON_SCHULZ
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(dtype)
    for _ in range(num_iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.float()


OPTIMIZERS = {"adamw": build_adamw, "muon": Muon}


def build_optimizer(config: TrainConfig, objective: nn.Module, device: torch.device, dtype: torch.dtype) -> Optimizer:
    """Builds the optimizer that `optimizer` names, of {name, **arguments}, in one object.

    Each of its groups has `initial_lr`, the peak that the schedule's factor is multiplied with, and `positions`, by
    which checkpoints name the parameters whatever groups they are in.

    Args:
      config: configuration of the run.
      objective: module whose parameters are trained.
      device: device of the training.
      dtype: bfloat16 or float32, the precision of the training.

    Raises:
      InputError: there is no such optimizer, or an argument is wrong.
    """
    parts = {"weights": trained_weights(objective), "training": config.training, "device": device, "dtype": dtype}
    optimizer: Optimizer = build(OPTIMIZERS, config.optimizer, "optimizer", **parts)
    return optimizer
