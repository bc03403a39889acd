"""The files of a scene: named by content, shared by versions, nothing lost on the way."""

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from maquette.app import scene_files
from maquette.app.folders import Folders
from maquette.app.problems import Problem
from maquette.app.settings import Limits
from maquette.app.uploads import Received, Upload, UploadBudget
from maquette.document.fields import Fields
from maquette.document.scene_json import save, scene_of
from maquette.errors import InputError
from maquette.options import FileSpace
from tests.document.scenes import make_scene


def test_a_saved_scene_that_is_taken_over_is_the_same_scene(tmp_path):
    scene = make_scene()
    (tmp_path / "mine").mkdir()
    document = scene_files.take_over(
        save(scene, tmp_path / "saved" / "scene.json"), tmp_path / "mine"
    )
    again = scene_of(Fields(tmp_path / "mine" / "scene.json", document))
    for a, b in zip(again.instances, scene.instances, strict=True):
        np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
        assert a.state.keys() == b.state.keys() and (a.node_name, a.seed) == (b.node_name, b.seed)
    np.testing.assert_array_equal(again.input.image, scene.input.image)
    assert {key for _, key in scene_files.references(document)} == {
        "mesh",
        "texture",
        "state",
        "photo",
        "mask",
    }
    assert not list((tmp_path / "saved" / "scene_files").iterdir())


def test_equal_files_are_stored_once_and_unused_ones_dropped(tmp_path):
    (tmp_path / "mine").mkdir()
    documents = [
        scene_files.take_over(
            save(make_scene(), tmp_path / f"s{k}" / "scene.json"), tmp_path / "mine"
        )
        for k in range(2)
    ]
    assert documents[0] == documents[1]
    files = set((tmp_path / "mine" / "files").iterdir())
    scene_files.drop_unused(tmp_path / "mine", documents)
    assert set((tmp_path / "mine" / "files").iterdir()) == files
    less = json.loads(json.dumps(documents[0]))
    del less["instances"][0]
    scene_files.drop_unused(tmp_path / "mine", [less])
    assert (
        len(files) - len(list((tmp_path / "mine" / "files").iterdir())) == 2
    )  # its mesh and its state


def zeros(megabytes):
    """A small .npz that unpacks to much."""
    stream = io.BytesIO()
    np.savez_compressed(stream, cube=np.zeros(megabytes << 20, np.uint8))
    return stream.getvalue()


def archive_of(folder, states=(), **changes):
    """The ZIP of a saved scene, in which the first instances have other states."""
    stream = io.BytesIO()
    document = json.loads((folder / "scene.json").read_text()) | {"files": {}} | changes
    pattern = document["instances"][0]
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in (folder / "scene_files").iterdir():
            archive.write(file, file.name)
        for number, content in enumerate(states, 1):
            archive.writestr(f"state_{number}.npz", content)
        if states:
            document["instances"] = [
                pattern | {"label": k, "node": f"n{k}", "state": f"state_{k}.npz"}
                for k in range(1, len(states) + 1)
            ]
        archive.writestr("scene.json", json.dumps(document))
    return stream.getvalue()


def received(folder, content, budget):
    folder.mkdir()
    (folder / "file0").write_bytes(content)
    upload = Upload(folder / "file0", "scene.zip")
    return Received((upload,), Limits(), UploadBudget(budget))


def test_one_budget_covers_the_archive_and_all_that_is_in_it(tmp_path):
    save(make_scene(), tmp_path / "saved")
    content = archive_of(tmp_path / "saved")
    plenty = received(tmp_path / "a", content, 1 << 30)
    scene = scene_files.opened(plenty)
    taken = plenty.budget.limit - plenty.budget.left
    held = sum(array.nbytes for i in scene.instances for array in i.state.values())
    held += scene.input.image.nbytes + sum(mask.mask.nbytes for mask in scene.input.masks)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        held += sum(entry.file_size for entry in archive.infolist())
    assert taken >= held
    scene_files.opened(received(tmp_path / "b", content, taken))
    with pytest.raises(Problem, match="all files of one upload") as caught:
        scene_files.opened(received(tmp_path / "c", content, taken - 1))
    assert caught.value.status == 413


def test_archives_within_an_archive_are_counted_together(tmp_path):
    """Each of them alone would fit."""
    save(make_scene(), tmp_path / "saved")
    state = zeros(30)
    assert len(state) < 1 << 20
    one = archive_of(tmp_path / "saved", [state], input=None)
    scene_files.opened(received(tmp_path / "one", one, 64 << 20))
    many = archive_of(tmp_path / "saved", [state] * 5, input=None)
    tracemalloc.start()
    with pytest.raises(Problem, match="all files of one upload"):
        scene_files.opened(received(tmp_path / "many", many, 64 << 20))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 64 << 20


def test_a_glb_of_any_program_opens_and_a_scene_is_shared_as_one_page(tmp_path):
    path = make_scene().rename(1, "egg").export(tmp_path / "upload.bin.glb")
    uploaded = path.rename(tmp_path / "upload.bin")
    limits = Limits()
    received = Received(
        (Upload(uploaded, "Room.GLB"),), limits, UploadBudget(limits.unpacked_bytes)
    )
    scene = scene_files.opened(received)
    assert scene["egg"].label == 1 and scene.input is None
    folders = Folders.at(tmp_path / "data")
    folders.recover({})  # makes the place to work in
    page = scene_files.exported(scene, "room", "html", FileSpace(), False, folders)
    assert page.name == "room.html" and b"viewer.js" not in page.content[:100]
    assert page.content.startswith(b"<!doctype html>") and page.media_type.startswith("text/html")
    text = tmp_path / "words.glb"
    text.write_text("no glTF")
    with pytest.raises(InputError):
        scene_files.opened(Received((Upload(text, "a.glb"),), limits, UploadBudget(1 << 30)))


def test_a_lone_scene_json_is_one_line_that_says_what_is_missing(tmp_path):
    document = save(make_scene(), tmp_path / "scene.json")
    limits = Limits()
    upload = Upload(document, "scene.json")
    with pytest.raises(InputError, match="which was not sent; send scene") as told:
        scene_files.opened(Received((upload,), limits, UploadBudget(limits.unpacked_bytes)))
    assert "\n" not in str(told.value)
