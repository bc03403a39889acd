import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.contestants import (
    contestants,
    instances_of,
    oracle_boxes,
    oracle_spheres,
    scene_from_glb,
    started,
)
from maquette.evaluate.sets import make_case
from maquette.export.glb import write_glb
from tests.data.toys import Toys

pytestmark = pytest.mark.usefixtures("coarse_fields")


@pytest.fixture(scope="module")
def case():
    return make_case(Toys.many(), "random", 0)


def test_names_say_what_is_compared(tmp_path):
    def names(*arguments):
        return [c.name for c in contestants(*arguments)]

    weights = {"old": "a", "new": "b"}
    assert names(["iscene", "boxes"], {}, {}) == ["iscene", "boxes"]
    assert (
        names(["iscene", "midi-3d"], {}, {}) == ["iscene", "midi-3d"]
        and names(["iscene", "midi"], {"new": "b"}, {})[1] == "midi@new"
    )
    assert names(["iscene", "boxes"], weights, {"theirs": str(tmp_path)}) == [
        "old",
        "new",
        "boxes",
        "theirs",
    ]


def test_a_method_of_a_file_competes_under_its_own_name(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from maquette.methods.iscene import ISCENE\n"
        "MINE = replace(ISCENE, name='mine')\n"
    )
    (made,) = contestants([f"{tmp_path}/mine.py:MINE"], {}, {})
    assert made.name == "mine" and made.asked().chosen.name == "mine"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((["magic"], {}, {}), "magic"),
        ((["boxes"], {}, {"x": "not/there"}), "not/there"),
        ((["boxes"], {}, {"boxes": "."}), "must differ"),
        (([], {}, {"a b": "."}), "no spaces"),
    ],
)
def test_wrong_names_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        contestants(*arguments)


def test_oracles_keep_boxes_or_middles(case):
    for name, mesh in case.truth.items():
        assert np.allclose(oracle_boxes(case)[name].bounds, mesh.bounds)
        assert np.allclose(
            oracle_spheres(case)[name].bounds.mean(0), mesh.bounds.mean(0), atol=0.01
        )


def test_scenes_come_back_from_glb_where_they_stood(case, tmp_path):
    made = started(contestants(["truth"], {}, {})[0])(case)
    write_glb(made, tmp_path / "scene.glb")
    back = instances_of(scene_from_glb(tmp_path / "scene.glb"))
    assert list(back) == list(case.truth)
    for name, mesh in case.truth.items():
        assert np.allclose(back[name].bounds, mesh.bounds, atol=1e-6)
        assert (
            np.abs(
                np.asarray(back[name].visual.vertex_colors, int) - mesh.visual.vertex_colors
            ).max()
            <= 1
        )


def test_a_generator_sees_the_photo_and_the_masks_only(case, tiny_weights):
    contestant = contestants(["iscene"], {"tiny": str(tiny_weights)}, {}, {"steps": 1})[0]
    scene = started(contestant)(case)
    assert contestant.name == "tiny" and {i.label for i in scene.instances} <= {
        m.label for m in case.scene_input.masks
    }
    assert set(contestant.request()["weights"]) >= {
        "volume-vae.safetensors",
        "image-encoder.safetensors",
        "generator.safetensors",
    }
