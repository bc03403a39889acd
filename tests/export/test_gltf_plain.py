"""Files that say things in ways of their own mean the same as plain ones."""

import io
import json
import shutil
import struct
import subprocess

import numpy as np
import pytest
from PIL import Image
from trimesh.visual.color import ColorVisuals

from maquette.errors import InputError
from maquette.evaluate.score import score_scene
from maquette.export import export_scene
from maquette.export.gltf import GltfFile
from maquette.export.gltf_plain import moved_texture, node_matrix, triangles_of
from maquette.export.mesh_files import read_mesh_file
from maquette.export.read import load_named_meshes, read_glb
from tests.document.scenes import make_scene

CORNERS = np.array(
    [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]],
    np.float32,
) - np.float32(0.5)
FACES = np.array(
    [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4]]
    + [[1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]
)


class File(GltfFile):
    """A file under construction with one node "box" and one mesh, unless told otherwise."""

    def primitive(self, positions=CORNERS, normalized=None, faces=FACES, **more):
        attributes = {"POSITION": self.vertices(positions, True, normalized)}
        attributes |= more.pop("attributes", {})
        if faces is not None:
            more["indices"] = self.triangles(faces, len(positions))
        return {"attributes": attributes, **more}

    def write(self, path, primitive, node=None, nodes=(), required=(), **more):
        self.add("meshes", primitives=[primitive])
        self.add("nodes", name="box", mesh=0, **(node or {}))
        for other in nodes:
            self.add("nodes", **other)
        children = {child for entry in self.arrays["nodes"] for child in entry.get("children", ())}
        roots = [k for k in range(len(self.arrays["nodes"])) if k not in children]
        self.add("scenes", nodes=roots)
        extensions = {"extensionsUsed": list(required), "extensionsRequired": list(required)}
        path.write_bytes(self.packed("test", **(extensions if required else {}), **more))
        return path


def only_mesh(path):
    meshes = load_named_meshes(path)
    assert len(meshes) == 1, sorted(meshes)
    return next(iter(meshes.values()))


def triangles(mesh):
    """The triangles' corners, whatever the order of triangles and their first corner."""
    corners = np.round(np.asarray(mesh.vertices)[np.asarray(mesh.faces)], 4) + 0.0
    return {
        min(tuple(map(tuple, np.roll(t, k, axis=0).tolist())) for k in range(3)) for t in corners
    }


@pytest.fixture
def box(tmp_path):
    file = File()
    return triangles(only_mesh(file.write(tmp_path / "plain.glb", file.primitive())))


def test_normalised_integers_stand_for_shares(tmp_path, box):
    file = File()
    small = np.round(CORNERS * 2 * 32767).astype(np.int16)
    primitive = file.primitive(small, normalized=True)
    node = {"scale": [0.5, 0.5, 0.5]}
    required = ["KHR_mesh_quantization"]
    path = file.write(tmp_path / "a.glb", primitive, node, required=required)
    assert triangles(only_mesh(path)) == box


def test_integers_stand_for_themselves(tmp_path, box):
    file = File()
    primitive = file.primitive(np.round(CORNERS * 2).astype(np.int8))
    node = {"scale": [0.5, 0.5, 0.5]}
    path = file.write(tmp_path / "a.glb", primitive, node, required=["KHR_mesh_quantization"])
    assert triangles(only_mesh(path)) == box


def test_sparse_accessors_are_filled_in(tmp_path, box):
    file = File()
    wrong = CORNERS.copy()
    wrong[[2, 5]] = 9
    primitive = file.primitive(wrong)
    file.arrays["accessors"][0]["sparse"] = {
        "count": 2,
        "indices": {
            "bufferView": file.view(np.array([2, 5], "<u2").tobytes()),
            "componentType": 5123,
        },
        "values": {"bufferView": file.view(CORNERS[[2, 5]].astype("<f4").tobytes())},
    }
    assert triangles(only_mesh(file.write(tmp_path / "a.glb", primitive))) == box


def test_strips_and_fans_are_triangles():
    assert triangles_of(np.arange(5), 5).tolist() == [[0, 1, 2], [2, 1, 3], [2, 3, 4]]
    assert triangles_of(np.arange(5), 6).tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4]]
    for mode in (4, 5, 6):
        assert triangles_of(np.arange(2), mode).shape == (0, 3)


def test_a_fan_without_indices_is_a_disc(tmp_path):
    file = File()
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    disc = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1).astype(np.float32)
    path = file.write(tmp_path / "a.glb", file.primitive(disc, faces=None, mode=6))
    assert only_mesh(path).area == pytest.approx(np.pi, rel=0.01)


