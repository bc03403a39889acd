import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.errors import InputError
from maquette.masks.read import (
    labels_of_files,
    load_masks,
    read_masks,
    select_masks,
)
from maquette.masks.write import label_map
from maquette.types import InstanceMask
from tests.masks.pictures import disc, photo, same, three_masks

LABELS = label_map(three_masks())


def _save(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_label_pictures_of_8_16_bits_and_palette(tmp_path):
    palette = Image.fromarray(LABELS.astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 0] + [k % 256 for k in range(3, 768)])
    palette.save(tmp_path / "p.png")
    _save(LABELS.astype(np.uint8), tmp_path / "8.png")
    _save(LABELS.astype(np.uint16), tmp_path / "16.png")
    for name in ("8.png", "16.png", "p.png"):
        assert same(read_masks(tmp_path / name), three_masks(), names=False)


def test_labels_above_255_need_16_bits(tmp_path):
    masks = read_masks(_save((LABELS * 1000).astype(np.uint16), tmp_path / "16.png"))
    assert [m.label for m in masks] == [1000, 4000, 7000]


def test_a_palette_in_any_order_is_read_by_colour(tmp_path):
    index = np.where(LABELS == 0, 2, np.where(LABELS == 4, 0, 1)).astype(
        np.uint8
    )  # what PNG optimisers do
    image = Image.fromarray(index).convert("P")
    image.putpalette([0, 0, 255, 255, 0, 0, 0, 0, 0])
    image.save(tmp_path / "p.png")
    blue, red = read_masks(tmp_path / "p.png")
    assert (blue.mask == (LABELS == 4)).all() and (red.mask == np.isin(LABELS, (1, 7))).all()


def test_colours_are_numbered_in_a_fixed_order_and_black_is_background(tmp_path):
    colors = np.array([[0, 0, 0]] * 8, np.uint8)
    colors[[1, 4, 7]] = (9, 200, 30), (0, 0, 80), (255, 0, 0)
    masks = read_masks(_save(colors[LABELS], tmp_path / "rgb.png"))
    assert [(m.mask == (k == LABELS)).all() for m, k in zip(masks, (4, 1, 7))] == [True] * 3
    assert same(read_masks(colors[LABELS]), masks)


def test_a_white_background_is_recognised_with_a_warning(tmp_path):
    colors = np.array([[255, 255, 255]] * 8, np.uint8)
    colors[[1, 4, 7]] = (9, 200, 30), (0, 0, 80), (255, 0, 0)
    reading = load_masks(_save(colors[LABELS], tmp_path / "rgb.png"))
    assert len(reading.masks) == 3 and "nothing is black" in reading.warnings[0]


def test_black_and_white_is_one_object(tmp_path):
    for path in (
        _save((LABELS > 0).astype(np.uint8) * 255, tmp_path / "bw.png"),
        _save(LABELS > 0, tmp_path / "1.png"),
    ):
        (mask,) = read_masks(path)
        assert mask.label == 1 and (mask.mask == (LABELS > 0)).all()


def _large(scale=6):
    return np.kron(LABELS, np.ones((scale, scale), int))


@pytest.mark.parametrize("quality", [60, 90])
def test_a_mask_saved_as_jpeg_is_cleaned_with_a_warning(tmp_path, quality):
    colors = np.zeros((8, 3), np.uint8)
    colors[[1, 4, 7]] = (230, 40, 40), (40, 200, 60), (60, 80, 240)
    truth = _large()
    reading = load_masks(_save(colors[truth], tmp_path / "m.jpg", quality=quality))
    assert len(reading.masks) == 3 and "flat" in reading.warnings[0]
    for m, label in zip(
        sorted(reading.masks, key=lambda m: np.argwhere(m.mask)[:, 1].mean()), (1, 7, 4)
    ):  # left to right
        want = truth == label
        assert (m.mask & want).sum() / (m.mask | want).sum() > 0.9


def test_an_anti_aliased_mask_is_cleaned(tmp_path):
    truth = disc(240, 320, 120, 100, 60)
    fine = Image.fromarray(np.kron(truth, np.ones((4, 4))).astype(np.uint8) * 255)
    path = tmp_path / "soft.png"
    fine.rotate(3).resize((320, 240), Image.Resampling.LANCZOS).save(path)
    reading = load_masks(path)
    assert len(reading.masks) == 1 and reading.warnings
    assert abs(int(reading.masks[0].mask.sum()) - int(truth.sum())) < 0.03 * truth.sum()


