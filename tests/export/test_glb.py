import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from maquette.document.appearance import Appearance, appearance_of, linear_from_bytes, mesh_with
from maquette.errors import InputError
from maquette.export import export_scene
from maquette.export.glb import glb_bytes, mesh_glb_bytes, smooth_normals
from maquette.export.read import load_named_meshes, read_glb
from maquette.geometry.cameras import project
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.types import Instance
from tests.document.scenes import coloured, make_scene


def header_of(content):
    magic, version, length, json_length, kind = struct.unpack_from("<4sIII4s", content)
    assert (magic, version, length, kind) == (b"glTF", 2, len(content), b"JSON")
    return json.loads(content[20 : 20 + json_length])


def node_matrix(node):
    """Independent reading of a glTF node: T * R * S."""
    x, y, z, w = node.get("rotation", [0, 0, 0, 1])
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * node.get("scale", [1, 1, 1])
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def test_trimesh_reads_the_same_world(tmp_path):
    scene = make_scene()
    loaded = trimesh.load_scene(scene.export(tmp_path / "s.glb"), process=False)
    assert set(loaded.graph.nodes_geometry) == {"instance_1", "crate \u00e9", "instance_12"}
    for instance in scene.instances:
        matrix, key = loaded.graph[instance.node_name]
        np.testing.assert_allclose(matrix, instance.world_from_instance, atol=1e-12)
        expected = transform_points(instance.world_from_instance, instance.mesh.vertices)
        np.testing.assert_allclose(
            transform_points(matrix, loaded.geometry[key].vertices), expected, atol=1e-6
        )
        np.testing.assert_array_equal(loaded.geometry[key].faces, instance.mesh.faces)
        assert (
            loaded.graph.transforms.edge_data["world", instance.node_name]["metadata"]["seed"]
            == instance.seed
        )


def test_reading_gives_back_names_colours_texture_and_exact_vertices(tmp_path):
    scene = make_scene()
    nodes = read_glb(scene.export(tmp_path / "s.glb"))
    assert sorted(name for name, _, _ in nodes) == sorted(i.node_name for i in scene.instances)
    by_name = {name: mesh for name, mesh, _ in nodes}
    for instance in scene.instances:
        np.testing.assert_array_equal(by_name[instance.node_name].vertices, instance.mesh.vertices)
    for label in (1, 3):
        np.testing.assert_array_equal(
            by_name[scene[label].node_name].visual.vertex_colors,
            scene[label].mesh.visual.vertex_colors,
        )
    sheet = by_name["instance_12"].visual
    np.testing.assert_array_equal(
        sheet.material.image, scene[12].mesh.visual.material.baseColorTexture
    )
    np.testing.assert_allclose(sheet.uv, scene[12].mesh.visual.uv, atol=1e-7)


