"""What a rendered view shows, as the sentences of ``models.sentences`` see it.

In the flow: views of random scenes -> things -> captions and pictures (data/pictures.py) for the
text-to-image model.
"""

from __future__ import annotations

import numpy as np

from maquette.data.catalogue import Catalogue
from maquette.data.views import View
from maquette.models.nouns import noun_of
from maquette.models.sentences import Thing, colour_word


def things_of(view: View, catalogue: Catalogue) -> tuple[Thing, ...]:
    """All masked objects of a view, in the order of its labels; colours are those of the visible
    pixels, "" when there are none.
    """
    things = []
    for label, placement in enumerate(view.placements, 1):
        matrix = view.scene_from_world @ placement.world_from_asset
        reach = np.abs(matrix[:3, :3]) @ (0.5 * catalogue.extents[placement.asset])
        pixels = view.image[view.instance == label]
        colour = colour_word(pixels) if len(pixels) else ""
        middle = matrix[:3, 3]
        box = np.stack([middle - reach, middle + reach])
        things.append(Thing(noun_of(catalogue.names[placement.asset]), colour, box))
    return tuple(things)
