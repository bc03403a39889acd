import contextlib
import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import maquette
from maquette.batch import finished, run
from maquette.batch.finished import Products
from maquette.batch.pairs import Job
from maquette.batch.run import Session, Settings, run_job, run_jobs
from maquette.errors import CheckpointError, InputError, OutputError
from maquette.execute.pool import HERE
from maquette.execute.processes import Ended
from maquette.options import ScaleOptions
from maquette.pipeline import Options
from tests.tiny import write_photo

FAST = Products(preview=False)


@pytest.fixture(scope="module")
def session(tiny_weights):
    return Session.start(
        Settings(Options(steps=1, device="cpu"), products=FAST, weights=tiny_weights)
    )


def with_settings(session, **changes):
    return dataclasses.replace(session, settings=dataclasses.replace(session.settings, **changes))


@pytest.fixture
def job(tmp_path):
    return Job(*write_photo(tmp_path / "in"), tmp_path / "out")


def test_made_once_then_kept_and_remembered(job, session, monkeypatch):
    made = run_job(job, session)
    assert (
        made.status == "made"
        and [i["label"] for i in made.instances] == [1, 2]
        and not made.failures
    )
    assert {"read", "load", "perceive", "sample", "mesh", "check", "preview", "export"} <= set(
        made.seconds
    )
    monkeypatch.delattr(run, "generate")  # a second run must not need it
    kept = run_job(job, session)
    assert kept == dataclasses.replace(made, status="kept")


def test_provenance_names_the_weights_and_what_it_was_made_from(job, session, tiny_weights):
    run_job(job, session)
    provenance = maquette.load(job.folder).provenance
    assert provenance["checkpoint"]["name"] == tiny_weights.name
    assert (
        provenance["request"]["photo"] == finished.content_hash(job.photo)
        and "device" not in provenance["request"]
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"options": Options(seed=5, steps=1, device="cpu")}, "seed 0 instead of 5"),
        ({"only": ("1",)}, "only None instead of"),
    ],
)
def test_other_options_are_refused_and_replaced_on_request(job, session, change, says):
    run_job(job, session)
    with pytest.raises(OutputError, match=says):
        run_job(job, with_settings(session, **change))
    assert run_job(job, with_settings(session, **change, overwrite=True)).status == "made"
    assert run_job(job, with_settings(session, **change)).status == "kept"


@pytest.mark.parametrize(
    ("scale", "says"),
    [
        ({"size": ("sofa=3m",)}, "no object is called 'sofa'"),
        ({"size": ("1=-3m",)}, "expected a length"),
        ({"size": ("1=3m",), "metres_per_unit": 2.0}, "both set the scale"),
    ],
)
def test_an_impossible_size_is_refused_before_anything_is_made(
    job, session, monkeypatch, scale, says
):
    monkeypatch.delattr(run, "generate")
    with pytest.raises(InputError, match=says):
        run_job(job, with_settings(session, scale=ScaleOptions(**scale)))


def test_changed_photo_is_noticed(job, session):
    run_job(job, session)
    write_photo(job.photo.parent, seed=1)
    with pytest.raises(OutputError, match="another photo"):
        run_job(job, session)


def test_moving_to_another_device_makes_no_result_outdated(job, session):
    run_job(job, session)
    other = with_settings(
        session, options=dataclasses.replace(session.settings.options, device="auto")
    )
    assert run_job(job, other).status == "kept"


def test_more_formats_are_added_without_making_the_scene_again(job, session, monkeypatch):
    run_job(job, session)
    edited = maquette.load(job.folder).move(1, (0.2, 0, 0))
    edited.export(job.folder / "scene.json")
    monkeypatch.delattr(run, "generate")
    kept = run_job(
        job, with_settings(session, products=Products(("obj",), separate=True, preview=False))
    )
    assert kept.status == "kept"
    names = {path.name for path in job.folder.iterdir() if path.suffix not in (".jpg", ".png")}
    assert names == {
        "scene.glb",
        "scene.obj",
        "scene.mtl",
        "scene.json",
        "scene_files",
        "scene_instances",
    }
    assert np.array_equal(
        maquette.load(job.folder)[1].world_from_instance, edited[1].world_from_instance
    )


