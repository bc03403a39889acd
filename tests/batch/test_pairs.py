from pathlib import Path

import pytest

from maquette.batch.pairs import plain_name, plan
from maquette.errors import InputError
from maquette.options import GeometryOptions


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def pairs(jobs):
    return {job.photo.name: job.masks and job.masks.name for job in jobs}


@pytest.mark.parametrize(
    ("stem", "name"),
    [("a_rgb", "a"), ("a-RGB", "a"), ("a.photo", "a"), ("rgb", "rgb"), ("a_rgb_1", "a_rgb_1")],
)
def test_plain_name_drops_the_word_for_photo(tmp_path, stem, name):
    assert plain_name(tmp_path / f"{stem}.jpg") == name


def test_one_photo_takes_its_masks_as_given_and_the_folder_itself(tmp_path):
    jobs, batch = plan([tmp_path / "a.jpg"], tmp_path / "m.png", tmp_path / "out")
    assert not batch and (jobs[0].masks, jobs[0].folder) == (tmp_path / "m.png", tmp_path / "out")


def test_one_photo_with_a_folder_of_pictures_per_object_or_of_masks_of_many_photos(tmp_path):
    touch(tmp_path, "objects/1.png", "objects/2.png", "many/a_seg.png", "many/b_seg.png")
    assert (
        plan([tmp_path / "a_rgb.jpg"], tmp_path / "objects", tmp_path)[0][0].masks
        == tmp_path / "objects"
    )
    assert (
        plan([tmp_path / "a_rgb.jpg"], tmp_path / "many", tmp_path)[0][0].masks
        == tmp_path / "many" / "a_seg.png"
    )


def test_photos_and_masks_of_one_folder_find_each_other_and_masks_are_no_photos(tmp_path):
    touch(
        tmp_path,
        "a_rgb.jpg",
        "a_seg.png",
        "b_rgb.png",
        "b_seg.png",
        "c.jpg",
        "c_masks.json",
        "d.jpg",
        "d_labels/1.png",
    )
    touch(tmp_path, "index.csv", ".x.png")
    jobs, batch = plan([tmp_path], tmp_path, tmp_path / "out")
    assert batch
    assert pairs(jobs) == {
        "a_rgb.jpg": "a_seg.png",
        "b_rgb.png": "b_seg.png",
        "c.jpg": "c_masks.json",
        "d.jpg": "d_labels",
    }
    assert [job.folder.name for job in jobs] == ["a_rgb", "b_rgb", "c", "d"]


def test_listing_the_files_of_a_folder_gives_the_same_photos(tmp_path):
    touch(tmp_path, "a_rgb.jpg", "a_seg.png", "b_rgb.png", "b_seg.png")
    assert (
        plan(sorted(tmp_path.iterdir()), tmp_path, "out")[0] == plan([tmp_path], tmp_path, "out")[0]
    )


def test_plain_names_count_in_a_folder_of_masks_but_not_beside_the_photos(tmp_path):
    touch(tmp_path, "photos/a.jpg", "photos/a.png", "photos/b.jpg", "masks/b.png")
    assert (
        pairs(
            plan(
                [tmp_path / "photos" / "a.jpg", tmp_path / "photos" / "b.jpg"],
                tmp_path / "masks",
                "out",
            )[0]
        )["b.jpg"]
        == "b.png"
    )
    jobs, _ = plan(
        [tmp_path / "photos" / "a.jpg", tmp_path / "photos" / "b.jpg"], tmp_path / "photos", "out"
    )
    assert all(job.masks is None and "no masks" in job.problem for job in jobs)


def test_full_name_goes_before_plain_name(tmp_path):
    touch(tmp_path, "p/a_rgb.jpg", "p/b.jpg", "m/a_seg.png", "m/a_rgb_seg.png", "m/b.npz")
    assert pairs(plan([tmp_path / "p"], tmp_path / "m", "out")[0]) == {
        "a_rgb.jpg": "a_rgb_seg.png",
        "b.jpg": "b.npz",
    }


