"""Data never run anything: a pickle may hold arrays, and all else is refused before it is looked
up.
"""

import os
import pickle

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.readers.pickled import read_pickled_arrays

HEADER = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }"


class Touch:
    """Runs code when it is unpickled by Python's own means."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def write(path, content):
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def npy(path, pickled):
    """A .npy file of one object, with a pickle of our own in it."""
    path.write_bytes(HEADER.ljust(127) + b"\n" + pickled)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["f8", ">f4", "i2", "?", "u1"])
def test_arrays_come_back_as_numpy_reads_them(tmp_path, protocol, dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    stored = {"rows": values, "columns": np.asfortranarray(values), "more": 1.5, "text": "a"}
    pickled = pickle.dumps(np.array(stored, dtype=object), protocol)
    found = read_pickled_arrays(npy(tmp_path / "a.npy", pickled))
    assert set(found) == {"rows", "columns"}
    for array in found.values():
        assert np.array_equal(array, values) and array.dtype == values.dtype


def test_what_numpy_saves_is_read(tmp_path):
    points = np.random.default_rng(0).random((20, 3))
    found = read_pickled_arrays(write(tmp_path / "a.npy", {"points": points}))
    assert np.array_equal(found["points"], points)


@pytest.mark.parametrize("where", ["alone", "beside", "inside"])
def test_a_poisoned_file_runs_nothing(tmp_path, where):
    trap = Touch(tmp_path / "PWNED")
    content = {
        "alone": trap,
        "beside": {"points": np.zeros((2, 3)), "more": trap},
        "inside": {"points": np.array([trap], dtype=object)},
    }[where]
    path = write(tmp_path / "a.npy", content)
    with pytest.raises(InputError, match=r"a\.npy.*names \w+\.mkdir"):
        read_pickled_arrays(path)
    assert not trap.path.exists()
    np.load(path, allow_pickle=True)
    assert trap.path.exists()  # so the trap does work


@pytest.mark.parametrize(
    "named",
    ["numpy.load", "numpy.core.multiarray.fromfile", "os.system", "builtins.eval", "a.ndarray"],
)
def test_only_arrays_may_be_named_even_of_numpy(tmp_path, named):
    module, _, name = named.rpartition(".")
    pickled = f"c{module}\n{name}\n.".encode()
    with pytest.raises(InputError, match="no array needs"):
        read_pickled_arrays(npy(tmp_path / "a.npy", pickled))


def test_bytes_never_become_addresses(tmp_path):
    """A dtype whose state says that it holds no objects: NumPy would take the bytes for them."""
    rebuild = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR"
    dtype = (
        b"cnumpy\ndtype\n(X\x01\x00\x00\x00OI00\nI01\ntR(I3\nX\x01\x00\x00\x00|NNNI-1\nI-1\nI0\ntb"
    )
    array = rebuild + b"(I1\n(I1\nt" + dtype + b"I00\nC\x08AAAAAAAAtb"
    forged = pickle.loads(array + b".")
    assert forged.dtype == object and not forged.dtype.hasobject
    outer = b"(I1\n(t" + dtype + b"I00\n(lp0\n(dX\x01\x00\x00\x00p" + array + b"satb."
    with pytest.raises(InputError, match="instead of numbers"):
        read_pickled_arrays(npy(tmp_path / "a.npy", rebuild + outer))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff{", b"not an array" * 20, HEADER + b"{}\n."],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npy: cannot be read") as caught:
        read_pickled_arrays(tmp_path / "a.npy")
    assert "\n" not in str(caught.value)


def test_numbers_are_no_dictionary(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 3)))
    with pytest.raises(InputError, match=r"a\.npy"):
        read_pickled_arrays(tmp_path / "a.npy")
