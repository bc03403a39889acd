"""Meshes as other programs write them: what is read, what is reported, what is refused."""

import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from maquette.errors import InputError, MissingExtraError, contained
from maquette.export.mesh_files import find_named, read_mesh_file

BRACKET = ((0, 0), (3, 0), (3, 1), (1, 1), (1, 2), (3, 2), (3, 3), (0, 3))  # area 7
MTL = "newmtl wood\nKd 1 1 1\nmap_Kd {name}\n"


def area(path) -> float:
    return read_mesh_file(path).scene.to_mesh().area


def write_obj(path, positions, faces, head=""):
    lines = [head, *(f"v {x} {y} 0" for x, y in positions), *(f"f {face}" for face in faces)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("first", range(8))
def test_concave_polygons_of_obj_keep_their_area(tmp_path, first):
    order = [(first + k) % 8 + 1 for k in range(8)]
    backwards = [k - 9 for k in order]  # counted from the last vertex
    for name, references in (("plain", order), ("negative", backwards)):
        face = " ".join(map(str, references))
        assert area(write_obj(tmp_path / f"{name}.obj", BRACKET, [face])) == pytest.approx(7.0)


def test_a_polygon_keeps_its_texture_coordinates_and_may_go_on_in_the_next_line(tmp_path):
    path = tmp_path / "uv.obj"
    text = "".join(f"v {x} {y} 0\nvt {x / 3} {y / 3}\n" for x, y in BRACKET)
    path.write_text(f"{text}f 4/4 5/5 6/6 7/7 \\\n8/8 1/1 2/2 3/3\nf 1/1 2/2 3/3\n")
    (mesh,) = read_mesh_file(path).scene.geometry.values()
    assert mesh.area == pytest.approx(8.0 + 0.5 * 1)
    assert np.allclose(mesh.visual.uv * 3, mesh.vertices[:, :2])


def test_comments_and_line_ends_of_windows_do_not_hide_a_concave_polygon(tmp_path):
    path = tmp_path / "dart.obj"
    path.write_bytes(b"v 0 0 0\r\nv 2 1 0\r\nv 0 2 0\r\nv 1 1 0\r\nf 1 2 3 4 # a dart\r\n")
    assert area(path) == pytest.approx(1.0)


def test_what_a_fan_covers_is_left_to_trimesh(tmp_path):
    path = write_obj(tmp_path / "quad.obj", [(0, 0), (2, 0), (2, 1), (0, 1)], ["1 2 3 4"])
    (mesh,) = read_mesh_file(path).scene.geometry.values()
    assert mesh.faces.tolist() == trimesh.load_mesh(path, process=False).faces.tolist()


@pytest.mark.parametrize("tail", [b"", b"\0" * 17, b"made by a program"])
def test_stl_may_have_bytes_behind_its_last_face(tmp_path, tail):
    content = trimesh.creation.box((1, 1, 1)).export(file_type="stl")
    (tmp_path / "box.stl").write_bytes(content + tail)
    assert area(tmp_path / "box.stl") == pytest.approx(6.0)


@pytest.mark.parametrize("count", [0, 2**32 - 1])
def test_stl_may_not_know_its_number_of_faces(tmp_path, count):
    content = trimesh.creation.box((1, 1, 1)).export(file_type="stl")
    path = tmp_path / "box.stl"
    path.write_bytes(content[:80] + struct.pack("<I", count) + content[84:])
    assert area(path) == pytest.approx(6.0)


def test_stl_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "box.stl"
    path.write_bytes(trimesh.creation.box((1, 1, 1)).export(file_type="stl")[:-20])
    with pytest.raises(InputError, match="11 faces instead of 12"):
        read_mesh_file(path)


TRIANGLE = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + TRIANGLE,
        TRIANGLE.replace(b"v 0", b"v\t0").replace(b"f ", b"f\t"),
        TRIANGLE.replace(b"v", b"  v").replace(b"f", b"  f"),
        TRIANGLE.replace(b"\n", b"\r"),
        TRIANGLE.replace(b"\n", b"\r\n"),
    ],
)
def test_marks_tabs_indentation_and_line_ends_of_obj_are_no_hindrance(tmp_path, content):
    path = tmp_path / "odd.obj"
    path.write_bytes(content)
    assert area(path) == pytest.approx(0.5)


@pytest.mark.parametrize("head", ["mtllib a.mtl\nmtllib b.mtl", "mtllib a.mtl b.mtl"])
def test_an_obj_may_name_several_material_libraries(tmp_path, head):
    (tmp_path / "a.mtl").write_text("newmtl other\nKd 1 0 0")
    (tmp_path / "b.mtl").write_text("newmtl wood\nKd 0 1 0")
    path = write_obj(tmp_path / "two.obj", BRACKET[:3], ["1 2 3"], f"{head}\nusemtl wood")
    (mesh,) = read_mesh_file(path).scene.geometry.values()
    assert mesh.visual.material.diffuse[:3].tolist() == [0, 255, 0]
    (tmp_path / "b.mtl").unlink()
    assert read_mesh_file(path).notes == ("b.mtl is named but not there",)


