"""The program that writes the pages of evaluations again."""

from scripts import report
from tests.evaluation.finished import write_evaluation
from tests.programs import assert_one_line_error, run_program


def test_every_folder_gets_its_page(tmp_path, capsys):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        write_evaluation(folder, (True, False), (False, False), run=folder.name)
    assert run_program(report.main, *map(str, folders)) is None
    printed = capsys.readouterr().out
    for folder in folders:
        assert f"<h1>{folder.name}</h1>" in (folder / "report.html").read_text()
        assert f"{folder}/report.html: " in printed


def test_a_folder_that_is_no_evaluation_is_one_line(tmp_path):
    assert_one_line_error(run_program(report.main, str(tmp_path)), "results.json", "give the folder of an evaluation")
