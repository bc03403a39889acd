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
from maquette.masks import read_masks, write_masks
from maquette.pipeline import generate
from maquette.simulation.glb_scene import scene_of_glb
from tests.app.live import coarse_worker, label_png, picture, pixels, start
from tests.app.test_geometry import depth_png
from tests.document.scenes import make_scene

pytestmark = pytest.mark.usefixtures("coarse_fields")


@pytest.fixture(scope="module")
def real(tmp_path_factory, tiny_weights):
    """With few cells; an example has one as users start it."""
    folder = tmp_path_factory.mktemp("real")
    command = coarse_worker(tiny_weights)
    with start(folder, worker=command, weights=(tiny_weights,), max_batch=4) as live:
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


def request_in(folder, seed):
    """What a job is made from, as jobs.py leaves it."""
    (folder / "instances").mkdir(parents=True)
    (folder / "image.png").write_bytes(picture(seed=seed))
    write_masks(read_masks(pixels(label_png())), folder / "masks.npz")
    return {
        "do": "generate",
        "folder": str(folder),
        "result": str(folder / "result"),
        "source": "photo.png",
        "options": {"seed": seed, "steps": 1, "fit": False, "device": "cpu"},
    }


class Said(list):
    """What a worker says, by what and number."""

    def __call__(self, what, **values):
        self.append((what, values))

    def last(self, number):
        return [(what, values) for what, values in self if values["number"] == number][-1]


def test_scenes_made_together_end_each_for_itself(tiny_weights, tmp_path):
    models = load_models(tiny_weights)
    requests = [request_in(tmp_path / str(seed), seed) for seed in range(4)]
    (tmp_path / "1" / "image.png").write_bytes(b"no picture")

    class Dropping(Said):
        def __call__(self, what, **values):
            super().__call__(what, **values)
            if values["number"] == 2 and values.get("stage") == "scene":
                company.drop(requests[2]["folder"])
                company.drop("of another batch")

    said = Dropping()
    company = worker.Company(requests, models, said)
    company.make_all()
    assert [said.last(number)[0] for number in range(4)] == ["done", "failed", "failed", "done"]
    assert "given up" in said.last(2)[1]["message"]
    for seed in (0, 3):
        made = maquette.load(tmp_path / str(seed) / "result" / "scene.json")
        alone = generate(
            worker.input_of(tmp_path / str(seed), "photo.png"),
            models=models,
            **requests[seed]["options"],
        )
        for one, other in zip(made.instances, alone.instances, strict=True):
            assert (one.label, one.seed) == (other.label, other.seed)
            np.testing.assert_allclose(
                one.world_from_instance, other.world_from_instance, atol=1e-3
            )


def test_a_scene_for_which_there_was_no_room_in_company_is_made_alone(
    tiny_weights, tmp_path, monkeypatch
):
    requests = [request_in(tmp_path / str(seed), seed) for seed in range(2)]
    said = Said()
    company = worker.Company(requests, load_models(tiny_weights), said)
    plain = worker.make

    def make(request, models, say):
        if isinstance(models, worker.SharedWeights) and request is requests[1]:
            raise worker.torch.OutOfMemoryError("CUDA out of memory")
        plain(request, models, say)

    monkeypatch.setattr(worker, "make", make)
    company.make_all()
    assert [said.last(number)[0] for number in range(2)] == ["done", "done"]


def test_jobs_that_wait_are_made_together(real):
    photo = real.photo()
    options = {"steps": 1, "fit": False}
    first, *others = [real.job(photo, wait=False, seed=seed, **options) for seed in range(3)]
    one, other = (real.follow(job["id"]) for job in others)
    assert one["state"] == other["state"] == real.follow(first["id"])["state"] == "done"
    assert max(one["started"], other["started"]) < min(one["finished"], other["finished"])
    assert one["scene"] != other["scene"]


@pytest.mark.parametrize(
    ("cards", "listed"),
    [(0, ["cpu"]), (1, ["cuda", "cpu"]), (2, ["cuda", "cuda:0", "cuda:1", "cpu"])],
)
def test_of_several_cards_each_can_be_asked_for(cards, listed, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: cards > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: cards)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert worker._devices() == listed
