"""Names of runs, evaluations and ablations are names of one folder, or refused before anything is written."""

import pytest

import train
from lewm.ablation.cells import make_cells
from lewm.config.schema import RESERVED, FolderName
from scripts import ablate, plan
from tests.programs import assert_one_line_error, run_program

BAD = ["", ".", "..", "../up", "checkpoints", "a/b", ".hidden", "Heads", "parts", "videos", "tensorboard", "lock"]
COMMANDS = {
    "train": (train.main, ["output_dir=out", "data.path=data"]),
    "plan": (plan.main, ["run=run"]),
    "ablate": (ablate.main, ["seed=0,1", "output_dir=out"]),
}


@pytest.mark.parametrize("name", ["a", "two_room_micro_sigreg_seed0", "plan-50", "1.5", "_", "größe", "lr=0.1", "2024"])
def test_a_word_of_letters_digits_dots_dashes_underscores_and_equals_signs_is_a_name(name):
    assert FolderName(RESERVED).allows(name)


@pytest.mark.parametrize("name", [*BAD, "a b", "a\n", "=a", "a:b", "Results.json"])
def test_what_is_no_single_folder_or_holds_something_else_is_no_name(name):
    assert not FolderName(RESERVED).allows(name)


@pytest.mark.parametrize("program", COMMANDS)
@pytest.mark.parametrize("name", BAD)
def test_a_program_refuses_a_bad_name_in_one_line_and_writes_nothing(program, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main, arguments = COMMANDS[program]
    assert_one_line_error(run_program(main, *arguments, f"name='{name}'"), f"name={name!r} must be the name of one")
    assert list(tmp_path.iterdir()) == []


def test_cells_of_odd_values_have_names_of_folders(tmp_path):
    sweep = ["data.path='/tmp/ä',../up,'a b'", "model.flow='{name: affine_coupling}',null", "seed=0,1"]
    names = [cell.name for cell in make_cells(sweep, tmp_path)]
    assert len(set(names)) == 12 and [name for name in names if not FolderName(RESERVED).allows(name)] == []


def test_an_ablation_that_is_named_after_its_keys_has_the_name_of_a_folder():
    config, _, _ = ablate.read_arguments(["hydra/launcher=local", "++regularizer.weight=1,2", "seed=0,1"])
    assert config.name == "regularizer.weight"