def test_text_stl_is_no_binary_stl_with_a_tail(tmp_path):
    content = trimesh.creation.box((1, 1, 1)).export(file_type="stl_ascii")
    (tmp_path / "box.stl").write_text(content)
    assert area(tmp_path / "box.stl") == pytest.approx(6.0)


def textured(folder, name: str):
    """An OBJ whose material names a texture."""
    (folder / "it.mtl").write_text(MTL.format(name=name))
    corners = "".join(f"v {x} {y} 0\nvt {x} {y}\n" for x, y in ((0, 0), (1, 0), (0, 1)))
    (folder / "it.obj").write_text(f"mtllib it.mtl\nusemtl wood\n{corners}f 1/1 2/2 3/3\n")
    return folder / "it.obj"


@pytest.mark.parametrize(
    "name",
    [
        "textures/my wood.png",
        r"textures\my wood.png",
        "TEXTURES/My Wood.PNG",
        "textures/my%20wood.png",
        r"C:\Users\somebody\chair\textures\my wood.png",
        "/mnt/disk/textures/my wood.png",
        "-s 1 1 1 -clamp on textures/my wood.png",
        '"textures/my wood.png"',
    ],
)
def test_a_texture_is_found_however_its_name_is_written(tmp_path, name):
    (tmp_path / "textures").mkdir()
    Image.new("RGB", (2, 2), (30, 160, 60)).save(tmp_path / "textures" / "my wood.png")
    content = read_mesh_file(textured(tmp_path, name))
    (mesh,) = content.scene.geometry.values()
    assert mesh.visual.material.image.getpixel((0, 0)) == (30, 160, 60) and content.notes == ()


def test_what_is_named_and_missing_or_damaged_is_told(tmp_path):
    path = textured(tmp_path, r"textures\wood.png")
    assert read_mesh_file(path).notes == (r"textures\wood.png is named but not there",)
    assert read_mesh_file(path, textures=False).notes == ()
    (tmp_path / "wood.png").write_bytes(b"no picture")
    assert read_mesh_file(path).notes == (r"textures\wood.png cannot be read as a picture",)
    (tmp_path / "it.mtl").unlink()
    assert read_mesh_file(path).notes == ("it.mtl is named but not there",)


def test_files_outside_of_the_folder_are_not_read(tmp_path):
    (tmp_path / "wood.png").touch()
    (tmp_path / "model").mkdir()
    inside = tmp_path / "model"
    assert find_named("../wood.png", inside, inside) is None
    assert find_named(str(tmp_path / "wood.png"), inside, inside) is None
    assert find_named("../wood.png", inside, tmp_path).samefile(tmp_path / "wood.png")


def test_gltf_names_its_files_percent_encoded(tmp_path):
    files = trimesh.Scene(trimesh.creation.box((1, 1, 1))).export(file_type="gltf")
    document = json.loads(files.pop("model.gltf"))
    for buffer in document["buffers"]:
        (tmp_path / f"my {buffer['uri']}").write_bytes(files[buffer["uri"]])
        buffer["uri"] = f"my%20{buffer['uri']}"
    (tmp_path / "box.gltf").write_text(json.dumps(document))
    assert area(tmp_path / "box.gltf") == pytest.approx(6.0)


def glb(document: dict) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIIII", b"glTF", 2, 20 + len(text), len(text), 0x4E4F534A) + text


def without_view() -> bytes:
    """A GLB whose accessor has no bufferView, which makes trimesh stumble over its own feet."""
    accessor = {"componentType": 5126, "count": 3, "type": "VEC3"}
    mesh = {"primitives": [{"attributes": {"POSITION": 0}, "mode": 4}]}
    scene = {"nodes": [{"mesh": 0}], "scenes": [{"nodes": [0]}], "scene": 0}
    return glb({"asset": {"version": "2.0"}, "accessors": [accessor], "meshes": [mesh], **scene})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.glb", without_view(), "it cannot be read as a mesh"),
        ("a.glb", b"glTF and nothing else", "it cannot be read as a mesh"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex -1\nend_header\n", "cannot be read"),
        ("a.fbx", b"Kaydara", "convert them to GLB"),
    ],
)
def test_what_cannot_be_read_is_an_input_error(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_mesh_file(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_mesh_file(tmp_path / "missing.glb")


def test_faces_without_their_vertices_are_an_input_error(tmp_path):
    mesh = trimesh.Trimesh(np.eye(3), [[0, 1, 9]], process=False, validate=False)
    (tmp_path / "a.ply").write_bytes(trimesh.exchange.ply.export_ply(mesh, vertex_normal=False))
    with pytest.raises(InputError, match="face 0 refers to vertex 9 but there are 3"):
        read_mesh_file(tmp_path / "a.ply")


@pytest.mark.parametrize("error", [UnboundLocalError, RecursionError, MemoryError, IndexError])
def test_whatever_a_library_raises_becomes_an_input_error(error):
    expected = rf"it broke \({error.__name__}: so\); mend it"
    with pytest.raises(InputError, match=expected), contained("it broke", "mend it"):
        raise error("so\nand so")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MissingExtraError, InputError])
def test_interruptions_and_errors_of_ours_pass(error):
    with pytest.raises(error, match=r"^as it is$"), contained("it broke", "mend it"):
        raise error("as it is")
