import pytest

from maquette.errors import InputError
from maquette.execute.share import Share, require_all


@pytest.mark.parametrize("of", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("count", [0, 1, 6, 7, 13])
def test_shares_are_a_partition_as_even_as_can_be(count, of):
    units = list(range(count))
    parts = [Share(number, of).part(units) for number in range(1, of + 1)]
    assert sorted(unit for part in parts for unit in part) == units
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1


def test_they_are_read_as_they_are_shown():
    assert Share.read(None) == Share() and Share().is_all
    assert Share.read("3/8") == Share(3, 8) and str(Share(3, 8)) == "3/8"


@pytest.mark.parametrize("text", ["", "3", "0/2", "3/2", "-1/2", "1/0", "a/b", "1/2/3"])
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="expected I/N"):
        Share.read(text)


def test_what_is_missing_is_named():
    require_all([], 3, "photos")
    with pytest.raises(
        InputError, match=r"7 of 9 photos are missing: 0, 1, 2, 3, 4 \.\.\.; repeat"
    ):
        require_all([str(k) for k in range(7)], 9, "photos")
