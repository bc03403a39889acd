import os

import numpy as np
import pytest

from maquette.errors import InputError, OutputError
from maquette.masks.read import read_masks
from maquette.masks.write import label_map, write_masks
from maquette.types import InstanceMask
from tests.masks.pictures import disc, same, three_masks

OUTPUTS = {
    "label": "m.png",
    "rgb": "m.png",
    "folder": "m",
    "coco": "m.json",
    "coco-rle": "m.json",
    "npz": "m.npz",
}


@pytest.mark.parametrize("form", OUTPUTS)
def test_reading_what_was_written_gives_the_masks_back(tmp_path, form):
    path = write_masks(three_masks(), tmp_path / OUTPUTS[form], form)
    assert same(read_masks(path), three_masks())
    if form not in ("rgb", "coco-rle"):
        assert same(read_masks(write_masks(three_masks(), path, overwrite=True)), three_masks())
    assert os.listdir(tmp_path) == [OUTPUTS[form]]


@pytest.mark.parametrize("form", ["folder", "coco", "coco-rle", "npz"])
def test_overlapping_masks_survive_where_the_form_allows(tmp_path, form):
    masks = (
        InstanceMask(2, disc(40, 50, 20, 20, 12), "a"),
        InstanceMask(3, disc(40, 50, 28, 20, 12), "b"),
    )
    assert same(read_masks(write_masks(masks, tmp_path / OUTPUTS[form], form)), masks)


@pytest.mark.parametrize("form", ["label", "rgb"])
def test_all_255_labels_and_labels_above_255(tmp_path, form):
    labels = np.kron(np.arange(256).reshape(16, 16), np.ones((4, 4), int))
    for factor in (1, 250):
        masks = read_masks(labels * factor)
        assert same(read_masks(write_masks(masks, tmp_path / "m.png", form, overwrite=True)), masks)


def test_the_smaller_object_lies_on_top():
    big = disc(40, 50, 25, 20, 15)
    small = disc(40, 50, 30, 20, 4)
    labels = label_map([InstanceMask(1, small), InstanceMask(2, big)])
    assert (labels[small] == 1).all() and (labels[big & ~small] == 2).all()
    with pytest.raises(InputError, match=r"\[1\] are covered completely"):
        label_map([InstanceMask(1, big), InstanceMask(2, big)])


def test_existing_files_and_foreign_folders_are_kept(tmp_path):
    (tmp_path / "m.png").write_text("old")
    with pytest.raises(OutputError, match="already exists"):
        write_masks(three_masks(), tmp_path / "m.png")
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        write_masks(three_masks(), tmp_path, "folder", overwrite=True)
    assert (
        sorted(os.listdir(tmp_path)) == ["m.png", "thesis.tex"]
        and (tmp_path / "m.png").read_text() == "old"
    )


def test_wrong_names_and_forms_are_refused(tmp_path):
    for path, form, match in (
        ("m.xyz", None, "suffix"),
        ("m.png", "npz", r"\.npz"),
        ("m.png", "bogus", "not known"),
    ):
        with pytest.raises(InputError, match=match):
            write_masks(three_masks(), tmp_path / path, form)
    with pytest.raises(InputError, match="no masks"):
        write_masks((), tmp_path / "m.png")
    assert os.listdir(tmp_path) == []