def test_a_photo_is_not_a_mask(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)
    cut = picture.copy()
    cut[:, :100] = 255  # a product photo on white: mostly flat, still no mask
    for array in (photo(120, 160), picture, cut):
        with pytest.raises(InputError, match="looks like a photo"):
            read_masks(_save(array, tmp_path / "photo.png"))


def test_a_cut_out_is_one_object(tmp_path):
    alpha = (LABELS == 1).astype(np.uint8) * 255
    noisy = np.random.default_rng(0).integers(0, 256, (*LABELS.shape, 3)).astype(np.uint8)
    reading = load_masks(_save(np.dstack([noisy, alpha]), tmp_path / "cut.png"))
    assert len(reading.masks) == 1 and (reading.masks[0].mask == (LABELS == 1)).all()


def test_a_folder_is_sorted_naturally_and_named_by_its_files(tmp_path):
    for name, label in (("chair10", 7), ("chair2", 1), ("apple", 4)):
        _save((label == LABELS).astype(np.uint8) * 255, tmp_path / f"{name}.png")
    (tmp_path / "readme.txt").write_text("not a mask")
    masks = read_masks(tmp_path)
    assert [(m.label, m.name) for m in masks] == [(1, "apple"), (2, "chair2"), (3, "chair10")]
    assert (masks[0].mask == (LABELS == 4)).all()
    paths = [tmp_path / "chair2.png", str(tmp_path / "apple.png")]
    assert [m.name for m in read_masks(paths)] == ["chair2", "apple"]


def test_a_label_picture_in_a_folder_is_refused_and_an_empty_mask_left_out(tmp_path):
    _save(np.zeros(LABELS.shape, np.uint8), tmp_path / "a.png")
    _save((LABELS == 4).astype(np.uint8), tmp_path / "b.png")
    reading = load_masks(tmp_path)
    assert [m.name for m in reading.masks] == ["b"] and "label 1 (a) is empty" in reading.warnings[
        0
    ]
    _save((LABELS * 30).astype(np.uint8), tmp_path / "c.png")
    with pytest.raises(InputError, match=r"c\.png.*not a black and white mask"):
        read_masks(tmp_path)


def test_numpy_files_and_arrays_in_memory(tmp_path):
    stack = np.stack([k == LABELS for k in (1, 4, 7)])
    np.save(tmp_path / "labels.npy", LABELS)
    np.save(tmp_path / "floats.npy", LABELS.astype(np.float32))
    np.save(tmp_path / "stack.npy", stack)
    np.savez(tmp_path / "one.npz", anything=stack)
    for source in (
        LABELS,
        tmp_path / "labels.npy",
        tmp_path / "floats.npy",
        {1: LABELS == 1, 4: LABELS == 4, 7: LABELS == 7},
    ):
        assert [m.mask.tolist() for m in read_masks(source)] == stack.tolist()
    for source in (
        stack,
        tmp_path / "stack.npy",
        tmp_path / "one.npz",
        list(stack),
        stack.astype(np.uint8) * 255,
    ):
        assert [m.label for m in read_masks(source)] == [1, 2, 3]
        assert all((m.mask == plane).all() for m, plane in zip(read_masks(source), stack))
    assert [m.name for m in read_masks({"cup": stack[0], "pot": stack[1]})] == ["cup", "pot"]
    assert same(read_masks(three_masks()), three_masks())


def _with_nan():
    array = LABELS.astype(float)
    array[0, 0] = np.nan
    return array


@pytest.mark.parametrize(
    "source, match",
    [
        (np.zeros((40, 40), int), "empty"),
        (np.full((40, 40), 3), r"one value everywhere \(3\)"),
        (np.ones((40, 40), bool), "one value everywhere"),
        (np.zeros((2, 40, 40), bool), "has no object"),
        (np.ones((1, 40, 40), bool), "covers the whole picture"),
        (_with_nan(), "1 NaN"),
        (np.random.default_rng(0).random((3, 20, 20)), "fractions"),
        (np.arange(-1, 399).reshape(20, 20), "negative label -1"),
        (np.arange(400).reshape(20, 20), "399 objects; at most 255"),
        (np.arange(301).repeat(9).reshape(9, 301).astype(np.uint16), "300 objects; at most 255"),
        (np.ones((300, 4, 4), bool), "300 objects"),
        (np.zeros((2, 3, 4, 5), bool), "shape"),
        ({0: np.ones((4, 4), bool)}, "label 0"),
        (np.array(["a", "b"]).reshape(1, 2), "type"),
        ([], "not a form of masks"),
        (None, "not a form of masks"),
        ([LABELS == 1, (LABELS == 4)[:20]], "one size"),
        ([InstanceMask(2, LABELS == 1), InstanceMask(2, LABELS == 4)], "label 2 occurs twice"),
    ],
)
def test_wrong_arrays_are_refused(source, match):
    with pytest.raises(InputError, match=match) as caught:
        read_masks(source)
    assert "\n" not in str(caught.value)


