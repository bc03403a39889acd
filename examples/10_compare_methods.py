"""One photo through several methods, side by side in one picture: `comparison.png`.

Uses the picture of example 01; put your own photo and masks in their place. With "comboverse" in
the list it takes a minute or two more.
"""

from PIL import Image

import maquette
from maquette.render.preview import comparison

METHODS = ("iscene", "midi", "coherent", "independent")

scenes = {
    name: maquette.generate("photo.png", masks="masks.png", method=name, seed=0) for name in METHODS
}
Image.fromarray(comparison(scenes)).save("comparison.png")
for name, scene in scenes.items():
    agreement = sum(instance.confidence for instance in scene.instances) / max(
        len(scene.instances), 1
    )
    print(
        f"{name}: {len(scene.instances)} objects in "
        f"{sum(scene.provenance['seconds'].values()):.1f} s, "
        f"their silhouettes agree with the masks to {100 * agreement:.0f} %"
    )
