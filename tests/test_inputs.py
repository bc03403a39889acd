import numpy as np
import pytest
from PIL import Image

from maquette.errors import InputError
from maquette.inputs import read_scene_input
from maquette.masks import write_masks
from maquette.masks.coco import coco_document
from tests.masks.pictures import photo, same, three_masks


def test_files_become_a_scene_input(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    write_masks(three_masks(), tmp_path / "masks.png")
    scene = read_scene_input(tmp_path / "photo.png", tmp_path / "masks.png")
    assert (scene.image == photo()).all() and same(scene.masks, three_masks())
    assert scene.source == str(tmp_path / "photo.png") and scene.warnings == ()


def test_only_and_warnings():
    masks = [*three_masks()]
    scene = read_scene_input(photo(), masks, only=["cup", 7])
    assert [m.label for m in scene.masks] == [4, 7]
    pixel = np.zeros((48, 64), bool)
    pixel[0, 0] = True
    assert any(
        "only 1 pixel" in w for w in read_scene_input(photo(), [pixel, masks[0].mask]).warnings
    )
    with pytest.raises(InputError, match="label 9"):
        read_scene_input(photo(), masks, only=[9])


def test_large_photos_are_reduced_and_masks_with_them():
    big = np.kron(photo(), np.ones((4, 4, 1), np.uint8))
    pixel = np.zeros((48, 64), bool)
    pixel[20, 30] = True
    scene = read_scene_input(big, {1: three_masks()[0].mask, 2: pixel}, max_side=32)
    assert scene.image.shape == (24, 32, 3) and scene.masks[0].mask.shape == (24, 32)
    assert scene.masks[1].mask.sum() == 1
    assert np.abs(scene.image.astype(float).mean((0, 1)) - big.mean((0, 1))).max() < 1


def test_the_photos_name_selects_the_annotations(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    document = coco_document(three_masks(), (48, 64), "photo.jpg", polygons=True)
    document["images"].append({"id": 2, "file_name": "b.jpg", "width": 64, "height": 48})
    assert same(read_scene_input(tmp_path / "photo.png", document).masks, three_masks())


def test_another_aspect_ratio_is_refused_with_both_sizes():
    with pytest.raises(InputError, match=r"64 x 48 pixels and the photo 48 x 48"):
        read_scene_input(photo(48, 48), three_masks())
