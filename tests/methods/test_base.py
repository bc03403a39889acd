"""What methods share: who is visible, defaults of a method, callbacks that do nothing."""

from maquette.methods.base import Method, Models, Sampling, ignore, silent, visible_labels
from maquette.pipeline import METHODS, Options
from tests.methods.worlds import world


def test_visible_labels_keep_their_order_and_the_others_say_why():
    labels, failures = visible_labels(world().perception, [7, 2, 1, 9])
    assert labels == [2, 1] and [f.label for f in failures] == [7, 9]
    assert all(f.stage == "lift" and "larger photo or mask" in f.reason for f in failures)


def test_a_method_brings_its_defaults_and_options_replace_them():
    way = Method(
        "mine",
        ignore,
        ignore,
        kinds=("generator", "volume-vae"),
        sampling=Sampling(steps=9, zoom_steps=4, guidance=2.0),
    )
    assert Options(method=way).sampling() == way.sampling
    changed = Options(method=way, steps=3, guidance=1.0).sampling()
    assert (changed.steps, changed.zoom_steps, changed.guidance, changed.shift) == (
        3,
        3,
        1.0,
        way.sampling.shift,
    )
    assert way.networks is Models and Options(method=way).kinds() == (
        "image-encoder",
        "generator",
        "volume-vae",
    )


def test_names_are_their_keys():
    assert all(name == method.name for name, method in METHODS.items()) and {
        "iscene",
        "midi",
        "coherent",
        "independent",
    } <= set(METHODS)


def test_who_does_not_look_is_told_nothing():
    assert silent("scene", 0.5) is None and ignore(object()) is None