def test_bad_pictures_are_reported_and_survived(tmp_path, session):
    jobs = []
    for name in ("a", "b", "c", "d", "e"):
        photo, masks = write_photo(tmp_path / "in", f"{name}.png", objects=1)
        jobs.append(Job(photo, masks, tmp_path / "out" / name))
    jobs[1].photo.write_bytes(b"\x89PNG nothing")
    jobs[2].photo.unlink()
    jobs[3] = Job(jobs[3].photo, None, jobs[3].folder, "d.png: no masks go with it")
    outcomes = list(run_jobs(jobs, session))
    assert [outcome.status for outcome in outcomes] == [
        "made",
        "failed",
        "failed",
        "failed",
        "made",
    ]
    assert (
        "truncated" in outcomes[1].error
        and "no such file" in outcomes[2].error
        and "no masks" in outcomes[3].error
    )
    assert [(tmp_path / "out" / name / "scene.json").exists() for name in "abcde"] == [
        True,
        False,
        False,
        False,
        True,
    ]
    jobs[1] = Job(*write_photo(tmp_path / "in", "b.png", objects=1), jobs[1].folder)
    assert [outcome.status for outcome in run_jobs(jobs, session)] == [
        "kept",
        "made",
        "failed",
        "failed",
        "kept",
    ]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("Failed to decode image"), "RuntimeError: Failed to decode image"),
        (RuntimeError("CUDA error: device-side assert\ntriggered"), "CUDA error"),
        (MemoryError(), "MemoryError"),
        (AssertionError("a bug"), "AssertionError: a bug"),
    ],
)
def test_whatever_one_photo_raises_the_others_are_made(tmp_path, session, monkeypatch, error, says):
    jobs = [
        Job(*write_photo(tmp_path / "in", f"{name}.png", objects=1), tmp_path / "out" / name)
        for name in "ab"
    ]
    make = run.generate

    def broken(photo, *args, **options):
        if photo.name == "a.png":
            raise error
        return make(photo, *args, **options)

    monkeypatch.setattr(run, "generate", broken)
    bad, good = run_jobs(jobs, session)
    assert (bad.status, good.status) == ("failed", "made")
    assert says in bad.error and "a.png" in bad.error and "\n" not in bad.error


def test_ctrl_c_ends_the_batch(job, session, monkeypatch):
    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "generate", stopped)
    with pytest.raises(KeyboardInterrupt):
        list(run_jobs([job], session))


def test_a_damaged_document_is_named_and_can_be_replaced(job, session):
    run_job(job, session)
    path = job.folder / "scene.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    del document["instances"][0]["name"]
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=r"scene\.json: not a scene document.*--overwrite"):
        run_job(job, session)
    assert run_job(job, with_settings(session, overwrite=True)).status == "made"


def test_system_errors_name_their_file(job):
    assert (
        run.failed(job, PermissionError(13, "Permission denied", "x.png")).error
        == "x.png: Permission denied"
    )
    assert run.failed(job, MemoryError()).error == "MemoryError"
    assert run.failed(job, InputError("one\ntwo")).error == "one two"


@pytest.mark.parametrize("when", [0, 1, 4, 5, 6])
def test_interrupted_at_any_stage_nothing_stands_there(job, session, when):
    left = when

    def interrupt(stage, share):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_jobs([job], session, interrupt))
    finished = (job.folder / "scene.json").exists()
    left_behind = sorted(path.name for path in job.folder.iterdir()) if job.folder.exists() else []
    assert left_behind == (["scene.glb", "scene.json", "scene_files"] if finished else [])


def test_damaged_weights_end_the_run_before_any_photo(tmp_path, tiny_weights):
    copy = shutil.copytree(tiny_weights, tmp_path / "weights")
    file = copy / "generator.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"generator\.safetensors"):
        Session.start(Settings(weights=copy))


def test_one_pixel_instance_does_not_stop_the_others(job, session):
    labels = np.array(Image.open(job.masks))
    labels[0, 0] = 9
    Image.fromarray(labels).save(job.masks)
    outcome = run_job(job, session)
    assert {1, 2} <= {i["label"] for i in outcome.instances}
    assert 9 in {i["label"] for i in outcome.instances} | {f["label"] for f in outcome.failures}
    assert any("label 9 has only 1 pixel" in warning for warning in outcome.warnings)


def test_photo_whose_only_object_vanishes_is_refused(job, session):
    photo = Image.open(job.photo).resize((960, 720))
    photo.save(job.photo)
    labels = np.zeros((720, 960), np.uint8)
    labels[401, 503] = 1
    Image.fromarray(labels).save(job.masks)
    with pytest.raises(InputError, match="no mask covers a pixel"):
        run_job(job, session)


def photo_jobs(folder, counts):
    return [
        Job(*write_photo(folder / "in", f"{k}.png", count, seed=k), folder / f"out-{k}")
        for k, count in enumerate(counts)
    ]


def test_photos_made_together_are_kept_and_a_bad_one_costs_itself(tmp_path, session):
    jobs = photo_jobs(tmp_path, (2, 1, 2, 1))
    jobs[1].photo.write_bytes(b"no picture")
    outcomes = list(run_jobs(jobs, session, batch=3))
    assert [outcome.status for outcome in outcomes] == ["made", "failed", "made", "made"]
    assert [outcome.photo for outcome in outcomes] == [str(job.photo) for job in jobs]
    again = run_jobs(jobs, session)
    assert [outcome.status for outcome in again] == ["kept", "failed", "kept", "kept"]


def test_a_process_that_ends_in_company_costs_one_photo(tmp_path, session, monkeypatch):
    jobs = photo_jobs(tmp_path, (1, 1, 1))

    class Pool:
        """Its process ends with the third photo."""

        def outcomes(self, task, arguments):
            for number, (part, _) in enumerate(arguments):
                if jobs[2] in part:
                    yield number, Ended("it crashed")
                else:
                    yield number, [run.failed(job, InputError("stands for made")) for job in part]

    monkeypatch.setattr(run, "processes", lambda *_: contextlib.nullcontext(Pool()))
    outcomes = list(run.run_jobs_apart(jobs, session.settings, HERE, batch=3))
    assert [outcome.photo for outcome in outcomes] == [str(job.photo) for job in jobs]
    assert ["crashed" in outcome.error for outcome in outcomes] == [False, False, True]
