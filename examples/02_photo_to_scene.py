"""One photo and its masks become a 3D scene: look at what came out, and write it for other programs
and for maquette itself.

Uses the picture of example 01; put your own photo and masks in their place.
"""

import maquette

scene = maquette.generate("photo.png", masks="masks.png", seed=0)

for instance in scene.instances:
    low, high = (
        instance.box
    )  # in the scene frame: +Y up, the camera looks along -Z, the longest side of everything is 1
    width, height, depth = high - low
    print(
        f"{instance.node_name}: {width:.2f} x {height:.2f} x {depth:.2f}, "
        f"{len(instance.mesh.faces)} faces, "
        f"agrees with its mask to {100 * instance.confidence:.0f} %"
    )
for failure in scene.failures:  # what could not be made is said, never replaced by a dummy
    print(f"instance {failure.label} failed at {failure.stage}: {failure.reason}")

scene.export("scene.glb")  # for Blender, game engines, the web
scene.export("scene.json")  # for maquette: everything, without loss
print(f"scene.glb, scene.json; seconds per stage: {scene.provenance['seconds']}")
