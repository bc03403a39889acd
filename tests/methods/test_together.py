"""Photos that are made together are what they are alone, but for rounding, by every method that
can; and the networks are called for all of them at once.
"""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from maquette.checkpoints.embedded import load_models
from maquette.flow.sample import seeded_noise
from maquette.hardware import Multiplication, multiplying
from maquette.inputs import read_scene_input
from maquette.methods.base import Watch, Wishes, Workload, silent
from maquette.methods.lookup import METHODS
from maquette.methods.together import SharedWeights, gains_by_company, lockstep
from maquette.models.generator import Condition
from maquette.nn.attention import SceneContext
from maquette.pipeline import generate
from maquette.stages.perceive import perceive
from tests.tiny import write_photo

ROUNDING = 1e-4  # of a volume's numbers in [-1, 1]: other batches are summed in another order
OBJECTS = (2, 3, 1)  # of the photos
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tiny_weights):
    return load_models(tiny_weights)


@pytest.fixture
def photos(tmp_path):
    return [
        read_scene_input(*write_photo(tmp_path, f"{k}.png", count, seed=k))
        for k, count in enumerate(OBJECTS)
    ]


def volumes(photo, models, method="iscene", seed=0, progress=silent):
    """What a method makes of a photo, before it is meshed."""
    with torch.inference_mode():
        (network,) = models.models(["image-encoder"])
        perception = perceive(network, photo)
        opened = METHODS[method].open(models, CPU, Workload(len(photo.masks)))
        return list(opened.make(perception, Wishes(seed, 2), Watch(progress)))


def in_company(photos, models, make, *arguments):
    """All photos in step, each with a seed of its own."""
    meeting = lockstep()
    shared = SharedWeights(models, meeting)
    tasks = [
        partial(make, photo, shared, *arguments, seed=seed) for seed, photo in enumerate(photos)
    ]
    return meeting.run(tasks)


def assert_same(made, alone):
    for one, other in zip(made, alone, strict=True):
        assert (one.label, one.seed) == (other.label, other.seed)
        np.testing.assert_allclose(one.scene_from_cube, other.scene_from_cube, atol=ROUNDING)
        torch.testing.assert_close(one.volume, other.volume, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("method", ["iscene", "midi", "independent"])
def test_what_is_made_in_company_is_what_is_made_alone(method, photos, models):
    made = in_company(photos, models, volumes, method)
    for seed, (photo, each) in enumerate(zip(photos, made, strict=True)):
        assert len(each) == len(photo.masks)
        assert_same(each, volumes(photo, models, method, seed))


def test_whole_scenes_are_the_same_objects_at_the_same_places(photos, models, monkeypatch):
    # where flat faces are divided, the last bits say
    monkeypatch.setattr("maquette.stages.decode.flat_share", lambda *surface: 0.0)

    def make(photo, models, seed):
        return generate(photo, models=models, seed=seed, steps=1, fit=False, device="cpu")

    made = in_company(photos, models, make)
    for seed, (photo, scene) in enumerate(zip(photos, made, strict=True)):
        alone = make(photo, models, seed)
        for one, other in zip(scene.instances, alone.instances, strict=True):
            assert (one.label, one.seed, one.node) == (other.label, other.seed, other.node)
            place = one.world_from_instance
            np.testing.assert_allclose(place, other.world_from_instance, atol=1e-3)
            away, _ = cKDTree(one.mesh.vertices).query(other.mesh.vertices)
            assert np.median(away) < 1e-5
            # What cells of the surface and edges that are collapsed first do, the last bits say.
            assert np.quantile(away, 0.99) < 1e-3


def test_networks_are_called_once_for_all(photos, models, monkeypatch):
    """The rows that each call had, by network; alone, every photo calls for itself."""
    rows = Counter()
    generator = models["generator"].model
    vae = models["volume-vae"].model

    def counting(name, kind, method):
        plain = getattr(kind, method)

        def counted(self, x, *rest):
            rows[name, len(x)] += 1
            return plain(self, x, *rest)

        monkeypatch.setattr(kind, method, counted)

    counting("g", type(generator), "forward")
    counting("v", type(vae), "decode")

    in_company(photos, models, volumes)
    scene_rows = sum(OBJECTS) + len(OBJECTS)
    assert rows["g", scene_rows] == 2  # two steps of the scene pass
    assert rows["g", 3] == 2 and rows["g", 2] == 2 and rows["g", 1] == 2  # the first objects, ...
    assert max(size for name, size in rows if name == "v") == 3


def test_rows_of_other_photos_are_not_seen(models):
    """Attention to the scene branch keeps to the photo: exact, whatever stands beside it."""
    generator = models["generator"].model
    flow = generator.config.flow
    plan = SceneContext.of(torch.tensor([-1, 0, 0]))

    def condition(seed):
        draw = torch.Generator().manual_seed(seed)
        tokens = torch.randn(3, 4, flow.context_width, generator=draw)
        guess = torch.randn(3, *flow.latent_shape, generator=draw)
        cells = (flow.resolution // flow.patch) ** 3
        lifted = torch.randn(3, cells, flow.width, generator=draw)
        return Condition(tokens, (lifted, guess, torch.zeros(3, 4, 2, 2, 2)))

    def ask(network, seed):
        noise = seeded_noise(flow.latent_shape, [seed, 7, 8])
        with torch.inference_mode():
            return network(noise, torch.full((3,), 0.5), condition(seed), plan)

    meeting = lockstep()
    (shared,) = SharedWeights(models, meeting).models(["generator"])
    together = meeting.run([partial(ask, shared, seed) for seed in (1, 2)])
    for seed, answer in zip((1, 2), together, strict=True):
        torch.testing.assert_close(answer, ask(generator, seed), atol=1e-5, rtol=1e-5)
    assert not torch.equal(*together)


def test_a_photo_that_cannot_be_made_costs_itself_only(photos, models):
    meeting = lockstep()
    shared = SharedWeights(models, meeting)

    def fail(stage, share):
        if stage == "objects":
            raise OSError("gone")

    def bad():
        with pytest.raises(OSError, match="gone"):
            volumes(photos[0], shared, progress=fail)

    _, good = meeting.run([bad, partial(volumes, photos[1], shared)])
    assert_same(good, volumes(photos[1], models))


def test_a_batch_that_does_not_fit_is_made_in_halves(photos, models, monkeypatch):
    generator = models["generator"].model
    forward = type(generator).forward
    sizes = []

    def limited(self, x, *rest):
        if len(x) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(x))
        return forward(self, x, *rest)

    monkeypatch.setattr(type(generator), "forward", limited)
    made = in_company(photos, models, volumes)
    assert [len(each) for each in made] == list(OBJECTS) and max(sizes) >= 4
    assert_same(made[1], volumes(photos[1], models, seed=1))


def test_each_photo_multiplies_in_its_own_precision(models):
    """A setting of the whole process, which tasks of a meeting enter and leave in any order."""
    meeting = lockstep()
    (vae,) = SharedWeights(models, meeting).models(["volume-vae"])
    before = Multiplication.now()

    def task(precision, calls):
        with multiplying(precision, torch.device("cuda")), torch.inference_mode():
            for _ in range(calls):
                vae.decode(torch.zeros(1, 8, 4, 4, 4))
                assert Multiplication.now().matrices == (precision == "tf32")

    meeting.run([partial(task, "tf32", 1), partial(task, "fp32", 3), partial(task, "tf32", 2)])
    before.restore()


def test_which_methods_gain():
    able = {name for name, method in METHODS.items() if gains_by_company(method)}
    assert {"iscene", "midi", "independent"} <= able and "comboverse" not in able
