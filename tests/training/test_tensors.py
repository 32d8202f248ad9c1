"""Tensors come back as they were written, or are refused in one line that says what is wrong."""

import math

import pytest
import torch
from safetensors import safe_open

from lewm import __version__
from lewm.errors import InputError
from lewm.files import sha256_of
from lewm.training.tensors import load_weights, not_finite, read_tensors, save_tensors


def written(path, **tensors):
    save_tensors(tensors, path)
    return path, sha256_of(path)


def test_tensors_come_back(tmp_path):
    tensors = {"a": torch.arange(3), "b": torch.randn(2, 2)}
    found = read_tensors(*written(tmp_path / "file", **tensors))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())


KINDS = {
    "long name" * 9: torch.randn(3, 2).to(torch.bfloat16),
    "scalar": torch.tensor(2.5),
    "größe": torch.arange(5),
    "flag": torch.tensor([True]),
    "none": torch.zeros(0, 4),
}


@pytest.mark.parametrize("names", [list(KINDS)[:number] for number in range(len(KINDS) + 1)])
def test_tensors_of_every_kind_come_back_with_what_wrote_them(tmp_path, names):
    found = read_tensors(*written(tmp_path / "file", **{name: KINDS[name] for name in names}))
    assert found.keys() == set(names)
    for name in names:
        assert found[name].dtype == KINDS[name].dtype and torch.equal(found[name], KINDS[name])
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"format": "pt", "lewm": __version__}


def test_equal_tensors_are_equal_bytes(tmp_path):
    assert len({written(tmp_path / str(number), **KINDS)[1] for number in range(20)}) == 1


@pytest.mark.parametrize("sha256", [None, "0" * 64])
def test_tensors_of_another_hash_or_of_none_are_refused(tmp_path, sha256):
    path, _ = written(tmp_path / "file", a=torch.ones(1))
    with pytest.raises(InputError, match=f"{path} is damaged: its SHA-256"):
        read_tensors(path, sha256)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="missing"):
        read_tensors(tmp_path / "none", None)


def test_tensors_that_are_not_finite_are_named_and_whole_numbers_are_finite():
    tensors = {"fine": torch.ones(2), "nan": torch.tensor([1.0, math.nan]), "count": torch.tensor(3)}
    assert not_finite(tensors | {"infinite": torch.tensor(-math.inf)}) == ["nan", "infinite"]


def test_weights_that_do_not_fit_are_refused_in_one_line_that_says_which(tmp_path):
    model = torch.nn.Linear(2, 3)
    path, sha256 = written(tmp_path / "file", **(dict(model.state_dict()) | {"weight": torch.ones(3, 7)}))
    with pytest.raises(InputError, match=r"do not fit the model: size mismatch for weight: .*\[3, 7\]") as error:
        load_weights(model, path, sha256, "model")
    assert "\n" not in str(error.value)


def test_weights_that_are_nan_are_refused_by_name_and_the_module_stays_as_it_is(tmp_path):
    model = torch.nn.Linear(2, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path, sha256 = written(tmp_path / "file", weight=torch.full((3, 2), math.nan), bias=torch.ones(3))
    with pytest.raises(InputError, match="weight is not finite"):
        load_weights(model, path, sha256, "model")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
