import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from maquette.document.values import DEEPEST, dump, npz_bytes, plain
from maquette.errors import InputError


def test_equal_arrays_have_equal_bytes_and_come_back():
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([True])}
    content = npz_bytes(arrays, "here")
    assert content == npz_bytes({key: value.copy() for key, value in arrays.items()}, "here")
    found = np.load(io.BytesIO(content))
    assert all((found[key] == value).all() for key, value in arrays.items())


def test_values_of_numpy_become_those_of_json():
    given = {1: (np.float32(0.5), np.arange(2)), "at": Path("a"), "not": math.inf, "none": None}
    assert plain(given, "it") == {"1": [0.5, [0, 1]], "at": "a", "not": None, "none": None}


def test_a_row_of_numbers_is_one_line_and_the_text_reads_as_before():
    text = dump({"row": [1, 2.5, -3], "rows": np.eye(2)})
    assert "[1, 2.5, -3]" in text and json.loads(text)["rows"] == [[1, 0], [0, 1]]


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}])
def test_what_json_cannot_hold_is_named(value):
    with pytest.raises(InputError, match=r"it.*expected what JSON can hold"):
        plain(value, "it")


def test_endless_nesting_is_refused():
    value: list = []
    for _ in range(DEEPEST + 2):
        value = [value]
    with pytest.raises(InputError, match="nested more than"):
        plain(value, "it")
