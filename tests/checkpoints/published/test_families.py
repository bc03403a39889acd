"""All families together: names are unique, and a class name leads to one model."""

from collections import Counter

import pytest

from maquette.checkpoints.full_size import CONFIGS
from maquette.checkpoints.published.families import FAMILIES

MODELS = [model for family in FAMILIES for model in family.MODELS]


def test_names_are_unique():
    assert max(Counter(model.name for model in MODELS).values()) == 1


def test_of_models_that_share_a_class_all_but_the_last_say_when_they_are_meant():
    shared = {
        name
        for name, count in Counter(name for model in MODELS for name in model.classes).items()
        if count > 1
    }
    for name in shared:
        assert all(
            model.when is not None
            for model in [model for model in MODELS if name in model.classes][:-1]
        )


@pytest.mark.parametrize("name", CONFIGS)
def test_every_published_configuration_is_answered(name):
    assert any(model.answers(CONFIGS[name]) for model in MODELS)


def test_models_with_weights_can_be_built_loaded_and_listed():
    assert all(
        model.build is None or (callable(model.load) and callable(model.shapes)) for model in MODELS
    )
    assert not any(set(model.skipped) & set(model.tolerances) for model in MODELS)
