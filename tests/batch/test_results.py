import dataclasses
import json
import os
import resource

import numpy as np
import pytest

import maquette
from maquette.batch import results
from maquette.batch.results import (
    Products,
    fingerprint,
    is_finished,
    missing,
    read_document,
    write_result,
)
from maquette.errors import InputError, OutputError
from tests.scene.scenes import make_scene

REQUEST = {"photo": "p", "masks": "m", "weights": {"vae": "w"}, "only": None, "seed": 0}


@pytest.fixture(autouse=True)
def small_preview(monkeypatch):
    monkeypatch.setattr(results, "preview", lambda scene: np.zeros((4, 4, 3), np.uint8))


def scene_of(seed=0, **changes):
    scene = make_scene()
    return dataclasses.replace(
        scene, provenance={"seconds": {"read": 0.5}, "request": REQUEST | {"seed": seed}}, **changes
    )


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_everything_asked_for_is_there_and_can_be_read(tmp_path):
    products = Products(("glb", "obj", "stl"), separate=True)
    write_result(scene_of(), tmp_path, products)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "scene.json",
        "scene_files",
        *products.names(),
    }
    assert not [path for path in tmp_path.rglob(".*")]
    assert len(maquette.load(tmp_path).instances) == len(scene_of().instances)
    seconds = read_document(tmp_path)["provenance"]["seconds"]
    assert seconds["read"] == 0.5 and {"preview", "export"} <= set(seconds)


def test_interrupted_at_any_move_leaves_the_old_result(tmp_path, monkeypatch):
    """The law: whichever rename is the last, the folder is as before; only when none fails it is
    the new one.
    """
    write_result(scene_of(0), tmp_path, Products(("glb", "ply")))
    before = tree(tmp_path)
    real = os.replace
    fewer = scene_of(1, instances=scene_of().instances[:1])
    remaining = 0

    def interrupted(source, target):
        nonlocal remaining
        if remaining == 0:
            remaining = -1
            raise KeyboardInterrupt
        remaining -= 1
        real(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    for moves in range(100):
        remaining = moves
        try:
            write_result(fewer, tmp_path, Products(("glb",)))
            break
        except KeyboardInterrupt:
            assert tree(tmp_path) == before, f"interrupted at move {moves}"
    assert (
        moves > 8
        and "scene.ply" not in tree(tmp_path)
        and len(maquette.load(tmp_path).instances) == 1
    )


def test_overwriting_removes_what_the_old_result_had_and_nothing_else(tmp_path):
    write_result(scene_of(), tmp_path, Products(("glb", "obj"), separate=True))
    for name in ("scene.stl", "notes.txt"):  # somebody else's
        (tmp_path / name).write_text("mine")
    write_result(scene_of(1), tmp_path, Products(("ply",), preview=False))
    assert {path.name for path in tmp_path.iterdir()} == {
        "scene.json",
        "scene_files",
        "scene.ply",
        "scene.stl",
        "notes.txt",
    }


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit of the file size")
@pytest.mark.parametrize("limit", [10, 2000, 20000])
def test_full_disk_is_one_line_and_leaves_nothing_new(tmp_path, limit):
    write_result(scene_of(), tmp_path, Products())
    before = tree(tmp_path)
    (soft, hard) = resource.getrlimit(resource.RLIMIT_FSIZE)
    large = scene_of(1)
    instance = large.instances[0]
    mesh = instance.mesh.subdivide().subdivide().subdivide().subdivide()
    large = dataclasses.replace(large, instances=(dataclasses.replace(instance, mesh=mesh),))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OutputError, match="cannot be written") as caught:
            write_result(large, tmp_path, Products())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value) and ".maquette-" not in str(caught.value)
    assert tree(tmp_path) == before


def test_finished_means_the_same_request(tmp_path):
    assert not is_finished(tmp_path, REQUEST, Products())
    write_result(scene_of(), tmp_path, Products())
    assert is_finished(tmp_path, REQUEST, Products())
    for change, says in (
        ({"photo": "x"}, "another photo"),
        ({"masks": "x"}, "other masks"),
        ({"weights": {}}, "other weights"),
        ({"seed": 1}, "seed 0 instead of 1"),
    ):
        with pytest.raises(OutputError, match=says):
            is_finished(tmp_path, REQUEST | change, Products())


def test_result_edited_by_hand_stays_finished(tmp_path):
    write_result(scene_of(), tmp_path, Products())
    edited = maquette.load(tmp_path).move(scene_of().instances[0].label, (0.1, 0, 0))
    edited.export(tmp_path / "scene.json")
    assert is_finished(tmp_path, REQUEST, Products())


def test_missing_products_are_added_to_those_there_are(tmp_path):
    write_result(scene_of(), tmp_path, Products(("glb",)))
    assert missing(tmp_path, Products(("glb",))) is None
    assert missing(tmp_path, Products(("obj",), preview=False)) == Products(
        ("obj", "glb"), preview=True
    )


@pytest.mark.parametrize("name", ["scene.glb", "preview.png", "scene.json"])
def test_files_of_somebody_else_are_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=name):
        is_finished(tmp_path, REQUEST, Products())


def test_folder_with_foreign_files_is_not_replaced(tmp_path):
    write_result(scene_of(), tmp_path, Products())
    (tmp_path / "scene_files" / "thesis.docx").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"thesis\.docx"):
        write_result(scene_of(1), tmp_path, Products())
    assert tree(tmp_path) == before


def test_fingerprint_follows_contents_and_names(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    one = fingerprint(tmp_path / "a")
    folder = fingerprint(tmp_path)
    (tmp_path / "b").write_bytes(b"1")
    assert fingerprint(tmp_path / "b") == one and fingerprint(tmp_path) != folder
    (tmp_path / "b").unlink()
    assert fingerprint(tmp_path) == folder
    (tmp_path / "a").rename(tmp_path / "c")
    assert fingerprint(tmp_path) != folder
    with pytest.raises(InputError, match="no such file"):
        fingerprint(tmp_path / "nowhere")


@pytest.mark.parametrize("formats", [("gltf",), ("glb", "usd"), ()])
def test_unknown_formats_are_refused_before_any_work(formats):
    with pytest.raises(InputError, match="glb,obj,ply,stl"):
        Products(formats)


def test_document_that_is_not_ours_is_none(tmp_path):
    for text in ("{", "[]", json.dumps({"provenance": 3}), "\xff"):
        (tmp_path / "scene.json").write_text(text, encoding="latin-1")
        assert read_document(tmp_path) is None
