"""Fixtures that are expensive enough to be made once for all tests, and the check of shapes."""

import sys

import pytest
from jaxtyping import install_import_hook

import tests.shapes  # noqa: F401

# Before anything of maquette is imported: the shapes in the annotations of these rooms are checked
# at every call. What jaxtyping offers for Python 3.10 checks kernels marked @no_type_check, too,
# which numba cannot compile then.
SHAPED = ("maquette.nn", "maquette.flow", "maquette.geometry")
if sys.version_info >= (3, 11):
    install_import_hook(SHAPED, "tests.shapes.checked")


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A folder with tiny networks that make something of every mask, named as the
    embedded weights.
    """
    from tests.tiny import save_tiny_weights  # imports torch

    return save_tiny_weights(tmp_path_factory.mktemp("weights"))