def test_300_colours_are_refused_with_their_number(tmp_path):
    blocks = np.zeros((20, 16, 3), np.uint8)
    blocks.reshape(-1, 3)[1:301] = np.stack(
        [np.arange(300) % 256, np.full(300, 90), np.arange(300) // 256 * 99 + 1], axis=-1
    )
    with pytest.raises(InputError, match="300 objects; at most 255"):
        read_masks(_save(np.kron(blocks, np.ones((4, 4, 1), np.uint8)), tmp_path / "many.png"))


@pytest.mark.parametrize(
    "name, content",
    [
        ("m.npy", b"junk"),
        ("m.npz", b"PK\x03\x04junk"),
        ("m.json", b"{not json"),
        ("m.json", b"\xff\xfe\x00"),
        ("m.json", b"[1, 2]"),
        ("m.json", b'{"a": 1}'),
        ("m.png", b"junk"),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        read_masks(tmp_path / name)


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "object.npz", masks=np.array([{"a": 1}], dtype=object))
    for name in ("object.npy", "object.npz"):
        with pytest.raises(InputError, match="plain numbers"):
            read_masks(tmp_path / name)


def test_a_header_that_lies_about_its_size_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "|b1", "fortran_order": False, "shape": (10**6, 10**6, 50)}
    )
    (tmp_path / "lie.npy").write_bytes(buffer.getvalue() + b"\x00" * 100)
    with pytest.raises(InputError, match="declares 50000000000000 bytes but has 100"):
        read_masks(tmp_path / "lie.npy")


def test_masks_of_another_size_are_fitted_when_the_aspect_agrees():
    big = np.kron(LABELS, np.ones((3, 3), int))
    assert same(read_masks(big, (48, 64)), three_masks(), names=False)
    for m, original in zip(read_masks(LABELS, (480, 640)), three_masks()):
        assert (m.mask == np.kron(original.mask, np.ones((10, 10), bool))).all()
    with pytest.raises(InputError, match=r"64 x 48 pixels and the photo 64 x 64"):
        read_masks(LABELS, (64, 64))
    with pytest.raises(InputError, match="EXIF"):
        read_masks(LABELS, (640, 480))


def test_names_and_selection():
    masks = read_masks(LABELS, names=["chair", "cup", "box"])
    assert [m.name for m in masks] == ["chair", "cup", "box"]
    assert [m.name for m in read_masks(LABELS, names={4: "cup"})] == ["", "cup", ""]
    assert [m.label for m in select_masks(masks, ["cup", "7"])] == [4, 7]
    assert [m.label for m in select_masks(masks, [1])] == [1]
    with pytest.raises(InputError, match=r"label 5; the labels are 1 \(chair\), 4 \(cup\)"):
        select_masks(masks, [5])
    with pytest.raises(InputError, match="labels \\[9\\]"):
        read_masks(LABELS, names={9: "cup"})


