"""Only ids of ours are folders, and only what we made is moved."""

import pytest

from maquette.app.folders import MARKER, Folders, is_named_by_content
from maquette.app.problems import Problem

ID = "0123456789abcdef"


@pytest.fixture
def folders(tmp_path):
    opened = Folders.at(tmp_path)
    opened.recover({})
    return opened


@pytest.mark.parametrize(
    "name", ["", "..", "../../x", "A" * 16, "0" * 15, "0" * 17, "0" * 15 + "/", "0" * 16 + "\n"]
)
def test_what_is_no_id_is_not_found(tmp_path, name):
    with pytest.raises(Problem) as caught:
        Folders.at(tmp_path).of("photos", name)
    assert caught.value.status == 404


def test_new_folders_differ_and_lie_where_they_belong(folders):
    made = set()
    for _ in range(100):
        with folders.new("jobs") as folder:
            made.add(folder)
    assert len(made) == 100 and {folder.parent for folder in made} == {folders.root / "jobs"}
    with pytest.raises(Problem):
        folders.of("secrets", ID)


def test_a_folder_whose_filling_fails_is_gone(folders):
    with pytest.raises(ZeroDivisionError), folders.new("photos") as folder:
        (folder / "image.png").touch()
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), folders.workbench() as bench:
        (bench / "upload").touch()
        raise ZeroDivisionError
    assert not list((folders.root / "photos").iterdir())
    assert not list((folders.root / "work").iterdir())


def test_a_workbench_is_empty_and_gone_afterwards(folders):
    with folders.workbench() as bench:
        assert not list(bench.iterdir()) and bench.is_relative_to(folders.root)
    assert not bench.parent.exists()


def test_leftovers_are_moved_to_the_trash_whole(folders):
    with folders.new("photos") as kept, folders.new("photos") as stray:
        for folder in (kept, stray):
            (folder / "image.png").write_text(folder.name)
    with folders.new("work") as half:
        (half / "upload").touch()
    loose = folders.root / "photos" / "loose"
    loose.touch()
    assert folders.recover({"photos": [kept.name]}) == 2
    assert {path.name for path in (folders.root / "photos").iterdir()} == {kept.name, "loose"}
    trash = {path.name[20:]: path for path in (folders.root / "trash").iterdir()}
    assert set(trash) == {f"photos-{stray.name}", f"work-{half.name}"}
    assert (trash[f"photos-{stray.name}"] / "image.png").read_text() == stray.name
    assert folders.recover({"photos": [kept.name]}) == 0


def test_a_trash_that_is_no_folder_stops_nothing(folders):
    (folders.root / "trash").write_text("mine")
    with folders.new("photos") as stray:
        pass
    assert folders.recover({}) == 0
    assert stray.exists() and (folders.root / "trash").read_text() == "mine"


def test_folders_from_before_the_markers_are_adopted_by_their_rows(folders):
    for name in (ID, ID[::-1]):
        (folders.root / "photos" / name).mkdir()
    assert folders.recover({"photos": [ID]}) == 0
    assert (folders.root / "photos" / ID / MARKER).exists()
    assert folders.recover({}) == 1  # the row is gone: now it is known whose folder it is
    assert [path.name for path in (folders.root / "photos").iterdir()] == [ID[::-1]]


def test_names_by_content_are_told_from_others(tmp_path):
    assert is_named_by_content(tmp_path / f"{ID}.ply")
    assert not is_named_by_content(tmp_path / "notes.txt")
