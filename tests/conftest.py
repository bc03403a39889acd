"""Fixtures that are expensive enough to be made once for all tests, and the check of shapes."""

import dataclasses
import gc
import os
import sys

import pytest
from jaxtyping import install_import_hook

from tests.shapes import check_sparingly

# Byte code is kept even where the environment says not to, as many containers do: else each of the
# dozens of processes that the tests start would compile the package anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What is imported and collected stays until the end: looking for garbage among it takes a fifth of
# the time of collecting.
gc.disable()

# Before anything of maquette is imported: the shapes in the annotations of these rooms are checked
# (tests/shapes.py says at which calls). What jaxtyping offers for Python 3.10 checks kernels marked
# @no_type_check, too, which numba cannot compile then.
SHAPED = ("maquette.nn", "maquette.flow", "maquette.geometry")
if sys.version_info >= (3, 11):
    install_import_hook(SHAPED, "tests.shapes.checked")
a_test_begins = check_sparingly()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One process more than cores: a quarter of the time of two on two cores went by while tests
    waited for clocks, sockets and other processes.
    """
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


def pytest_collection_modifyitems(items):
    """Files that fork at every step begin: a copy costs what its process holds, and each process of
    the tests comes to hold two gigabytes.
    """
    items.sort(key=lambda item: not hasattr(item.module, "endings"))


def pytest_collection_finish():
    """From here on there is garbage."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup():
    """Its first calls are all checked."""
    a_test_begins()


@pytest.fixture(scope="module")
def coarse_fields():
    """Half as many cells along the sides of what is held to the photo, and half as many pixels of
    it, and fewer mirror planes are judged by fewer places: a third of the time, for tests in which
    it matters that there is a mesh.
    """
    from maquette.stages import mirror

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.stages.fuse.RESOLUTION", 64)
        patch.setattr("maquette.stages.fuse.PIXELS", 384)
        patch.setattr("maquette.stages.fuse.MIRRORED", 300)
        patch.setattr(mirror, "ANGLES", mirror.ANGLES[::9])
        patch.setattr(mirror, "OFFSETS", mirror.OFFSETS[::3])
        yield


@pytest.fixture(scope="module")
def few_points():
    """Scores of a tenth of the points, for tests in which it matters that there is a score."""
    from maquette.evaluate import protocols

    fewer = tuple(
        dataclasses.replace(each, points=each.points // 10, scene_points=each.scene_points // 10)
        for each in protocols.PROTOCOLS
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocols, "PROTOCOLS", fewer)
        yield


@pytest.fixture(scope="module")
def remembered_scenes():
    """Scenes of the same photo and options are made once in this process."""
    from maquette import pipeline  # imports torch
    from maquette.batch import run
    from tests.remembered import Remembered

    generate = Remembered(pipeline.generate)
    with pytest.MonkeyPatch.context() as patch:
        for module in (pipeline, run):
            patch.setattr(module, "generate", generate)
        yield


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """A folder with tiny networks that make something of every mask, named as the
    embedded weights.
    """
    from tests.tiny import save_tiny_weights  # imports torch

    return save_tiny_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session", autouse=True)
def quick_processes():
    """Pools begin at once; tests/execute has them begin as users do."""
    from tests.copies import Copies, offered

    with pytest.MonkeyPatch.context() as patch:
        if offered():
            patch.setattr("maquette.execute.processes.START", Copies())
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk():
    """No power fails here; twenty seconds of all tests went by while it was made sure of that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_settles_unasked():
    """Whether scenes come to rest by default has a test of its own; here it would take as long as
    making them of tiny networks.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.cli.generate.rests", bool)
        yield