def test_a_text_chunk_of_somebody_else_is_ignored(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    for text in ("not json", "[1]", json.dumps([{"label": "x"}]), "{}"):
        info = PngInfo()
        info.add_text("maquette-instances", text)
        Image.fromarray(LABELS.astype(np.uint8)).save(tmp_path / "m.png", pnginfo=info)
        assert same(read_masks(tmp_path / "m.png"), three_masks(), names=False)


def test_file_names_carry_labels_and_names_when_all_do():
    assert labels_of_files(["003_chair", "12", "7-desk lamp"]) == [
        (3, "chair"),
        (12, ""),
        (7, "desk lamp"),
    ]
    assert labels_of_files(["chair", "003_lamp"]) == [(1, "chair"), (2, "003_lamp")]
    assert labels_of_files(["1_a", "1_b"]) == [(1, "1_a"), (2, "1_b")]


def test_the_opacity_is_the_mask_when_all_colours_are_black(tmp_path):
    opaque = three_masks()[0].mask
    rgba = np.zeros((*opaque.shape, 4), np.uint8)
    rgba[..., 3] = opaque * 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    (found,) = read_masks(tmp_path / "a.png")
    assert np.array_equal(found.mask, opaque)


def test_every_page_of_a_tiff_is_an_object(tmp_path):
    pages = [Image.fromarray(m.mask.astype(np.uint8) * 255) for m in three_masks()]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    found = read_masks(tmp_path / "a.tif")
    assert [m.label for m in found] == [1, 2, 3]
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(found, three_masks()))


def test_compressed_colours_are_cleaned_whatever_the_container(tmp_path):
    colours = np.zeros((96, 128, 3), np.uint8)
    colours[10:60, 10:60] = (255, 0, 0)
    colours[20:80, 70:120] = (0, 200, 40)
    Image.fromarray(colours).save(tmp_path / "a.webp", quality=60)
    found = load_masks(tmp_path / "a.webp")
    areas = sorted(int(m.mask.sum()) for m in found.masks)
    assert areas == pytest.approx([2500, 3000], rel=0.03)
    assert "compressed" in found.warnings[-1]


def test_stacks_with_an_axis_of_length_one_and_tensors():
    stack = np.stack([m.mask for m in three_masks()])
    for source in (stack[:, None], torch.from_numpy(stack), torch.from_numpy(stack[:, None])):
        assert all(
            np.array_equal(a.mask, b) for a, b in zip(read_masks(source), stack, strict=True)
        )


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_every_frame_of_a_moving_picture_is_an_object(tmp_path, suffix):
    planes = [m.mask.tolist() for m in three_masks()]
    pages = [Image.fromarray(np.uint8(plane) * 255) for plane in planes]
    lossless = {"lossless": True} if suffix == "webp" else {}
    path = tmp_path / f"frames.{suffix}"
    pages[0].save(path, save_all=True, append_images=pages[1:], **lossless)
    assert [m.mask.tolist() for m in read_masks(path)] == planes


def test_what_segmenters_return_in_memory_is_read():
    stack = np.stack([m.mask for m in three_masks()])
    tensor = torch.tensor(stack)
    sources = [stack[None], tensor[None, :, None], tensor.to(torch.bfloat16), list(tensor[:, None])]
    sources += [{"masks": stack[:, None], "scores": np.ones(3)}, {"masks": tensor, "iou": [1] * 3}]
    sources.append([{"segmentation": plane, "area": 1} for plane in tensor])
    for source in sources:
        assert [m.mask.tolist() for m in read_masks(source)] == stack.tolist()


def test_the_format_of_a_tool_is_known_by_its_content(tmp_path):
    shape = {"label": "cup", "points": [[1, 1], [20, 1], [20, 20]], "shape_type": "polygon"}
    labelme = {"shapes": [shape], "imageHeight": 48, "imageWidth": 64}
    region = {"shape_attributes": {"name": "circle", "cx": 20, "cy": 20, "r": 9}}
    via = {"photo.jpg1": {"filename": "photo.jpg", "regions": [region]}}
    for name, document in {"a.json": labelme, "b.json": via}.items():
        (tmp_path / name).write_text(json.dumps(document))
        assert len(read_masks(tmp_path / name, (48, 64))) == 1
    assert read_masks(labelme, (48, 64))[0].name == "cup"
    (tmp_path / "c.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5")
    assert len(read_masks(tmp_path / "c.txt", (48, 64))) == 1


@pytest.mark.parametrize(
    "document",
    [
        [{"data": ["/data/photo.png"], "annotations": [{"result": [{"type": "brushlabels"}]}]}],
        {"images": True, "annotations": []},
        {"annotations": [{"id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}], "images": 7},
        {"a": {"regions": [{"shape_attributes": 7}]}},
        {"shapes": [{"points": {}, "shape_type": []}], "imageHeight": 9, "imageWidth": 9},
    ],
)
def test_documents_of_other_types_than_their_tool_writes_are_refused(tmp_path, document):
    (tmp_path / "masks.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"masks\.json"):
        load_masks(tmp_path / "masks.json", (48, 64))
