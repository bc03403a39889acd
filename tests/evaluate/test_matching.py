import numpy as np
import pytest

from maquette.errors import InputError
from maquette.evaluate.matching import match_by_box, match_objects, require_common_name


def box(x, side=1.0):
    return np.array([[x, 0, 0], [x + side, side, side]])


def test_names_match_only_themselves():
    truth = {"a": box(0), "b": box(2), "c": box(4)}
    assert match_objects({"b": box(9), "a": box(9), "z": box(0)}, truth) == {"a": "a", "b": "b"}


def test_boxes_match_under_any_names_and_order():
    truth = {"a": box(0), "b": box(2), "c": box(4)}
    predicted = {"p": box(4.2), "q": box(0.1), "r": box(1.9)}
    assert match_by_box(predicted, truth) == {"a": "q", "b": "r", "c": "p"}
    assert match_by_box(dict(reversed(predicted.items())), truth) == {"a": "q", "b": "r", "c": "p"}


def test_boxes_that_do_not_overlap_go_to_the_nearest():
    assert match_by_box({"far": box(10), "near": box(1.5)}, {"a": box(0)}) == {"a": "near"}
    assert match_by_box({}, {"a": box(0)}) == {}


def test_bad_requests_are_refused():
    with pytest.raises(InputError, match=r"prediction \['x'\], ground truth \['a', 'b'\]"):
        require_common_name({"x": 0}, {"a": 0, "b": 0})
    require_common_name({}, {"a": 0})
    with pytest.raises(InputError, match="'names' or 'hungarian'"):
        match_objects({}, {}, "colour")
