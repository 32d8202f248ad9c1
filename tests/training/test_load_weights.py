"""Weights that do not fit are refused by what does not fit."""

import pytest
import torch
from safetensors.torch import save_file

from lewm.errors import InputError
from lewm.files import sha256_of
from lewm.training.checkpoint import WEIGHTS, Checkpoint
from tests.programs import TINY, compose
from tests.runs import spec_of


def test_weights_that_do_not_fit_the_model_are_refused_in_one_line_that_says_which(tmp_path):
    model = torch.nn.Linear(2, 3)
    save_file(dict(model.state_dict()) | {"weight": torch.ones(3, 7)}, tmp_path / WEIGHTS)
    checkpoint = Checkpoint(tmp_path, spec_of(compose(*TINY)), 1, {WEIGHTS: sha256_of(tmp_path / WEIGHTS)})
    with pytest.raises(InputError, match=r"do not fit the model: size mismatch for weight: .*\[3, 7\]") as error:
        checkpoint.load_weights(model)
    assert "\n" not in str(error.value)
