"""What is not ours stays as it is, to the last byte: before, while and after the app works beside
it, however it ends.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest

from maquette.app.ownership import DATABASE, check_database, check_folder
from maquette.app.settings import ServerSettings
from maquette.app.store import Store
from maquette.app.studio import Studio
from maquette.errors import InputError, MaquetteError, OutputError
from tests.app.live import start

OLD_TABLES = (  # of 0.1.0, whose databases have no application id
    "CREATE TABLE photos (id TEXT PRIMARY KEY, name TEXT, width INTEGER, height INTEGER, "
    "alpha INTEGER, notes TEXT, created TEXT, changed TEXT)",
    "CREATE TABLE jobs (ordinal INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, kind TEXT, "
    "state TEXT, name TEXT, photo TEXT, scene TEXT,\n    label INTEGER, options TEXT, "
    "objects TEXT, instances TEXT, failures TEXT, warnings TEXT, error TEXT, seconds TEXT,\n"
    "    created TEXT, started TEXT, finished TEXT)",
    "CREATE INDEX jobs_by_state ON jobs (state, ordinal)",
    "CREATE TABLE scenes (id TEXT PRIMARY KEY, name TEXT, job TEXT, photo TEXT, created TEXT, "
    "changed TEXT)",
    "CREATE TABLE histories (owner TEXT PRIMARY KEY, head INTEGER, last INTEGER)",
    "CREATE TABLE versions (owner TEXT, number INTEGER, edit TEXT, changed TEXT, document TEXT, "
    "created TEXT, PRIMARY KEY (owner, number))",
)


def write_foreign_files(root):
    """Files of somebody else, some with names that look like ours."""
    files = {
        "holiday.txt": "a",
        ".hidden": "b",
        ".maquette-backup/plan.txt": "c",
        ".maquette-0123456789ab.png": "d",
        "photos/2019/wedding.jpg": "e",
        "photos/IMG_1.jpg": "f",
        "photos/.DS_Store": "g",
        "photos/00000000000000aa/image.png": "h",
        "photos/00000000000000ab/.maquette": "my notes on maquettes",
        "photos/00000000000000ac/.maquette-0123456789ab.png": "i",
        "jobs/cv.docx": "j",
        "jobs/0123456789abcdef": "a file with the name of an id",
        "scenes/film.txt": "k",
        "scenes/00000000000000ad/scene.json": "{}",
        "work/00000000000000ae/report.txt": "l",
        "trash/old.txt": "m",
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "scenes" / "empty").mkdir()
    (root / "photos" / "00000000000000af").symlink_to(root / "photos" / "2019")
    (root / "jobs" / "nowhere").symlink_to("does-not-exist")
    # a copy of a folder of ours elsewhere is its owner's business as well
    copied = root / "photos" / "00000000000000ba" / ".maquette"
    copied.parent.mkdir()
    copied.write_text("made by maquette app: photos/00000000000000bb\n")


def tree(root):
    """Name -> what is there, with the times of last change: of everything below a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = (path.read_bytes(), path.stat().st_mtime_ns)
        else:
            found[name] = "folder"
    return found


def old_database(path):
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "user_version=1"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    for statement in OLD_TABLES:
        connection.execute(statement)
    return connection


def foreign_database(path, mode="DELETE"):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("PRAGMA user_version=1")
    connection.execute("CREATE TABLE photos (id TEXT PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO photos VALUES ('0', 'theirs')")
    return connection


def copy_of_open(root, write):
    """A folder with the database as it is while a program has it open: with its log, unclosed."""
    (root / "open").mkdir(parents=True)
    connection = write(root / "open" / DATABASE)
    shutil.copytree(root / "open", root / "data")
    connection.close()
    return root / "data"