def test_every_instance_is_a_mesh_where_its_matrix_puts_it(tmp_path):
    file = File()
    places = np.array([[0, 0, 0], [3, 0, 0]], np.float32)
    turns = np.array([[0, 0, 0, 1], [0, np.sqrt(0.5), 0, np.sqrt(0.5)]], np.float32)
    attributes = {"TRANSLATION": file.vertices(places), "ROTATION": file.vertices(turns)}
    node = {
        "translation": [0, 1, 0],
        "scale": [2, 1, 1],
        "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}},
    }
    required = ["EXT_mesh_gpu_instancing"]
    path = file.write(tmp_path / "a.glb", file.primitive(), node, required=required)
    meshes = load_named_meshes(path)
    assert sorted(meshes) == ["box_1", "box_2"]
    assert np.allclose(meshes["box_1"].bounds, [[-1, 0.5, -0.5], [1, 1.5, 0.5]])
    assert np.allclose(meshes["box_2"].bounds, [[5, 0.5, -0.5], [7, 1.5, 0.5]])


def test_joints_move_a_skin_and_its_own_node_does_not(tmp_path):
    file = File()
    joints = np.zeros((8, 4), np.uint8)
    joints[4:, 0] = 1  # the corners with z = 1 follow the second joint
    weights = np.tile(np.array([[1, 0, 0, 0]], np.float32), (8, 1))
    attributes = {"JOINTS_0": file.vertices(joints), "WEIGHTS_0": file.vertices(weights)}
    primitive = file.primitive(attributes=attributes)
    file.add("skins", joints=[1, 2])
    bones = [{"name": "root", "children": [2]}, {"name": "tip", "translation": [0, 0, 4]}]
    path = file.write(tmp_path / "a.glb", primitive, {"skin": 0, "scale": [100, 1, 1]}, bones)
    assert np.allclose(only_mesh(path).bounds, [[-0.5, -0.5, -0.5], [0.5, 0.5, 4.5]])


def textured(tmp_path, texture, coordinates):
    file = File()
    picture = Image.new("RGB", (2, 2))
    for place, colour in (((0, 0), "red"), ((1, 0), "lime"), ((0, 1), "blue"), ((1, 1), "yellow")):
        picture.paste(colour, (*place, place[0] + 1, place[1] + 1))
    content = io.BytesIO()
    picture.resize((64, 64), Image.Resampling.NEAREST).save(content, "PNG")
    file.add("images", bufferView=file.view(content.getvalue()), mimeType="image/png")
    file.add("textures", source=0)
    file.add("materials", pbrMetallicRoughness={"baseColorTexture": {"index": 0, **texture}})
    attributes = {name: file.vertices(values) for name, values in coordinates.items()}
    primitive = file.primitive(attributes=attributes, material=0)
    (_, mesh, _), *rest = read_glb(file.write(tmp_path / "a.glb", primitive))
    assert not rest
    return np.asarray(mesh.visual.to_color().vertex_colors)[:, :3]


def test_a_moved_texture_is_read_where_it_was_moved(tmp_path):
    quarter = np.full((8, 2), 0.25, np.float32)
    moved = {"extensions": {"KHR_texture_transform": {"offset": [0.5, 0.5]}}}
    assert (textured(tmp_path, moved, {"TEXCOORD_0": quarter}) == [255, 255, 0]).all()


def test_the_second_coordinates_are_taken_when_the_material_says_so(tmp_path):
    coordinates = {
        "TEXCOORD_0": np.full((8, 2), 0.25, np.float32),
        "TEXCOORD_1": np.full((8, 2), (0.25, 0.75), np.float32),
    }
    assert (textured(tmp_path, {"texCoord": 1}, coordinates) == [0, 0, 255]).all()


def test_a_turned_texture_turns_against_the_clock():
    turned = moved_texture(np.array([[1.0, 0.0]]), {"rotation": np.pi / 2, "scale": [2, 3]})
    assert np.allclose(turned, [[0, -2]])


def test_matrices_are_written_column_by_column():
    place = {"translation": [1, 2, 3], "rotation": [0, 0, 1, 0], "scale": [2, 2, 2]}
    matrix = node_matrix(place)
    assert np.allclose(matrix, node_matrix({"matrix": matrix.T.ravel().tolist()}))
    assert np.allclose(matrix @ [1, 0, 0, 1], [-1, 2, 3, 1])


