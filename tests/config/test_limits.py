"""Numbers of a configuration that would end in nonsense are refused by their key and value."""

from dataclasses import asdict

import pytest

from lewm.config import TrainConfig, from_dict
from lewm.errors import InputError
from tests.programs import compose


def test_a_largest_gradient_of_zero_which_no_training_survives_is_refused():
    values = asdict(compose())
    values["training"] |= {"max_grad_norm": 0.0}
    with pytest.raises(InputError, match=r"^training\.max_grad_norm=0\.0 must be at least 1e-06$"):
        from_dict(values, TrainConfig)
