"""What users get wrong, one row each: one line that says what and where, the right exit code, and
nothing left under a final name.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maquette.cli import main
from tests.tiny import write_photo

pytestmark = pytest.mark.usefixtures("coarse_fields")


class Case:
    """A sound photo with sound masks, to be spoilt."""

    def __init__(self, folder: Path, weights: Path):
        self.folder = folder
        self.weights = weights
        self.out = folder / "out"
        self.photo, self.masks = write_photo(folder / "in")
        self.options = []

    def labels(self, labels):
        Image.fromarray(np.asarray(labels)).save(self.masks)

    def mask_file(self, name, content=None):
        self.masks = self.folder / "in" / name
        if content is not None:
            self.masks.write_text(json.dumps(content))
        return self.masks

    def argv(self):
        paths = [
            "generate",
            str(self.photo),
            "--masks",
            str(self.masks),
            "-o",
            str(self.out),
            "--weights",
            str(self.weights),
        ]
        return [*paths, "--steps", "1", "--no-preview", *self.options]


def missing_photo(case):
    case.photo.unlink()


def missing_masks(case):
    case.masks.unlink()


def not_an_image(case):
    case.photo.write_text("a,b\n1,2\n")


def truncated_image(case):
    case.photo.write_bytes(case.photo.read_bytes()[:-200])


def truncated_masks(case):
    case.masks.write_bytes(case.masks.read_bytes()[:60])


def photo_is_a_tiny_icon(case):
    Image.new("RGB", (16, 16)).save(case.photo)


def empty_mask(case):
    case.labels(np.zeros((72, 96), np.uint8))


def mask_of_one_colour(case):
    case.labels(np.full((72, 96), 7, np.uint8))


def mask_is_the_photo(case):
    noise = np.random.default_rng(0).integers(0, 255, (72, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(case.photo)
    case.masks = case.photo


def three_hundred_labels(case):
    labels = np.zeros((72, 96), np.uint16)
    labels[4:64:3, 4:94:6] = np.arange(1, 301).reshape(20, 15)
    case.labels(labels)


def masks_of_another_shape(case):
    case.labels(np.eye(64, dtype=np.uint8))


def nan_in_npy(case):
    labels = np.zeros((72, 96))
    labels[10:20, 10:20] = 1
    labels[0, 0] = np.nan
    np.save(case.mask_file("masks.npy"), labels)


def rle_of_the_wrong_size(case):
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "segmentation": {"size": [72, 96], "counts": [10, 20]},
    }
    images = [{"id": 1, "file_name": case.photo.name, "width": 96, "height": 72}]
    case.mask_file(
        "masks.json",
        {"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "x"}]},
    )


def broken_json(case):
    case.mask_file("masks.json").write_text('{"images": [')


def unknown_label(case):
    case.options = ["--only", "77"]


def nothing_chosen(case):
    case.options = ["--only", ","]


def unknown_method(case):
    case.options = ["--method", "magic"]


def unknown_format(case):
    case.options = ["--format", "glb,gltf"]


def no_samples(case):
    case.options = ["--samples", "0"]


def unknown_device(case):
    case.options = ["--device", "tpu"]


def negative_seed(case):
    case.options = ["--seed", "-1"]


def prompt_for_a_method_without_one(case):
    case.options = ["--prompt", "a lamp on a box"]


def unknown_layout(case):
    case.options = ["--method", "comboverse", "--layout", "magic"]


def guidance_that_is_no_number(case):
    case.options = ["--guidance", "nan"]


def merge_of_one_share(case):
    case.options = ["--merge", "--shard", "1/2"]


def depth_from_two_sides(case):
    case.options = ["--depth", "depth.png", "--perception", "moge-2-vits"]


@pytest.fixture
def case(tmp_path, tiny_weights):
    return Case(tmp_path, tiny_weights)


def assert_refused(case, capsys, code, *says):
    before = {path: path.read_bytes() for path in case.folder.rglob("*") if path.is_file()}
    assert main(case.argv()) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and len(said.err) < 500, said.err
    assert said.err.startswith("maquette generate: ")
    for words in says:
        assert words in said.err, said.err
    assert {path: path.read_bytes() for path in case.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (missing_photo, ("photo.png", "no such file")),
        (missing_masks, ("photo_seg.png", "no such file")),
        (not_an_image, ("photo.png", "not an image", "text")),
        (truncated_image, ("photo.png", "truncated")),
        (truncated_masks, ("photo_seg.png", "truncated")),
        (photo_is_a_tiny_icon, ("16 x 16", "at least")),
        (empty_mask, ("photo_seg.png", "every pixel is background")),
        (mask_of_one_colour, ("photo_seg.png", "one value everywhere")),
        (mask_is_the_photo, ("photo.png", "looks like a photo")),
        (three_hundred_labels, ("300 objects", "at most")),
        (masks_of_another_shape, ("64 x 64", "96 x 72")),
        (nan_in_npy, ("masks.npy", "1 NaN")),
        (rle_of_the_wrong_size, ("masks.json", "run lengths add up to 30")),
        (broken_json, ("masks.json", "not JSON")),
        (unknown_label, ("77", "the labels are 1, 2")),
        (nothing_chosen, ("none given", "the labels are 1, 2")),
        (unknown_method, ("magic", "iscene")),
        (unknown_format, ("gltf", "glb,obj,ply,stl")),
        (no_samples, ("at least 1",)),
        (unknown_device, ("unknown device", "tpu", "auto")),
        (negative_seed, ("seed", "from 0 to 4294967295")),
        (guidance_that_is_no_number, ("guidance", "nan")),
        (prompt_for_a_method_without_one, ("prompt", "comboverse", "iscene")),
        (merge_of_one_share, ("leave --shard out",)),
        (depth_from_two_sides, ("depth.png", "moge-2-vits", "leave one of them out")),
        (unknown_layout, ("magic", "none, depth, sds, ssds")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_wrong_input_is_one_line_and_exit_code_2(case, capsys, spoil, says):
    spoil(case)
    assert_refused(case, capsys, 2, *says)


def weights_cut_off(case, weights):
    (weights / "volume-vae.safetensors").write_bytes(
        (weights / "volume-vae.safetensors").read_bytes()[:-1000]
    )


def weights_of_another_network(case, weights):
    shutil.copy(weights / "generator.safetensors", weights / "volume-vae.safetensors")


def weights_that_do_not_match_their_sums(case, weights):
    (weights / "manifest.json").write_text(
        json.dumps({"volume-vae": "0" * 64, "volume-vae.safetensors": "0" * 64})
    )


def weights_missing(case, weights):
    (weights / "generator.safetensors").unlink()


@pytest.mark.parametrize(
    "damage",
    [
        weights_cut_off,
        weights_of_another_network,
        weights_that_do_not_match_their_sums,
        weights_missing,
    ],
)
def test_damaged_weights_are_named(case, capsys, damage):
    case.weights = shutil.copytree(case.weights, case.folder / "weights")
    damage(case, case.weights)
    assert_refused(case, capsys, 1, str(case.weights))


def test_a_prior_that_is_no_pipeline_is_named(case, capsys):
    case.options = ["--method", "comboverse", "--prior", str(case.folder)]
    assert_refused(case, capsys, 1, "model_index.json", str(case.folder))


def test_layouts_that_need_no_text_to_image_weights_run_without_them(case, capsys):
    case.weights = shutil.copytree(case.weights, case.folder / "weights")
    (case.weights / "text-to-image.safetensors").unlink()
    case.options = ["--method", "comboverse"]
    assert_refused(case, capsys, 1, "text-to-image.safetensors")
    case.options = ["--method", "comboverse", "--layout", "none"]
    assert main(case.argv()) == 0


def test_output_folder_that_is_a_file(case, capsys):
    case.out.write_text("mine")
    assert_refused(case, capsys, 1, "out", "a folder is needed here")


def test_output_folder_below_a_file(case, capsys):
    (case.folder / "file").write_text("mine")
    case.out = case.folder / "file" / "out"
    assert_refused(case, capsys, 1, "cannot be written")


@pytest.mark.parametrize("option", [["--up", "x"], ["--seed", "x"], ["--frobnicate"]])
def test_options_that_the_parser_refuses(case, capsys, option):
    case.options = option
    with pytest.raises(SystemExit) as caught:
        main(case.argv())
    assert caught.value.code == 2
    assert option[0] in capsys.readouterr().err.splitlines()[-1]


def test_error_of_one_photo_is_in_the_json_too(case, capsys):
    missing_photo(case)
    assert main([*case.argv(), "--json"]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["results"][0]["status"] == "failed" and said.err.count("\n") == 1
