"""Every set is what its name says: measured on its scenes, not assumed."""

import numpy as np
import pytest
import trimesh

from maquette.data.catalogue import Catalogue
from maquette.errors import InputError
from maquette.evaluate.cases import scene_of_meshes
from maquette.evaluate.sets import OCCLUSION, SETS, SetSource, make_case, stacked
from maquette.geometry.cameras import project
from maquette.render.silhouette import silhouettes_alone
from tests.data.toys import Toys


@pytest.fixture(scope="module")
def library():
    return Catalogue.of(Toys.many())


@pytest.fixture(scope="module")
def cases(library):
    return {name: [make_case(library, name, k) for k in range(2)] for name in SETS}


def test_a_case_is_a_function_of_set_and_index(library, cases):
    again = make_case(library, "random", 0)
    assert np.array_equal(cases["random"][0].scene_input.image, again.scene_input.image)
    assert not np.array_equal(cases["random"][1].scene_input.image, again.scene_input.image)
    assert SetSource("random", 7).name == "random/0007"


def test_scenes_of_other_assets_are_other_scenes(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"1")
    before = SetSource("random", 0, str(tmp_path)).identity
    assert "1 assets" in before and "procedural" in SetSource("random", 0).identity
    (tmp_path / "more").mkdir()
    for name in ("a.npz", "b.npz"):
        (tmp_path / "more" / name).write_bytes(b"1")
    assert SetSource("random", 0, str(tmp_path / "more")).identity != before


@pytest.mark.parametrize("name", SETS)
def test_truth_lies_in_the_scene_frame_and_under_its_mask(cases, name):
    for case in cases[name]:
        bounds = np.stack(
            [
                np.min([m.bounds[0] for m in case.truth.values()], 0),
                np.max([m.bounds[1] for m in case.truth.values()], 0),
            ]
        )
        assert (bounds[1] - bounds[0]).max() == pytest.approx(1.0, abs=1e-5) and np.abs(
            bounds.mean(0)
        ).max() < 1e-5
        for mask in case.scene_input.masks:
            pixel, _ = project(case.camera, case.truth[f"instance_{mask.label}"].vertices)
            rows, columns = np.nonzero(mask.mask)
            assert (pixel.min(0) - 1 <= (columns.min(), rows.min())).all() and (
                pixel.max(0) + 1 >= (columns.max(), rows.max())
            ).all()


def test_occlusion_scenes_hide_an_object_by_40_to_75_per_cent(cases):
    for case in cases["occlusion"]:
        alone = silhouettes_alone(
            scene_of_meshes(case.truth, case.camera)
        )  # against what the photo itself shows of each object
        shares = {m.label: 1 - m.mask.sum() / alone[m.label].sum() for m in case.scene_input.masks}
        assert OCCLUSION[0] <= max(case.hidden.values()) <= OCCLUSION[1]
        assert shares == pytest.approx(case.hidden, abs=0.06)


def test_small_things_stand_on_large_ones(cases):
    for case in cases["small-on-large"]:
        upper, lower = stacked(case.truth)[0]
        assert case.truth[upper].extents.max() < case.truth[lower].extents.max()
        assert case.truth[upper].bounds[0, 1] > case.truth[lower].bounds.mean(0)[1]


def test_duplicates_are_the_same_mesh(cases):
    for case in cases["duplicates"]:
        looks = [(m.faces.shape, round(m.area, 5)) for m in case.truth.values()]
        assert len(set(looks)) < len(looks)


def test_rooms_and_tables_hold_several_objects(cases):
    assert all(len(case.truth) >= 3 for name in ("rooms", "tabletop") for case in cases[name])


def test_what_stands_on_what():
    def box(extents, centre):
        return trimesh.creation.box(extents).apply_translation(centre)

    table = box((1, 0.5, 1), (0, 0.25, 0))
    cup = box((0.1, 0.1, 0.1), (0.3, 0.55, 0.3))
    assert stacked({"table": table, "cup": cup}) == [("cup", "table")]
    for centre in ((0.3, 0.8, 0.3), (0.9, 0.55, 0.3), (0.3, 0.25, 0.3)):  # floating, beside, inside
        assert stacked({"table": table, "cup": box((0.1, 0.1, 0.1), centre)}) == []


def test_a_set_that_the_assets_cannot_fill_says_so(monkeypatch):
    monkeypatch.setattr("maquette.evaluate.sets.MOST_TRIES", 3)
    cones = Toys(tuple(asset for asset in Toys.many().assets if asset.name == "cone"))
    with pytest.raises(InputError, match="stands on top of a larger one"):
        make_case(Catalogue.of(cones), "small-on-large", 0)
    with pytest.raises(InputError, match="small-on-large"):
        make_case(cones, "everything", 0)
