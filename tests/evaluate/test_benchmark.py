"""The benchmark: fixed scenes, oracles in their order, every scene counted, resumable."""

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.evaluate.benchmark import make_case, oracle_boxes, oracle_spheres, read_rows, run_benchmark, run_case, summary, table
from maquette.evaluate.summary import METRICS
from maquette.geometry.cameras import project
from tests.data.toys import Toys


@pytest.fixture(scope="module")
def library():
    return Toys.many()


@pytest.fixture(scope="module")
def case(library):
    return make_case(library, "random", 0)


def metric(row, name):
    return row.metrics[METRICS.index(name)]


def test_a_case_is_a_function_of_set_and_index(library, case):
    again, other = make_case(library, "random", 0), make_case(library, "random", 1)
    image = case.scene_input.image
    assert np.array_equal(image, again.scene_input.image) and not np.array_equal(image, other.scene_input.image)


def test_truth_lies_in_the_scene_frame_and_under_its_mask(case):
    bounds = np.stack([np.min([m.bounds[0] for m in case.truth.values()], 0), np.max([m.bounds[1] for m in case.truth.values()], 0)])
    assert (bounds[1] - bounds[0]).max() == pytest.approx(1.0, abs=1e-5) and np.abs(bounds.mean(0)).max() < 1e-5
    for mask in case.scene_input.masks:
        pixel, _ = project(case.view.camera, case.truth[f"instance_{mask.label}"].vertices)
        low, high = pixel.min(0), pixel.max(0)
        rows, columns = np.nonzero(mask.mask)
        assert low[0] - 1 <= columns.min() and columns.max() <= high[0] + 1 and low[1] - 1 <= rows.min() and rows.max() <= high[1] + 1


def test_truth_is_perfect_and_boxes_know_the_layout(case):
    scores = [run_case(case, name, method, "raw")[0] for name, method in
              (("truth", lambda c: c.truth), ("boxes", oracle_boxes), ("spheres", oracle_spheres))]  # fmt: skip
    truth, boxes, spheres = (metric(row, "f_o") for row in scores)
    assert truth == pytest.approx(100) and truth > max(boxes, spheres)
    assert metric(scores[0], "iou_b") == pytest.approx(1.0) and metric(scores[1], "iou_b") > max(0.999, metric(scores[2], "iou_b"))


def test_a_method_that_fails_is_a_row_of_misses(case):
    def broken(case):
        raise InputError("no object could be made")

    row, meshes = run_case(case, "broken", broken, "raw")
    assert meshes == {} and row.missing == row.objects == len(case.truth) and metric(row, "f_s") == 0 and "no object" in row.error


def test_rows_are_kept_and_not_repeated(library, tmp_path):
    calls = []

    def counting(case):
        calls.append(case.name)
        return {name: trimesh.creation.box(bounds=mesh.bounds) for name, mesh in case.truth.items()}

    first = run_benchmark(library, ["random"], 1, {"counting": counting}, "raw", tmp_path)
    second = run_benchmark(library, ["random"], 2, {"counting": counting}, "raw", tmp_path)
    assert calls == ["random/0000", "random/0001"] and len(first) == 1 and len(second) == 2
    assert [r.scene for r in read_rows(tmp_path / "rows.csv")] == ["random/0000", "random/0001"]
    assert "| counting | random | 2 |" in table(second) and '"counting": {"random"' in summary(second)


def test_unknown_sets_are_named(library):
    with pytest.raises(InputError, match="small-on-large"):
        run_benchmark(library, ["everything"], 1, {})
