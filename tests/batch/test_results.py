import contextlib
import dataclasses
import json
import os
import re
import resource
import shutil
import subprocess

import numpy as np
import pytest

import maquette
from maquette.batch import results
from maquette.batch.finished import Products, content_hash, is_finished, missing, read_document
from maquette.batch.results import write_result
from maquette.errors import InputError, OutputError
from tests.document.scenes import make_scene
from tests.endings import RAISED, at_steps, endings, fill_disk, interrupt, kill, needs_fork, tree

REQUEST = {"photo": "p", "masks": "m", "weights": {"vae": "w"}, "only": None, "seed": 0}


@pytest.fixture(autouse=True)
def small_preview(monkeypatch):
    monkeypatch.setattr(results, "preview", lambda scene: np.zeros((4, 4, 3), np.uint8))


def scene_of(seed=0, **changes):
    scene = make_scene()
    return dataclasses.replace(
        scene, provenance={"seconds": {"read": 0.5}, "request": REQUEST | {"seed": seed}}, **changes
    )


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


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 400 kB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("may not mount a file system")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill(path, left):
    """Write a file until the disk is full, and give ``left`` bytes back."""
    path.write_bytes(b"")
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass
    os.truncate(path, max(0, path.stat().st_size - left))


@pytest.mark.tools
def test_on_a_disk_that_is_really_full_the_old_result_stays(small_disk):
    out = small_disk / "out"
    write_result(scene_of(), out, Products())
    outcomes = []
    for left in (0, 20_000, 40_000, 80_000, 160_000):
        before = tree(out)
        fill(small_disk / "filling", left)
        try:
            write_result(scene_of(1).move(1, (left, 0.0, 0.0)), out, Products())
            outcomes.append("made")
        except OutputError as error:
            outcomes.append("refused")
            assert re.search(r"No space left on device\); make room", str(error))
            assert tree(out) == before
        maquette.load(out)
        (small_disk / "filling").unlink()
    assert outcomes[0] == "refused" and outcomes[-1] == "made"


# Whenever writing a result over an older one ends, it is the old result or the new one


class Writing:
    """Writes one small result over another, in a folder that is as before each time."""

    products = Products(("glb",), preview=False)

    def __init__(self, folder):
        old = scene_of(0, instances=make_scene().instances[1:2], input=None)
        self.scene = scene_of(1, instances=make_scene().instances[2:], input=None)
        self.folder = folder / "result"
        self.old, self.new = (folder / "old", folder / "new")
        write_result(old, self.old, Products(("glb", "ply"), preview=False))
        write_result(self.scene, self.new, self.products)
        self.trees = [tree(self.old), tree(self.new)]

    def empty(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self):
        self.empty()
        shutil.copytree(self.old, self.folder)

    def act(self):
        write_result(self.scene, self.folder, self.products)

    def meant(self):
        """The files of the result whose document is there now."""
        document = (self.folder / "scene.json").read_bytes()
        return next(files for files in self.trees if files["scene.json"] == document)


@pytest.fixture
def writing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: None)  # no power will fail here
    monkeypatch.setattr(results.time, "perf_counter", lambda: 0.0)  # equal results, equal bytes
    return Writing(tmp_path)


@at_steps
@needs_fork
def test_killed_at_any_step_the_result_is_entire_and_the_next_run_settles_the_rest(writing, steps):
    count = 0
    for _ in endings(writing.prepare, writing.act, kill, steps):
        count += 1
        maquette.load(writing.folder)
        known = {content for files in writing.trees for content in files.values()}
        visible = [name for name in tree(writing.folder) if ".maquette-" not in name]
        assert all((writing.folder / name).read_bytes() in known for name in visible)
        results.recover(writing.folder)
        assert writing.meant().items() <= tree(writing.folder).items()
        writing.act()
        assert tree(writing.folder) == writing.trees[1]
    assert count > 20


@at_steps
@needs_fork
def test_killed_at_any_step_of_a_first_run_the_next_run_can_begin(writing, steps):
    for _ in endings(writing.empty, writing.act, kill, steps):
        results.recover(writing.folder)
        if not (writing.folder / "scene.json").exists():
            assert not set(writing.products.names()) & set(tree(writing.folder))
        writing.act()
        assert tree(writing.folder) == writing.trees[1]


@at_steps
@needs_fork
@pytest.mark.parametrize(
    ("end", "error"), [(interrupt, KeyboardInterrupt), (fill_disk, OutputError)]
)
def test_interrupted_or_without_space_at_any_step_the_old_result_stays(writing, end, error, steps):
    for outcome in endings(writing.prepare, writing.act, end, steps, error):
        assert outcome == RAISED or writing.meant() == writing.trees[1]
        assert writing.meant().items() <= tree(writing.folder).items()
        hidden = [path for path in writing.folder.rglob(".maquette-*") if path.is_file()]
        assert end is interrupt or (hidden == [] and tree(writing.folder) == writing.meant())


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


def test_files_of_somebody_else_in_the_folders_stay(tmp_path):
    write_result(scene_of(), tmp_path, Products(separate=True))
    foreign = [tmp_path / "scene_files" / "thesis.docx", tmp_path / "scene_instances" / "mine.glb"]
    for path in foreign:
        path.write_text("mine")
    write_result(scene_of(1), tmp_path, Products())
    assert [path.read_text() for path in foreign] == ["mine", "mine"]
    assert os.listdir(tmp_path / "scene_instances") == ["mine.glb"]


def test_a_list_that_somebody_edited_deletes_nothing_else(tmp_path):
    write_result(scene_of(), tmp_path / "out", Products())
    (tmp_path / "scene.glb").write_text("mine")
    (tmp_path / "out" / "notes.glb").write_text("mine")
    path = tmp_path / "out" / "scene.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["provenance"]["files"] = ["../scene.glb", "notes.glb", "scene_files", 3]
    path.write_text(json.dumps(document), encoding="utf-8")
    write_result(scene_of(1), tmp_path / "out", Products(("obj",)))
    assert (tmp_path / "scene.glb").exists() and (tmp_path / "out" / "notes.glb").exists()
    maquette.load(tmp_path / "out")


def test_without_hard_links_it_works_as_well(tmp_path, monkeypatch):
    def refuse(*names, **options):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    for seed in (0, 1):
        write_result(scene_of(seed), tmp_path, Products())
    assert read_document(tmp_path)["provenance"]["request"]["seed"] == 1


def test_fingerprint_follows_contents_and_names(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    one = content_hash(tmp_path / "a")
    folder = content_hash(tmp_path)
    (tmp_path / "b").write_bytes(b"1")
    assert content_hash(tmp_path / "b") == one and content_hash(tmp_path) != folder
    (tmp_path / "b").unlink()
    assert content_hash(tmp_path) == folder
    (tmp_path / "a").rename(tmp_path / "c")
    assert content_hash(tmp_path) != folder
    with pytest.raises(InputError, match="no such file"):
        content_hash(tmp_path / "nowhere")


@pytest.mark.parametrize("formats", [("gltf",), ("glb", "usd"), ()])
def test_unknown_formats_are_refused_before_any_work(formats):
    with pytest.raises(InputError, match="glb,obj,ply,stl"):
        Products(formats)


def test_document_that_is_not_ours_is_none(tmp_path):
    for text in ("{", "[]", json.dumps({"provenance": 3}), "\xff"):
        (tmp_path / "scene.json").write_text(text, encoding="latin-1")
        assert read_document(tmp_path) is None
