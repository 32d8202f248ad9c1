import pytest

from lewm import shipped


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder site-packages with an empty package lewm in it."""
    folder = tmp_path / "lewm"
    folder.mkdir()
    monkeypatch.setattr(shipped, "PACKAGE", folder)
    return folder


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_in_the_repository_programs_are_files_beside_the_package(package):
    program = write(package.parent / "scripts" / "plan.py")
    assert shipped.shipped("scripts/plan.py") == program
    assert shipped.module_of("scripts/plan.py") == "scripts.plan"
    assert shipped.start_of("scripts/plan.py") == (str(program),)


def test_what_the_package_holds_goes_before_what_stands_around_it(package):
    inside, _ = write(package / "scripts" / "plan.py"), write(package.parent / "scripts" / "plan.py")
    assert shipped.shipped("scripts/plan.py") == inside
    assert shipped.module_of("scripts/plan.py") == "lewm.scripts.plan"
    assert shipped.start_of("scripts/plan.py") == ("-m", "lewm.scripts.plan")
