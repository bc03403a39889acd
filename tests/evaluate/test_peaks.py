import math
from pathlib import Path

import numpy as np
import pytest

from maquette.evaluate.peaks import measured_cost

resettable = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux resets the peak of a process"
)


@resettable
def test_a_peak_belongs_to_its_call_only():
    with measured_cost() as before:
        pass
    with measured_cost() as large:
        np.ones(200 * 2**17).sum()  # 200 MB
    with measured_cost() as after:
        pass
    assert large.peak_mb - before.peak_mb == pytest.approx(200, abs=20)
    assert abs(after.peak_mb - before.peak_mb) < 50


def test_a_failing_call_is_measured_too():
    with pytest.raises(ValueError), measured_cost() as cost:
        raise ValueError
    assert cost.seconds >= 0 and math.isnan(cost.gpu_peak_mb)
