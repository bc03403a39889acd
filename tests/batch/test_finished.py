"""What is kept without loading anything, and that it is what loading would have kept."""

import dataclasses
import json
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maquette import __version__
from maquette.batch import finished
from maquette.batch.finished import Products, Wanted, kept_before, request_of
from maquette.batch.pairs import Job
from maquette.cli import main
from maquette.document.scene_json import save
from maquette.export import SPACELESS, WRITERS
from maquette.options import MESH_FORMATS, SceneOptions
from maquette.options import SPACELESS as SPACELESS_FORMATS
from tests.document.scenes import make_scene
from tests.tiny import write_photo

WANTED = Wanted(products=Products(preview=False))


@pytest.fixture
def job(tmp_path):
    """A photo whose finished result, of the embedded weights, is there."""
    return finish(Job(*write_photo(tmp_path / "in"), tmp_path / "out"))


def finish(job):
    weights = {str(k): known for k, known in enumerate(sorted(finished._embedded_sums())[:3])}
    request = request_of(job, WANTED, weights)
    told = {"maquette": __version__, "request": request, "files": ["scene.glb"]}
    scene = make_scene(provenance=told | {"seconds": {"sample": 1.5, "preview": 0.5}})
    scene.export(job.folder / "scene.glb")
    save(scene, job.folder / "scene.json")
    return job


def test_what_is_finished_is_kept_with_what_its_document_says(job):
    kept = kept_before(job, WANTED)
    assert kept.status == "kept" and kept.seconds == {"sample": 1.5, "preview": 0.5}
    assert [i["label"] for i in kept.instances] == [1, 3, 12]


@pytest.mark.parametrize(
    "changes",
    [
        {"overwrite": True},
        {"options": SceneOptions(seed=1)},
        {"options": SceneOptions(method="mine.py:MINE")},
        {"options": SceneOptions(model="midi-3d")},
        {"only": ("1",)},
        {"weights": Path("elsewhere")},
        {"products": Products(("glb", "obj"), preview=False)},
    ],
)
def test_whatever_is_asked_otherwise_is_left_to_making(job, changes):
    assert kept_before(job, dataclasses.replace(WANTED, **changes)) is None


def test_whatever_is_there_otherwise_is_left_to_making(job, monkeypatch):
    place = job.folder / "scene.json"
    text = place.read_text()
    for before, after in [(__version__, "0.0.1"), ('"seed": 0', '"seed": 2')]:
        place.write_text(text.replace(before, after))
        assert kept_before(job, WANTED) is None
    place.write_text(text)
    monkeypatch.setattr(finished, "_embedded_sums", set)
    assert kept_before(job, WANTED) is None
    monkeypatch.undo()
    (job.folder / ".maquette-0-1-abc.result").mkdir()
    assert kept_before(job, WANTED) is None
    assert kept_before(dataclasses.replace(job, problem="no masks"), WANTED) is None
    assert kept_before(dataclasses.replace(job, masks=None), WANTED) is None
    write_photo(job.photo.parent, seed=3)
    assert kept_before(job, WANTED) is None


@pytest.mark.slow  # it measures time
def test_a_hundred_finished_photos_cost_less_than_half_a_second_and_no_torch(job, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for k in range(100):
        shutil.copy(job.photo, photos / f"{k:03d}.png")
        shutil.copy(job.masks, photos / f"{k:03d}_seg.png")
        shutil.copytree(job.folder, tmp_path / "scenes" / f"{k:03d}")
    script = (
        "import sys\nfrom maquette.cli import main\n"
        f"assert main(['generate', {str(photos)!r}, '--masks', {str(photos)!r}, '-o', "
        f"{str(tmp_path / 'scenes')!r}, '--no-preview', '--no-settle']) == 0\n"
        "heavy = {'torch', 'cv2', 'trimesh', 'numba', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("100 photos: 100 finished before, 0 to make -> ")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 1.0  # 0.4 on a machine that does nothing else


def test_a_batch_says_at_once_what_it_will_do_and_lists_all_in_order(job, tmp_path, capsys):
    other = tmp_path / "in" / "zebra.png"
    shutil.copy(job.photo, other)  # without masks: it fails before anything is loaded
    shutil.move(job.folder, tmp_path / "scenes" / job.photo.stem)
    call = ["generate", str(job.photo), str(other), "--masks", str(job.masks.parent)]
    call += ["-o", str(tmp_path / "scenes"), "--no-preview", "--no-settle"]
    assert main(call) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 photos: 1 finished before, 1 to make")
    assert "0 made, 1 finished before, 1 failed of 2 photos" in said[-1]
    assert main([*call, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [result["status"] for result in told["results"]] == ["kept", "failed"]


def test_formats_are_told_once():
    assert tuple(f".{name}" for name in MESH_FORMATS) == tuple(WRITERS)
    assert tuple(f".{name}" for name in SPACELESS_FORMATS) == SPACELESS
