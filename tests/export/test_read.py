import json

import numpy as np
import pytest
import trimesh

from maquette.document.scene_json import save
from maquette.errors import InputError
from maquette.export.glb import glb_bytes
from maquette.export.read import load_named_meshes, read_glb
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from tests.document.scenes import make_scene
from tests.export.test_glb import header_of


def foreign_glb(path, edit):
    """A GLB whose JSON has been changed by ``edit``."""
    content = glb_bytes(make_scene())
    header = header_of(content)
    edit(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    binary = content[20 + int.from_bytes(content[12:16], "little") :]
    total = 20 + len(text) + len(binary)
    path.write_bytes(
        b"glTF"
        + b"".join(n.to_bytes(4, "little") for n in (2, total, len(text)))
        + b"JSON"
        + text
        + binary
    )
    return path


def test_world_coordinates_by_name(tmp_path):
    scene = make_scene(metres_per_unit=1.5)
    for path in (scene.export(tmp_path / "s.glb"), save(scene, tmp_path / "s.json")):
        meshes = load_named_meshes(path)
        assert sorted(meshes) == sorted(i.node_name for i in scene.instances)
        for instance in scene.instances:
            expected = 1.5 * transform_points(instance.world_from_instance, instance.mesh.vertices)
            np.testing.assert_allclose(meshes[instance.node_name].vertices, expected, atol=1e-6)


def test_nested_transforms_multiply(tmp_path):
    def nest(header):
        header["nodes"].append(
            {"name": "table", "children": [0], "translation": [1, 2, 3], "scale": [2, 2, 2]}
        )
        header["scenes"][0]["nodes"] = [len(header["nodes"]) - 1, 1, 2, 3]

    meshes = load_named_meshes(foreign_glb(tmp_path / "nested.glb", nest))
    instance = make_scene()[1]
    expected = 2 * transform_points(instance.world_from_instance, instance.mesh.vertices) + [
        1,
        2,
        3,
    ]
    np.testing.assert_allclose(meshes["instance_1"].vertices, expected, atol=1e-6)
    assert "table" not in meshes


def test_several_primitives_are_one_mesh_of_their_node(tmp_path):
    def join(header):
        header["meshes"][0]["primitives"] += header["meshes"][1]["primitives"]

    path = foreign_glb(tmp_path / "joined.glb", join)
    ball = make_scene()[1]
    crate = make_scene()[3]
    meshes = load_named_meshes(path)
    assert set(meshes) == {"instance_1", "crate \u00e9", "instance_12"}
    together = np.concatenate([ball.mesh.vertices, crate.mesh.vertices])
    np.testing.assert_allclose(
        meshes["instance_1"].vertices,
        transform_points(ball.world_from_instance, together),
        atol=1e-6,
    )
    assert len(meshes["instance_1"].faces) == len(ball.mesh.faces) + len(crate.mesh.faces)
    by_name = {name: mesh for name, mesh, _ in read_glb(path)}
    expected = np.concatenate([ball.mesh.visual.vertex_colors, crate.mesh.visual.vertex_colors])
    np.testing.assert_array_equal(by_name["instance_1"].visual.vertex_colors, expected)


def test_node_whose_name_looks_like_a_split_one_keeps_it(tmp_path):
    def nest(header):
        header["nodes"][1]["name"] = "instance_1_abcdef"
        header["nodes"][0]["children"] = [1]
        header["scenes"][0]["nodes"] = [0, 2, 3]

    assert set(load_named_meshes(foreign_glb(tmp_path / "s.glb", nest))) == {
        "instance_1",
        "instance_1_abcdef",
        "instance_12",
    }


def test_one_mesh_used_twice_stands_twice(tmp_path):
    def reuse(header):
        header["nodes"][1]["mesh"] = 0

    scene = make_scene()
    meshes = load_named_meshes(foreign_glb(tmp_path / "twice.glb", reuse))
    for label in (1, 3):
        expected = transform_points(scene[label].world_from_instance, scene[1].mesh.vertices)
        np.testing.assert_allclose(meshes[scene[label].node_name].vertices, expected, atol=1e-6)


def test_material_factor_tints_the_colours(tmp_path):
    def paint(header):
        header["materials"][1]["pbrMetallicRoughness"]["baseColorFactor"] = [0.0, 1.0, 1.0, 1.0]

    colors = {name: mesh for name, mesh, _ in read_glb(foreign_glb(tmp_path / "s.glb", paint))}[
        "crate \u00e9"
    ].visual.vertex_colors
    expected = np.array(make_scene()[3].mesh.visual.vertex_colors)
    expected[:, 0] = 0
    np.testing.assert_array_equal(colors, expected)


def test_colours_without_a_material_are_linear_too(tmp_path):
    def strip(header):
        del header["meshes"][0]["primitives"][0]["material"]

    path = foreign_glb(tmp_path / "s.glb", strip)
    colors = {name: mesh for name, mesh, _ in read_glb(path)}[
        "instance_1"
    ].visual.vertex_colors.astype(int)
    expected = np.array(make_scene()[1].mesh.visual.vertex_colors).astype(int)
    assert (
        np.abs(colors - expected)[expected > 60].max() <= 2
    )  # trimesh has rounded the linear values to bytes
    assert np.abs(colors - expected).max() <= 13


def test_glb_written_by_trimesh(tmp_path):
    scene = trimesh.Scene()
    pose = similarity(2.0, rotation_y(0.3), np.array([1.0, 2.0, 3.0]))
    scene.add_geometry(trimesh.creation.box(), node_name="chair", transform=pose)
    scene.export(tmp_path / "t.glb")
    assert set(load_named_meshes(tmp_path / "t.glb")) == {"chair"}
    ((name, mesh, matrix),) = read_glb(tmp_path / "t.glb")
    np.testing.assert_allclose(matrix, pose, atol=1e-6)
    assert name == "chair" and mesh.volume == pytest.approx(1.0)
    assert load_named_meshes(tmp_path / "t.glb")["chair"].volume == pytest.approx(8.0)


def test_mirrored_nodes_keep_looking_outward(tmp_path):
    scene = make_scene().transform(1, similarity(1.0, np.diag([-1.0, 1.0, 1.0])))
    assert load_named_meshes(scene.export(tmp_path / "s.glb"))["instance_1"].volume > 0


def endless(header):
    header["accessors"][0] = {"componentType": 5126, "count": 4 * 10**9, "type": "VEC3"}


def shared(header):
    """Many accessors of the same bytes."""
    header["accessors"] += [{"componentType": 5126, "count": 10**8, "type": "MAT4"}] * 10


def without_views(header):
    del header["bufferViews"]


def circular(header):
    header["nodes"][0]["children"] = [0]
    header["nodes"] += [{"children": [0]}]
    header["scenes"][0]["nodes"] = [len(header["nodes"]) - 1]


def odd(header):
    header["nodes"] = {"a": [3]}


BROKEN = {
    "declares 48 GB": (endless, "would take 45,776 MB"),
    "declares the same bytes often": (shared, "would take 6,104 MB"),
    "negative": (lambda h: h["accessors"][0].update(count=-5), "a size below zero"),
    "no buffer views": (without_views, "cannot be read"),
    "nodes of another kind": (odd, "cannot be read"),
    "unknown type": (lambda h: h["accessors"][0].update(type="VEC9"), "KeyError: 'VEC9'"),
    "nodes in a circle": (circular, "cannot be read"),
}


@pytest.mark.parametrize(("edit", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_whatever_is_wrong_with_a_glb_the_file_is_named(tmp_path, edit, says):
    path = foreign_glb(tmp_path / "bad.glb", edit)
    for read in (read_glb, load_named_meshes):
        with pytest.raises(InputError, match=says) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_nesting_without_end_is_named(tmp_path):
    text = b'{"a": ' + b"[" * 100_000
    (tmp_path / "deep.gltf").write_bytes(text)
    with pytest.raises(InputError, match=r"deep\.gltf: it cannot be read.*RecursionError"):
        read_glb(tmp_path / "deep.gltf")


def test_a_face_of_a_vertex_that_is_not_there_is_named(tmp_path):
    for suffix, text in (
        ("obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 1 2 9\n"),
        (
            "ply",
            "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
            "property float z\nelement face 1\nproperty list uchar int vertex_indices\n"
            "end_header\n0 0 0\n1 0 0\n0 1 0\n3 0 1 -7\n",
        ),
    ):
        path = tmp_path / f"s.{suffix}"
        path.write_text(text)
        for read in (read_glb, load_named_meshes):
            with pytest.raises(InputError, match=rf"s\.{suffix}: "):
                read(path)
    scene = make_scene()
    content = bytearray(glb_bytes(scene))
    header = header_of(bytes(content))
    view = header["bufferViews"][header["accessors"][3]["bufferView"]]
    assert header["accessors"][3]["type"] == "SCALAR"
    start = 28 + int.from_bytes(content[12:16], "little") + view["byteOffset"]
    content[start : start + 2] = (9999).to_bytes(2, "little")
    (tmp_path / "s.glb").write_bytes(bytes(content))
    for read in (read_glb, load_named_meshes):
        with pytest.raises(InputError, match=r"face 0 refers to vertex 9999 but there are 162"):
            read(tmp_path / "s.glb")


def test_a_broken_texture_is_named_with_its_file(tmp_path):
    content = bytearray(glb_bytes(make_scene()))
    start = content.index(b"\x89PNG") + 45
    content[start : start + 20] = bytes(20)
    (tmp_path / "s.glb").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"s\.glb: "):
        read_glb(tmp_path / "s.glb")
    assert len(load_named_meshes(tmp_path / "s.glb")) == 3  # shapes only


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"glTF",
        b"\x89PNG nothing",
        glb_bytes(make_scene())[:500],
        glb_bytes(make_scene())[:-4000],
    ],
)
def test_broken_files_are_named(tmp_path, content):
    (tmp_path / "bad.glb").write_bytes(content)
    for read in (read_glb, load_named_meshes):
        with pytest.raises(InputError, match=r"bad\.glb"):
            read(tmp_path / "bad.glb")


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_named_meshes(tmp_path / "none.glb")


