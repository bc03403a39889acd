"""The protocol of text-to-image priors: whoever fulfils it has every member with the protocol's
parameters.
"""

import inspect

from maquette.flow.ddpm import LinearSchedule
from maquette.models.image_prior import ImagePrior, NoiseSchedule


def lacking(candidate: type, protocol: type) -> list[str]:
    """Methods of a protocol that a class lacks or takes other parameters for."""
    methods = {
        name: value
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    return [
        name
        for name, wanted in methods.items()
        if not callable(getattr(candidate, name, None))
        or list(inspect.signature(getattr(candidate, name)).parameters)
        != list(inspect.signature(wanted).parameters)
    ]


def test_the_comparison_of_members_can_fail():
    class Half:
        def words(self, prompt): ...
        def encode(self, pictures, mode): ...

    assert set(lacking(Half, ImagePrior)) == {"context", "encode", "decode", "noise", "inpaint"}


def test_the_linear_schedule_of_the_house_is_a_noise_schedule():
    assert lacking(LinearSchedule, NoiseSchedule) == [] and LinearSchedule().signal().shape == (
        LinearSchedule().steps,
    )
