import json
import time

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.coco import (
    coco_document,
    polygons_from_mask,
    rasterize_polygons,
)
from maquette.masks.read import load_masks, read_masks
from maquette.masks.run_lengths import encode_rle
from tests.masks.pictures import same, three_masks


def _random_masks(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.random(rng.integers(1, 40, 2)) < rng.random()


def test_polygons_follow_the_pixels_exactly():
    exact = 0
    for mask in _random_masks(80, seed=1):
        polygons = polygons_from_mask(mask)
        if polygons is not None:
            exact += 1
            assert (rasterize_polygons(polygons, mask.shape) == mask).all()
    assert exact > 25


def test_a_ring_has_no_polygon():
    assert polygons_from_mask(three_masks()[1].mask) is None
    assert len(polygons_from_mask(three_masks()[2].mask)) == 2  # squares that touch at a corner


def test_a_polygon_covers_the_pixels_whose_centres_are_inside():
    triangle = rasterize_polygons([[0, 0, 10, 0, 0, 10]], (10, 10))
    y, x = np.mgrid[0:10, 0:10] + 0.5
    inside = x + y < 10
    boundary = x + y == 10
    assert (triangle[~boundary] == inside[~boundary]).all()
    assert (
        rasterize_polygons([[-5, -5, 3, -5, 3, 99, -5, 99]], (10, 10)).sum() == 30
    )  # clipped by the picture


@pytest.mark.parametrize("polygons", [True, False])
def test_a_document_round_trip(tmp_path, polygons):
    document = coco_document(three_masks(), (48, 64), "photo.jpg", polygons=polygons)
    (tmp_path / "m.json").write_text(json.dumps(document))
    assert same(read_masks(tmp_path / "m.json"), three_masks())
    assert same(read_masks(document), three_masks())
    for m, annotation in zip(three_masks(), document["annotations"]):
        x, y, w, h = annotation["bbox"]
        assert annotation["area"] == m.mask.sum() == m.mask[y : y + h, x : x + w].sum()
        assert isinstance(annotation["segmentation"], list) is (polygons and m.label != 4)


def test_database_keys_become_running_labels_and_crowds_are_objects_with_a_warning():
    document = coco_document(three_masks(), (48, 64), "photo.jpg", polygons=False)
    for annotation in document["annotations"]:
        annotation["id"] += 900000
    document["annotations"][0]["iscrowd"] = 1
    masks, warnings = load_masks(document)
    assert [m.label for m in masks] == [1, 2, 3]
    assert len(warnings) == 1 and "is marked as a crowd" in warnings[0]


def test_the_image_is_chosen_by_the_photos_name():
    document = coco_document(three_masks(), (48, 64), "a/photo.jpg", polygons=False)
    document["images"].append({"id": 2, "file_name": "other.jpg", "width": 9, "height": 9})
    assert same(load_masks(document, image_name="elsewhere/photo.png").masks, three_masks())
    with pytest.raises(InputError, match="2 images"):
        read_masks(document)
    with pytest.raises(InputError, match=r"0 of its 2 images.*third\.jpg"):
        read_masks(document, image_name="third.jpg")
    with pytest.raises(InputError, match="no object"):
        read_masks(document, image_name="other.jpg")


def test_lists_of_annotations_as_segmenters_write_them():
    encoded = [{"segmentation": encode_rle(m.mask), "area": 1} for m in three_masks()]
    assert [m.label for m in read_masks(encoded)] == [1, 2, 3]
    document = {"image": {"width": 64, "height": 48, "image_id": 5}, "annotations": encoded}
    assert (read_masks(document)[1].mask == three_masks()[1].mask).all()


@pytest.mark.parametrize(
    "segmentation, match",
    [
        ({"size": [48, 64], "counts": [10, 20]}, "add up to 30 pixels but 64 x 48 has 3072"),
        ({"size": [48, 64], "counts": encode_rle(np.ones((4, 4), bool))["counts"]}, "add up to 16"),
        ({"size": [40, 64], "counts": [40 * 64]}, "are for 64 x 40 pixels, the image has 64 x 48"),
        ({"size": [48, 64], "counts": "\x7f\x7f"}, "damaged"),
        ({"size": [48, 64], "counts": "PP"}, "truncated"),
        ({"size": [48, 64], "counts": "é"}, "run lengths"),
        ({"size": [48, 64], "counts": [-5, 3077]}, "whole numbers"),
        ({"size": [48, 64], "counts": None}, "whole numbers"),
        ({"size": "x"}, "size"),
        ([[1, 2, 3]], "list of numbers"),
        ([[10**400] * 6], "list of numbers"),
        ([["a", 2, 3, 4, 5, 6]], "list of numbers"),
        ([[float("nan")] * 6], "finite"),
        ("polygon", "no segmentation"),
    ],
)
def test_damaged_segmentations_are_refused(segmentation, match):
    document = coco_document(three_masks(), (48, 64), "photo.jpg", polygons=False)
    document["annotations"][1]["segmentation"] = segmentation
    with pytest.raises(InputError, match=match) as caught:
        read_masks(document)
    assert "annotation 4" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "image, match",
    [
        ({"id": 1, "width": "64", "height": 48}, "positive whole"),
        ({"id": 1, "width": 10**9, "height": 10**9}, "million may be read"),
        ({"id": 1}, "size of the image is not given"),
    ],
)
def test_wrong_image_sizes_are_refused(image, match):
    document = {
        "images": [image],
        "annotations": [{"id": 1, "image_id": 1, "segmentation": [[0, 0, 5, 0, 5, 5]]}],
    }
    with pytest.raises(InputError, match=match):
        read_masks(document)


