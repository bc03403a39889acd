import io
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from maquette.errors import InputError
from maquette.photos.read import MAX_PIXELS, read_image, read_pages, read_photo
from tests.masks.pictures import photo


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp", "ppm"])
def test_lossless_formats_give_the_pixels_back(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert (read_image(path) == photo()).all()
    assert read_photo(path).alpha is None


def test_jpeg_is_close(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "photo.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "photo.jpg").astype(int) - photo()).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(tmp_path, orientation):
    # Storing the picture turned the opposite way, each case written out from the EXIF standard's
    # table.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](photo())
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "photo.png", exif=exif)
    assert (read_image(tmp_path / "photo.png") == photo()).all()


def test_grey_of_8_16_and_1_bit(tmp_path):
    grey = photo()[..., 0]
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "float.tif")
    Image.fromarray(grey > 99).save(tmp_path / "1.png")
    for name in ("8.png", "16.png", "float.tif"):
        assert (read_image(tmp_path / name) == grey[..., None]).all(), name
    assert (read_image(tmp_path / "1.png") == np.where(grey > 99, 255, 0)[..., None]).all()


def test_alpha_is_composited_on_white(tmp_path):
    alpha = np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8)
    Image.fromarray(np.dstack([photo(), alpha])).save(tmp_path / "a.png")
    opacity = alpha[..., None] / 255
    assert (
        np.abs(read_image(tmp_path / "a.png") - (photo() * opacity + 255 * (1 - opacity))).max()
        <= 0.51
    )
    assert (read_photo(tmp_path / "a.png").alpha == alpha).all()


def test_palette_with_a_transparent_index(tmp_path):
    image = Image.fromarray((np.arange(48 * 64).reshape(48, 64) % 3).astype(np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "p.png", transparency=1)
    read = read_image(tmp_path / "p.png")
    assert read[0, :3].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    assert read_photo(tmp_path / "p.png").alpha[0, :3].tolist() == [255, 0, 255]


def test_cmyk_without_a_profile_keeps_the_primaries(tmp_path):
    image = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    image.save(tmp_path / "red.tif")
    assert read_image(tmp_path / "red.tif")[0, 0].tolist() == [255, 0, 0]


def test_an_embedded_profile_is_converted_to_srgb(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    colour = Image.new("RGB", (40, 40), (180, 90, 40))
    to_lab = ImageCms.profileToProfile(
        colour, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    to_lab.save(tmp_path / "lab.tif", icc_profile=lab)
    assert np.abs(read_image(tmp_path / "lab.tif")[0, 0].astype(int) - (180, 90, 40)).max() <= 3


def test_a_damaged_profile_is_ignored(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "p.png", icc_profile=b"nonsense")
    assert (read_image(tmp_path / "p.png") == photo()).all()


def test_arrays_and_pillow_images():
    assert (read_image(photo()) == photo()).all()
    assert (read_image(Image.fromarray(photo())) == photo()).all()
    assert (read_image(photo().astype(np.uint16) * 257) == photo()).all()
    assert (read_image(photo() / 255.0) == photo()).all()
    assert (read_image(photo()[..., 0]) == photo()[..., :1]).all()


@pytest.mark.parametrize(
    "array, match",
    [
        (np.full((40, 40, 3), np.nan), "NaN"),
        (np.zeros((40, 40, 3), np.int64), "int64"),
        (np.zeros((40, 40, 2), np.uint8), "not an image"),
        (np.zeros((0, 40, 3), np.uint8), "not an image"),
        (np.full((40, 40), 7.0), "out-of-range"),
    ],
)
def test_wrong_arrays_are_refused(array, match):
    with pytest.raises(InputError, match=match):
        read_image(array)


def _png_claiming(width, height):
    """A PNG whose header promises a size that its data does not have."""

    def chunk(kind, data):
        return (
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        )

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "size, match",
    [
        ((12000, 9000), "12000 x 9000 pixels.*100 million"),
        ((60000, 60000), "claims more than"),
    ],
)
def test_too_large_is_refused_without_a_leaking_warning(tmp_path, size, match):
    (tmp_path / "bomb.png").write_bytes(_png_claiming(*size))
    with warnings.catch_warnings(), pytest.raises(InputError, match=match):
        warnings.simplefilter("error")
        read_image(tmp_path / "bomb.png")


def test_sizes_at_the_limits():
    wide = MAX_PIXELS // 32
    assert read_image(np.zeros((32, wide // 100), np.uint8)).shape == (32, wide // 100, 3)
    with pytest.raises(InputError, match=r"64 x 31 pixels.*32"):
        read_image(np.zeros((31, 64), np.uint8))


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "empty"),
        (b"hello, this is not a picture", "text"),
        (b"%PDF-1.7 ....", "PDF"),
        (b"PK\x03\x04....", "ZIP"),
        (b"<svg xmlns=''></svg>", "SVG"),
        (b"\x00\x00\x00\x18ftypheic....", "HEIC"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "PNG image that is truncated"),
        (bytes(range(128, 138)), "."),
    ],
)
def test_what_is_not_an_image_is_named_by_its_content(tmp_path, content, match):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError, match=match) as caught:
        read_image(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tif"])
def test_damaged_files_are_refused_or_read_but_never_crash(tmp_path, suffix):
    buffer = io.BytesIO()
    Image.fromarray(photo()).save(
        buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
    )
    data = buffer.getvalue()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(40):
        damaged = bytearray(data)
        if trial % 2:
            damaged = damaged[: rng.integers(1, len(damaged))]
        else:
            for position in rng.integers(0, min(len(damaged), 400), 6):
                damaged[position] = rng.integers(0, 256)
        path = tmp_path / f"{trial}.{suffix}"
        path.write_bytes(bytes(damaged))
        try:
            read_image(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10


def test_a_panorama_is_a_photo(tmp_path):
    Image.new("RGB", (9600, 2400), "red").save(tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").shape == (2400, 9600, 3)


def test_a_jpeg_of_too_many_pixels_is_decoded_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr("maquette.photos.read.MAX_PIXELS", 500 * 400)
    Image.new("RGB", (1600, 1200), "red").save(tmp_path / "a.jpg")
    height, width, _ = read_image(tmp_path / "a.jpg").shape
    assert height * width <= 500 * 400 and width / height == pytest.approx(4 / 3, abs=0.01)
    Image.new("RGB", (1600, 1200), "red").save(tmp_path / "a.png")
    with pytest.raises(InputError, match="1600 x 1200 pixels"):
        read_image(tmp_path / "a.png")


def test_pages_of_a_tiff_are_read_one_by_one(tmp_path):
    pages = [Image.new("L", (40, 32), value) for value in (10, 20, 30)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert [page.getpixel((0, 0)) for page in read_pages(tmp_path / "a.tif")] == [10, 20, 30]


def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch):
    Image.new("RGB", (40, 32)).save(tmp_path / "a.png")
    for error in (RuntimeError("Failed to decode image"), ZeroDivisionError(), MemoryError()):
        monkeypatch.setattr(
            Image.Image, "load", lambda self, error=error: (_ for _ in ()).throw(error)
        )
        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", Image.Image.load)
        with pytest.raises(InputError, match=r"a\.png: a PNG image that is truncated or damaged"):
            read_image(tmp_path / "a.png")
