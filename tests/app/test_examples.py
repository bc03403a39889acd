"""The bundled pictures are whole and their masks fit."""

import pytest

from maquette.app import examples
from maquette.app.problems import Problem
from maquette.export.bundle import assets_folder
from maquette.inputs import read_scene_input


def test_every_example_is_a_photo_with_masks_without_warnings_of_its_reading():
    assert len(examples.EXAMPLES) == 3
    for name, (folder, _) in examples.EXAMPLES.items():
        given = read_scene_input(
            assets_folder() / folder / "photo.jpg", assets_folder() / folder / "masks.png"
        )
        assert len(given.masks) >= 4 and examples.thumbnail(name)[:2] == b"\xff\xd8"
    assert [entry["objects"] for entry in examples.every()] == [5, 5, 5]


def test_other_names_are_not_found():
    with pytest.raises(Problem) as caught:
        examples.thumbnail("../demo")
    assert caught.value.status == 404
