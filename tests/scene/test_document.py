import json
import math
from pathlib import Path

import numpy as np
import pytest
import trimesh

import maquette
from maquette.errors import InputError, OutputError
from maquette.export.glb import glb_bytes
from maquette.scene.document import load, save
from maquette.types import Instance
from tests.scene.scenes import coloured, make_scene

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "scene.schema.json").read_text(encoding="utf-8")
)


def folder_bytes(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


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


def test_saving_again_is_byte_identical_and_so_is_the_export(tmp_path):
    scene = make_scene()
    save(scene, tmp_path / "first")
    back = maquette.load(tmp_path / "first" / "scene.json")
    save(back, tmp_path / "second")
    assert folder_bytes(tmp_path / "first") == folder_bytes(tmp_path / "second")
    assert glb_bytes(back) == glb_bytes(scene)


def test_double_precision_meshes_are_exact(tmp_path):
    scene = make_scene().replace(3, trimesh.creation.icosphere(1, radius=1 / 3))
    back = load(save(scene, tmp_path))
    np.testing.assert_array_equal(back[3].mesh.vertices, scene[3].mesh.vertices)
    assert not np.array_equal(back[3].mesh.vertices, back[3].mesh.vertices.astype(np.float32))


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
    jsonschema.validate(
        json.loads(save(make_scene(), tmp_path).read_text(encoding="utf-8")), SCHEMA
    )


def test_deleted_instance_leaves_no_file(tmp_path):
    scene = make_scene()
    save(scene, tmp_path)
    save(scene.delete(3), tmp_path)
    assert sorted(f.name for f in (tmp_path / "scene_files").glob("*.ply")) == [
        "instance_1.ply",
        "instance_12.ply",
    ]
    assert [i.label for i in load(tmp_path).instances] == [1, 12]
    assert sorted(f.name for f in tmp_path.iterdir()) == ["scene.json", "scene_files"]


def test_mesh_edited_by_another_program_is_read(tmp_path):
    save(make_scene(), tmp_path)
    other = coloured(trimesh.creation.cone(0.1, 0.2, sections=7), 3)
    (tmp_path / "scene_files" / "instance_1.ply").write_bytes(
        trimesh.exchange.ply.export_ply(other, encoding="ascii")
    )
    np.testing.assert_allclose(load(tmp_path)[1].mesh.vertices, other.vertices, atol=1e-6)
    np.testing.assert_array_equal(
        load(tmp_path)[1].mesh.visual.vertex_colors, other.visual.vertex_colors
    )


def test_refuses_to_overwrite_or_to_delete_foreign_files(tmp_path):
    save(make_scene(), tmp_path)
    with pytest.raises(OutputError, match="overwrite"):
        save(make_scene(), tmp_path, overwrite=False)
    (tmp_path / "scene_files" / "thesis.txt").write_text("ten years")
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        save(make_scene(), tmp_path)
    assert (tmp_path / "scene_files" / "thesis.txt").read_text() == "ten years"


def test_what_cannot_be_saved_leaves_the_old_document(tmp_path):
    scene = make_scene()
    save(scene, tmp_path)
    before = folder_bytes(tmp_path)
    broken = Instance(
        1, scene[1].mesh, scene[1].world_from_instance, 0, state={"x": np.array([{}], dtype=object)}
    )
    endless = scene.transform(1, np.full((4, 4), np.inf))
    for bad, message in (
        (make_scene(instances=(broken,)), "Python objects"),
        (make_scene(instances=(scene[1], scene[1])), "each label once"),
        (make_scene(provenance={"a": [object()]}), r"provenance\.a\[0\]"),
        (make_scene(instances=(Instance(1, trimesh.Trimesh(), np.eye(4), 0),)), "no vertices"),
        (endless, "not finite"),
    ):
        with pytest.raises(InputError, match=message), np.errstate(invalid="ignore"):
            save(bad, tmp_path)
        assert folder_bytes(tmp_path) == before


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_saving_leaves_the_old_document(tmp_path, monkeypatch, stop):
    save(make_scene(), tmp_path)
    before = folder_bytes(tmp_path)
    written = []

    def write_until_full(path, content):
        written.append(path)
        if len(written) == 3:
            raise stop
        with path.open("wb") as file:
            return file.write(content)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(OutputError if isinstance(stop, OSError) else KeyboardInterrupt):
        save(make_scene().move(1, (1, 0, 0)), tmp_path)
    assert len(written) == 3 and folder_bytes(tmp_path) == before


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
            lambda d: d["input"]["masks"][0].update(mask="scene_files/instance_12.png"),
            "of the photo's size 8x9, not 5x6",
        ),
        (lambda d: d.update(failures=None), "failures is null"),
    ],
)
def test_wrong_documents_are_named(tmp_path, change, message):
    path = save(make_scene(), tmp_path)
    edit(path, change)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "scene.json",
        *(
            f"scene_files/{name}"
            for name in ("instance_1.ply", "instance_12.png", "instance_1.npz", "photo.png")
        ),
    ],
)
@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.8])  # the last bytes of a PNG hold no pixels
def test_truncated_files_are_named(tmp_path, name, fraction):
    save(make_scene(), tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert name in str(caught.value).split(": ")[0] and "\n" not in str(caught.value)


def test_missing_document(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "nothing.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InputError, match="holds a list"):
        load(tmp_path / "list.json")
