"""Files that come in: names are text, content says what they are, and they are gone afterwards."""

import io
import zipfile

import pytest

from maquette.app import uploads
from maquette.app.folders import Folders
from maquette.app.problems import Problem
from maquette.app.settings import Limits
from maquette.app.uploads import Upload
from maquette.errors import InputError
from tests.app.live import label_png, picture


def zipped(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_dot_", "."), content)
    return stream.getvalue()


def test_files_are_there_for_a_while_and_errors_speak_of_their_names(tmp_path):
    folders = Folders.at(tmp_path)
    folders.recover({})
    with uploads.incoming(folders, [("a/b/room.png", io.BytesIO(b"x"))], Limits()) as came:
        (upload,) = came.files
        assert (
            upload.path.read_bytes() == b"x"
            and upload.path.is_relative_to(tmp_path)
            and (upload.name, upload.stem) == ("room.png", "room")
        )
    assert not list((tmp_path / "work").iterdir())
    for error in (InputError, lambda text: Problem(413, "too_large", text, {"a": "b"}, more=1)):
        with (
            pytest.raises((InputError, Problem)) as caught,
            uploads.incoming(folders, [("room.png", io.BytesIO(b"x"))], Limits()) as came,
        ):
            (upload,) = came.files
            raise error(f"{upload.path.with_suffix('.png')}: bad; {upload.path}: worse")
        assert str(caught.value) == "room.png: bad; room.png: worse" and not list(
            (tmp_path / "work").iterdir()
        )
    with pytest.raises(InputError, match="no file"), uploads.incoming(folders, [], Limits()):
        pass


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (picture(), "picture"),
        (picture()[:60], "picture"),
        (picture(kind="TIFF"), "picture"),
        (b"  \n{}", "json"),
        (b"\xef\xbb\xbf[]", "json"),
        (zipped(a_dot_png=label_png()), "zip"),
        (zipped(masks_dot_npy=b""), "npz"),
        (b"\x93NUMPY", "npy"),
        (b"hello", "other"),
        (b"", "other"),
        (b"\0" * 100, "other"),
        (b"<svg/>", "other"),
    ],
)
def test_content_says_what_a_file_is(tmp_path, content, kind):
    (tmp_path / "f").write_bytes(content)
    assert uploads.content_kind(tmp_path / "f") == kind


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../a.png", "a.png"),
        ("C:\\x\\b.png", "b.png"),
        ("", ""),
        ("a\x00\n.png", "a__.png"),
        ("/", ""),
    ],
)
def test_only_the_last_part_of_a_name_is_shown(name, shown):
    assert uploads.shown(name) == shown and len(uploads.shown("x" * 999)) == 80


def received(*files, **changes):
    limits = Limits(**changes)
    return uploads.Received(files, limits, uploads.UploadBudget(limits.unpacked_bytes))


def test_archives_unpack_beside_themselves_under_our_names(tmp_path):
    path = tmp_path / "up"
    upload = Upload(path, "x.zip")
    content = {"a/../b_dot_png": b"1", "__MACOSX/b_dot_png": b"2", "dir/c_dot_png": b"3"}
    path.write_bytes(zipped(**content))
    files = uploads.unpacked(upload, received())
    assert [f.name for f in files] == ["b.png", "c.png"]
    assert {f.path.parent for f in files} == {tmp_path}
    path.write_bytes(zipped())
    with pytest.raises(InputError, match="no files"):
        uploads.unpacked(upload, received())
    path.write_bytes(zipped(a=b"1")[:-30])
    with pytest.raises(InputError, match="damaged"):
        uploads.unpacked(upload, received())


def test_mask_sources_keep_labels_and_names(tmp_path):
    files = []
    for name in ("10_lamp.png", "2_chair.png"):
        path = tmp_path / f"file{len(files)}"
        path.write_bytes(label_png())
        files.append(Upload(path, name))
    source, names = uploads.mask_source(received(*files))
    assert source == {2: files[1].path, 10: files[0].path} and names == {2: "chair", 10: "lamp"}
    assert uploads.mask_source(received(files[0])) == (files[0].path, {})


@pytest.mark.parametrize(
    ("name", "content", "cost"),
    [
        ("label.png", label_png(50, 40), 4 * 50 * 40),
        ("masks.npz", zipped(masks_dot_npy=bytes(3000)), 3000),
        ("masks.json", b"[" + b"[]," * 100 + b"0]", 25 * 303),
        ("masks.npy", b"\x93NUMPY" + bytes(994), 1000),
        ("masks.zip", zipped(a_dot_png=label_png(50, 40)), len(label_png(50, 40)) + 4 * 50 * 40),
    ],
)
def test_all_that_masks_take_is_counted_beforehand(tmp_path, name, content, cost):
    path = tmp_path / "file"
    path.write_bytes(content)
    exact = received(Upload(path, name), unpacked_bytes=cost)
    uploads.mask_source(exact)
    assert exact.budget.left == 0
    path.write_bytes(content)
    with pytest.raises(Problem, match="all files of one upload") as caught:
        uploads.mask_source(received(Upload(path, name), unpacked_bytes=cost - 1))
    assert caught.value.status == 413
