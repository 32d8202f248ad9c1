"""How much of the simulator state a linear map reads from embeddings, and whether embeddings are healthy."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lewm.clip import Clip
from lewm.data.clips import Clips
from lewm.diagnostics.gaussianity import MIN_SAMPLES, report, spread
from lewm.diagnostics.geometry import distance_rank_correlation
from lewm.models import JEPA


def linear_probe_r2(z_train: Tensor, states_train: Tensor, z_test: Tensor, states_test: Tensor) -> Tensor:
    """Least squares with an intercept from embeddings to states, fitted on one set and judged on another.

    Args:
      z_train, z_test: (N, D) embeddings.
      states_train, states_test: (N, S) simulator states.

    Returns:
      (S,) coefficients of determination on the test set: 1 is perfect, 0 no better than the mean; 0, too, for a state
      that does not vary there.
    """
    if states_train.shape[1] == 0:  # recordings without states, which LAPACK refuses
        return states_test.new_zeros(0)
    design, targets = (_with_intercept(z_train), states_train.double())
    weights = torch.linalg.lstsq(design, targets, driver="gelsd").solution
    residual = states_test.double() - _with_intercept(z_test) @ weights
    centred = states_test.double() - states_test.double().mean(0)
    spread = centred.square().sum(0)
    return torch.where(spread > 0, 1 - residual.square().sum(0) / spread.clamp(min=1e-300), 0.0)


def _with_intercept(z: Tensor) -> Tensor:
    z = z.double()
    return torch.cat([z, torch.ones_like(z[:, :1])], dim=1)


@dataclass(frozen=True)
class Validation:
    """Fixed clips on which every validation of a run looks at the model.

    Attributes:
      fit: clips of the training split that probes are fitted on.
      held_out: clips of held-out episodes that everything is measured on.
      state_names: S names.
      batch_size: frames encoded at once.
    """

    fit: Clip
    held_out: Clip
    state_names: list[str]
    batch_size: int = 1024

    @classmethod
    def draw(cls, fit: Clips, held_out: Clips, state_names: list[str], num_clips: int, seed: int) -> "Validation":
        """Draws num_clips clips of each split, or all if there are fewer."""
        rng = np.random.default_rng(seed)
        chosen = [rng.choice(len(clips), min(num_clips, len(clips)), replace=False) for clips in (fit, held_out)]
        return cls(fit.__getitems__(chosen[0]), held_out.__getitems__(chosen[1]), state_names)

    @torch.inference_mode()
    def __call__(self, model: JEPA) -> dict[str, float]:
        """Probe R2 by state, prediction loss over that of copying the last frame, what embeddings are like as a set."""
        device = next(model.parameters()).device
        z_fit, z = (embed(model, clip.pixels, self.batch_size) for clip in (self.fit, self.held_out))
        r2 = linear_probe_r2(
            z_fit.flatten(0, 1), self.fit.states.flatten(0, 1), z.flatten(0, 1), self.held_out.states.flatten(0, 1)
        )
        z_next = model.predict(z[:, :-1].to(device), self.held_out.actions.to(device)).float().cpu()
        copy_last = (z[:, 1:] - z[:, :-1]).square().mean().clamp(min=1e-12)
        return {
            **{f"probe/r2_{name}": value for name, value in zip(self.state_names, r2.tolist(), strict=True)},
            "val/prediction": (z_next - z[:, 1:]).square().mean().item(),
            "val/prediction_over_copy_last": ((z_next - z[:, 1:]).square().mean() / copy_last).item(),
            **{f"val/{name}": value for name, value in spread(z.flatten(0, 1)).items()},
            **{f"geometry/{name}": value for name, value in self._geometry(z).items()},
            **{f"gaussianity/{name}": value for name, value in self._gaussianity(z).items()},
        }

    def _geometry(self, z: Tensor) -> dict[str, float]:
        return distance_rank_correlation(z.flatten(0, 1).numpy(), self.held_out.states.flatten(0, 1).numpy())

    def _gaussianity(self, z: Tensor) -> dict[str, float]:
        """The report on the first frame of each clip, as regularizers see a time step; nothing of very few clips.

        Frames of one clip are alike and would not be a sample. Clips of one episode are not independent, either: read
        the p-values as indications where there are many clips to an episode.
        """
        return report(z[:, 0]) if len(z) >= MIN_SAMPLES else {}


@torch.inference_mode()
def embed(model: JEPA, pixels: Tensor, batch_size: int) -> Tensor:
    """(B, T, C, h, w) uint8 -> (B, T, D) float32 on the CPU, at most batch_size frames at a time."""
    device = next(model.parameters()).device
    pieces = pixels.split(max(batch_size // pixels.shape[1], 1))
    return torch.cat([model.encode(piece.to(device)).float().cpu() for piece in pieces])
