"""A run of seconds that the examples and commands of the documentation are tried on."""

import pytest

import train
from tests.docs.pages import RUN
from tests.programs import TINY, run_program


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder in which the first command of README was given, with a small model on little data."""
    home = tmp_path_factory.mktemp("home")
    small = [word for word in TINY if not word.startswith("name=")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert run_program(train.main, *small) is None
    assert (home / "runs" / RUN).is_dir()
    return home
