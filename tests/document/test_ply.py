import io

import numpy as np
import pytest
import trimesh

from maquette.document.ply import PlyMesh, decode_ply, encode_ply


def random_mesh(vertex_type, colors=True, uv=True):
    rng = np.random.default_rng(3)
    return PlyMesh(
        rng.normal(size=(20, 3)).astype(vertex_type),
        rng.integers(0, 20, (31, 3), dtype=np.int32),
        rng.integers(0, 256, (20, 4), dtype=np.uint8) if colors else None,
        rng.random((20, 2)) if uv else None,
    )


@pytest.mark.parametrize("vertex_type", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("colors", "uv"), [(True, False), (False, True), (False, False), (True, True)]
)
def test_round_trip_is_exact(vertex_type, colors, uv):
    mesh = random_mesh(vertex_type, colors, uv)
    back = decode_ply(encode_ply(mesh, texture="end_header.png"))
    for name in ("vertices", "faces", "colors", "uv"):
        ours = getattr(mesh, name)
        theirs = getattr(back, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_trimesh_reads_it():
    mesh = random_mesh(np.float32, uv=False)
    loaded = trimesh.load_mesh(io.BytesIO(encode_ply(mesh)), file_type="ply", process=False)
    np.testing.assert_array_equal(loaded.vertices, mesh.vertices)
    np.testing.assert_array_equal(loaded.faces, mesh.faces)
    np.testing.assert_array_equal(loaded.visual.vertex_colors, mesh.colors)


def test_empty_mesh():
    back = decode_ply(encode_ply(PlyMesh(np.zeros((0, 3)), np.zeros((0, 3), int))))
    assert back.vertices.shape == (0, 3) and back.faces.shape == (0, 3)


def test_other_dialects_and_truncation():
    content = encode_ply(random_mesh(np.float32))
    assert decode_ply(content.replace(b"binary_little_endian", b"ascii")) is None
    assert decode_ply(content.replace(b"property float x", b"property half x")) is None
    assert decode_ply(content.replace(b"property float x", b"property float w")) is None
    assert decode_ply(b"solid") is None
    with pytest.raises(ValueError, match="ends after"):
        decode_ply(content[:-1])
