"""A pickled dictionary of NumPy's arrays, read without running anything that the file names.

A .npy file of dtype object is a pickle, and a pickle may call any function that it names, with any
arguments. Here it may name only what NumPy writes to rebuild an array, everything else is refused
before it is imported; and what it names is not even NumPy's own, because a forged state makes
NumPy take bytes for addresses, but stand-ins that read the state as plain numbers.
"""

from __future__ import annotations

import codecs
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maquette.evaluate.files import damage_named
from maquette.types import Arrays

MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")  # of NumPy 1 and 2
NUMBERS = "biuf"  # kinds of dtypes that hold no addresses: bool, int, unsigned, float


@dataclass
class _StoredDtype:
    """Stands for numpy.dtype: a code such as "f8", and the byte order."""

    code: str
    align: bool = False
    copy: bool = True

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def numbers(self, data: bytes) -> np.ndarray:
        """(N,) the numbers in some bytes; UnpicklingError for a type that is no number."""
        dtype = np.dtype(self.code).newbyteorder(self.order)
        if dtype.kind not in NUMBERS:
            raise pickle.UnpicklingError(f"it holds {dtype} instead of numbers")
        return np.frombuffer(data, dtype)


class _StoredArray:
    """Stands for numpy.ndarray: ``content`` is an array of numbers, or the list of an array of
    objects.
    """

    def __init__(self, *of_no_matter: Any) -> None:
        self.content: np.ndarray | list[Any] = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_columns, data = state
        if isinstance(data, list):
            self.content = data
        else:
            self.content = dtype.numbers(data).reshape(shape, order="F" if by_columns else "C")


STAND_INS = {
    "ndarray": _StoredArray,
    "_reconstruct": _StoredArray,
    "dtype": _StoredDtype,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows arrays and Python's plain values, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of one of the few things that may be named; UnpicklingError for all
        others.
        """
        if module in MODULES and name in STAND_INS:
            return STAND_INS[name]
        if (module, name) == ("_codecs", "encode"):  # bytes, in the protocols of Python 2
            return codecs.encode
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")


def read_pickled_arrays(path: Path) -> Arrays:
    """Return the arrays of a dictionary that was stored by ``numpy.save``. InputError, and no side
    effect, for everything else.
    """
    with damage_named(path), path.open("rb") as file:
        if np.lib.format.read_magic(file) == (1, 0):
            np.lib.format.read_array_header_1_0(file)
        else:
            np.lib.format.read_array_header_2_0(file)
        (stored,) = _ArraysOnly(file).load().content
        arrays = {key: value for key, value in stored.items() if isinstance(value, _StoredArray)}
        return {key: np.asarray(value.content) for key, value in arrays.items()}