def boxes_of_obj(head):
    """Two boxes in one OBJ, each behind a line such as "o left"."""
    lines = []
    for k, name in enumerate(("left", "right")):
        box = trimesh.creation.box(
            (1, 1, 1), trimesh.transformations.translation_matrix([2 * k, 0, 0])
        )
        lines.append(f"{head} {name}")
        lines += ["v {} {} {}".format(*vertex) for vertex in box.vertices]
        lines += ["f {} {} {}".format(*(face + 1 + 8 * k)) for face in box.faces]
    return "\n".join(lines)


@pytest.mark.parametrize("head", ["o", "g"])
def test_objects_and_groups_of_an_obj_are_apart(tmp_path, head):
    (tmp_path / "a.obj").write_text(boxes_of_obj(head))
    meshes = load_named_meshes(tmp_path / "a.obj")
    assert sorted(meshes) == ["left", "right"]
    assert np.allclose(meshes["right"].bounds, [[1.5, -0.5, -0.5], [2.5, 0.5, 0.5]])


def test_parts_below_a_named_node_are_one_mesh_when_asked_for(tmp_path):
    scene = trimesh.Scene()
    scene.graph.update(frame_to="chair", frame_from="world", matrix=np.eye(4))
    for k, part in enumerate(("seat", "back")):
        place = trimesh.transformations.translation_matrix([0, k, 0])
        box = trimesh.creation.box((1, 1, 1))
        scene.add_geometry(box, node_name=part, parent_node_name="chair", transform=place)
    scene.export(tmp_path / "a.glb")
    assert sorted(load_named_meshes(tmp_path / "a.glb")) == ["back", "seat"]
    (chair,) = load_named_meshes(tmp_path / "a.glb", whole=["chair"]).values()
    assert np.allclose(chair.bounds, [[-0.5, -0.5, -0.5], [0.5, 1.5, 0.5]])
