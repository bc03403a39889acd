import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import pytest

import maquette
from maquette.batch import results
from maquette.cli import main
from maquette.cli.generate import rests  # of its own, before the tests leave it out
from tests.copies import Copied, as_users
from tests.tiny import write_photo

pytestmark = pytest.mark.usefixtures("coarse_fields")

PHOTOS = Path(os.environ.get("MAQUETTE_PHOTOS", "/nonexistent"))


@pytest.fixture
def generate(tiny_weights, tmp_path):
    """Run the command on tiny networks, one step, without preview unless asked for."""

    def call(photos, masks, *options, out=tmp_path / "out", preview=False):
        fast = [
            "--steps",
            "1",
            "--jobs",
            "0",
            "--weights",
            str(tiny_weights),
            *([] if preview else ["--no-preview"]),
        ]
        return main(
            ["generate", str(photos), "--masks", str(masks), "-o", str(out), *fast, *options]
        )

    return call


def test_one_photo_has_its_three_files_and_a_summary(generate, tmp_path, capsys):
    assert generate(*write_photo(tmp_path), preview=True) == 0
    said = capsys.readouterr()
    for name in ("scene.glb", "scene.json", "preview.png"):
        assert str(tmp_path / "out" / name) in said.out
    assert (
        "instance_1     confidence" in said.out
        and "objects: 2 made, 0 failed" in said.out
        and "perceive" in said.out
    )
    assert said.err == ""  # no bar where there is no terminal
    assert [i.label for i in maquette.load(tmp_path / "out").instances] == [1, 2]


def installed(monkeypatch, is_there):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *more: is_there if name == "mujoco" else found(name, *more),
    )


@pytest.mark.parametrize("asked", [(), ("--settle",), ("--no-settle",)])
@pytest.mark.parametrize("is_there", [True, None])
def test_objects_come_to_rest_where_the_library_is_unless_not_asked_for(
    generate, tmp_path, capsys, monkeypatch, asked, is_there
):
    installed(monkeypatch, is_there)
    monkeypatch.setattr("maquette.cli.generate.rests", rests)
    settled = []
    monkeypatch.setattr(maquette.Scene, "settle", lambda self, shown: settled.append(1) or self)
    code = generate(*write_photo(tmp_path), *asked)
    said = capsys.readouterr()
    wanted = is_there if not asked else asked == ("--settle",)
    if asked == ("--settle",) and not is_there:
        assert code == 1 and "needs mujoco" in said.err
        assert not (tmp_path / "out").exists()
        return
    assert code == 0 and len(settled) == bool(wanted)
    told = maquette.load(tmp_path / "out").provenance["options"]["settle"]
    assert told is bool(wanted)


def test_options_arrive(generate, tmp_path, capsys):
    options = (
        "--seed",
        "7",
        "--samples",
        "2",
        "--guidance",
        "1.5",
        "--only",
        "2",
        "--format",
        "obj,ply",
        "--separate",
        "--device",
        "cpu",
    )
    assert generate(*write_photo(tmp_path), *options) == 0
    scene = maquette.load(tmp_path / "out")
    wanted = {
        "seed": 7,
        "samples": 2,
        "steps": 1,
        "guidance": 1.5,
        "device": "cpu",
        "method": "iscene",
    }
    assert wanted.items() <= scene.provenance["options"].items()
    assert [i.label for i in scene.instances] == [2]
    assert [t["seed"] for t in scene.provenance["tries"]] == [7, 8] and sum(
        t["kept"] for t in scene.provenance["tries"]
    ) == 1
    separate = {path.name for path in (tmp_path / "out" / "scene_instances").iterdir()}
    assert separate == {
        "instance_2.obj",
        "instance_2.mtl",
        "instance_2_instance_2.jpg",
        "instance_2.ply",
    }
    assert not (tmp_path / "out" / "scene.glb").exists()
    assert "seed 7" in capsys.readouterr().out


def test_a_size_by_name_sets_the_scale_and_a_ground_is_written(generate, tmp_path):
    photo = write_photo(tmp_path)
    options = ("--size", "1=50cm", "--ground", "disc", "--format", "glb,obj", "--size", "2")
    assert generate(*photo, *options) == 0
    scene = maquette.load(tmp_path / "out")
    low, high = scene[1].box
    assert scene.metres_per_unit == pytest.approx(0.5 / (high[1] - low[1]))
    assert [i.label for i in scene.instances] == [1, 2]
    text = (tmp_path / "out" / "scene.obj").read_text()
    assert "o ground" in text
    assert generate(*photo, *options) == 0  # finished before
    assert generate(*photo, *options[2:]) == 1  # another scale


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--size", "tall"), "--size tall: expected LABEL=LENGTH"),
        (("--size", "lamp=1m"), "no object is called 'lamp'"),
        (("--size", "1=1m", "--metres-per-unit", "2"), "both set the scale"),
        (("--batch", "0"), "--batch 0: expected at least 1"),
    ],
)
def test_a_scale_that_cannot_be_meant_is_one_line(generate, tmp_path, capsys, options, said):
    assert generate(*write_photo(tmp_path), *options) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["desk.glb", "desk.gltf"])
def test_a_folder_is_not_named_as_a_file(generate, tmp_path, capsys, name):
    wanted = tmp_path / name
    assert generate(*write_photo(tmp_path), out=wanted) == 2
    assert f"give -o {tmp_path / 'desk'}" in capsys.readouterr().err and not wanted.exists()


def test_same_seed_same_bytes(generate, tmp_path):
    photo, masks = write_photo(tmp_path)
    for out in ("a", "b"):
        assert generate(photo, masks, out=tmp_path / out) == 0
    assert (tmp_path / "a" / "scene.glb").read_bytes() == (
        tmp_path / "b" / "scene.glb"
    ).read_bytes()


