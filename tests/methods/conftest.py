import pytest


@pytest.fixture(autouse=True, scope="module")
def quick(coarse_fields):
    """What is made here has few cells."""
