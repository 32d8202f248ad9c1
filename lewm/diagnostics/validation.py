"""Validation: probes, prediction loss, geometry and Gaussianity of a model on fixed clips."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lewm.clip import Clip
from lewm.data.clips import Clips
from lewm.data.metadata import Metadata
from lewm.diagnostics.embedding import embed
from lewm.diagnostics.gaussianity import MIN_SAMPLES, gaussianity_report, rank_and_std
from lewm.diagnostics.geometry import distance_rank_correlation
from lewm.diagnostics.probing import linear_probe_r2
from lewm.models import JEPA


@dataclass(frozen=True)
class Validation:
    """Fixed clips on which every validation of a run looks at the model.

    Attributes:
      fit: clips of the training split that probes are fitted on.
      held_out: clips of held-out episodes that everything is measured on.
      state_names: S names.
      angles: those of state_names that are angles in radians.
      batch_size: frames encoded at once.
    """

    fit: Clip
    held_out: Clip
    state_names: list[str]
    angles: list[str]
    batch_size: int = 1024

    @classmethod
    def draw(cls, fit: Clips, held_out: Clips, metadata: Metadata, num_clips: int, seed: int) -> "Validation":
        """Draws num_clips clips of each split, or all if there are fewer.

        Args:
          fit: clips of the training split.
          held_out: clips of held-out episodes.
          metadata: names of the dataset's state numbers, and which of them are angles.
          num_clips: clips of each split.
          seed: seed of the draw.
        """
        rng = np.random.default_rng(seed)
        chosen = [rng.choice(len(clips), min(num_clips, len(clips)), replace=False) for clips in (fit, held_out)]
        return cls(fit.__getitems__(chosen[0]), held_out.__getitems__(chosen[1]), metadata.state_names, metadata.angles)

    @torch.inference_mode()
    def __call__(self, model: JEPA) -> dict[str, float]:
        """Numbers of the model by tag.

        Returns:
          "probe/r2_<state name>": R2 of a linear probe.
          "val/prediction": mean squared error of the embedding after each of the first `context` frames, and
            "val/prediction_over_copy_last", the same over that of copying the last frame's.
          "val/...": effective rank and standard deviations of the embeddings.
          "geometry/...": rank correlations of distances.
          "gaussianity/...": tests against N(0, I).
        """
        device = next(model.parameters()).device
        z_fit, z = (embed(model, clip.pixels, self.batch_size) for clip in (self.fit, self.held_out))
        seen, actions = z[:, :-1][:, : model.context], self.held_out.actions[:, : model.context]
        following = z[:, 1 : seen.shape[1] + 1]
        z_next = model.predict(seen.to(device), actions.to(device)).float().cpu()
        prediction = (z_next - following).square().mean()
        copy_last = (following - seen).square().mean().clamp(min=1e-12)
        return {
            **{f"probe/r2_{name}": value for name, value in self._probe(z_fit, z).items()},
            "val/prediction": prediction.item(),
            "val/prediction_over_copy_last": (prediction / copy_last).item(),
            **{f"val/{name}": value for name, value in rank_and_std(z.flatten(0, 1)).items()},
            **{f"geometry/{name}": value for name, value in self._geometry(z).items()},
            **{f"gaussianity/{name}": value for name, value in self._gaussianity(z, device).items()},
        }

    def _probe(self, z_fit: Tensor, z: Tensor) -> dict[str, float]:
        fit, held_out = (clip.states.flatten(0, 1) for clip in (self.fit, self.held_out))
        r2 = linear_probe_r2(z_fit.flatten(0, 1), fit, z.flatten(0, 1), held_out, self._angle_indices)
        return dict(zip(self.state_names, r2.tolist(), strict=True))

    def _geometry(self, z: Tensor) -> dict[str, float]:
        return distance_rank_correlation(z.flatten(0, 1), self.held_out.states.flatten(0, 1), self._angle_indices)

    @property
    def _angle_indices(self) -> list[int]:
        return [self.state_names.index(name) for name in self.angles]

    def _gaussianity(self, z: Tensor, device: torch.device) -> dict[str, float]:
        """The report on the first frame of each clip, as regularizers see a time step; nothing of very few clips.

        Frames of one clip are alike and would not be a sample. Clips of one episode are not independent, either: read
        the p-values as indications where there are many clips to an episode.
        """
        return gaussianity_report(z[:, 0], device=device) if len(z) >= MIN_SAMPLES else {}
