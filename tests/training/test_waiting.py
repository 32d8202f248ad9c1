"""A training step never waits for its device: on one that holds no numbers, reading one fails."""

import pytest
import torch

from lewm.clip import Clip
from lewm.training.objective import build_objective
from lewm.training.trainer import Trainer
from tests.programs import TINY, compose
from tests.runs import spec_of

PLAIN = tuple(word for word in TINY if not word.startswith("regularizer."))

PREFIX = (
    "model.predictor={name: prefix, width: 16, action_depth: 1, num_heads: 2, head_dim: 8, depth: 1, mlp_dim: 16,"
    " fusion_dim: 16, dropout: 0.1}"
)


class MetaAccelerator:
    """An accelerator whose model is on torch's meta device, where shapes are known and numbers are not.

    Fused AdamW does not know that device: the tests of recorded steps look at it.
    """

    device, process_index, num_processes, is_main_process = torch.device("cpu"), 0, 1, True
    mixed_precision = "no"

    def prepare(self, objective, optimizer):
        return objective, torch.optim.SGD([{"params": list(objective.parameters()), "initial_lr": 0.1}], lr=0.1)

    def backward(self, loss):
        loss.backward()

    def clip_grad_norm_(self, parameters, max_norm):
        return torch.nn.utils.clip_grad_norm_(parameters, max_norm)


def trainer(*overrides):
    config = compose(*PLAIN, *overrides)
    model = spec_of(config).build_model()
    objective = build_objective(model, config.regularizer, config.training.rollout_steps).to("meta")
    objective.regularizer_weight = torch.tensor(1.0)  # the trainer reads it once, when it is made
    return Trainer(config, spec_of(config), MetaAccelerator(), objective, None, None, None)


@pytest.mark.parametrize(
    "words",
    [
        ("regularizer=sigreg", "model.predictor.dropout=0.1"),
        ("regularizer=sigreg", "model.encoder.stem=conv"),
        ("regularizer=sigreg", "model.flow={name: affine_coupling}"),
        ("regularizer=wristband", "+regularizer.moment=kl_diag"),
        ("regularizer=mmd",),
        ("regularizer=vicreg",),
        ("regularizer=none",),
        ("regularizer=none", "training.rollout_steps=3"),
        ("regularizer=none", "model.predictor=affine", "training.rollout_steps=2"),
        ("regularizer=none", PREFIX),
        ("actor=intent",),
        ("actor=path",),
        ("contrast=temporal",),
    ],
    ids=lambda words: ",".join(words),
)
def test_no_part_of_a_step_reads_a_number(words):
    step = trainer(*words)
    clip = Clip(
        torch.empty(8, 4, 3, 48, 48, dtype=torch.uint8, device="meta"),
        torch.empty(8, 3, 10, device="meta"),
        torch.empty(8, 4, 2, device="meta"),
    )
    result = step.update(clip)
    assert (result.losses.shape, result.z.shape, result.grad_norm.shape) == ((5,), (8, 4, 8), ())
    assert {tensor.device.type for tensor in result} == {"meta"}


@pytest.mark.parametrize("read", [torch.Tensor.item, torch.Tensor.cpu, torch.Tensor.tolist, torch.nonzero, bool, float])
def test_reading_a_number_there_fails(read):
    with pytest.raises((RuntimeError, NotImplementedError)):
        read(torch.ones(2, device="meta")[0])
