"""One PostgreSQL for all tests of the package that want one."""

import itertools

import pytest

from maquette.serve.settings import ServeSettings
from maquette.serve.shared import open_shared
from tests.app.live import write_template
from tests.app.postgres import running


@pytest.fixture(scope="session")
def postgres():
    with running() as server:
        yield server


KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.tools)]
numbers = itertools.count()


@pytest.fixture(params=KINDS)
def settings(request, tmp_path):
    """Of a new database of each kind."""
    address = None
    if request.param == "postgresql":
        address = request.getfixturevalue("postgres").create(f"test{next(numbers)}")
    return ServeSettings(tmp_path / "data", database=address)


@pytest.fixture
def join(settings):
    """What opens a further studio on the database, as another process would."""
    opened = []

    def another(lease=15.0):
        opened.append(open_shared(settings, lease=lease))
        return opened[-1]

    yield another
    for studio in opened:
        studio.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene") / "template"
    write_template(folder)
    return folder
