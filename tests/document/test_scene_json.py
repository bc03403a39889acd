import dataclasses
import hashlib
import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

import maquette
from maquette.document.scene_json import load, save
from maquette.errors import InputError, OutputError
from maquette.export.glb import glb_bytes
from maquette.export.ground import with_ground
from maquette.output import atomic_write
from maquette.types import GivenGeometry, Instance, InstanceMask, Support
from tests.document.scenes import coloured, make_scene
from tests.endings import RAISED, at_steps, endings, fill_disk, interrupt, kill, needs_fork, tree

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "scene.schema.json").read_text(encoding="utf-8")
)


def file_of(folder, start, suffix):
    """The only file of the document whose name begins so."""
    (found,) = (folder / "scene_files").glob(f"{start}-*{suffix}")
    return found


def stems(folder, suffix=""):
    """Names of the document's files without their sums."""
    return sorted(f.name.split("-")[0] for f in (folder / "scene_files").glob(f"*{suffix}"))


def as_in_version_010(folder):
    """Rewrite a saved document as version 0.1.0 wrote it: files named by what they are, no sums."""
    path = folder / "scene.json"
    text = path.read_text(encoding="utf-8")
    for file in (folder / "scene_files").iterdir():
        plain = file.name.split("-")[0] + file.suffix
        text = text.replace(file.name, plain)
        file.rename(file.with_name(plain))
    document = json.loads(text)
    del document["files"]
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def complaints(value, schema, where="document"):
    """Independent check of the part of JSON Schema that our schema uses."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" in schema:
        options = [complaints(value, option, where) for option in schema["anyOf"]]
        return [] if not all(options) else options[0]
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": type(None),
        "boolean": bool,
    }
    assert set(schema) <= {
        "$schema",
        "$id",
        "$defs",
        "title",
        "description",
        "type",
        "const",
        "enum",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "pattern",
    }
    found = []
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return [f"{where} is {value!r}, not {schema['type']}"]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{where} is {value!r}")
    if ("const" in schema and value != schema["const"]) or (
        "enum" in schema and value not in schema["enum"]
    ):
        found.append(f"{where} is {value!r}")
    if isinstance(value, dict):
        found += [
            f"{where}.{key} missing" for key in schema.get("required", []) if key not in value
        ]
        for key, item in value.items():
            if key in schema.get("properties", {}):
                found += complaints(item, schema["properties"][key], f"{where}.{key}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{where}.{key} is not in the schema")
            elif isinstance(schema.get("additionalProperties"), dict):
                found += complaints(item, schema["additionalProperties"], f"{where}.{key}")
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            found.append(f"{where} has {len(value)} items")
        found += [
            text
            for i, item in enumerate(value)
            for text in complaints(item, schema.get("items", {}), f"{where}[{i}]")
        ]
    if isinstance(value, (int, float)) and not schema.get(
        "minimum", -math.inf
    ) <= value <= schema.get("maximum", math.inf):
        found.append(f"{where} is {value}")
    return found


def test_every_field_comes_back(tmp_path):
    scene = make_scene(metres_per_unit=2.5, frame="canonical")
    back = load(save(scene, tmp_path / "a" / "room.json"))
    assert (back.frame, back.metres_per_unit, back.ground_height, back.failures) == (
        "canonical",
        2.5,
        -0.4375,
        scene.failures,
    )
    assert back.provenance == {
        "method": "iscene",
        "seconds": {"read": 0.25},
        "steps": [1, 2],
        "scores": [None, 0.5],
    }
    for name in ("intrinsics", "world_from_camera", "width", "height"):
        np.testing.assert_array_equal(getattr(back.camera, name), getattr(scene.camera, name))
    for ours, theirs in zip(scene.instances, back.instances, strict=True):
        for name in ("label", "seed", "name", "node", "warnings"):
            assert getattr(ours, name) == getattr(theirs, name)
        np.testing.assert_equal(theirs.confidence, ours.confidence)
        np.testing.assert_array_equal(theirs.world_from_instance, ours.world_from_instance)
        np.testing.assert_array_equal(theirs.mesh.vertices, ours.mesh.vertices)
        np.testing.assert_array_equal(theirs.mesh.faces, ours.mesh.faces)
        assert theirs.state.keys() == ours.state.keys()
        for key, array in ours.state.items():
            assert theirs.state[key].dtype == array.dtype
            np.testing.assert_array_equal(theirs.state[key], array)
    np.testing.assert_array_equal(
        back[1].mesh.visual.vertex_colors, scene[1].mesh.visual.vertex_colors
    )
    np.testing.assert_array_equal(back[12].mesh.visual.uv, scene[12].mesh.visual.uv)
    np.testing.assert_array_equal(
        back[12].mesh.visual.material.image, scene[12].mesh.visual.material.baseColorTexture
    )
    assert (back.input.source, back.input.warnings) == ("photo.jpg", ("dark",))
    np.testing.assert_array_equal(back.input.image, scene.input.image)
    for ours, theirs in zip(scene.input.masks, back.input.masks, strict=True):
        assert (ours.label, ours.name, theirs.mask.dtype) == (theirs.label, theirs.name, bool)
        np.testing.assert_array_equal(ours.mask, theirs.mask)


def test_what_is_around_comes_back_and_fits_the_schema(tmp_path):
    scene = with_ground(make_scene(), "plane")
    path = save(scene, tmp_path)
    assert complaints(json.loads(path.read_text(encoding="utf-8")), SCHEMA) == []
    (ground,) = load(path).around
    assert ground.label not in {i.label for i in scene.instances} and ground.name == "ground"
    np.testing.assert_array_equal(ground.box, scene.around[0].box)
    doubled = path.read_text(encoding="utf-8").replace(f'"label": {ground.label}', '"label": 1')
    path.write_text(doubled, encoding="utf-8")
    with pytest.raises(InputError, match="different labels"):
        load(path)


@pytest.mark.parametrize("depth", [None, np.array([[1.5, np.nan], [0.25, 3.0]], np.float32)])
def test_known_geometry_comes_back_and_a_later_save_drops_its_file(tmp_path, depth):
    bare = make_scene()
    given = replace(
        bare.input,
        image=bare.input.image[:2, :2],
        masks=(InstanceMask(1, np.ones((2, 2), bool)),),
    )
    matrix = np.array([[50.0, 0, 1], [0, 51, 1], [0, 0, 1]])
    known = GivenGeometry(depth, depth is not None, matrix, np.array([0, 0.8, 0.6]), "K.txt")
    scene = replace(bare, input=replace(given, geometry=known))
    back = load(save(scene, tmp_path)).input.geometry
    assert (back.metric, back.source) == (known.metric, "K.txt")
    np.testing.assert_array_equal(back.intrinsics, matrix)
    np.testing.assert_array_equal(back.down, known.down)
    if depth is None:
        assert back.depth is None
        return
    assert back.depth.dtype == np.float32
    np.testing.assert_array_equal(back.depth, depth)
    assert [*tmp_path.glob("scene_files/depth-*.npz")]
    save(bare, tmp_path)
    assert not [*tmp_path.glob("scene_files/depth-*.npz")]


def test_saving_again_is_byte_identical_and_so_is_the_export(tmp_path):
    scene = make_scene()
    save(scene, tmp_path / "first")
    back = maquette.load(tmp_path / "first" / "scene.json")
    save(back, tmp_path / "second")
    assert tree(tmp_path / "first") == tree(tmp_path / "second")
    assert glb_bytes(back) == glb_bytes(scene)


def test_double_precision_meshes_are_exact(tmp_path):
    scene = make_scene().replace(3, trimesh.creation.icosphere(1, radius=1 / 3))
    back = load(save(scene, tmp_path))
    np.testing.assert_array_equal(back[3].mesh.vertices, scene[3].mesh.vertices)
    assert not np.array_equal(back[3].mesh.vertices, back[3].mesh.vertices.astype(np.float32))


def test_numbers_of_numpy_are_numbers(tmp_path):
    ball = dataclasses.replace(make_scene()[1], label=np.int64(1), seed=np.uint32(7))
    scene = make_scene(instances=(ball,), ground_height=np.float32(-0.5), failures=())
    back = load(save(scene, tmp_path))
    assert (back[1].label, back[1].seed, back.ground_height) == (1, 7, -0.5)
    assert {type(back[1].label), type(back[1].seed)} == {int}


def test_scene_without_instances_and_input(tmp_path):
    back = load(save(make_scene(instances=(), input=None), tmp_path))
    assert back.instances == () and back.input is None and back.failures[0].label == 4


def test_document_follows_the_schema(tmp_path):
    for scene in (make_scene(), make_scene(instances=(), input=None, metres_per_unit=1.5)):
        document = json.loads(
            save(scene, tmp_path).read_text(encoding="utf-8"), parse_constant=pytest.fail
        )
        assert complaints(document, SCHEMA) == []
    assert complaints(document | {"surprise": 1, "up": "+Z"}, SCHEMA) == [
        "document.up is '+Z'",
        "document.surprise is not in the schema",
    ]
    document.pop("camera")
    assert complaints(document, SCHEMA) == ["document.camera missing"]


def test_document_follows_the_schema_says_jsonschema(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(save(make_scene(), tmp_path).read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
    assert [error.message for error in validator.iter_errors(document)] == []
    assert list(validator.iter_errors(document | {"up": "+Z"})) != []


def test_deleted_instance_leaves_no_file(tmp_path):
    scene = make_scene()
    save(scene, tmp_path)
    save(scene.delete(3), tmp_path)
    assert stems(tmp_path, ".ply") == ["instance_1", "instance_12"]
    assert [i.label for i in load(tmp_path).instances] == [1, 12]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["scene.json", "scene_files"]


def test_what_has_not_changed_is_not_written_again(tmp_path):
    save(make_scene(), tmp_path)
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "scene_files").iterdir()}
    save(make_scene().move(1, (1.0, 0.0, 0.0)), tmp_path)
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "scene_files").iterdir()} == before


def test_names_and_sums_are_those_of_the_contents(tmp_path):
    document = json.loads(save(make_scene(), tmp_path).read_text(encoding="utf-8"))
    there = {f"scene_files/{f.name}": f for f in (tmp_path / "scene_files").iterdir()}
    assert set(document["files"]) == set(there)
    for name, file in there.items():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert document["files"][name] == {"bytes": file.stat().st_size, "sha256": digest}
        assert file.stem.split("-")[1] == digest[:12]


def test_an_altered_file_is_refused_until_its_sum_is_taken_out(tmp_path):
    path = save(make_scene(), tmp_path)
    mesh = file_of(tmp_path, "instance_1", ".ply")
    other = coloured(trimesh.creation.cone(0.1, 0.2, sections=7), 3)
    mesh.write_bytes(trimesh.exchange.ply.export_ply(other, encoding="ascii"))
    with pytest.raises(InputError, match=f"{mesh.name}: has [0-9]+ bytes instead of"):
        load(tmp_path)
    edit(path, lambda d: d["files"].pop(f"scene_files/{mesh.name}"))
    back = load(tmp_path)[1].mesh  # another program has written it
    np.testing.assert_allclose(back.vertices, other.vertices, atol=1e-6)
    np.testing.assert_array_equal(back.visual.vertex_colors, other.visual.vertex_colors)


def test_one_altered_byte_is_noticed_and_a_later_save_mends_it(tmp_path):
    save(make_scene(), tmp_path)
    for file in sorted((tmp_path / "scene_files").iterdir()):
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(InputError, match=f"{file.name}: was altered or damaged"):
            load(tmp_path)
        save(make_scene(), tmp_path)
        assert file.read_bytes() == content
    assert len(load(tmp_path).instances) == 3


def test_documents_of_version_010_are_read_and_replaced(tmp_path):
    save(make_scene(), tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    as_in_version_010(tmp_path / "old")
    assert (tmp_path / "old" / "scene_files" / "photo.png").exists()
    save(load(tmp_path / "old"), tmp_path / "old")
    assert tree(tmp_path / "old") == tree(tmp_path / "new")


def test_files_of_somebody_else_stay(tmp_path):
    save(make_scene(), tmp_path)
    with pytest.raises(OutputError, match="overwrite"):
        save(make_scene(), tmp_path, overwrite=False)
    foreign = {"thesis.txt": b"ten years", "photo.png": b"mine", "instance_9.ply": b"my mesh"}
    for name, content in foreign.items():
        (tmp_path / "scene_files" / name).write_bytes(content)
    save(make_scene().delete(1), tmp_path)
    for name, content in foreign.items():
        assert (tmp_path / "scene_files" / name).read_bytes() == content


def test_while_another_process_saves_there_nothing_is_deleted(tmp_path):
    save(make_scene(), tmp_path)
    before = set(tree(tmp_path))
    with atomic_write(tmp_path / "scene.json") as temporary:  # as the other one would
        save(make_scene().delete(1), tmp_path)
        assert before <= set(tree(tmp_path)) - {temporary.name}
        temporary.write_bytes((tmp_path / "scene.json").read_bytes())
    save(make_scene().delete(1), tmp_path)
    assert set(tree(tmp_path)) < before


def test_what_cannot_be_saved_leaves_the_old_document(tmp_path):
    scene = make_scene()
    save(scene, tmp_path)
    before = tree(tmp_path)
    placed = scene[1].world_from_instance
    objects = {"x": np.array([{}], dtype=object)}
    outside = trimesh.Trimesh(np.eye(3), [[0, 1, 3]], process=False)
    deep = []
    for _ in range(900):
        deep = [deep]
    for bad, message in (
        ((Instance(1, scene[1].mesh, placed, 0, state=objects),), "Python objects"),
        ((scene[1], scene[1]), "each label once"),
        ((Instance(1, trimesh.Trimesh(), placed, 0),), "no vertices"),
        ((Instance(1, outside, placed, 0),), "vertex 3 but there are 3"),
        ((Instance(1, scene[1].mesh, np.full((4, 4), np.inf), 0),), "not finite"),
        ((Instance(1, scene[1].mesh, placed, 0, node="a\ud800"),), r"\\ud800, half of a surr"),
    ):
        with pytest.raises(InputError, match=message), np.errstate(invalid="ignore"):
            save(make_scene(instances=bad), tmp_path)
        assert tree(tmp_path) == before
    for value, message in (
        ([object()], r"provenance\.a\[0\]"),
        (deep, "levels deep"),
        (10**5000, "or too long"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            save(make_scene(provenance={"a": value}), tmp_path)
        assert tree(tmp_path) == before and len(str(caught.value)) < 400


# Whenever saving over an older scene ends, the document is the old scene or the new one


class Saving:
    """Saves one small scene over another, in a folder that is as before each time."""

    def __init__(self, folder):
        scene = make_scene(input=None).delete(3)
        self.scene = scene.delete(1).move(12, (0.5, 0.0, 0.0)).duplicate(12)
        self.scene = self.scene.replace(1, coloured(trimesh.creation.cone(0.1, 0.2), 4))
        self.folder = folder / "document"
        self.old, self.new = (folder / "old", folder / "new")
        save(scene, self.old)
        save(self.scene, self.new)
        self.trees = [tree(self.old), tree(self.new)]

    def empty(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self):
        self.empty()
        shutil.copytree(self.old, self.folder)

    def act(self):
        save(self.scene, self.folder)

    def is_entire(self):
        """The document can be loaded, with all sums right, and is one of the two."""
        load(self.folder)
        document = (self.folder / "scene.json").read_bytes()
        return document in [files["scene.json"] for files in self.trees]


@pytest.fixture
def saving(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: None)  # no power will fail here
    return Saving(tmp_path)


@at_steps
@needs_fork
def test_killed_at_any_step_the_document_is_entire_and_the_next_save_tidies_up(saving, steps):
    count = 0
    for _ in endings(saving.prepare, saving.act, kill, steps):
        count += 1
        assert saving.is_entire()
        saving.act()
        assert tree(saving.folder) == saving.trees[1]
    assert count > 10


@at_steps
@needs_fork
def test_interrupted_at_any_step_nothing_is_left_over(saving, steps):
    for _ in endings(saving.prepare, saving.act, interrupt, steps):
        assert saving.is_entire()
        left = set(tree(saving.folder))
        assert not [name for name in left if ".maquette-" in name]
        assert any(left >= set(files) for files in saving.trees)


@at_steps
@needs_fork
def test_on_a_full_disk_the_old_document_stays_as_it_was(saving, steps):
    outcomes = []
    for outcome in endings(saving.prepare, saving.act, fill_disk, steps, OutputError):
        outcomes.append(outcome)
        assert tree(saving.folder) == saving.trees[0 if outcome == RAISED else 1]
    assert outcomes.count(RAISED) > 5


@at_steps
@needs_fork
def test_a_first_save_on_a_full_disk_leaves_nothing(saving, steps):
    for outcome in endings(saving.empty, saving.act, fill_disk, steps, OutputError):
        assert outcome != RAISED or tree(saving.folder) == {}


def edit(path, change):
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="other"), r"format is \"other\""),
        (lambda d: d.update(version=2), "document version 2"),
        (lambda d: d.pop("version"), "version is missing"),
        (lambda d: d.update(frame="upside-down"), "frame is"),
        (lambda d: d["camera"].update(intrinsics=[[1]]), r"camera\.intrinsics is .*3x3"),
        (lambda d: d["camera"].update(width=0), r"camera\.width is 0"),
        (
            lambda d: d["instances"][0].update(mesh="../../etc/passwd"),
            r"instances\[0\]\.mesh is .*relative path",
        ),
        (lambda d: d["instances"][0].update(mesh="/etc/passwd"), "relative path"),
        (lambda d: d["instances"][0].update(mesh="C:\\mesh.ply"), "relative path"),
        (lambda d: d["instances"][0].update(mesh="scene_files/gone.ply"), r"gone\.ply: missing"),
        (lambda d: d["instances"][0].update(world_from_instance="no"), "4x4 matrix"),
        (lambda d: d["instances"][0].update(seed=True), "seed is true"),
        (lambda d: d["instances"][1].update(label=1), "different labels"),
        (lambda d: d["instances"][2].update(texture=None), "texture is null"),
        (
            lambda d: d["input"]["masks"][0].update(mask=d["instances"][2]["texture"]),
            "of the photo's size 8x9, not 5x6",
        ),
        (lambda d: d.update(failures=None), "failures is null"),
        (lambda d: d.update(files=[]), "files is a list of 0"),
        (lambda d: d["files"].update({d["instances"][0]["mesh"]: 1}), r"files\..*ply is 1"),
        (lambda d: d.update(ground_height=10**400), "a number of 1329 bits"),
        (lambda d: d["camera"].update(width=10**400), "a number of 1329 bits"),
        (lambda d: d["camera"].update(width=10**6), "at most 65536"),
        (lambda d: d["camera"]["intrinsics"][0].insert(0, 10**400), "3x3"),
        (lambda d: d["instances"][0].update(mesh="x" * 5000), "File name too long"),
        (lambda d: d["instances"][0].update(mesh="a\0.ply"), r"zero character \(NUL\)"),
        (lambda d: d["instances"][0].update(node="\ud800"), r"\\ud800, half of a surrogate"),
        (lambda d: d.update(metres_per_unit=-1), "a number above 0"),
    ],
)
def test_wrong_documents_are_named(tmp_path, change, message):
    path = save(make_scene(), tmp_path)
    edit(path, change)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("start", ["instance_1.ply", "instance_12.png", "instance_1.npz"])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.8])  # the last bytes of a PNG hold no pixels
@pytest.mark.parametrize("with_sums", [True, False])
def test_truncated_files_are_named(tmp_path, start, fraction, with_sums):
    path = save(make_scene(), tmp_path)
    file = file_of(tmp_path, *start.rsplit(".", 1))
    content = file.read_bytes()
    file.write_bytes(content[: int(fraction * len(content))])
    if not with_sums:
        edit(path, lambda d: d.pop("files"))
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert file.name in str(caught.value).split(": ")[0] and "\n" not in str(caught.value)


def test_the_files_of_a_document_share_one_budget(tmp_path):
    scene = make_scene()
    state = {"grid": np.zeros(2**20, np.uint8)}
    instances = [dataclasses.replace(i, state=state) for i in scene.instances]
    save(make_scene(instances=tuple(instances)), tmp_path)
    assert len(load(tmp_path, budget=4 << 20).instances) == 3
    with pytest.raises(InputError, match=r"instance_12.*npz: would take 1 MB, but of the 3 MB"):
        load(tmp_path, budget=3 << 20)


def test_missing_document(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "nothing.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match="holds a list"):
        load(tmp_path / "list.json")


def test_supports_come_back_and_wrong_ones_are_refused(tmp_path):
    supports = {1: Support(3, 0.75), 3: Support("ground", 1.0), 12: Support(None, 0.0)}
    path = save(make_scene(supports=supports), tmp_path / "a.json")
    assert load(path).supports == supports
    text = path.read_text()
    assert load(save(load(path), tmp_path / "b.json")).supports == supports
    for said in ("1", "9", '"table"', "1.5", "true"):
        path.write_text(text.replace('"1": 3', f'"1": {said}'))
        with pytest.raises(InputError, match=r"supports\.1 is .*; expected the label of another"):
            load(path)
    path.write_text(text.replace('"12": null', '"13": null'))
    with pytest.raises(InputError, match=r"expected labels of the scene"):
        load(path)
