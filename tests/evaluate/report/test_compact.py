import json
import struct
import zlib

import numpy as np
import pytest
import trimesh

from maquette.evaluate.report.compact import compact_glb, simplified, with_edges
from maquette.export.read import read_glb


def ball(color=(200, 60, 30)):
    mesh = trimesh.creation.icosphere(5, 0.4)
    mesh.visual.vertex_colors = [*color, 255]
    return mesh.apply_translation((1.0, 2.0, -3.0))


def test_meshes_come_back_where_they_stood_in_their_colours(tmp_path):
    meshes = {"instance_2": ball(), "instance_10": trimesh.creation.box((1, 2, 3))}
    (tmp_path / "x.glb").write_bytes(compact_glb(meshes, 1000))
    back = {
        name: mesh.apply_transform(matrix) for name, mesh, matrix in read_glb(tmp_path / "x.glb")
    }
    assert set(back) == set(meshes)
    for name, mesh in meshes.items():
        assert np.allclose(back[name].bounds, mesh.bounds, atol=5e-3 * mesh.scale)
        assert back[name].volume == pytest.approx(mesh.volume, rel=0.02)
    assert (
        np.abs(
            np.asarray(back["instance_2"].visual.vertex_colors[:, :3], int) - (200, 60, 30)
        ).max()
        <= 6
    )
    assert len(back["instance_2"].faces) <= 1100 and len(back["instance_10"].faces) == 12


def test_labels_are_in_the_extras():
    content = compact_glb(
        {"instance_7": trimesh.creation.box(), "sofa": trimesh.creation.box()}, 10
    )
    (length,) = struct.unpack("<I", content[12:16])
    nodes = json.loads(content[20 : 20 + length])["nodes"]
    named = [node for node in nodes if node["name"] != "world"]  # which trimesh may add
    assert {node["name"]: node.get("extras", {}) for node in named} == {
        "instance_7": {"label": 7},
        "sofa": {},
    }


def test_pages_stay_small_because_coordinates_have_few_digits():
    content = compact_glb({"ball": ball()}, 4000)
    assert len(zlib.compress(content, 9)) < 18 * len(ball().vertices)


def test_simplifying_keeps_the_shape_and_joins_split_vertices():
    mesh = ball()
    split = trimesh.Trimesh(
        mesh.vertices[mesh.faces.reshape(-1)],
        np.arange(3 * len(mesh.faces)).reshape(-1, 3),
        process=False,
    )
    split.visual.vertex_colors = [10, 20, 30, 255]
    vertices, faces, colors = simplified(split, 800)
    assert (
        len(faces) <= 850 and colors.shape == (len(vertices), 3) and (colors == (10, 20, 30)).all()
    )
    made = trimesh.Trimesh(vertices, faces, process=False)
    assert made.is_watertight and made.volume == pytest.approx(mesh.volume, rel=0.01)
    assert simplified(mesh, 10**6)[0] is not None and len(simplified(mesh, 10**6)[1]) == len(
        mesh.faces
    )


def test_sharp_edges_stay_sharp_and_round_ones_round():
    box = trimesh.creation.box()
    sphere = trimesh.creation.icosphere(3)
    for mesh, count in ((box, 24), (sphere, len(sphere.vertices))):
        colors = np.zeros((len(mesh.vertices), 3), np.uint8)
        vertices, faces, _, normals = with_edges(
            np.asarray(mesh.vertices), np.asarray(mesh.faces), colors
        )
        assert len(vertices) == count and np.allclose(vertices[faces], mesh.vertices[mesh.faces])
        turned = np.einsum(
            "fk,fck->fc",
            trimesh.Trimesh(vertices, faces, process=False).face_normals,
            normals[faces],
        )
        assert turned.min() > (0.999 if mesh is box else 0.95)
