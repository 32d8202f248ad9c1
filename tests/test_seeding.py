import itertools

import numpy as np
import torch

from lewm.seeding import derive_seed


def test_seeds_differ_wherever_a_number_does():
    numbers = [*itertools.product(range(12), repeat=2), *itertools.product(range(12), repeat=3), (1,), (12,)]
    assert len({derive_seed(*each) for each in numbers}) == len(numbers)


def test_a_seed_is_the_same_on_every_machine():
    assert derive_seed(0, 1, 2) == 0x189A12393FD341CB


def test_torch_and_numpy_take_every_seed():
    for number in range(200):
        torch.Generator().manual_seed(derive_seed(number))
        np.random.default_rng(derive_seed(number))
        assert 0 <= derive_seed(number) < 2**63
