"""Files whose faces have any number of corners: whatever the format, no triangle reaches outside of
a face.
"""

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.export.mesh_files import read_mesh_file
from maquette.export.polygon_files import obj_of_triangles, off_of_triangles, triangulated
from tests.export.polygons import AREA, BRACKET, obj, off, ply, read

FILES = {
    "ply text": ("ply", ply("")),
    "ply little": ("ply", ply("<")),
    "ply big": ("ply", ply(">")),
}
FILES |= {"off": ("off", off()), "obj": ("obj", obj())}


@pytest.mark.parametrize("name", FILES)
def test_no_triangle_reaches_outside_of_a_face(tmp_path, name):
    mesh = read(tmp_path, *FILES[name])
    assert len(mesh.faces) == 6 + 1 + 2
    assert mesh.area == pytest.approx(AREA)
    assert (mesh.face_normals @ [0, 0, 1] > 0.99).all()  # they turn as the faces did


def test_what_consists_of_triangles_is_left_to_trimesh():
    ball = trimesh.creation.icosphere(1)
    assert off_of_triangles(ball.export(file_type="off").encode()) is None
    assert obj_of_triangles(ball.export(file_type="obj").encode()) is None
    assert off_of_triangles(b"nothing") is None


def test_references_of_obj_that_count_back_do_so_from_their_line(tmp_path):
    """Two objects, each after its own vertices, with texture coordinates."""
    lines = []
    for k, name in enumerate(("first", "second")):
        lines.append(f"o {name}")
        lines += [f"v {x + 10 * k} {y} 0" for x, y in BRACKET]
        lines += [f"vt {x / 3} {y / 3}" for x, y in BRACKET]
        lines.append("f " + " ".join(f"{r}/{r}" for r in range(-8, 0)))
    path = tmp_path / "two.obj"
    path.write_text("\n".join(lines))
    geometry = read_mesh_file(path).scene.geometry
    assert [mesh.area for mesh in geometry.values()] == pytest.approx([7, 7])
    assert geometry["second"].bounds[:, 0] == pytest.approx([10, 13])
    uv = geometry["second"].visual.uv * 3
    np.testing.assert_allclose(uv, geometry["second"].vertices[:, :2] - [10, 0], atol=1e-5)


def test_triangles_that_count_back_are_mended_too(tmp_path):
    part = "v {0} 0 0\nv {0} 1 0\nv {0} 0 1\nf -3 -2 -1\n"
    mesh = read(tmp_path, "obj", "".join(part.format(x) for x in (0, 1, 2)).encode())
    assert mesh.area == pytest.approx(1.5) and sorted(set(mesh.vertices[:, 0])) == [0, 1, 2]


@pytest.mark.parametrize("suffix", ["ply", "off", "obj"])
def test_faces_without_their_vertices_are_named(tmp_path, suffix):
    content = {"ply": ply("", [[0, 1, 2, 99]]), "off": off(), "obj": obj() + b"\nf 1 2 3 99\n"}
    content["off"] = content["off"].replace(b"4 11 12 13 14", b"4 11 12 13 99")
    with pytest.raises(InputError, match=r"mesh.*vertex (99|98) but there are 15"):
        read(tmp_path, suffix, content[suffix])


def test_faces_with_absurdly_many_corners_are_refused_unless_convex():
    angle = np.linspace(0, 2 * np.pi, 6000, endpoint=False)
    for radius, is_star in ((1.0, False), (1 + 0.5 * (np.arange(6000) % 2), True)):
        points = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1)
        if is_star:
            with pytest.raises(InputError, match="6000 corners, more than 5000"):
                triangulated(points, [np.arange(6000)])
        else:
            assert triangulated(points, [np.arange(6000)])[0].shape == (5998, 3)
