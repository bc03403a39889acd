"""The protocol of text-to-image priors: whoever fulfils it has every member with the protocol's
parameters.
"""

import inspect

from maquette.flow.ddpm import LinearSchedule
from maquette.flow.distillation import NoiseSchedule
from maquette.models.image_prior import ImagePrior


def takes(method: object, wanted: inspect.Signature) -> bool:
    """Whether it has the wanted parameters; further ones come after them and have a default."""
    own = list(inspect.signature(method).parameters.values())
    names = list(wanted.parameters)
    further = own[len(names) :]
    return [p.name for p in own[: len(names)]] == names and all(
        p.default is not inspect.Parameter.empty for p in further
    )


def lacking(candidate: type, protocol: type) -> list[str]:
    """Methods of a protocol that a class lacks or takes other parameters for."""
    methods = [
        (name, inspect.signature(method))
        for name, method in inspect.getmembers(protocol, inspect.isfunction)
        if not name.startswith("_")
    ]
    return [
        name
        for name, wanted in methods
        if not callable(getattr(candidate, name, None))
        or not takes(getattr(candidate, name), wanted)
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
