"""The contract: both kinds of method fulfil it, options replace a method's defaults, and who is
visible.
"""

import contextlib

import torch

from maquette.hardware import multiplying
from maquette.methods.base import (
    EmbeddedMethod,
    Method,
    Models,
    Sampling,
    Watch,
    Wishes,
    each_within,
    ignore,
    silent,
    visible_labels,
)
from maquette.methods.lookup import METHODS, PUBLISHED
from maquette.pipeline import Options
from tests.methods.worlds import asked_for


def test_visible_labels_keep_their_order_and_the_others_say_why():
    labels, failures = visible_labels(asked_for([7, 2, 1, 9]))
    assert labels == [2, 1] and [f.label for f in failures] == [7, 9]
    assert all(f.stage == "lift" and "larger photo or mask" in f.reason for f in failures)


def test_a_method_brings_its_defaults_and_wishes_replace_them():
    default = Sampling(steps=9, zoom_steps=4, guidance=2.0)
    way = EmbeddedMethod("mine", ignore, ignore, ("generator",), Models, default)
    assert way.wanted(Wishes()) == default
    changed = way.wanted(Wishes(seed=5, steps=3, guidance=1.0))
    assert (changed.seed, changed.steps, changed.zoom_steps, changed.guidance) == (5, 3, 3, 1.0)
    assert changed.shift == default.shift
    assert Options(method=way).kinds() == ("image-encoder", "generator")


def test_every_method_fulfils_the_contract_under_its_own_name():
    for methods in (METHODS, PUBLISHED):
        assert all(name == method.name for name, method in methods.items())
        assert all(isinstance(method, Method) for method in methods.values())
    assert {"iscene", "midi", "coherent", "comboverse", "independent"} == set(METHODS)
    assert not isinstance(ignore, Method)


def test_who_does_not_look_is_told_nothing():
    assert silent("scene", 0.5) is None and ignore(object()) is None
    assert Watch().progress is silent


def test_items_are_made_inside_of_a_context_that_ends_before_they_are_given_away():
    inside = []

    @contextlib.contextmanager
    def context():
        inside.append(True)
        yield
        inside.pop()

    def items():
        for k in range(3):
            assert inside == [True]
            yield k + 1

    found = []
    for item in each_within(items(), context):
        assert inside == []
        found.append(item)
    assert found == [1, 2, 3]


def test_precision_is_that_of_the_networks_only():
    cpu = torch.device("cpu")
    matrix = torch.ones(2, 2)

    def products():
        yield matrix @ matrix

    (product,) = each_within(products(), lambda: multiplying("bf16", cpu))
    assert product.dtype is torch.bfloat16 and (matrix @ matrix).dtype is torch.float32
