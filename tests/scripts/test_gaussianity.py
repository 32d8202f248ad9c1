"""The report on saved embeddings, as its users run it."""

import json

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from scripts import gaussianity
from tests.disk import full_disk
from tests.programs import assert_one_line_error, run_program

QUICK = ("--slices", "8", "--draws", "219")


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def run(capsys, path, *options):
    """What the program ends with, and what it printed."""
    code = run_program(gaussianity.main, str(path), *QUICK, *options)
    return code, capsys.readouterr().out


def save_npy(path, array):
    np.save(path, array)
    return path


def shape_of(path, key=None, frame=None):
    """The shape of the rows that are taken from a file."""
    return tuple(gaussianity.as_rows(gaussianity.load_embeddings(path, key), frame, Console()).shape)


def test_gaussian_embeddings_are_taken_for_what_they_are(tmp_path, capsys):
    code, out = run(capsys, save_npy(tmp_path / "z.npy", gaussian(50, 2).astype(np.float32)))
    assert code is None
    assert "50 samples, 2 dimensions" in out
    assert "Nothing here tells these samples from N(0, I)." in out


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.int64])
def test_arrays_of_any_real_type_are_read(tmp_path, dtype):
    array = (4 * gaussian(50, 2)).round().astype(dtype)
    assert gaussianity.load_embeddings(save_npy(tmp_path / "z.npy", array), None).tolist() == array.tolist()


def test_the_verdict_names_the_statistics_that_reject(tmp_path, capsys):
    code, out = run(capsys, save_npy(tmp_path / "z.npy", gaussian(50, 2) + 1))
    assert code is None
    verdict = out[out.index("These samples are not N(0, I):") :]
    assert "epps_pulley" in verdict
    assert "latent_predictability" not in verdict


def test_the_json_file_holds_each_statistic_beside_its_null(tmp_path, capsys):
    path = tmp_path / "report.json"
    run(capsys, save_npy(tmp_path / "z.npy", gaussian(50, 2)), "--json", str(path))
    report = json.loads(path.read_text())
    assert (report["num_samples"], report["dim"], report["num_slices"], report["num_draws"]) == (50, 2, 8, 219)
    for finding in report["statistics"].values():
        assert set(finding) == {"value", "p", "null_mean", "null_low", "null_high", "gaussian"}
        assert finding["null_low"] <= finding["null_mean"] <= finding["null_high"]
        assert 1 / 220 <= finding["p"] <= 1
    assert 0.5 < report["statistics"]["epps_pulley"]["null_mean"] < 1.5
    assert list(tmp_path.glob("*.partial")) == []


def test_frames_of_clips_become_rows_and_the_screen_says_so(tmp_path, capsys):
    assert shape_of(save_npy(tmp_path / "z.npy", gaussian(25, 4, 2))) == (100, 2)
    assert "100 rows" in capsys.readouterr().out


def test_one_frame_of_each_clip_can_be_taken(tmp_path):
    z = gaussian(50, 3, 2)
    rows = gaussianity.as_rows(torch.from_numpy(z), 1, Console())
    assert rows.tolist() == z[:, 1].tolist()


def test_rows_limits_how_many_are_tested(tmp_path, capsys):
    _, out = run(capsys, save_npy(tmp_path / "z.npy", gaussian(100, 2)), "--rows", "50")
    assert "50 of 100 rows" in out
    assert "50 samples, 2 dimensions" in out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_only_tensor_of_a_safetensors_file_needs_no_key(tmp_path, dtype):
    save_file({"z": torch.zeros(50, 2, dtype=dtype)}, tmp_path / "z.safetensors")
    assert shape_of(tmp_path / "z.safetensors") == (50, 2)


def test_the_key_chooses_among_tensors(tmp_path):
    save_file({"z": torch.zeros(50, 2), "states": torch.zeros(50, 7)}, tmp_path / "z.safetensors")
    assert shape_of(tmp_path / "z.safetensors", key="states") == (50, 7)


@pytest.mark.parametrize(("options", "word"), [((), "several tensors"), (("--key", "q"), "no 'q'")])
def test_an_unclear_key_is_answered_with_the_keys(tmp_path, capsys, options, word):
    save_file({"a": torch.zeros(50, 2), "b": torch.zeros(50, 2)}, tmp_path / "z.safetensors")
    code, _ = run(capsys, tmp_path / "z.safetensors", *options)
    assert_one_line_error(code, word, "one of a, b")


NOT_A_NUMBER = gaussian(50, 2)
NOT_A_NUMBER[17, 1] = np.nan


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros(50), (), ["(50,)", "(N, D)"]),
        (np.zeros((7, 2)), (), ["(7, 2)", "at least 8"]),
        (NOT_A_NUMBER, (), ["row 17", "NaN"]),
        (np.zeros((50, 2), complex), (), ["complex128", "real numbers"]),
        (np.array(["a"] * 50), (), ["<U1", "real numbers"]),
        (np.zeros((50, 2)), ("--frame", "0"), ["--frame 0", "(B, T, D)"]),
        (np.zeros((50, 4, 2)), ("--frame", "4"), ["--frame 4", "(50, 4, 2)"]),
        (np.zeros((50, 2)), ("--slices", "1"), ["--slices 1"]),
        (np.zeros((50, 2)), ("--rows", "7"), ["--rows 7"]),
        (np.zeros((50, 2)), ("--draws", "100"), ["--draws 100", "200 or more"]),
    ],
)
def test_wrong_embeddings_and_options_are_told_in_one_line(tmp_path, capsys, array, options, words):
    code, _ = run(capsys, save_npy(tmp_path / "z.npy", array), *options)
    assert_one_line_error(code, *words)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("z.npy", b"not numpy", "numpy.save"),
        ("z.npy", b"", "numpy.save"),
        ("z.safetensors", b"not safetensors", "not a .safetensors file"),
        ("z.pt", b"", "neither .npy nor .safetensors"),
    ],
)
def test_a_file_of_another_kind_is_told_in_one_line(tmp_path, capsys, name, content, word):
    (tmp_path / name).write_bytes(content)
    code, _ = run(capsys, tmp_path / name)
    assert_one_line_error(code, name, word)


def test_a_missing_file_is_told_in_one_line(tmp_path, capsys):
    code, _ = run(capsys, tmp_path / "absent.npy")
    assert_one_line_error(code, "absent.npy", "not a file")


def test_a_pickle_in_a_npy_file_is_not_loaded(tmp_path, capsys):
    np.save(tmp_path / "z.npy", np.array([{"a": 1}]), allow_pickle=True)
    code, _ = run(capsys, tmp_path / "z.npy")
    assert_one_line_error(code, "z.npy", "numpy.save")


def test_a_full_disk_is_told_in_one_line(tmp_path, capsys):
    path = save_npy(tmp_path / "z.npy", gaussian(50, 2))
    with full_disk(100):
        code, _ = run(capsys, path, "--json", str(tmp_path / "report.json"))
    assert_one_line_error(code)
