import errno
import os
import re
import shutil
import subprocess
import sys

import pytest

from maquette.errors import OutputError
from maquette.output import (
    FOREIGN_AGE,
    RESULT_SUFFIX,
    abandoned,
    atomic_folder,
    atomic_write,
    clear_leftovers,
    refuse_overwrite,
    temporary_path,
    writable_folder,
    write_files,
)
from tests.endings import KILLED, RAISED, at_steps, endings, fill_disk, kill, needs_fork, tree


def test_atomic_write_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "scene.glb"
    for text in ("first", "second"):
        with atomic_write(path) as temporary:
            assert temporary.suffix == ".glb" and temporary.parent == path.parent
            temporary.write_text(text)
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["scene.glb"]


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_keeps_the_old_file(tmp_path, exception):
    path = tmp_path / "scene.json"
    path.write_text("old")
    with pytest.raises(exception), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise exception
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["scene.json"]


def test_a_full_disk_is_an_output_error_that_names_the_path(tmp_path):
    path = tmp_path / "scene.json"
    with pytest.raises(OutputError, match=r"scene\.json.*No space left"), atomic_write(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_a_parent_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="cannot be written"),
        atomic_write(tmp_path / "file" / "scene.glb"),
    ):
        pass
    with pytest.raises(OutputError, match="cannot be written"):
        writable_folder(tmp_path / "file")


def test_special_files_and_folders_are_not_replaced(tmp_path):
    for path, what in ((tmp_path, "is no file"), ("/dev/null", "is no file")):
        with pytest.raises(OutputError, match=what), atomic_write(path):
            pass


def test_a_link_keeps_pointing_to_the_file(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "new"


def test_atomic_folder_is_all_or_nothing(tmp_path):
    path = tmp_path / "masks"
    with atomic_folder(path) as folder:
        (folder / "a").write_text("a")
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as folder:
        (folder / "b").write_text("b")
        raise KeyboardInterrupt
    assert os.listdir(path) == ["a"]
    with atomic_folder(path) as folder:
        (folder / "c").write_text("c")
    assert os.listdir(path) == ["c"] and os.listdir(tmp_path) == ["masks"]


def test_refuse_overwrite(tmp_path):
    assert refuse_overwrite(tmp_path / "free", overwrite=False) == tmp_path / "free"
    with pytest.raises(OutputError, match="already exists"):
        refuse_overwrite(tmp_path, overwrite=False)
    assert refuse_overwrite(tmp_path, overwrite=True) == tmp_path


def test_writable_folder_creates_and_leaves_it_empty(tmp_path):
    assert os.listdir(writable_folder(tmp_path / "a" / "b")) == []


@at_steps
@needs_fork
@pytest.mark.parametrize(("end", "error"), [(kill, KeyboardInterrupt), (fill_disk, OutputError)])
def test_files_that_belong_together_are_never_half_written(tmp_path, end, error, steps):
    """An .obj and what it refers to: each is old or new, and where the main one is new, all are."""
    folder = tmp_path / "out"
    main, second, third = (folder / name for name in ("s.obj", "s.mtl", "s.png"))
    old = {"s.obj": b"old", "s.mtl": b"old", "s.png": b"old"}
    new = {"s.obj": b"new main", "s.mtl": b"new", "s.png": b"new"}

    def prepare():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in old.items():
            (folder / name).write_bytes(content)

    def write():
        write_files({main: new["s.obj"], second: new["s.mtl"], third: new["s.png"]})

    for outcome in endings(prepare, write, end, steps, error):
        clear_leftovers(folder)
        left = tree(folder)
        assert left.keys() == old.keys()
        assert all(left[name] in (old[name], new[name]) for name in old)
        assert left["s.obj"] == old["s.obj"] or left == new
        assert outcome != RAISED or left["s.obj"] == old["s.obj"]


@at_steps
@needs_fork
def test_a_folder_whose_replacement_was_killed_comes_back(tmp_path, steps):
    folder = tmp_path / "masks"

    def prepare():
        for path in tmp_path.iterdir():
            shutil.rmtree(path)
        folder.mkdir()
        (folder / "a").write_text("old")

    def replace():
        with atomic_folder(folder) as temporary:
            (temporary / "b").write_text("new")

    for outcome in endings(prepare, replace, kill, steps):
        assert outcome == KILLED
        clear_leftovers(tmp_path)
        assert tree(tmp_path) in ({"masks/a": b"old"}, {"masks/b": b"new"})


# Leftovers of killed runs


def of_dead_process(path):
    """The name that a temporary of a process has which lives no more."""
    code = "import sys; from maquette.output import *; print(temporary_path(Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(path)]
    return path.parent / subprocess.check_output(command, text=True).strip()


def of_another_machine(path):
    own = temporary_path(path)
    return own.with_name(re.sub(r"^\.maquette-\w{8}", ".maquette-01234567", own.name))


def aged(path, seconds):
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def test_only_abandoned_temporaries_are_removed(tmp_path):
    gone = of_dead_process(tmp_path / "a.glb")
    mine = temporary_path(tmp_path / "a.glb")
    theirs_new, theirs_old, folder = (of_another_machine(tmp_path / "a.glb") for _ in range(3))
    before_010_new, before_010_old = (
        tmp_path / f".maquette-{digit * 12}.png" for digit in "ab"
    )  # as version 0.1.0 named them
    foreign = [tmp_path / name for name in (".maquette-notes", ".maquette.toml", "scene.glb")]
    for path in (gone, mine, theirs_new, theirs_old, before_010_new, before_010_old, *foreign):
        path.write_text("x")
    folder.mkdir()
    (folder / "inner").write_text("x")
    result = gone.with_suffix(RESULT_SUFFIX)
    result.mkdir()
    for path in (theirs_old, before_010_old, folder, *foreign):
        aged(path, 2 * FOREIGN_AGE)
    kept = {mine, theirs_new, before_010_new, *foreign}
    assert clear_leftovers(tmp_path) == 4
    assert set(tmp_path.iterdir()) == kept | {result}  # which batch settles
    assert abandoned(tmp_path) == [result]
    assert clear_leftovers(tmp_path / "nowhere") == 0


def test_the_next_run_removes_what_a_killed_one_left(tmp_path):
    of_dead_process(tmp_path / "a.glb").write_text("half")
    writable_folder(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_what_is_full_is_said_with_what_to_do(tmp_path, number):
    with (
        pytest.raises(OutputError, match=r"a\.glb: cannot be written \(.*\); make room"),
        atomic_write(tmp_path / "a.glb"),
    ):
        raise OSError(number, os.strerror(number))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that the system makes")
def test_where_no_folder_can_be_made_another_is_asked_for():
    with pytest.raises(OutputError, match=r"none can be made there; name another"):
        writable_folder("/proc/no-such-process")
