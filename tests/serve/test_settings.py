"""What can be asked for, and the line to install when something is missing."""

import importlib.util

import pytest

from maquette.errors import InputError, MissingExtraError
from maquette.serve import settings as module
from maquette.serve.settings import ServeSettings, require_serve


@pytest.mark.parametrize("missing", ["ray", "sqlalchemy"])
def test_what_is_missing_is_said_with_the_line_to_install(monkeypatch, missing):
    find = importlib.util.find_spec

    def found(name, package=None):
        return None if name.split(".")[0] == missing else find(name, package)

    monkeypatch.setattr(module.importlib.util, "find_spec", found)
    line = {"ray": r"pip install 'maquette\[serve\]'", "sqlalchemy": r"maquette\[app\]"}
    with pytest.raises(MissingExtraError, match=line[missing]) as caught:
        require_serve()
    assert len(str(caught.value).splitlines()) == 1


def test_no_fewer_than_the_least_workers(tmp_path):
    assert ServeSettings(tmp_path, workers=3, least_workers=3).workers == 3
    with pytest.raises(InputError, match="--least-workers 4 is more than --workers 3"):
        ServeSettings(tmp_path, workers=3, least_workers=4)
