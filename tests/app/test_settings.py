"""What a server may be told."""

from pathlib import Path

import pytest

from maquette.app import settings
from maquette.app.settings import ServerSettings, default_data, require_app
from maquette.errors import InputError, MissingExtraError


@pytest.mark.parametrize(
    "wrong",
    [{"port": -1}, {"port": 65536}, {"workers": 0}, {"queue": 0}, {"weights": (Path("nowhere"),)}],
)
def test_wrong_settings_are_named(tmp_path, wrong):
    with pytest.raises(InputError):
        ServerSettings(tmp_path, **wrong)


def test_a_missing_extra_is_named_with_the_line_that_installs_it(monkeypatch):
    require_app()
    monkeypatch.setattr(settings.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[app\]'"):
        require_app()


@pytest.mark.parametrize(
    ("platform", "part"),
    [("linux", ".local/share"), ("darwin", "Application Support"), ("win32", "AppData")],
)
def test_data_is_kept_where_the_system_keeps_it(monkeypatch, platform, part):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings.sys, "platform", platform)
    assert part in default_data().as_posix() and default_data().name == "maquette"
