"""A run: every scene counted, rows that do not depend on the number of processes, finished work
never repeated.
"""

import contextlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate import benchmark
from maquette.evaluate.benchmark import BenchmarkPlan, run_benchmark
from maquette.evaluate.cases import Case, scene_of_meshes
from maquette.evaluate.contestants import Contestant, contestants
from maquette.evaluate.rows import MEASUREMENTS, read_rows, read_table
from maquette.execute.pool import HERE, Engine
from maquette.execute.processes import spawned
from maquette.execute.share import Share
from maquette.export.glb import write_glb
from tests.evaluate.scenes import Toy

ONE = Share(1, 2)
TWO = Share(2, 2)


@dataclass(frozen=True)
class Broken(Toy):
    def load(self) -> Case:
        raise InputError("this scene is broken")


ORACLES = tuple(contestants(["boxes", "truth"], {}, {}))


def plan(out, count=2, **changes) -> BenchmarkPlan:
    return BenchmarkPlan(
        out,
        tuple(Toy(k) for k in range(count)),
        **{"contestants": ORACLES, "protocols": ("raw",), "engine": HERE} | changes,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two scenes."""
    out = tmp_path_factory.mktemp("run")
    return out, run_benchmark(plan(out))


def records(rows):
    kept = [
        {key: value for key, value in row.to_record().items() if key not in MEASUREMENTS}
        for row in rows
    ]
    return [
        {key: None if value != value else value for key, value in record.items()} for record in kept
    ]  # nan equals nothing


def test_rows_come_in_the_order_of_scenes_then_methods(finished):
    out, rows = finished
    assert [(row.scene, row.method) for row in rows] == [
        (f"random/000{k}", m) for k in (0, 1) for m in ("boxes", "truth")
    ]
    assert records(read_rows(out / "rows.csv")) == records(rows)


def test_the_truth_is_perfect_and_boxes_know_the_layout(finished):
    for boxes, truth in zip(finished[1][::2], finished[1][1::2]):
        assert truth.metrics["f_o"] == pytest.approx(100) and truth.metrics[
            "iou_b"
        ] == pytest.approx(1.0, abs=1e-6)
        assert truth.metrics["silhouette"] > 0.93 > boxes.metrics["silhouette"]
        assert boxes.metrics["iou_b_raw"] > 0.999 and boxes.metrics["f_o"] < 100


def test_every_object_has_a_row_with_its_size_and_how_much_is_hidden(finished):
    out, rows = finished
    objects = read_table(out / "objects.csv")
    assert len(objects) == sum(row.objects for row in rows)
    assert all(0 < float(o["share"]) < 1 and 0 <= float(o["hidden"]) <= 1 for o in objects)
    mean = np.mean(
        [float(o["f_o"]) for o in objects if (o["scene"], o["method"]) == ("random/0000", "boxes")]
    )
    assert mean == pytest.approx(rows[0].metrics["f_o"], abs=1e-4)


def test_processes_change_nothing_but_the_time(finished, tmp_path):
    rows = run_benchmark(plan(tmp_path, engine=Engine(2)))
    assert records(rows) == records(finished[1])
    assert (tmp_path / "objects.csv").read_bytes() == (finished[0] / "objects.csv").read_bytes()


def test_a_repeated_run_makes_nothing_again_and_a_longer_one_only_what_is_new(finished):
    out, _ = finished
    before = {
        path: path.stat().st_mtime_ns
        for folder in ("scenes", "predictions", "scores")
        for path in (out / folder).rglob("*.*")
    }
    assert len(run_benchmark(plan(out, count=3))) == 6
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert (
        len(run_benchmark(plan(out))) == 4 and len(read_rows(out / "rows.csv")) == 6
    )  # a smaller plan forgets nothing


def test_an_interrupted_run_goes_on(tmp_path):
    reached = []

    def interrupt(stage, done, of):
        reached.append((stage, done))
        if stage == "scores" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(plan(tmp_path), interrupt)
    again = []
    rows = run_benchmark(plan(tmp_path), lambda stage, done, of: again.append((stage, of)))
    assert (
        len(rows) == 4
        and ("scenes", 0) in again
        and ("boxes", 0) in again
        and ("scores", 1) in again
    )


def test_more_measures_are_scored_anew_and_only_those(tmp_path):
    (before,) = run_benchmark(plan(tmp_path, count=1, contestants=ORACLES[1:]))
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "predictions").rglob("*.*")}
    (after,) = run_benchmark(plan(tmp_path, count=1, contestants=ORACLES[1:], extra=("boxes",)))
    assert math.isnan(before.metrics["iou_obb"]) and after.metrics["iou_obb"] == pytest.approx(
        1.0, abs=1e-3
    )
    assert all(path.stat().st_mtime_ns == time for path, time in made.items())
    assert after.metrics["f_s"] == before.metrics["f_s"]


def test_other_options_are_another_result():
    small, large = (
        Contestant("a", "generator", "iscene", None, (("seed", 0), ("steps", steps)))
        for steps in (2, 8)
    )
    assert (
        small.request() != large.request()
        and small.request() == Contestant("a", "generator", "iscene", None, small.options).request()
    )
    on_gpu = Contestant("a", "generator", "iscene", None, (("device", "cuda"), *small.options))
    assert on_gpu.request() == small.request()


def test_a_method_without_a_result_is_a_row_of_misses(tmp_path):
    theirs = tmp_path / "theirs" / "random"
    theirs.mkdir(parents=True)
    truth = Toy(0).load().truth
    write_glb(
        scene_of_meshes({name: truth[name] for name in sorted(truth)[1:]}), theirs / "0000.glb"
    )
    rows = run_benchmark(
        plan(
            tmp_path / "run",
            contestants=tuple(contestants([], {}, {"theirs": str(tmp_path / "theirs")})),
        )
    )
    assert (
        [row.missing for row in rows] == [1, rows[1].objects]
        and rows[0].error == ""
        and "no such file" in rows[1].error
    )
    assert rows[1].metrics["f_s"] == 0 == rows[1].metrics["silhouette"]


def test_predictions_that_fit_no_name_are_misses_with_the_reason(tmp_path):
    (tmp_path / "theirs" / "random").mkdir(parents=True)
    truth = Toy(0).load().truth
    write_glb(
        scene_of_meshes({f"thing_{k}": mesh for k, mesh in enumerate(truth.values())}),
        tmp_path / "theirs" / "random" / "0000.glb",
    )
    made = plan(
        tmp_path / "run",
        count=1,
        contestants=tuple(contestants([], {}, {"theirs": str(tmp_path / "theirs")})),
    )
    (row,) = run_benchmark(made)
    assert row.missing == row.objects and "no name occurs in both" in row.error


def test_scenes_that_cannot_be_used_are_named_not_skipped(tmp_path):
    rows = run_benchmark(
        BenchmarkPlan(tmp_path, (Toy(0), Broken(1)), ORACLES, ("raw",), engine=HERE)
    )
    assert {row.scene for row in rows} == {"random/0000"}
    assert json.loads((tmp_path / "run.json").read_text())["unusable"] == {
        "random/0001": "this scene is broken"
    }
    with pytest.raises(InputError, match=r"none of 1 scenes.*this scene is broken"):
        run_benchmark(
            BenchmarkPlan(tmp_path / "other", (Broken(1),), ORACLES, ("raw",), engine=HERE)
        )


def test_a_damaged_prediction_costs_its_scene_only(tmp_path):
    theirs = tmp_path / "theirs" / "random"
    theirs.mkdir(parents=True)
    write_glb(scene_of_meshes(Toy(0).load().truth), theirs / "0000.glb")
    content = bytearray((theirs / "0000.glb").read_bytes())
    text_end = 20 + int.from_bytes(content[12:16], "little")
    content[20:text_end] = content[20:text_end].replace(b'"bufferView":', b'"bufferWiew":')
    (theirs / "0001.glb").write_bytes(content)
    made = tuple(contestants([], {}, {"theirs": str(tmp_path / "theirs")}))
    rows = run_benchmark(plan(tmp_path / "run", contestants=made))
    assert rows[0].missing == 0 and rows[1].missing == rows[1].objects
    assert rows[1].error and "\n" not in rows[1].error


@dataclass(frozen=True)
class Deadly(Toy):
    """Ends the process that makes it, unless the file ``cure`` is there."""

    cure: str = ""

    def load(self) -> Case:
        if not Path(self.cure).exists():
            os._exit(9)
        return super().load()


def test_a_scene_that_ends_its_process_is_named_and_the_others_are_scored(tmp_path):
    cure = tmp_path / "cure"
    sources = (Deadly(0, str(cure)), Toy(1))
    asked = BenchmarkPlan(tmp_path / "run", sources, ORACLES[1:], ("raw",), engine=Engine(1))
    assert [row.scene for row in run_benchmark(asked)] == ["random/0001"]
    unusable = json.loads((tmp_path / "run" / "run.json").read_text())["unusable"]
    assert list(unusable) == ["random/0000"] and "exit code 9" in unusable["random/0000"]
    cure.touch()
    assert len(run_benchmark(asked)) == 2
    assert json.loads((tmp_path / "run" / "run.json").read_text())["unusable"] == {}


STAGES = {"predict": "_predict_one", "score": "load_named_meshes"}


def die_at_the_first_scene(stage: str) -> None:
    """In a process of its own: let a stage of the benchmark end it when it comes to scene 0."""
    named = STAGES[stage]
    original = getattr(benchmark, named)

    def deadly(given):
        path = given if stage == "score" else given.scene
        return os._exit(9) if "0000" in str(path) else original(given)

    setattr(benchmark, named, deadly)


@contextlib.contextmanager
def deadly_processes(stage: str):
    with spawned(1, die_at_the_first_scene, (stage,)) as pool:
        yield pool


@pytest.mark.parametrize("stage", STAGES)
def test_a_process_that_ends_is_a_miss_with_its_reason_and_the_next_run_tries_again(
    tmp_path, stage
):
    asked = plan(tmp_path, engine=Engine(1), contestants=ORACLES[1:])
    with deadly_processes(stage) as pool:
        usable = benchmark.prepare(asked, pool)
        benchmark.predict(usable, pool)
        benchmark.score(usable, pool)
    lost, good = benchmark.gather(usable)
    assert "exit code 9" in lost.error and lost.missing == lost.objects
    assert good.error == "" and good.missing == 0
    assert [row.error for row in run_benchmark(plan(tmp_path, contestants=ORACLES[1:]))] == ["", ""]


def test_whatever_a_method_raises_is_a_miss_of_its_scene_only(tmp_path, monkeypatch):
    def stumble(case):
        if case.name == "random/0000":
            raise RuntimeError("stumbled")
        return scene_of_meshes(case.truth)

    monkeypatch.setattr(benchmark, "started", lambda contestant: stumble)
    benchmark._predictor.cache_clear()
    lost, good = run_benchmark(plan(tmp_path, contestants=ORACLES[1:]))
    benchmark._predictor.cache_clear()
    assert "stumbled" in lost.error and lost.missing == lost.objects and good.missing == 0


def test_a_folder_keeps_to_its_scenes(finished):
    @dataclass(frozen=True)
    class Other(Toy):
        pass

    with pytest.raises(InputError, match="choose another --out"):
        run_benchmark(BenchmarkPlan(finished[0], (Other(0),), ORACLES, ("raw",), engine=HERE))


def test_shares_of_the_scenes_together_are_the_run(finished, tmp_path):
    merge = plan(tmp_path, engine=Engine(merge=True))
    with pytest.raises(InputError, match="2 of 2 scenes are missing"):
        run_benchmark(merge)
    (first,) = {row.scene for row in run_benchmark(plan(tmp_path, engine=Engine(0, share=ONE)))}
    with pytest.raises(InputError, match="1 of 2 scenes are missing"):
        run_benchmark(merge)
    run_benchmark(plan(tmp_path, engine=Engine(0, share=TWO)))
    assert records(run_benchmark(merge)) == records(finished[1])
    assert first == finished[1][0].scene


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"count": 0}, "no scenes"),
        ({"protocols": ("magic",)}, "magic"),
        ({"extra": ("magic",)}, "magic"),
    ],
)
def test_wrong_plans_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        plan(tmp_path, **changes)