def test_draco_is_unpacked(tmp_path, box):
    draco = pytest.importorskip("DracoPy")
    file = File()
    content = draco.encode(CORNERS, FACES.astype(np.uint32), quantization_bits=16)
    packed = {"bufferView": file.view(content), "attributes": {"POSITION": 0}}
    accessor = {"componentType": 5126, "count": 8, "type": "VEC3"}
    position = file.add("accessors", **accessor, min=[-0.5] * 3, max=[0.5] * 3)
    indices = file.add("accessors", componentType=5123, count=36, type="SCALAR")
    primitive = {
        "attributes": {"POSITION": position},
        "indices": indices,
        "extensions": {"KHR_draco_mesh_compression": packed},
    }
    path = file.write(tmp_path / "a.glb", primitive, required=["KHR_draco_mesh_compression"])
    assert triangles(only_mesh(path)) == box


@pytest.mark.parametrize("extension", ["KHR_foo", "VENDOR_geometry_magic"])
def test_what_is_required_and_not_understood_is_refused_by_name(tmp_path, extension):
    file = File()
    path = file.write(tmp_path / "a.glb", file.primitive(), required=[extension])
    with pytest.raises(InputError, match=f"needs the glTF extension {extension}"):
        load_named_meshes(path)


def test_materials_that_only_shine_are_no_hindrance(tmp_path, box):
    file = File()
    path = file.write(tmp_path / "a.glb", file.primitive(), required=["KHR_materials_unlit"])
    assert triangles(only_mesh(path)) == box


def test_ktx2_textures_are_reported(tmp_path):
    file = File()
    content = b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(64)
    image = file.add("images", bufferView=file.view(content), mimeType="image/ktx2", name="bark")
    file.add("textures", extensions={"KHR_texture_basisu": {"source": image}})
    file.add("materials", pbrMetallicRoughness={"baseColorTexture": {"index": 0}})
    places = file.vertices(np.zeros((8, 2), np.float32))
    primitive = file.primitive(attributes={"TEXCOORD_0": places}, material=0)
    path = file.write(tmp_path / "a.glb", primitive, required=["KHR_texture_basisu"])
    assert read_mesh_file(path).notes == ("bark is KTX2, which is not read",)


def test_faces_of_vertices_that_are_not_there_are_refused(tmp_path):
    file = File()
    path = file.write(tmp_path / "a.glb", file.primitive(faces=FACES + 4, mode=5))
    with pytest.raises(InputError, match="refers to vertex 11 but there are 8"):
        load_named_meshes(path)


def test_an_unpacked_text_file_means_the_same(tmp_path, box):
    file = File()
    content = file.write(tmp_path / "a.glb", file.primitive(np.round(CORNERS * 2).astype(np.int8)))
    (length,) = struct.unpack_from("<I", content.read_bytes(), 12)
    header = json.loads(content.read_bytes()[20 : 20 + length])
    header["buffers"][0]["uri"] = "my%20data.bin"
    header["nodes"][0]["scale"] = [0.5, 0.5, 0.5]
    (tmp_path / "my data.bin").write_bytes(file.binary)
    (tmp_path / "a.gltf").write_text(json.dumps(header))
    assert triangles(only_mesh(tmp_path / "a.gltf")) == box


GLTF_TRANSFORM = shutil.which("gltf-transform")


@pytest.mark.tools
@pytest.mark.skipif(GLTF_TRANSFORM is None, reason="needs gltf-transform from npm on the PATH")
@pytest.mark.parametrize("way", ["draco", "meshopt", "quantize"])
def test_our_own_scene_survives_gltf_transform(tmp_path, way):
    """Names, places, shapes, colours and textures come back; against itself it scores 100."""
    scene = make_scene()
    ours = export_scene(scene, tmp_path / "scene.glb")
    packed = tmp_path / f"{way}.glb"
    command = [GLTF_TRANSFORM, way, str(ours), str(packed)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert packed.read_bytes() != ours.read_bytes()
    score = score_scene(load_named_meshes(packed), load_named_meshes(ours)).to_dict()
    assert score["f_s"] == score["f_o"] == 100 and not score["missing"] and not score["extra"]
    for (name, before, _), (same_name, after, _) in zip(read_glb(ours), read_glb(packed)):
        assert name == same_name
        assert isinstance(after.visual, type(before.visual))
        if isinstance(before.visual, ColorVisuals):
            tones = [mesh.visual.vertex_colors.mean(axis=0) for mesh in (before, after)]
            np.testing.assert_allclose(*tones, atol=12)
