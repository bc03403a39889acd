"""The real worker with tiny weights: a scene of a photo, the same as from the library, and one
object of it anew.
"""

import io
import zipfile

import numpy as np
import pytest
from PIL import ExifTags, Image

import maquette
from maquette.app import worker
from maquette.checkpoints.embedded import load_models
from maquette.masks import read_masks
from maquette.pipeline import generate
from maquette.simulation.glb_scene import scene_of_glb
from tests.app.live import label_png, picture, pixels, start
from tests.app.test_geometry import depth_png
from tests.document.scenes import make_scene


@pytest.fixture(scope="module")
def real(tmp_path_factory, tiny_weights):
    with start(tmp_path_factory.mktemp("real"), worker=(), weights=(tiny_weights,)) as live:
        yield live


def with_focal_length(png):
    """The picture as from a camera with a lens of 70 mm."""
    exif = Image.Exif()
    stream = io.BytesIO()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.FocalLengthIn35mmFilm: 70}
    Image.open(io.BytesIO(png)).save(stream, "PNG", exif=exif.tobytes())
    return stream.getvalue()


def opened(live, scene, folder):
    with zipfile.ZipFile(
        io.BytesIO(live.get(f"/api/scenes/{scene}/export?format=json").body)
    ) as archive:
        archive.extractall(folder)
    return maquette.load(folder / "scene.json")


def same(a, b):
    return all(
        np.array_equal(x, y)
        for x, y in (
            (a.mesh.vertices, b.mesh.vertices),
            (a.world_from_instance, b.world_from_instance),
        )
    )


def test_a_job_makes_what_the_library_makes(real, tiny_weights, tmp_path):
    photo = with_focal_length(picture())
    answer = real.send(
        "/api/jobs",
        [("photo", "p.png", photo), ("masks", "m.png", label_png())],
        options='{"steps": 1, "seed": 4}',
    )
    events = real.events(f"/api/jobs/{answer.json['id']}/events")
    assert events[-1][1]["state"] == "done", events[-2]
    order = [(name, data.get("label")) for name, data in events if name in ("instance", "end")]
    assert order == [("instance", 1), ("instance", 2), ("end", None)]
    stages = [data["stage"] for name, data in events if name == "progress"]
    assert [s for k, s in enumerate(stages) if s not in ["load", *stages[:k]]] == [
        "perceive",
        "scene",
        "objects",
        "write",
    ]
    expected = generate(
        Image.open(io.BytesIO(photo)),
        read_masks(pixels(label_png())),
        models=load_models(tiny_weights),
        steps=1,
        seed=4,
    )
    made = opened(real, events[-1][1]["scene"], tmp_path)
    assert all(same(a, b) for a, b in zip(made.instances, expected.instances, strict=True))
    assert made.provenance["checkpoint"]["name"] == tiny_weights.name
    assert (
        made.input.focal == expected.input.focal
        and made.provenance["focal"] == "EXIF, 70 mm on 35-mm film"
    )
    glb = real.get(next(data["glb"] for name, data in events if name == "instance"))
    assert glb.body.startswith(b"glTF")

    job = real.post(
        f"/api/scenes/{events[-1][1]['scene']}/regenerate", {"label": 2, "seed": 9, "steps": 1}
    )
    assert real.follow(job.json["id"])["state"] == "done"
    again = opened(real, events[-1][1]["scene"], tmp_path / "again")
    assert same(again[1], made[1]) and again[2].seed != made[2].seed
    np.testing.assert_array_equal(again[2].world_from_instance, made[2].world_from_instance)


def test_a_given_depth_shows_its_room(real, tmp_path):
    files = [("photo", "p.png", picture()), ("masks", "m.png", label_png())]
    answer = real.send(
        "/api/jobs",
        [*files, ("depth", "d.png", depth_png())],
        options='{"steps": 1}',
    )
    state = real.follow(answer.json["id"])
    scene = real.get(f"/api/scenes/{state['scene']}").json
    assert {one["name"] for one in scene["around"]} <= {"floor", "wall"}
    assert opened(real, state["scene"], tmp_path).around
    assert real.get(scene["around"][0]["glb"]).body.startswith(b"glTF")
    for asked in ("false", "true"):
        path = tmp_path / f"{asked}.glb"
        address = f"/api/scenes/{state['scene']}/export?format=glb&room={asked}"
        path.write_bytes(real.get(address).body)
        assert bool(scene_of_glb(path).around) == (asked == "true")


def test_the_configuration_comes_from_the_worker(real, tiny_weights):
    config = real.get("/api/config").json
    assert config["models"][0]["name"] == tiny_weights.name and config["models"][0]["default"]
    names = [method["name"] for method in config["methods"]]
    assert (
        "iscene" in names
        and "cpu" in config["devices"]
        and all(method["about"] for method in config["methods"])
    )
    assert all(set(model["methods"]) <= set(names) for model in config["models"])


def test_a_reporter_counts_objects_and_tries(tmp_path):
    said = []
    reporter = worker.Reporter(lambda what, **values: said.append((what, values)), tmp_path, [3, 5])
    reporter.progress("objects", 0.0)
    reporter.progress("objects", 0.1)  # too soon after the last
    reporter.made.add(3)
    reporter.progress("objects", 1.0)
    assert [values["instance"] for _, values in said] == [{"label": 3, "index": 1, "of": 2}, None]


def test_an_object_that_moves_is_told_but_not_made_again(tmp_path):
    said = []
    scene = make_scene()
    (tmp_path / "instances").mkdir()
    reporter = worker.Reporter(lambda what, **values: said.append((what, values)), tmp_path, [1, 3])
    reporter.progress("alone", 0.0)
    for instance in scene.instances[:2]:
        reporter.instance(instance)
    written = {path: path.read_bytes() for path in (tmp_path / "instances").iterdir()}
    reporter.progress("layout", 0.5)
    reporter.instance(scene.move(1, (0.5, 0.0, 0.0))[1])
    told = [values for what, values in said if what == "instance"]
    assert [t["attempt"] for t in told] == [1, 1, 1] and told[2]["world_from_instance"][0][
        3
    ] == told[0]["world_from_instance"][0][3] + 0.5
    assert {path: path.read_bytes() for path in (tmp_path / "instances").iterdir()} == written
    reporter.progress("alone", 0.0)  # the next try
    reporter.instance(scene.instances[0])
    assert said[-1][1]["attempt"] == 2
