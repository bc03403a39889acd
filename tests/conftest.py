"""Fixtures that are expensive enough to be made once for all tests."""

import pytest


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A folder with tiny networks that make something of every mask, named as the
    embedded weights.
    """
    from tests.tiny import save_tiny_weights  # imports torch

    return save_tiny_weights(tmp_path_factory.mktemp("weights"))
