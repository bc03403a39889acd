import re

import pytest

from maquette.checkpoints.catalogue import HUB_MODELS, RELEASES, hub_folder, release
from maquette.errors import InputError

FILES = [(r.name, s.repository, f) for r in RELEASES for s in r.sources for f in s.files]


def test_every_release_says_what_people_must_know():
    for found in RELEASES:
        assert (
            found.licence
            and found.limits
            and found.paper
            and found.what.endswith(".")
            and release(found.name) is found
        )


def test_pins_are_whole_commits_and_sums_are_whole_sha256():
    for found in RELEASES:
        for source in found.sources:
            assert source.revision is None or re.fullmatch("[0-9a-f]{40}", source.revision)
    for _, _, file in FILES:
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)


def test_only_safetensors_and_small_texts_are_asked_for():
    for name, _, file in FILES:
        pickle = file.path.endswith(".pt")  # I-Scene's two; fetch takes their tensors out
        assert file.path.endswith((".safetensors", ".json", ".yml")) or (
            pickle and name == "trellis-iscene"
        )
        assert file.path.endswith(".safetensors") or pickle or file.bytes < 10_000


def test_half_precision_files_have_two_bytes_per_parameter():
    """The TRELLIS files store the trunk in half precision: element counts of the networks give the
    sizes to within the header and norms.
    """
    elements = {
        "ss_flow": 559_737_864,
        "ss_dec": 73_671_201,
        "slat_flow": 600_432_520,
        "slat_dec_mesh": 90_926_693,
    }
    sizes = {
        f.path.partition("/")[2]: f.size
        for _, repository, f in FILES
        if repository.startswith("microsoft") and f.size
    }
    for prefix, count in elements.items():
        size = next(size for path, size in sizes.items() if path.startswith(prefix))
        assert 1 <= size / (2 * count) < 1.02


def test_one_repository_is_pinned_once():
    pins: dict[str, set] = {}
    for found in RELEASES:
        for source in found.sources:
            pins.setdefault(source.repository, set()).add(source.revision)
    assert all(len(found) == 1 for found in pins.values())


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="trellis-iscene"):
        release("dall-e")


@pytest.mark.parametrize("wanted", ["depth", "masks", "boxes"])
@pytest.mark.parametrize("name", ["nonsense", "sam2.1", "moge-2-vits"])
def test_whoever_wants_depth_is_not_offered_masks(wanted, name, tmp_path):
    there = {found.name: found.gives for found in HUB_MODELS}
    with pytest.raises(InputError) as refused:
        hub_folder(name, tmp_path, gives=wanted)
    if there.get(name) == wanted:
        assert f"models fetch {name}" in str(refused.value)
        return
    listed = str(refused.value).partition(": ")[2]
    for other, gives in there.items():
        assert (other in listed) == (gives == wanted)
