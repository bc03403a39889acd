"""Files named by their content: taken in, added, compared and dropped."""

import hashlib

import pytest

from maquette.containers import MemoryBudget
from maquette.document.fields import Fields
from maquette.document.files import NewFiles, SavedFiles
from maquette.errors import InputError
from tests.endings import tree


def taken(**contents):
    files = NewFiles("scene_files")
    names = {stem: files.take(stem, ".ply", content) for stem, content in contents.items()}
    return files, names


def test_equal_contents_have_equal_names_and_others_do_not():
    _, names = taken(instance_1=b"a", instance_2=b"a", instance_3=b"b")
    sums = {stem: name.rpartition("-")[2] for stem, name in names.items()}
    assert sums["instance_1"] == sums["instance_2"] != sums["instance_3"]
    assert sums["instance_1"] == hashlib.sha256(b"a").hexdigest()[:12] + ".ply"


def test_only_what_is_not_there_is_added(tmp_path):
    files, names = taken(instance_1=b"a", instance_2=b"b")
    added = []
    files.add_to(tmp_path, added)
    assert added == [tmp_path / "scene_files", *(tmp_path / name for name in names.values())]
    (tmp_path / names["instance_1"]).write_bytes(b"x")  # damaged
    (tmp_path / names["instance_2"]).unlink()
    added = []
    files.add_to(tmp_path, added)
    assert added == [tmp_path / names["instance_2"]]
    assert tree(tmp_path) == {names["instance_1"]: b"a", names["instance_2"]: b"b"}


def test_what_others_may_have_written_is_not_dropped(tmp_path):
    files, names = taken(instance_1=b"a")
    former, _ = taken(instance_1=b"former", mask_3=b"former")
    for new in (files, former):
        new.add_to(tmp_path, [])
    named_by_010 = "scene_files/instance_2.ply"
    foreign = ["scene_files/instance_3.ply", "scene_files/notes-0123456789ab.ply"]
    for name in [named_by_010, *foreign]:
        (tmp_path / name).write_bytes(b"x")
    files.drop_others(tmp_path / "scene.json", f'"mesh": "{named_by_010}"')
    assert set(tree(tmp_path)) == {names["instance_1"], *foreign}


def test_a_file_is_compared_with_its_sum_where_there_is_one(tmp_path):
    files, names = taken(instance_1=b"content")
    files.add_to(tmp_path, [])
    document = Fields(tmp_path / "scene.json", {"mesh": names["instance_1"]})
    sums = Fields(document.file, files.records)
    path = tmp_path / names["instance_1"]
    assert SavedFiles(sums).read(document, "mesh") == (path, b"content")
    for content, says in ((b"conten", "6 bytes instead of 7"), (b"CONTENT", "was altered")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=says):
            SavedFiles(sums).read(document, "mesh")
        assert SavedFiles().read(document, "mesh") == (path, content)
    with pytest.raises(InputError, match="would take"):
        SavedFiles(sums, MemoryBudget(3)).read(document, "mesh")