def with_polygons():
    return coco_document(three_masks()[:2], (48, 64), "photo.jpg", polygons=True)


def test_one_polygon_without_the_list_around_it():
    document = with_polygons()
    whole = [[0, 0, 9, 0, 9, 9, 0, 9], [20, 20, 40, 20, 40, 30]]
    for annotation, polygon in zip(document["annotations"], whole):
        annotation["segmentation"] = polygon
    flat = read_masks(document)
    for annotation in document["annotations"]:
        annotation["segmentation"] = [annotation["segmentation"]]
    assert same(flat, read_masks(document)) and flat[0].mask.sum() == 81


def test_stray_pieces_are_left_out_with_a_warning():
    document = with_polygons()
    document["annotations"][0]["segmentation"].append([3, 4, 5, 6])
    masks, warnings = load_masks(document)
    assert same(masks, three_masks()[:2])
    assert len(warnings) == 1 and "1 pieces of fewer than three corners" in warnings[0]


@pytest.mark.parametrize("stray", [[[3, 4, 5, 6]], [3, 4, 5, 6], [[3, 4]], [[]]])
def test_an_annotation_of_stray_pieces_alone_is_left_out_with_a_warning(stray):
    document = with_polygons()
    document["annotations"].append({"id": 9, "image_id": 1, "segmentation": stray})
    masks, warnings = load_masks(document)
    assert same(masks, three_masks()[:2])
    assert len(warnings) == 1 and "annotation 9 has fewer than three corners" in warnings[0]


def test_polygons_may_be_lists_of_points():
    document = with_polygons()
    flat = read_masks(document)
    for annotation in document["annotations"]:
        pieces = annotation["segmentation"]
        if isinstance(pieces, list):  # no run lengths
            points = [np.reshape(piece, (-1, 2)).tolist() for piece in pieces]
            annotation["segmentation"] = points[0] if len(points) == 1 else points
    assert same(read_masks(document), flat)


@pytest.mark.parametrize("segmentation", [None, []])
def test_boxes_are_left_out_with_a_warning_unless_nothing_is_left(segmentation):
    document = with_polygons()
    document["annotations"].append({"id": 9, "image_id": 1, "segmentation": segmentation})
    masks, warnings = load_masks(document)
    assert same(masks, three_masks()[:2])
    assert "annotation 9 is only a box" in warnings[0]
    document["annotations"] = document["annotations"][-1:]
    with pytest.raises(InputError, match="none of its 1 annotations has a segmentation"):
        read_masks(document)


def test_ids_may_be_text_in_one_place_and_numbers_in_another():
    document = with_polygons()
    for annotation in document["annotations"]:
        annotation["image_id"] = "1"
        annotation["id"] = f"object {annotation['id']}"
    assert [m.label for m in read_masks(document)] == [1, 2]
    document["images"][0]["id"] = 7
    with pytest.raises(InputError, match="no annotation belongs to the image with the id 7"):
        read_masks(document)


def test_a_photo_is_found_by_the_name_that_it_had_before_roboflow():
    document = with_polygons()
    named = [("photo", 1), ("other", 2)]
    document["images"] = [
        document["images"][0]
        | {
            "id": 1.0 * key,
            "file_name": f"{name}_jpg.rf.3f2a.jpg",
            "extra": {"name": f"{name}.jpg"},
        }
        for name, key in named
    ]
    assert same(read_masks(document, image_name="photo.jpg"), three_masks()[:2])


@pytest.mark.parametrize(
    ("document", "name"),
    [({"type": "x", "features": []}, "GeoJSON"), ({"size": {}, "objects": []}, "Supervisely")],
)
def test_formats_that_are_not_read_are_named(tmp_path, document, name):
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=f"looks like .*{name}"):
        read_masks(tmp_path / "m.json")


def test_names_are_found_by_text_as_well():
    document = with_polygons()
    for annotation in document["annotations"]:
        annotation["category_id"] = str(annotation["category_id"])
    assert [m.name for m in read_masks(document)] == [m.name for m in three_masks()[:2]]


@pytest.mark.parametrize("more", [[[1, 1, 1.1, 1, 1.1, 1.1]], encode_rle(np.zeros((48, 64), bool))])
def test_a_hundred_thousand_annotations_are_refused_soon(more):
    document = with_polygons()
    document["annotations"] += [{"image_id": 1, "segmentation": more}] * 100_000
    start = time.monotonic()
    with pytest.raises(InputError, match="more than 10000 shapes in a picture of 64 x 48"):
        read_masks(document)
    assert time.monotonic() - start < 30


def test_many_warnings_are_not_all_shown():
    document = with_polygons()
    boxes = ({"id": 20 + k, "image_id": 1, "segmentation": []} for k in range(900))
    document["annotations"] += boxes
    masks, warnings = load_masks(document)
    assert same(masks, three_masks()[:2])
    assert len(warnings) == 51 and warnings[-1] == "and 850 more of this kind"


def test_a_byte_order_mark_is_no_part_of_the_document(tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(with_polygons()), encoding="utf-8-sig")
    assert same(read_masks(tmp_path / "m.json"), three_masks()[:2])


def test_records_of_a_segmenter_with_arrays():
    records = [{"segmentation": m.mask, "area": 1, "predicted_iou": 0.9} for m in three_masks()]
    assert [m.mask.tolist() for m in read_masks(records)] == [
        m.mask.tolist() for m in three_masks()
    ]