def test_several_masks_for_a_photo_are_a_problem_of_that_photo_only(tmp_path):
    touch(tmp_path, "p/a.jpg", "p/b.jpg", "m/a_seg.png", "m/a_masks.json", "m/b.png")
    first, second = plan([tmp_path / "p"], tmp_path / "m", "out")[0]
    assert (
        "a_masks.json, a_seg.png" in first.problem
        and first.masks is None
        and second.masks.name == "b.png"
    )


def test_patterns_and_one_coco_file(tmp_path):
    touch(tmp_path, "a_rgb.jpg", "b_rgb.jpg", "all.json")
    photos = [tmp_path / "a_rgb.jpg", tmp_path / "b_rgb.jpg"]
    assert pairs(plan(photos, "m/{name}-{stem}.png", "out")[0]) == {
        "a_rgb.jpg": "a-a_rgb.png",
        "b_rgb.jpg": "b-b_rgb.png",
    }
    assert pairs(plan(photos, tmp_path / "all.json", "out")[0]) == {
        "a_rgb.jpg": "all.json",
        "b_rgb.jpg": "all.json",
    }


def test_folder_with_one_photo_is_a_batch_so_that_results_stay_where_they_are_when_it_grows(
    tmp_path,
):
    touch(tmp_path, "p/a.jpg", "m/a.png")
    jobs, batch = plan([tmp_path / "p"], tmp_path / "m", "out")
    assert batch and jobs[0].folder.name == "a"


@pytest.mark.parametrize(
    ("photos", "masks", "says"),
    [
        (["p"], "m/a.png", "one mask file for 2 photos"),
        (["p"], "m/{nmae}.png", "{nmae}"),
        (["empty"], "m", "no photos"),
        (["p/a.jpg", "q/a.png"], "m", "rename one"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_reason(tmp_path, photos, masks, says):
    touch(tmp_path, "p/a.jpg", "p/b.jpg", "q/a.png", "m/a.png", "empty/readme.txt")
    with pytest.raises(InputError, match=says):
        plan([tmp_path / photo for photo in photos], f"{tmp_path}/{masks}", tmp_path / "out")


def test_depth_and_camera_of_each_photo_are_found_by_name(tmp_path):
    touch(tmp_path, "a_rgb.png", "a_seg.png", "a_depth.png", "a_intrinsics.txt", "b.png")
    touch(tmp_path, "b_seg.png", "b_depth.npy", "b_intrinsics.json")
    known = GeometryOptions(depth=str(tmp_path), intrinsics=str(tmp_path))
    jobs, batch = plan([tmp_path], tmp_path, tmp_path / "out", known)
    found = {
        job.photo.name: (Path(job.geometry.depth).name, Path(job.geometry.intrinsics).name)
        for job in jobs
    }
    assert batch and found == {
        "a_rgb.png": ("a_depth.png", "a_intrinsics.txt"),
        "b.png": ("b_depth.npy", "b_intrinsics.json"),
    }


def test_a_pattern_or_one_file_of_the_camera_is_of_all_photos(tmp_path):
    touch(tmp_path, "a.png", "a_seg.png", "b.png", "b_seg.png")
    known = GeometryOptions(depth="z/{stem}.npy", intrinsics="500,500,320,240")
    jobs, _ = plan([tmp_path], tmp_path, tmp_path / "out", known)
    assert [Path(job.geometry.depth).as_posix() for job in jobs] == ["z/a.npy", "z/b.npy"]
    assert {job.geometry.intrinsics for job in jobs} == {"500,500,320,240"}


def test_a_photo_without_its_depth_is_named_and_the_others_are_made(tmp_path):
    touch(tmp_path, "a.png", "a_seg.png", "b.png", "b_seg.png", "b_depth.npy")
    jobs, _ = plan([tmp_path], tmp_path, tmp_path / "out", GeometryOptions(depth=str(tmp_path)))
    problems = {job.photo.name: job.problem for job in jobs}
    assert problems["b.png"] == ""
    assert "holds no depth of a.png; expected a_depth with one of" in problems["a.png"]