def test_a_folder_of_somebody_else_is_refused_and_stays(tmp_path):
    write_foreign_files(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(InputError, match="holds files but no"):
        Studio.open(ServerSettings(tmp_path))
    assert tree(tmp_path) == before


def test_an_empty_database_beside_work_is_refused_and_everything_stays(tmp_path):
    with start(tmp_path) as live:
        live.job()
    data = tmp_path / "data"
    (data / DATABASE).write_bytes(b"")
    before = tree(data)
    with pytest.raises(InputError, match=r"is empty \(0 bytes\)"):
        Studio.open(ServerSettings(data))
    assert tree(data) == before


@pytest.mark.parametrize("kept", [1, 15, 99, 100, 4095, 4096, 8192, -4096, -1])
def test_a_truncated_database_is_refused_and_everything_stays(tmp_path, kept):
    Studio.open(ServerSettings(tmp_path)).close()
    write_foreign_files(tmp_path)
    path = tmp_path / DATABASE
    path.write_bytes(path.read_bytes()[:kept])
    before = tree(tmp_path)
    with pytest.raises(MaquetteError, match=r"truncated|or a broken one") as caught:
        Studio.open(ServerSettings(tmp_path))
    assert len(str(caught.value).splitlines()) == 1 and tree(tmp_path) == before


def test_a_damaged_database_is_refused_and_all_folders_stay(tmp_path):
    with start(tmp_path) as live:
        live.job()
    data = tmp_path / "data"
    content = bytearray((data / DATABASE).read_bytes())
    content[4096:8192] = bytes(4096)
    (data / DATABASE).write_bytes(content)
    before = tree(data)
    with pytest.raises(OutputError, match="cannot be used"):
        Studio.open(ServerSettings(data))
    after = tree(data)
    assert {k: v for k, v in after.items() if DATABASE not in k} == {
        k: v for k, v in before.items() if DATABASE not in k
    }


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("is_open", [False, True])
def test_a_database_of_another_program_is_refused_and_stays(tmp_path, mode, is_open):
    if is_open:
        data = copy_of_open(tmp_path, lambda path: foreign_database(path, mode))
    else:
        data = tmp_path
        foreign_database(data / DATABASE, mode).close()
    before = tree(data)
    for _ in range(2):
        with pytest.raises(InputError, match="not a database of maquette app"):
            Studio.open(ServerSettings(data))
        with pytest.raises(InputError, match="not a database of maquette app"):
            Store(data / DATABASE)
    assert tree(data) == before


def test_what_only_has_the_name_of_a_database_is_refused_and_stays(tmp_path):
    made = {
        "text": lambda path: path.write_text("dear diary " * 500),
        "folder": lambda path: path.mkdir(),
        "link": lambda path: path.symlink_to("nowhere"),
    }
    for name, make in made.items():
        data = tmp_path / name
        data.mkdir()
        make(data / DATABASE)
        before = tree(data)
        with pytest.raises(InputError, match="not a database of maquette app"):
            Studio.open(ServerSettings(data))
        assert tree(data) == before


def test_a_newer_database_is_refused_and_stays(tmp_path):
    Store(tmp_path / DATABASE).close()
    newer = sqlite3.connect(tmp_path / DATABASE)
    newer.execute("PRAGMA user_version=99")
    newer.close()
    before = tree(tmp_path)
    with pytest.raises(InputError, match="newer maquette"):
        Studio.open(ServerSettings(tmp_path))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("is_open", [False, True])
def test_a_database_of_the_first_release_opens(tmp_path, is_open):
    def write(path):
        connection = old_database(path)
        connection.execute("INSERT INTO photos (id, name) VALUES ('00000000000000aa', 'old')")
        return connection

    data = copy_of_open(tmp_path, write)
    if not is_open:  # its log is written into it
        Store(data / DATABASE).close()
    assert check_database(data / DATABASE)
    studio = Studio.open(ServerSettings(data))
    assert studio.row("photos", "00000000000000aa")["name"] == "old"
    studio.close()
    Studio.open(ServerSettings(data)).close()


def test_a_new_folder_and_one_in_which_a_first_start_was_cut_off_are_taken(tmp_path):
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / DATABASE).touch()
    assert not check_database(tmp_path / DATABASE)
    Studio.open(ServerSettings(tmp_path)).close()
    assert check_database(tmp_path / DATABASE)


def test_what_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="no folder that can be used"):
        Studio.open(ServerSettings(tmp_path / "file"))


SERVER = """
import sys, time
from pathlib import Path
from maquette.app.settings import ServerSettings
from maquette.app.studio import Studio
studio = Studio.open(ServerSettings(Path(sys.argv[1])))
bench = studio.folders.workbench()
(bench.__enter__() / "half.png").write_bytes(b"half")
print("open", flush=True)
time.sleep(600)
"""


def test_files_of_somebody_else_survive_starts_and_a_crash(tmp_path):
    """In a data folder of ours: a start, a crash in the middle of work, two more starts."""
    Studio.open(ServerSettings(tmp_path)).close()
    write_foreign_files(tmp_path)
    before = {k: v for k, v in tree(tmp_path).items() if DATABASE not in k}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "open\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for _ in range(2):
        Studio.open(ServerSettings(tmp_path)).close()
    after = tree(tmp_path)
    assert {name: after.get(name) for name in before} == before
    added = {name for name in after if name not in before and DATABASE not in name}
    thrown = [name for name in added if name.startswith("trash/")]
    assert added == set(thrown) and [n for n in thrown if n.endswith("/files/half.png")]
