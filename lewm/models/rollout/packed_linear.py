"""Linear layers whose matrix is packed once for oneDNN on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATORS = torch.ops.mkldnn
"""oneDNN's operators, which torch.compile uses for linear layers, too; PyTorch has no public name for them."""


class PackedLinear:
    """nn.Linear without gradients of its weights, with an optional GELU after it.

    On a CPU with oneDNN, and where gradients are disabled, the matrix was packed in advance and the GELU is part of
    the product. Elsewhere it is PyTorch's own.

    Args:
      weight: (output, input).
      bias: (output,) or None.
      dtype: type of the matrix product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        self.weight = weight.detach().to(dtype, copy=True)
        self.bias = None if bias is None else bias.detach().to(dtype, copy=True)
        self.packed = OPERATORS._reorder_linear_weight(self.weight) if _can_pack(self.weight) else None

    def __call__(self, x: Tensor, gelu: bool = False) -> Tensor:
        """(..., input) in the dtype of the product -> (..., output)."""
        if self.packed is not None and not torch.is_grad_enabled():
            after = "gelu" if gelu else "none"
            product: Tensor = OPERATORS._linear_pointwise(x, self.packed, self.bias, after, [], "none")
            return product
        y = F.linear(x, self.weight, self.bias)
        return F.gelu(y) if gelu else y


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not all(hasattr(OPERATORS, name) for name in ("_reorder_linear_weight", "_linear_pointwise")):
        return False
    return weight.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()