def test_second_run_keeps_another_seed_needs_overwrite(generate, tmp_path, capsys):
    photo, masks = write_photo(tmp_path)
    assert generate(photo, masks) == 0
    assert generate(photo, masks) == 0
    assert "already finished" in capsys.readouterr().out
    assert generate(photo, masks, "--seed", "1") == 1
    assert "seed 0 instead of 1" in capsys.readouterr().err
    assert generate(photo, masks, "--seed", "1", "--overwrite") == 0


def test_quiet_is_quiet_and_json_is_json(generate, tmp_path, capsys):
    photo, masks = write_photo(tmp_path)
    assert generate(photo, masks, "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert generate(photo, masks, "--json", "--overwrite") == 0
    summary = json.loads(capsys.readouterr().out)
    (outcome,) = summary["results"]
    assert (summary["made"], summary["failed"]) == (1, 0) and outcome["photo"] == str(photo)
    assert [i["label"] for i in outcome["instances"]] == [1, 2] and all(
        0 <= i["confidence"] <= 1 for i in outcome["instances"]
    )
    assert all(Path(path).exists() for path in outcome["files"])


def test_folder_of_photos_named_as_rgb_and_seg(generate, tmp_path, capsys):
    for name in ("a_rgb.jpg", "b_rgb.png"):
        _, masks = write_photo(tmp_path / "in", name, objects=1)
        masks.rename(masks.with_name(name[0] + "_seg.png"))
    (tmp_path / "in" / "c_rgb.jpg").write_bytes(b"no photo")
    assert generate(tmp_path / "in", tmp_path / "in") == 1
    said = capsys.readouterr()
    assert "[1/3]" in said.out and "2 made, 0 finished before, 1 failed of 3 photos" in said.out
    assert "c_rgb.jpg" in said.err and "no masks" in said.err
    assert [
        (tmp_path / "out" / name / "scene.glb").exists() for name in ("a_rgb", "b_rgb", "c_rgb")
    ] == [True, True, False]
    (tmp_path / "in" / "c_rgb.jpg").unlink()
    assert generate(tmp_path / "in", tmp_path / "in", "--json") == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 2


def test_processes_and_shares_make_what_one_makes(generate, tmp_path, capsys):
    for name in ("a", "b"):
        write_photo(tmp_path, f"{name}.png", objects=1)
    whole = tmp_path / "whole"
    apart = ("--jobs", "1")  # of one thread each: with two, sums round otherwise
    assert generate(tmp_path, tmp_path, "--jobs", "2", out=whole) == 0
    shared = tmp_path / "shared"
    assert generate(tmp_path, tmp_path, "--shard", "2/2", *apart, out=shared) == 0
    assert sorted(path.name for path in shared.iterdir()) == ["b"]
    capsys.readouterr()
    assert generate(tmp_path, tmp_path, "--merge", out=shared) == 2
    assert "1 of 2 photos are missing" in capsys.readouterr().err
    assert generate(tmp_path, tmp_path, "--shard", "1/2", *apart, out=shared) == 0
    assert generate(tmp_path, tmp_path, "--merge", out=shared) == 0
    assert "all 2 photos are made" in capsys.readouterr().out
    for name in ("a", "b"):
        made = [(folder / name / "scene.glb").read_bytes() for folder in (whole, shared)]
        assert made[0] == made[1]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent otherwise there")
@pytest.mark.parametrize("start", [Copied, pytest.param(as_users, marks=pytest.mark.slow)])
def test_interrupted_batch_reports_and_goes_on(start, tiny_weights, tmp_path, generate, capsys):
    """A real Ctrl-C: the finished photo stays, nothing is half-written, and the same command
    finishes the rest.
    """
    for k in range(3):
        write_photo(tmp_path / "in", f"{k}.png", objects=1, seed=k)
    photos = str(tmp_path / "in")
    out = str(tmp_path / "out")
    command = ["generate", photos, "--masks", photos, "-o", out, "--steps", "1", "--jobs", "1"]
    command += ["--no-preview", "--no-settle", "--weights", str(tiny_weights)]
    with start(command, deaf=False) as process:
        begins = process.stdout.readline()
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=120)
    assert begins.startswith("3 photos: 0 finished before, 3 to make")
    assert first.startswith("[1/3]") and "of 3 photos" in rest
    assert process.returncode == 130 and "interrupted" in errors and "Traceback" not in errors
    assert not [path for path in (tmp_path / "out").rglob(".maquette-*")]
    finished = [path.parent.name for path in (tmp_path / "out").rglob("scene.json")]
    assert 1 <= len(finished) < 3 and all(
        (tmp_path / "out" / name / "scene.glb").exists() for name in finished
    )
    assert generate(tmp_path / "in", tmp_path / "in", "--json") == 0
    assert json.loads(capsys.readouterr().out)["kept"] == len(finished)


def test_bar_on_a_terminal(generate, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert generate(*write_photo(tmp_path)) == 0
    assert "objects" in capsys.readouterr().err


@pytest.mark.skipif(
    not PHOTOS.is_dir(), reason="set MAQUETTE_PHOTOS to a folder with X_rgb.jpg and X_seg.png"
)
def test_real_photos_find_their_masks():
    from maquette.batch.pairs import plan

    jobs, _ = plan([PHOTOS], PHOTOS, "out")
    assert len(jobs) > 1 and all(
        job.masks.name == job.photo.stem.removesuffix("_rgb") + "_seg.png" for job in jobs
    )


def test_full_disk_stops_at_one_line(generate, tmp_path, capsys, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "export_scene", full)
    assert generate(*write_photo(tmp_path)) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "No space left on device" in said
    assert list((tmp_path / "out").iterdir()) == []
