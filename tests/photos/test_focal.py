import dataclasses
import io
import math

import numpy as np
import pytest
from PIL import ExifTags, Image

from maquette.errors import InputError
from maquette.geometry.cameras import intrinsics_from_fov
from maquette.inputs import read_scene_input
from maquette.photos.focal import focal_from_fov, focal_of, fov_from_focal
from maquette.photos.read import read_photo

TAG = ExifTags.Base


def jpeg(size=(400, 300), orientation=None, **tags):
    """A picture whose file has these tags of the EXIF directory."""
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {TAG[name]: value for name, value in tags.items()}
    if orientation:
        exif[TAG.Orientation] = orientation
    stream = io.BytesIO()
    Image.new("RGB", size, (90, 120, 60)).save(stream, "JPEG", exif=exif)
    stream.seek(0)
    return Image.open(stream)


def test_an_equivalent_focal_length_has_the_diagonal_angle_of_view_of_film():
    focal, doubt = focal_of(jpeg(FocalLengthIn35mmFilm=28))
    diagonal = 2 * math.atan(0.5 * 5 / 4 / focal.ratio)  # of 4 : 3, in longer sides
    assert (
        diagonal == pytest.approx(2 * math.atan(math.hypot(36, 24) / 2 / 28))
        and not doubt
        and "28 mm" in focal.source
    )
    assert focal_of(jpeg((600, 400), FocalLengthIn35mmFilm=36))[0].ratio == pytest.approx(
        1.0
    )  # film is 36 mm wide


def test_the_focal_planes_resolution_tells_the_size_of_the_sensor():
    sensor = {"FocalLength": 50.0, "ExifImageWidth": 6000, "ExifImageHeight": 4000}
    per_centimetre = {
        "FocalPlaneXResolution": 2500.0,
        "FocalPlaneResolutionUnit": 3,
    }  # 6000 pixels on 24 mm
    per_inch = {"FocalPlaneXResolution": 6350.0}
    for resolution in (per_centimetre, per_inch):
        focal, doubt = focal_of(jpeg((600, 400), **sensor, **resolution))
        assert focal.ratio == pytest.approx(50 / 24) and not doubt
    assert focal_of(jpeg((600, 400), **sensor)) == (None, "")  # millimetres alone tell nothing
    assert focal_of(jpeg((600, 400), **sensor, FocalPlaneXResolution=72.0)) == (
        None,
        "",
    )  # a sensor of 2 m


def test_turning_and_reducing_a_photo_change_nothing_but_cropping_does(tmp_path):
    taken = {"FocalLengthIn35mmFilm": 26, "ExifImageWidth": 4000, "ExifImageHeight": 3000}
    upright = jpeg((400, 300), **taken)
    for other in (jpeg((200, 150), **taken), jpeg((400, 300), orientation=6, **taken)):
        other.save(tmp_path / "photo.jpg", exif=other.getexif())
        assert read_photo(tmp_path / "photo.jpg").focal.ratio == pytest.approx(
            focal_of(upright)[0].ratio, rel=1e-3
        )
    focal, doubt = focal_of(jpeg((300, 300), **taken))
    assert focal is None and "cropped (4000 x 3000 to 300 x 300 pixels)" in doubt
    assert focal_of(jpeg((300, 300), ExifImageWidth=4000, ExifImageHeight=3000)) == (None, "")


@pytest.mark.parametrize(
    "nonsense",
    [{"FocalLengthIn35mmFilm": 0}, {"FocalLength": 0.0, "FocalPlaneXResolution": 100.0}, {}],
)
def test_nonsense_counts_as_not_told(nonsense):
    assert focal_of(jpeg(**nonsense)) == (None, "")


def test_a_fisheye_and_a_telescope_are_not_believed():
    for millimetres in (5, 60000):
        focal, doubt = focal_of(jpeg(FocalLengthIn35mmFilm=millimetres))
        assert focal is None and f"{millimetres} mm" in doubt


@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 400), (256, 256)])
def test_a_field_of_view_is_vertical_and_comes_back(width, height):
    focal = focal_from_fov(48.0, width, height)
    assert focal.ratio * max(width, height) == pytest.approx(
        intrinsics_from_fov(math.radians(48), width, height)[0, 0]
    )
    assert fov_from_focal(focal.ratio, width, height) == pytest.approx(48.0)


@pytest.mark.parametrize("degrees", [0.0, -3.0, 0.5, 179.0, 400.0, float("nan")])
def test_impossible_fields_of_view_are_refused(degrees):
    with pytest.raises(InputError, match="field of view"):
        focal_from_fov(degrees, 400, 300)


def test_a_scene_input_knows_the_focal_length_of_its_file_and_arrays_have_none(tmp_path):
    masks = np.zeros((300, 400), bool)
    masks[50:90, 60:120] = True
    told = jpeg(FocalLengthIn35mmFilm=35)
    told.save(tmp_path / "told.jpg", exif=told.getexif())
    found = read_scene_input(tmp_path / "told.jpg", [masks])
    assert found.focal == focal_of(told)[0] and found.warnings == ()
    reduced = read_scene_input(tmp_path / "told.jpg", [masks], max_side=200)
    assert reduced.focal == found.focal
    assert read_scene_input(found.image, [masks]).focal is None
    cropped = jpeg((300, 300), FocalLengthIn35mmFilm=26, ExifImageWidth=4000, ExifImageHeight=3000)
    cropped.save(tmp_path / "cropped.jpg", exif=cropped.getexif())
    assert "cropped" in read_scene_input(tmp_path / "cropped.jpg", [masks[:, :300]]).warnings[0]
    assert dataclasses.asdict(found.focal)["source"] == "EXIF, 35 mm on 35-mm film"
