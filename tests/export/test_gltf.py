"""The builder of glTF files: what is put in can be read again by an independent reader."""

import io
import json

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.export.gltf import GltfFile, accessor_bytes, read_header


def built(values, **options):
    """A file with one triangle whose positions are ``values``, and its accessor of positions."""
    gltf = GltfFile()
    attributes = {"POSITION": gltf.vertices(values, bounds=True, **options)}
    indices = gltf.triangles(np.array([[0, 1, 2]]), len(values))
    mesh = gltf.add("meshes", primitives=[{"attributes": attributes, "indices": indices}])
    node = gltf.add("nodes", name="triangle", mesh=mesh, skin=None)
    gltf.add("scenes", nodes=[node])
    return gltf


def test_trimesh_reads_what_was_built():
    values = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    content = built(values).packed("a test")
    scene = trimesh.load_scene(io.BytesIO(content), file_type="glb", process=False)
    (mesh,) = scene.geometry.values()
    np.testing.assert_array_equal(mesh.vertices, values)
    assert mesh.faces.tolist() == [[0, 1, 2]]
    header = read_header(io.BytesIO(content))
    assert header["asset"] == {"version": "2.0", "generator": "a test"}
    assert header["nodes"] == [{"name": "triangle", "mesh": 0}]  # what is None is left out


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("columns", [2, 3, 4])
def test_rows_of_small_integers_are_aligned_and_come_back(kind, columns):
    """As KHR_mesh_quantization wants: every row begins at a multiple of four bytes."""
    values = np.random.default_rng(1).integers(0, 100, (5, columns)).astype(kind)
    gltf = GltfFile()
    index = gltf.vertices(values, normalized=True)
    accessor = gltf.arrays["accessors"][index]
    view = gltf.arrays["bufferViews"][accessor["bufferView"]]
    width = columns * values.itemsize
    stride = view.get("byteStride", width)
    assert stride % 4 == 0 and accessor["type"] == f"VEC{columns}" and accessor["normalized"]
    for k, row in enumerate(values):
        start = view["byteOffset"] + k * stride
        assert gltf.binary[start : start + width] == row.tobytes()


def test_views_begin_at_multiples_of_four_bytes():
    gltf = GltfFile()
    for content in (b"a", b"bcd", b"efghi"):
        gltf.view(content)
    starts = [view["byteOffset"] for view in gltf.arrays["bufferViews"]]
    assert starts == [0, 4, 8] and bytes(gltf.binary) == b"a\0\0\0bcd\0efghi"


def test_what_json_cannot_hold_is_named():
    for bad, says in ((float("nan"), "not finite"), ("a\ud800", r"\\ud800")):
        gltf = GltfFile()
        gltf.add("scenes", extras={"x": bad})
        with pytest.raises(InputError, match=says):
            gltf.packed("a test")


def test_the_declared_size_is_that_of_the_array():
    for values in (np.zeros((7, 3), np.float32), np.zeros((5, 2), np.uint16)):
        gltf = GltfFile()
        index = gltf.vertices(values)
        assert accessor_bytes(gltf.arrays["accessors"][index]) == values.nbytes


def test_the_header_of_text_files_is_read_and_of_broken_ones_not():
    content = built(np.eye(3, dtype=np.float32)).packed("a test")
    header = read_header(io.BytesIO(content))
    assert read_header(io.BytesIO(json.dumps(header).encode())) == header
    for bad in (content[:40], b"glTF" + bytes(40), b"{", b"\xff\xfe"):
        with pytest.raises(ValueError, match=r"JSON|Expecting|decode"):
            read_header(io.BytesIO(bad))
