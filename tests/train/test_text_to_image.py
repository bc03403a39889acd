"""Training of the text-to-image model: samples are reproducible, a perfect model has no loss,
dropped text is no text, runs resume.
"""

import numpy as np
import pytest
import torch

pytest.importorskip("igl", reason="libraries need the extra maquette[data]")

from maquette.checkpoints.store import load_model
from maquette.data.shards import ShardConfig, build_shards
from maquette.data.views import ViewConfig
from maquette.flow.ddpm import angular_velocity
from maquette.models.words import PADDING
from maquette.options.training import LoopConfig, RunOptions
from maquette.train import text_to_image
from maquette.train.loop import Run
from maquette.train.runs import build_task
from maquette.train.text_to_image import CROPS, PROMPTS, SINGLES, contact_sheet, new_text_to_image
from tests.train.worlds import Few, solids


@pytest.fixture(scope="module")
def options(tmp_path_factory, library):
    folder = tmp_path_factory.mktemp("words")

    class Library(list):
        def asset(self, index):
            return self[index]

    build_shards(
        Library(solids()),
        folder / "views",
        ShardConfig(scenes=4, views=2, per_shard=4, view=ViewConfig(size=64)),
    )
    return {
        "library": library,
        "preset": "tiny",
        "views": str(folder / "views"),
    }


@pytest.fixture(scope="module")
def task(options):
    torch.manual_seed(0)
    return build_task(RunOptions("text-to-image", **options))


@pytest.fixture(scope="module")
def batch(task):
    return task.collate([task.dataset[i] for i in range(2)])


def short(task, folder, **changes):
    defaults = {
        "steps": 10,
        "batch": 2,
        "learning_rate": 1e-2,
        "warmup": 2,
        "workers": 0,
        "log_every": 1,
        "precision": "fp32",
    }
    return Run(task, folder, LoopConfig(**{**defaults, **changes}))


def test_samples_depend_on_seed_and_index_only(task, options):
    again = build_task(RunOptions("text-to-image", **options)).dataset
    other = build_task(RunOptions("text-to-image", **options, seed=1)).dataset
    one = task.dataset[3]
    two = again[3]
    three = task.dataset[4]
    four = other[3]
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["pictures"], three["pictures"]) and not torch.equal(
        one["pictures"], four["pictures"]
    )
    size = task.model.config.size
    length = task.model.config.length
    assert {name: tuple(values.shape[1:]) for name, values in one.items()} == {
        "pictures": (3, size, size),
        "holes": (1, size, size),
        "words": (length,),
    }
    assert len(one["words"]) == CROPS + SINGLES and not task.dataset.source.geometry


def test_numbers_are_the_captions_and_pictures_the_pictures(task):
    samples = task.dataset.samples(5)
    item = task.dataset[5]
    for k, sample in enumerate(samples):
        np.testing.assert_array_equal(item["pictures"][k].permute(1, 2, 0).numpy(), sample.picture)
        np.testing.assert_array_equal(item["holes"][k, 0].bool().numpy(), sample.hole)
        assert int((item["words"][k] != PADDING).sum()) == len(task.model.words(sample.caption))


def test_a_model_that_knows_the_pictures_has_no_loss(task, batch, monkeypatch):
    """The noise follows from what is seen and the picture, so the loss of who knows both is 0:
    schedule, scale and velocity agree.
    """
    pictures = batch["pictures"].float() / 127.5 - 1

    def velocity(x_t, step, context, masked=None):
        covered = masked[:, 3:] > 0.5
        assert torch.equal(
            masked[:, :3][~covered.expand_as(pictures)], pictures[~covered.expand_as(pictures)]
        )
        assert not masked[:, :3][covered.expand_as(pictures)].any()
        signal = task.model.schedule.signal()[step].float()
        rows = signal.reshape(-1, 1, 1, 1)
        noise = (x_t - rows.sqrt() * pictures) / (1 - rows).sqrt()
        return angular_velocity(pictures, noise, signal)

    monkeypatch.setattr(task.model, "velocity", velocity)
    loss, _ = task.loss(task.model, batch, torch.Generator().manual_seed(0))
    assert float(loss) < 1e-4


def test_dropped_text_is_no_text(task, batch, monkeypatch):
    seen = []
    encoder = task.model.encoder.forward
    monkeypatch.setattr(
        task.model.encoder, "forward", lambda numbers: seen.append(numbers) or encoder(numbers)
    )
    for share, expected in (
        (1.0, torch.tensor(task.model.vocabulary.numbers("", task.model.config.length))),
        (0.0, batch["words"]),
    ):
        monkeypatch.setattr(task, "text_dropped", share)
        task.loss(task.model, batch, torch.Generator().manual_seed(0))
        assert torch.equal(seen[-1], expected.expand_as(batch["words"]))


def test_before_training_words_do_not_help(task):
    scores, sheet = task.examine(task.model.eval())
    assert (
        set(scores) == {"noise", "noise_shuffled", "velocity", "velocity_shuffled", "words_help"}
        and scores["words_help"] == 0
    )
    assert sheet.dtype == np.uint8 and sheet.shape[0] > 4 * 160 and sheet.shape[1] > 6 * 160


def test_a_run_learns_and_resumes_to_the_identical_curve(
    task, batch, options, tmp_path, monkeypatch
):
    monkeypatch.setattr(text_to_image, "PROMPTS", PROMPTS[:1])
    samples = Few(task.dataset, 20)  # of all runs, each sample made once; no run sees one twice

    def run_in(name):
        torch.manual_seed(0)
        made = build_task(RunOptions("text-to-image", **options))
        made.dataset, made.examined = samples, task.examined
        return short(made, tmp_path / name)

    def stop_at_four(line):
        if line.startswith("step 4 "):
            raise KeyboardInterrupt

    whole = run_in("whole")
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        run_in("parts").train(stop_at_four)
    parts = run_in("parts")
    parts.resume()
    assert parts.progress.step == 4
    parts.train()
    curves = [[row["velocity"] for row in run.rows if "velocity" in row] for run in (whole, parts)]
    assert curves[0] == curves[1] and len(curves[0]) == 10
    untrained, trained = (
        task.loss(m, batch, torch.Generator().manual_seed(0))[1]["velocity"]
        for m in (task.model, parts.model)
    )
    assert trained < 0.95 * untrained
    saved = load_model(tmp_path / "parts" / "weights.safetensors", "text-to-image")
    assert saved.metadata["step"] == 10 and saved.model.words("a red box") == (
        "<start>",
        "a",
        "red",
        "box",
    )
    assert {"held_out_words_help", "held_out_velocity"} <= set(parts.rows[-1])


def test_the_untrained_network_and_its_sheet():
    tiny = new_text_to_image(tiny=True)
    full = new_text_to_image()
    assert tiny.config.vocabulary == full.config.vocabulary and tiny.size < full.size == 64
    unknown = full.vocabulary.number("nonsense")
    assert all(
        unknown not in full.vocabulary.numbers(prompt, full.config.length) for prompt in PROMPTS
    )
    sheet = contact_sheet(
        [(np.full((8, 8, 3), 10 * k, np.uint8), "text") for k in range(7)], columns=3, side=16
    )
    assert sheet.shape == (3 * (16 + 38) + 8, 3 * (16 + 8) + 8, 3)
    assert (sheet[8:24, 8:24] == 0).all() and (sheet[8 + 2 * 54 : 24 + 2 * 54, 8:24] == 60).all()
