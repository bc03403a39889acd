import numpy as np
import pytest

from maquette.errors import InputError
from maquette.masks.arrays import (
    binary_plane,
    masks_from_array,
    masks_from_label_map,
    masks_from_numpy_file,
)

LABELS = np.zeros((6, 8), np.int64)
LABELS[1:3, 1:4] = 2
LABELS[4:, 5:] = 7
STACK = np.stack([LABELS == 2, LABELS == 7])


def same(found, labels=(2, 7), names=("", "")):
    found = list(found)
    assert [(m.label, m.name) for m in found] == list(zip(labels, names))
    assert all(np.array_equal(m.mask, plane) for m, plane in zip(found, STACK, strict=True))


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float32])
def test_labels_of_any_type_are_the_same_masks(kind):
    same(masks_from_array(LABELS.astype(kind), "x", []))


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float64])
def test_a_stack_numbers_its_masks(kind):
    same(masks_from_array(STACK.astype(kind), "x", []), (1, 2))
    same(masks_from_array(255 * STACK.astype(np.uint8), "x", []), (1, 2))


def test_names_go_with_their_labels():
    same(masks_from_label_map(LABELS, "x", {7: "lamp", 9: "nobody"}), names=("", "lamp"))


def test_black_and_white_is_one_object():
    (found,) = masks_from_array(np.where(LABELS > 0, 255, 0).astype(np.uint8), "x", [])
    assert found.label == 1 and np.array_equal(found.mask, LABELS > 0)


def test_an_archive_comes_back_as_it_was_saved(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", masks=STACK, labels=[2, 7], names=["chair", "lamp"])
    same(masks_from_numpy_file(tmp_path / "m.npz", []), names=("chair", "lamp"))
    np.save(tmp_path / "m.npy", LABELS)
    same(masks_from_numpy_file(tmp_path / "m.npy", []))
    np.savez(tmp_path / "one.npz", whatever=LABELS)
    same(masks_from_numpy_file(tmp_path / "one.npz", []))


WRONG = [
    (np.full((4, 4), 3), "one value everywhere"),
    (np.zeros((4, 4), int), "every pixel is background"),
    (LABELS - 1, "negative label -1"),
    (0.5 * LABELS + 0.25, "fractions"),
    (np.where(LABELS, np.nan, 0.0), "NaN"),
    (np.zeros(5), "shape"),
    (np.zeros((0, 4)), "shape"),
    (np.array([["a", "b"]]), "type"),
    (np.arange(3000 * 2).reshape(3000, 2), "at most"),
    (np.zeros((3000, 2, 2), bool), "at most"),
]


@pytest.mark.parametrize(("array", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_is_no_masks_is_said_in_one_line(array, says):
    with pytest.raises(InputError, match=says) as caught:
        list(masks_from_array(array, "m.npy", []))
    assert str(caught.value).startswith("m.npy") and "\n" not in str(caught.value)


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "m.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="holds Python objects"):
        list(masks_from_numpy_file(tmp_path / "m.npy", []))


def test_a_truncated_archive_and_a_wrong_one_are_named(tmp_path):
    np.savez(tmp_path / "m.npz", masks=STACK, labels=[2, 7, 9])
    with pytest.raises(InputError, match="do not belong together"):
        list(masks_from_numpy_file(tmp_path / "m.npz", []))
    (tmp_path / "m.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:80])
    with pytest.raises(InputError, match="not a sound \\.npz archive"):
        list(masks_from_numpy_file(tmp_path / "m.npz", []))
    np.savez(tmp_path / "two.npz", a=STACK, b=STACK)
    with pytest.raises(InputError, match="expected 'masks'"):
        list(masks_from_numpy_file(tmp_path / "two.npz", []))


def test_a_plane_has_two_values_and_one_is_zero():
    assert np.array_equal(binary_plane([[0, 9], [9, 0]], "x"), [[False, True], [True, False]])
    for wrong in ([[1, 2], [2, 1]], [[0, 1], [2, 0]], [[-1, 0], [0, 0]], [0, 1]):
        with pytest.raises(InputError):
            binary_plane(wrong, "x")