def test_colours_are_linear_light():
    grey = coloured(trimesh.creation.box(), 0)
    grey.visual.vertex_colors = np.tile(np.array([188, 55, 0, 255], np.uint8), (8, 1))
    content = glb_bytes(make_scene(instances=(Instance(1, grey, np.eye(4), 0),)))
    header = header_of(content)
    accessor = header["accessors"][header["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    start = (
        header["bufferViews"][accessor["bufferView"]]["byteOffset"] + content.index(b"BIN\0") + 4
    )
    # sRGB 188 is half the light of 255 and sRGB 55 a little under 4 %, by the standard's table
    np.testing.assert_allclose(
        np.frombuffer(content, "<f4", 3, start), [0.5029, 0.0382, 0.0], atol=1e-4
    )


def test_equal_scenes_give_equal_bytes():
    assert glb_bytes(make_scene()) == glb_bytes(make_scene())


def test_edits_leave_the_others_bit_identical(tmp_path):
    scene = make_scene()
    before = {
        name: (mesh, matrix) for name, mesh, matrix in read_glb(scene.export(tmp_path / "a.glb"))
    }
    edits = {
        "move": (scene.move(1, (0.5, 0, 0)), "instance_1"),
        "delete": (scene.delete(1), "instance_1"),
        "rename": (scene.rename(1, "chair"), "instance_1"),
        "replace": (scene.replace(1, trimesh.creation.box()), "instance_1"),
    }
    for name, (edited, touched) in edits.items():
        after = {
            node: (mesh, matrix)
            for node, mesh, matrix in read_glb(edited.export(tmp_path / f"{name}.glb"))
        }
        for node in before.keys() - {touched}:
            np.testing.assert_array_equal(after[node][0].vertices, before[node][0].vertices)
            np.testing.assert_array_equal(after[node][0].faces, before[node][0].faces)
            np.testing.assert_array_equal(after[node][1], before[node][1])
    after = {name: matrix for name, _, matrix in read_glb(tmp_path / "move.glb")}
    np.testing.assert_allclose(
        after["instance_1"][:3, 3] - before["instance_1"][1][:3, 3], [0.5, 0, 0], atol=1e-12
    )
    assert "instance_1" not in {name for name, _, _ in read_glb(tmp_path / "delete.glb")}
    assert "chair" in {name for name, _, _ in read_glb(tmp_path / "rename.glb")}


def test_metres_scale_nodes_camera_and_ground_but_not_the_meshes():
    unit = header_of(glb_bytes(make_scene()))
    metric = header_of(glb_bytes(make_scene(metres_per_unit=3.0)))
    grow = similarity(3.0)
    for a, b in zip(unit["nodes"][:-1], metric["nodes"][:-1], strict=True):
        np.testing.assert_allclose(node_matrix(b), grow @ node_matrix(a), atol=1e-12)
    assert unit["accessors"] == metric["accessors"]
    camera = metric["nodes"][-1]
    np.testing.assert_allclose(
        camera["translation"], 3 * np.array(unit["nodes"][-1]["translation"])
    )
    assert "scale" not in camera
    extras = metric["scenes"][0]["extras"]
    assert (extras["ground_height"], extras["units"], extras["metres_per_unit"]) == (
        -0.4375 * 3,
        "metres",
        3.0,
    )


def test_gltf_camera_projects_like_ours():
    scene = make_scene()
    header = header_of(glb_bytes(scene))
    node = header["nodes"][-1]
    lens = header["cameras"][node["camera"]]["perspective"]
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    local = transform_points(np.linalg.inv(node_matrix(node)), points)
    assert (local[:, 2] < -lens["znear"]).all() and (local[:, 2] > -lens["zfar"]).all()
    cotangent = 1 / np.tan(lens["yfov"] / 2)
    clip = (
        local[:, :2] / -local[:, 2:] * [cotangent / lens["aspectRatio"], cotangent]
    )  # section 3.10.3.1, without the depth row
    pixels = (clip * [1, -1] + 1) / 2 * [scene.camera.width, scene.camera.height]
    np.testing.assert_allclose(pixels, project(scene.camera, points)[0], atol=1e-9)


def test_camera_name_stays_unique():
    scene = make_scene().rename(1, "camera")
    names = [node["name"] for node in header_of(glb_bytes(scene))["nodes"]]
    assert len(set(names)) == len(names) == 4


def test_mirrored_and_stretched_nodes(tmp_path):
    for linear in (
        np.diag([1.0, -1.0, 1.0]),
        rotation_y(0.5) @ np.diag([1.0, 2.0, 3.0]),
        -rotation_y(2.0),
    ):
        scene = make_scene().transform(1, similarity(1.0, linear))
        matrices = {name: matrix for name, _, matrix in read_glb(scene.export(tmp_path / "s.glb"))}
        np.testing.assert_allclose(matrices["instance_1"][:3, :3], linear, atol=1e-12)


def test_what_gltf_cannot_express_is_refused():
    scene = make_scene()
    sheared = np.eye(4)
    sheared[0, 1] = 0.5
    for broken, message in (
        (scene.transform(1, sheared), "instance 1 has shear"),
        (scene.transform(1, np.zeros((4, 4))), "flattens"),
        (
            make_scene(instances=(Instance(5, trimesh.Trimesh(), np.eye(4), 0),)),
            "instance 5 is empty",
        ),
        (make_scene(ground_height=float("nan")), "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            glb_bytes(broken)


def test_large_mesh_has_wide_indices(tmp_path):
    mesh = coloured(trimesh.creation.icosphere(7), 0)
    assert len(mesh.vertices) > 65535
    scene = make_scene(instances=(Instance(1, mesh, np.eye(4), 0),))
    np.testing.assert_array_equal(
        load_named_meshes(scene.export(tmp_path / "s.glb"))["instance_1"].faces, mesh.faces
    )


def test_normals_of_sphere_and_box():
    ball = trimesh.creation.icosphere(3)
    assert (smooth_normals(ball.vertices, ball.faces) * ball.vertices).sum(1).min() > 0.999
    box = (
        trimesh.creation.box()
    )  # whatever way its sides are cut, the corners point along the diagonals
    np.testing.assert_allclose(
        smooth_normals(box.vertices, box.faces), np.sign(box.vertices) / np.sqrt(3), atol=1e-6
    )


def test_unused_vertices_get_a_unit_normal():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], np.float32)
    normals = smooth_normals(vertices, np.array([[0, 1, 2]]))
    np.testing.assert_allclose(normals, [[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]], atol=1e-7)


def photo_ball():
    """A ball with a photo-like texture, whose vertices are split along a seam."""
    ball = trimesh.creation.icosphere(3)
    noise = np.random.default_rng(0).integers(0, 256, (90, 130, 1)).repeat(3, 2)
    photo = Image.fromarray(noise.astype(np.uint8)).resize((520, 360), Image.BICUBIC)
    left = ball.vertices[ball.faces].mean(1)[:, 0] < 0
    split, corner = np.unique(2 * ball.faces + left[:, None], return_inverse=True)
    points = ball.vertices[split // 2]
    uv = 0.5 + 0.4 * points[:, :2]
    return mesh_with(points, corner.reshape(-1, 3), Appearance(uv=uv, image=photo))


def test_normals_are_smooth_across_a_seam_of_the_texture_and_the_surface_is_closed():
    mesh = photo_ball()
    assert len(mesh.vertices) > len(np.unique(mesh.vertices, axis=0)) and not mesh.is_watertight
    normals = smooth_normals(np.asarray(mesh.vertices, np.float32), mesh.faces)
    assert (normals * mesh.vertices).sum(1).min() > 0.999
    header = header_of(glb_bytes(make_scene(instances=(Instance(1, mesh, np.eye(4), 0),))))
    assert "doubleSided" not in header["materials"][0]


def test_edges_of_a_box_stay_sharp_where_its_vertices_are_split():
    box = trimesh.creation.box()
    corners = box.vertices[box.faces].reshape(-1, 3)
    normals = smooth_normals(corners.astype(np.float32), np.arange(36).reshape(12, 3))
    np.testing.assert_allclose(normals, np.repeat(box.face_normals, 3, axis=0), atol=1e-6)


def test_a_photo_is_a_jpeg_that_looks_the_same(tmp_path):
    mesh = photo_ball()
    scene = make_scene(instances=(Instance(1, mesh, np.eye(4), 0),))
    content = glb_bytes(scene)
    assert header_of(content)["images"][0]["mimeType"] == "image/jpeg"
    assert content == glb_bytes(scene)
    ((_, back, _),) = read_glb(scene.export(tmp_path / "s.glb"))
    before = np.asarray(appearance_of(mesh).image, float)
    after = np.asarray(appearance_of(back).image, float)
    assert np.abs(before - after).mean() < 4


VALIDATE = """
const validator = require('gltf-validator');
const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]));
validator.validateBytes(bytes).then(report => console.log(JSON.stringify(report.issues)));
"""


@pytest.fixture(scope="session")
def validator_folder(tmp_path_factory):
    """A folder in which node finds gltf-validator: installed beside the repository or in a parent,
    otherwise installed now.
    """
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    for folder in Path(__file__).resolve().parents:
        if (folder / "node_modules" / "gltf-validator").is_dir():
            return folder
    folder = tmp_path_factory.mktemp("validator")
    if shutil.which("npm"):
        subprocess.run(
            ["npm", "install", "--no-save", "gltf-validator"],
            cwd=folder,
            capture_output=True,
            timeout=120,
            check=False,
        )
    if not (folder / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("gltf-validator cannot be installed")
    return folder


@pytest.mark.tools
def test_khronos_validator_finds_nothing(tmp_path, validator_folder):
    transparent = make_scene()[1].mesh.copy()
    transparent.visual.vertex_colors[:, 3] = 100
    scenes = {
        "full": make_scene(),
        "metres": make_scene(metres_per_unit=2.5),
        "empty": make_scene(instances=(), input=None),
        "glass": make_scene().replace(1, transparent),
        "photo": make_scene(instances=(Instance(1, photo_ball(), np.eye(4), 0),)),
        "replaced": make_scene().replace(3, trimesh.creation.capsule()),
        "large": make_scene(
            instances=(Instance(1, coloured(trimesh.creation.icosphere(7), 0), np.eye(4), 0),)
        ),
    }
    for name, scene in scenes.items():
        path = export_scene(scene, tmp_path / f"{name}.glb")
        result = subprocess.run(
            ["node", "-e", VALIDATE, str(path)],
            cwd=validator_folder,
            capture_output=True,
            text=True,
            check=True,
        )
        issues = json.loads(result.stdout)
        remarks = [
            m for m in issues["messages"] if m["code"] != "IMAGE_NPOT_DIMENSIONS"
        ]  # a remark on the test's 5x6 texture
        assert remarks == [], name


IN_BLENDER = """
import json, sys
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_scene.gltf(filepath=sys.argv[-1])
bpy.context.view_layer.update()
found = {}
for o in bpy.data.objects:
    points = [list(o.matrix_world @ v.co) for v in o.data.vertices] if o.type == "MESH" else []
    colors = [list(c.color) for c in o.data.color_attributes[0].data] if o.type == "MESH" and o.data.color_attributes else []
    found[o.name] = dict(type=o.type, points=points, colors=colors, matrix=[list(r) for r in o.matrix_world], seed=str(o.get("seed")))
    if o.type == "CAMERA":
        found[o.name]["angle"] = o.data.angle_y
    for m in o.data.materials if o.type == "MESH" else ():
        found[o.name]["base"] = [l.from_node.type for l in m.node_tree.links if l.to_socket.name == "Base Color"]
print("FOUND" + json.dumps([found, dict(bpy.context.scene.items())], default=str))
"""


@pytest.mark.tools
def test_blender_has_the_same_names_positions_and_up_axis(tmp_path):
    """Runs with a Python that has Blender as a module: this one, or ``python-with-bpy`` on the
    PATH.
    """
    candidates = filter(None, (sys.executable, shutil.which("python-with-bpy")))
    has_bpy = (
        python
        for python in candidates
        if not subprocess.run([python, "-c", "import bpy"], capture_output=True).returncode
    )
    python = next(has_bpy, None)
    if python is None:
        pytest.skip("bpy is not installed")
    scene = make_scene(metres_per_unit=2.0)
    path = scene.export(tmp_path / "s.glb")
    result = subprocess.run(
        [python, "-c", IN_BLENDER, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    found, extras = json.loads(result.stdout.split("FOUND")[1])
    assert set(found) == {"instance_1", "crate \u00e9", "instance_12", "camera"}
    blender_from_gltf = np.array(
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    )  # Blender is +Z up, and the importer turns +Y up to that
    for instance in scene.instances:
        expected = (
            2.0
            * transform_points(instance.world_from_instance, instance.mesh.vertices)
            @ blender_from_gltf.T
        )
        np.testing.assert_allclose(found[instance.node_name]["points"], expected, atol=2e-6)
    np.testing.assert_allclose(
        np.array(found["camera"]["matrix"])[:3, 3],
        2.0 * blender_from_gltf @ scene.camera.position,
        atol=1e-5,
    )
    view = -np.array(found["camera"]["matrix"])[:3, 2]
    np.testing.assert_allclose(
        view, blender_from_gltf @ scene.camera.world_from_camera[:3, 2], atol=1e-5
    )
    assert found["camera"]["angle"] == pytest.approx(0.8, abs=1e-4)
    linear = linear_from_bytes(np.asarray(scene[1].mesh.visual.vertex_colors))
    np.testing.assert_allclose(
        found["instance_1"]["colors"], linear[scene[1].mesh.faces.reshape(-1)], atol=1e-5
    )
    assert (found["instance_1"]["base"], found["instance_12"]["base"]) == (
        ["VERTEX_COLOR"],
        ["TEX_IMAGE"],
    )
    assert float(extras["ground_height"]) == pytest.approx(-0.875)


def test_a_mesh_alone_is_where_its_own_frame_is():
    for instance in make_scene().instances:
        content = mesh_glb_bytes(instance)
        header = header_of(content)
        (node,) = header["nodes"]
        np.testing.assert_array_equal(node_matrix(node), np.eye(4))
        assert "cameras" not in header and header["scenes"][0]["nodes"] == [0]
        position = header["accessors"][
            header["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
        ]
        np.testing.assert_allclose(
            [position["min"], position["max"]], instance.mesh.bounds, atol=1e-6
        )
