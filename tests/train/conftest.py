"""What the tests of training share."""

import pytest

from maquette.flow.ddpm import ddim
from maquette.train import (
    coherent,
    generator,
    geometry,
    midi,
    runs,
    segmentation,
    shapes,
    text_to_image,
)
from tests.train.worlds import build_solids


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The folder of a library of three solids with their fields, which is only read."""
    return build_solids(tmp_path_factory.mktemp("solids") / "library")


def two_steps(predict, noise, schedule, count, *others, **named):
    """What a diffusion makes in two steps."""
    return ddim(predict, noise, schedule, 2, *others, **named)


@pytest.fixture(autouse=True, scope="module")
def small_runs(tiny_weights):
    """Fewer held-out samples and steps of diffusion than a run needs that lasts hours, and tiny
    networks in the place of the embedded ones.
    """
    with pytest.MonkeyPatch.context() as patch:
        for task in (coherent, generator, geometry, midi, segmentation, shapes, text_to_image):
            patch.setattr(task, "EXAMINED", 3)
        for sampled in ("coherent", "text_to_image"):
            patch.setattr(f"maquette.models.{sampled}.ddim", two_steps)
        patch.setattr(runs, "embedded_folder", lambda: tiny_weights)
        yield
