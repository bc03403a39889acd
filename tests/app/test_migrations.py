"""Revisions: an old database becomes what a new one is, with everything that was in it."""

import sqlite3

from alembic.script import ScriptDirectory

from maquette.app.databases import MIGRATIONS, sqlite
from maquette.app.ownership import APPLICATION_ID, VERSION
from tests.app.test_ownership import old_database


def tables(path):
    """Table -> its columns with their types, primary keys and order."""
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
    found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    header = [
        connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        for pragma in ("application_id", "user_version")
    ]
    connection.close()
    return found, header


def test_there_is_one_line_of_revisions_and_the_header_counts_them():
    script = ScriptDirectory(str(MIGRATIONS), version_locations=[str(MIGRATIONS)])
    numbers = [revision.revision for revision in script.walk_revisions()]
    assert numbers == [str(number) for number in range(VERSION, 0, -1)]


def test_an_old_database_becomes_what_a_new_one_is(tmp_path):
    old = old_database(tmp_path / "old")
    old.execute("INSERT INTO jobs (id, state, seconds) VALUES ('a', 'done', '{\"sample\":1.5}')")
    old.close()
    for name in ("old", "new"):
        for _ in range(2):
            sqlite(tmp_path / name).engine.dispose()
    assert tables(tmp_path / "old")[0] == tables(tmp_path / "new")[0]
    assert tables(tmp_path / "new")[1] == [APPLICATION_ID, VERSION]
    opened = sqlite3.connect(tmp_path / "old")
    assert opened.execute("SELECT ordinal, id, seconds FROM jobs").fetchall() == [
        (1, "a", '{"sample":1.5}')
    ]
    opened.close()
