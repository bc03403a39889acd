import json
import os

import numpy as np
import pytest
from PIL import Image

from maquette.cli import main
from maquette.cli.masks import parse_clicks
from maquette.errors import InputError
from maquette.masks import read_masks, write_masks
from tests.masks.pictures import disc, photo, same, three_masks


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo()).save("photo.png")
    write_masks(three_masks(), "masks.png")
    return tmp_path


def test_inspect_prints_a_table_and_writes_the_overlay(folder, capsys):
    assert (
        main(["masks", "inspect", "masks.png", "--image", "photo.png", "--overlay", "overlay.png"])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["label", "name", "pixels"]
    assert lines[2].split()[:3] == ["4", "cup", str(three_masks()[1].mask.sum())]
    with Image.open("overlay.png") as overlay:
        assert overlay.size == (64, 48)


def test_inspect_as_json(folder, capsys):
    pixel = np.zeros((48, 64), bool)
    pixel[0, 5] = True
    np.save("two.npy", np.stack([three_masks()[0].mask, pixel]))
    assert main(["masks", "inspect", "two.npy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["width"], found["height"]) == (64, 48)
    assert [i["pixels"] for i in found["instances"]] == [three_masks()[0].mask.sum(), 1]
    assert "only 1 pixel" in found["instances"][1]["warnings"][0]


def test_convert_through_every_form(folder, capsys):
    way = ["masks.png", "a", "b.json", "c.npz", "d.png"]
    for source, target in zip(way, way[1:]):
        form = ["--form", "rgb"] if target == "d.png" else []
        assert main(["masks", "convert", source, target, *form]) == 0
    assert same(read_masks("d.png"), three_masks())
    assert main(["masks", "convert", "d.png", "e.png", "--only", "cup,7"]) == 0
    assert [m.label for m in read_masks("e.png")] == [4, 7]
    assert "e.png: 2 objects of 64 x 48 pixels as label" in capsys.readouterr().out


def test_convert_fits_to_a_photo_and_warns_about_overlap(folder, capsys):
    np.save("two.npy", np.stack([disc(24, 32, 10, 12, 7), disc(24, 32, 18, 12, 6)]))
    assert main(["masks", "convert", "two.npy", "two.png", "--image", "photo.png"]) == 0
    assert read_masks("two.png")[0].mask.shape == (48, 64)
    assert "several objects" in capsys.readouterr().err


def test_make_in_the_three_ways(folder, capsys):
    image = np.full((60, 80, 3), 205, np.uint8)
    thing = disc(60, 80, 40, 30, 14)
    image[thing] = (180, 60, 40)
    Image.fromarray(image).save("plain.png")
    ways = {"auto": ["--auto"], "box": ["--box", "25,15,55,45"], "click": ["--click", "40,30"]}
    for name, way in ways.items():
        assert (
            main(
                [
                    "masks",
                    "make",
                    "plain.png",
                    "-o",
                    f"{name}.png",
                    *way,
                    "--overlay",
                    f"{name}_o.png",
                ]
            )
            == 0
        )
        (found,) = read_masks(f"{name}.png")
        assert (found.mask & thing).sum() / (found.mask | thing).sum() > 0.85, name
        assert os.path.exists(f"{name}_o.png")
    Image.fromarray(np.dstack([image, thing.astype(np.uint8) * 255])).save("cut.png")
    assert main(["masks", "make", "cut.png", "-o", "cut_masks.png", "--auto"]) == 0
    assert (read_masks("cut_masks.png")[0].mask == thing).all()


@pytest.mark.parametrize(
    "arguments, code, match",
    [
        (["inspect", "none.png"], 2, "no such file"),
        (["inspect", "photo.png"], 2, "looks like a photo"),
        (["inspect", "masks.png", "--overlay", "o.png"], 2, "--image"),
        (["inspect", "masks.png", "--image", "photo.png", "--overlay", "o.xyz"], 2, "o.xyz"),
        (
            ["inspect", "masks.png", "--image", "photo.png", "--overlay", "photo.png"],
            1,
            "already exists",
        ),
        (["convert", "masks.png", "masks.png"], 1, "already exists"),
        (["convert", "masks.png", "out.xyz"], 2, "suffix"),
        (["convert", "masks.png", "out.png", "--form", "npz"], 2, "suffix .npz"),
        (
            ["convert", "masks.png", "out.png", "--only", "99"],
            2,
            "labels are 1 (red chair), 4 (cup), 7",
        ),
        (["make", "photo.png", "-o", "out.png", "--box", "1,2,3"], 2, "four numbers"),
        (["make", "photo.png", "-o", "out.png", "--box", "nan,2,3,4"], 2, "four numbers"),
        (["make", "photo.png", "-o", "out.png", "--click", "1,2,x"], 2, "--click 1,2,x"),
        (["make", "photo.png", "-o", "out.png", "--click", "999,2"], 2, "outside of the photo"),
        (
            ["make", "photo.png", "-o", "out.png", "--auto", "--overlay", "out.png"],
            2,
            "two outputs",
        ),
        (["make", "photo.png", "-o", "masks.png", "--auto"], 1, "already exists"),
        (
            ["make", "photo.png", "-o", "new.png", "--everything", "--model", "sam2.1"],
            2,
            "models fetch sam2.1",
        ),
        (["make", "photo.png", "-o", "new.png", "--find", "cup"], 2, "grounding-dino"),
        (["make", "photo.png", "-o", "new.png", "--box", "1,1,9,9", "--model", "no"], 2, "OWNER"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing_behind(folder, capsys, arguments, code, match):
    before = sorted(os.listdir())
    assert main(["masks", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and match in captured.err and captured.out == ""
    assert sorted(os.listdir()) == before


def test_the_grammar_of_clicks():
    clicks = parse_clicks(["1,2", "3,4,+", "5,6,-", "7,8", "9,10,5", "11,12,-1", "13,14"])
    assert [(c.label, c.positive) for c in clicks] == [
        (1, True),
        (1, True),
        (1, False),
        (2, True),
        (5, True),
        (1, False),
        (6, True),
    ]
    assert [(c.label, c.positive) for c in parse_clicks(["1,2,-", "3,4"])] == [
        (0, False),
        (1, True),
    ]
    for wrong in (["1,2,+"], ["1"], ["1,2,3,4"], ["1,2,0"], ["a,b"], ["1,2,+-3"]):
        with pytest.raises(InputError, match="expected X,Y"):
            parse_clicks(wrong)


def test_names_belong_to_the_box_or_click_before_them(folder):
    boxes = ["--box", "2,2,30,30", "--name", "cup", "--box", "34,10,60,40"]
    clicks = ["--click", "16,16", "--click", "48,24", "--name", "jug", "--click", "14,16,1"]
    for k, (prompts, named) in enumerate([(boxes, ["cup", ""]), (clicks, ["", "jug"])]):
        assert main(["masks", "make", "photo.png", "-o", f"{k}.png", *prompts]) == 0
        assert [mask.name for mask in read_masks(f"{k}.png")] == named
    first = ["masks", "make", "photo.png", "-o", "x.png", "--name", "cup", "--box", "2,2,30,30"]
    assert main(first) == 2
