import errno
import os

import pytest

from maquette.errors import OutputError
from maquette.output import atomic_folder, atomic_write, refuse_overwrite, writable_folder


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
    for path, what in ((tmp_path, "a folder"), ("/dev/null", "not a regular file")):
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
