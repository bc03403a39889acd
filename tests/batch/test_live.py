"""The look at an unfinished scene: drawn when it is time, gone at the end, however that comes."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from maquette import output
from maquette.batch.finished import Products
from maquette.batch.live import LIVE, WIDTH, LivePreview, draft_picture, live_preview
from maquette.batch.pairs import Job
from maquette.batch.run import Session, Settings, run_job
from maquette.pipeline import Options
from tests.document.scenes import make_scene
from tests.tiny import write_photo


def test_it_is_drawn_when_it_is_time_and_then_gone(tmp_path):
    scene = make_scene()
    with live_preview(tmp_path, seconds=-1) as look:
        look(scene)
        assert [path.name for path in tmp_path.iterdir()] == [LIVE]
        with Image.open(tmp_path / LIVE) as picture:
            assert picture.size == draft_picture(scene).shape[1::-1]
    assert list(tmp_path.iterdir()) == []
    patient = LivePreview(tmp_path / LIVE, seconds=1000)
    patient(scene)
    assert list(tmp_path.iterdir()) == []


def test_it_is_gone_when_the_user_stops_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), live_preview(tmp_path, seconds=-1) as look:
        look(make_scene())
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_look_that_cannot_be_written_does_not_end_the_work(tmp_path, monkeypatch):
    def full(*names):
        raise OSError(28, "No space left on device")

    with live_preview(tmp_path, seconds=-1) as look:
        monkeypatch.setattr(output.os, "replace", full)
        look(make_scene())
    assert list(tmp_path.iterdir()) == []


def test_the_photo_stands_beside_the_scene_when_there_is_one():
    scene = make_scene()
    alone = draft_picture(dataclasses.replace(scene, input=None))
    assert (
        alone.shape[1] == WIDTH
        and draft_picture(scene).shape[1] == (2 if scene.input else 1) * WIDTH
    )
    assert np.array_equal(draft_picture(scene)[:, -WIDTH:], alone)


def test_a_job_that_is_stopped_while_arranging_leaves_nothing(tmp_path, tiny_weights):
    job = Job(*write_photo(tmp_path / "in", objects=1), tmp_path / "out")
    options = Options("comboverse", steps=1, device="cpu", iterations=40, layout="depth")
    session = Session.start(
        Settings(options, products=Products(preview=False), weights=tiny_weights)
    )
    seen = []

    def stop(stage, share):
        seen.append(stage)
        if stage == "layout" and share > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, session, stop, live=True)
    assert list(job.folder.iterdir()) == [] and "alone" in seen
    quick = dataclasses.replace(
        session.settings, options=dataclasses.replace(options, layout="none")
    )
    assert run_job(job, dataclasses.replace(session, settings=quick), live=True).status == "made"
    assert not (job.folder / LIVE).exists()
