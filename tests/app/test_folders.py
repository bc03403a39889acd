"""Only ids of ours are folders, and only known folders stay."""

import pytest

from maquette.app.folders import Folders, clear_temporary, new_id
from maquette.app.problems import Problem


@pytest.mark.parametrize(
    "name", ["", "..", "../../x", "A" * 16, "0" * 15, "0" * 17, "0" * 15 + "/", "0" * 16 + "\n"]
)
def test_what_is_no_id_is_not_found(tmp_path, name):
    with pytest.raises(Problem) as caught:
        Folders.at(tmp_path).of("photos", name)
    assert caught.value.status == 404


def test_ids_differ_and_become_folders(tmp_path):
    folders = Folders.at(tmp_path)
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000 and all(folders.of("jobs", i).parent == tmp_path / "jobs" for i in ids)
    with pytest.raises(Problem):
        folders.of("secrets", new_id())


def test_sweeping_keeps_what_is_known_and_whole(tmp_path):
    folders = Folders.at(tmp_path)
    kept = new_id()
    stray = new_id()
    for identifier in (kept, stray):
        (folders.make("photos", identifier) / "image.png").touch()
    (folders.of("photos", kept) / ".maquette-abc.png").touch()
    (tmp_path / "photos" / "loose").touch()
    assert folders.sweep("photos", [kept]) == 3
    assert [p.name for p in (tmp_path / "photos").rglob("*")] == [kept, "image.png"]
    assert clear_temporary(tmp_path) == 0
