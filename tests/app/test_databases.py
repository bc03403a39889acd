"""Opening a database: alone, sound, or refused in one line."""

import pytest
from sqlalchemy import text

from maquette.app.databases import sqlite
from maquette.errors import InputError, OutputError


def test_a_file_belongs_to_one_server_at_a_time(tmp_path):
    first = sqlite(tmp_path / "a")
    with pytest.raises(InputError, match="another maquette app works in this folder") as caught:
        sqlite(tmp_path / "a")
    assert len(str(caught.value).splitlines()) == 1
    first.engine.dispose()
    sqlite(tmp_path / "a").engine.dispose()


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="unable to open") as caught:
        sqlite(tmp_path / "nowhere" / "a")
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_committed_is_on_the_disk_before_it_is_said(tmp_path):
    opened = sqlite(tmp_path / "a")
    with opened.engine.connect() as connection:
        asked = {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in PRAGMAS}
    assert asked == PRAGMAS
    opened.engine.dispose()


PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,
    "locking_mode": "exclusive",
    "trusted_schema": 0,
}
