import base64
import io

import numpy as np
import pytest
from PIL import Image

from maquette.errors import InputError
from maquette.export.gltf_source import WHITE_PIXEL, GltfSource, as_floats


def source(header, content=b"", find=None):
    return GltfSource(content, header, find, "x.gltf", [])


def test_normalised_integers_reach_from_minus_one_to_one():
    for dtype in (np.int8, np.uint8, np.int16, np.uint16):
        limits = np.iinfo(dtype)
        values = np.array([[limits.min, 0, limits.max]], dtype)
        low = -1 if limits.min < 0 else 0
        assert as_floats(values, {"normalized": True}).tolist() == [[low, 0, 1]]
        assert as_floats(values, {}).tolist() == values.tolist()


def test_rows_may_lie_apart():
    rows = np.arange(12, dtype="<f4").reshape(3, 4)
    uri = "data:application/octet-stream;base64," + base64.b64encode(rows.tobytes()).decode()
    accessor = {"bufferView": 0, "byteOffset": 4, "componentType": 5126, "count": 3, "type": "VEC2"}
    header = {
        "buffers": [{"uri": uri, "byteLength": 48}],
        "bufferViews": [{"buffer": 0, "byteLength": 48, "byteStride": 16}],
        "accessors": [accessor],
    }
    assert source(header).numbers(0).tolist() == rows[:, 1:3].tolist()


def test_an_accessor_without_data_is_zeros():
    header = {"accessors": [{"componentType": 5126, "count": 2, "type": "VEC3"}]}
    assert source(header).numbers(0).tolist() == [[0, 0, 0]] * 2


def test_a_truncated_buffer_is_named():
    header = {
        "buffers": [{"uri": "data:,abc"}],
        "bufferViews": [{"buffer": 0, "byteLength": 8}],
    }
    with pytest.raises(InputError, match=r"x\.gltf: a buffer is truncated"):
        source(header).view(0)
    with pytest.raises(InputError, match="its binary part is missing"):
        source({"buffers": [{}], "bufferViews": header["bufferViews"]}).view(0)


def test_an_image_that_is_not_there_is_white():
    def find(name):
        raise FileNotFoundError(name)

    content, kind = source({}, find=find).image({"uri": "wood.png"})
    assert content == WHITE_PIXEL and kind == "image/png"
    assert Image.open(io.BytesIO(content)).getpixel((0, 0)) == (255, 255, 255)
