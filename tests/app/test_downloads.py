"""Files that go out."""

import io
import zipfile

import pytest

from maquette.app.downloads import MEDIA_TYPES, Download, file_stem, zipped


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("my room", "my_room"),
        ("../../etc", "etc"),
        ("...", "x"),
        ("", "x"),
        ("Küche №1", "K_che_1"),
        ("a" * 99, "a" * 60),
    ],
)
def test_a_name_becomes_one_that_every_system_takes(name, stem):
    assert file_stem(name, "x") == stem and file_stem(stem, "x") == stem


def test_a_folder_comes_back_from_its_zip(tmp_path):
    contents = {"a.txt": b"1" * 1000, "b/c.png": b"2" * 1000}
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(io.BytesIO(zipped(tmp_path))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == contents
        assert archive.getinfo("b/c.png").compress_type == zipfile.ZIP_STORED


def test_the_suffix_says_what_it_is():
    assert {Download(f"a{suffix}", b"").media_type for suffix in MEDIA_TYPES} == set(
        MEDIA_TYPES.values()
    )
