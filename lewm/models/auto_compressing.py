"""Auto-compressing networks (arXiv 2506.09714): MLPs with long skips from every layer to the output."""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from lewm.errors import InputError


class AutoCompressingNetwork(nn.Module):
    """An MLP whose hidden layers are summed before the output: (..., input_dim) -> (..., output_dim).

    a_0 = W_in x; a_(i+1) = W_i elu(a_i); the output is W_out elu(a_0 + a_1 + ...). All maps have a bias.

    Args:
      input_dim, output_dim: sizes of input and output.
      hidden_dim: width of the hidden layers.
      num_layers: number of the W_i; 0 gives an MLP with one hidden layer.

    Raises:
      InputError: a size is too small.
    """

    def __init__(self, input_dim: int, output_dim: int, hidden_dim: int = 256, num_layers: int = 3) -> None:
        super().__init__()
        if hidden_dim < 1 or num_layers < 0:
            raise InputError(f"hidden_dim={hidden_dim} must be at least 1 and num_layers={num_layers} at least 0")
        self.input = nn.Linear(input_dim, hidden_dim)
        self.layers = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(num_layers))
        self.output = nn.Linear(hidden_dim, output_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., input_dim) -> (..., output_dim)."""
        hidden = total = self.input(x)
        for layer in self.layers:
            hidden = layer(F.elu(hidden))
            total = total + hidden
        return cast(Tensor, self.output(F.elu(total)))
