"""Proposers of others, on tiny random ones: each answers as the contract says."""

import json

import numpy as np
import pytest
import torch

from maquette.checkpoints import mask_networks
from maquette.checkpoints.mask_networks import (
    Segments,
    find,
    numbered,
    open_proposer,
    whole_objects,
)
from maquette.errors import CheckpointError, InputError
from maquette.masks.propose import Click, Prompts, prompted_masks
from maquette.masks.segment import ByColour
from maquette.types import InstanceMask
from tests.checkpoints import tiny_hub
from tests.masks.pictures import disc

pytest.importorskip("transformers")
PHOTO = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
HERE = torch.device("cpu")


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    folder = tiny_hub.sam2(tmp_path_factory.mktemp("sam"))
    return open_proposer(str(folder), HERE)(PHOTO), folder


def test_sam_answers_clicks_and_boxes(sam):
    photo, _ = sam
    assert photo.size == (60, 90)
    mask = photo.clicked([Click(30, 20, 1)])
    assert mask.shape == (60, 90) and mask.dtype == bool
    again = photo.clicked([Click(30, 20, 1), Click(60, 50, 1, False)], mask)
    assert again.shape == (60, 90)
    assert photo.boxed((10, 10, 50, 40)).shape == (60, 90)


def test_sam_says_the_same_as_its_own_model(sam):
    from transformers import Sam2Model

    photo, folder = sam
    network = Sam2Model.from_pretrained(folder).eval()
    colours = torch.from_numpy(PHOTO).permute(2, 0, 1)[None] / 255
    small = torch.nn.functional.interpolate(colours, (64, 64), mode="bilinear", antialias=True)
    mean, std = (
        torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    point = torch.tensor([[[[30 * 64 / 90, 20 * 64 / 60]]]])
    with torch.no_grad():
        out = network(pixel_values=(small - mean) / std, input_points=point)
    best = out.pred_masks[0, 0, out.iou_scores[0, 0].argmax()]
    wanted = torch.nn.functional.interpolate(best[None, None], (60, 90), mode="bilinear")[0, 0] > 0
    assert (photo.clicked([Click(30, 20, 1)]) == wanted.numpy()).all()


def test_sam_proposes_everything_it_is_sure_of(sam, monkeypatch):
    photo, _ = sam
    with pytest.raises(InputError, match="sure of no object"):
        monkeypatch.setattr(mask_networks, "SURE", 2.0)
        photo.everything()


def test_a_segmenter_with_names_fills_the_contract(tmp_path):
    photo = open_proposer(str(tiny_hub.mask2former(tmp_path)), HERE)(PHOTO)
    try:
        masks = photo.everything()
    except InputError as error:
        assert "knows" in str(error)
        return
    assert all(mask.name in ("cup", "chair") for mask in masks)


def test_words_become_boxes_and_boxes_masks(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_networks, "BOX_THRESHOLD", 0.0)
    detector = str(tiny_hub.grounding_dino(tmp_path))
    asked = []

    class Boxes:
        size = (60, 90)

        def __init__(self, image):
            assert image.shape == (60, 90, 3)

        def boxed(self, box):
            asked.append(box)
            mask = np.zeros(self.size, bool)
            mask[box[1] : box[3], box[0] : box[2]] = True
            return mask

    masks = find(PHOTO, ["Cup", " chair"], detector, Boxes)
    assert 0 < len(masks) <= len(asked) and all(mask.mask.any() for mask in masks)
    assert [mask.label for mask in masks] == list(range(1, len(masks) + 1))


def test_nothing_found_and_no_words_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(mask_networks, "BOX_THRESHOLD", 1.0)
    detector = str(tiny_hub.grounding_dino(tmp_path))
    with pytest.raises(InputError, match="nothing was found by cup"):
        find(PHOTO, ["cup"], detector, ByColour)
    with pytest.raises(InputError, match="no words"):
        find(PHOTO, [" "], detector, ByColour)


def test_what_cannot_be_opened_is_one_line(tmp_path):
    assert open_proposer("colour", HERE) is ByColour
    with pytest.raises(InputError, match=r"not on this machine.*Apache.*models fetch sam2.1"):
        open_proposer("sam2.1", HERE)
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        open_proposer(str(tmp_path), HERE)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="is a bert, which proposes no masks"):
        open_proposer(str(tmp_path), HERE)
    with pytest.raises(CheckpointError, match="finds nothing by words"):
        find(PHOTO, ["cup"], str(tmp_path), ByColour)


def test_clicks_and_boxes_choose_among_segments():
    left, right = disc(60, 90, 20, 30, 10), disc(60, 90, 60, 30, 12)
    photo = Segments(lambda: numbered([right, left], ["b", "a"]), (60, 90))
    assert [mask.name for mask in photo.everything()] == ["a", "b"]
    (one,) = prompted_masks(photo, Prompts(clicks=(Click(20, 30, 1),)))
    assert (one.mask == left).all()
    both = photo.clicked([Click(60, 30, 1)], left)
    assert (both == (left | right)).all()
    assert (photo.clicked([Click(60, 30, 1, False)], both) == left).all()
    (boxed,) = prompted_masks(photo, Prompts(boxes=((45, 15, 75, 45),)))
    assert (boxed.mask == right).all()
    with pytest.raises(InputError, match="under the click"):
        photo.clicked([Click(2, 2, 1)])
    with pytest.raises(InputError, match="in the box"):
        photo.boxed((0, 0, 6, 6))


def test_of_many_masks_one_stays_for_each_object():
    whole, part = disc(60, 90, 30, 30, 15), disc(60, 90, 30, 25, 5)
    nearly, other = disc(60, 90, 31, 30, 15), disc(60, 90, 70, 30, 8)
    ground = np.ones((60, 90), bool)
    found = [(0.9, part), (0.95, whole), (0.8, nearly), (0.99, ground), (0.7, other)]
    kept = whole_objects(found)
    assert len(kept) == 2 and (kept[0] == whole).all() and (kept[1] == other).all()
    assert isinstance(numbered(kept, ["", ""])[0], InstanceMask)
