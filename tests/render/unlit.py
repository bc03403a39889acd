"""Pictures without light, for laws of textures."""

import numpy as np

from maquette.render.assemble import assemble
from maquette.render.rasterize import rasterize
from maquette.render.texture import textured_albedo


def unlit(scene, camera=None):
    """What a camera, by default the scene's own, sees without light: colours (H, W, 3) uint8 and
    the labels of the instances (H, W) int32, both 0 where there is nothing.
    """
    scene = scene.visible()
    camera = scene.camera if camera is None else camera
    mesh = assemble(scene.instances)
    buffers = rasterize(
        mesh.vertices,
        mesh.faces,
        camera,
        vertex_colors=mesh.colors,
        face_instance=mesh.face_instance,
    )
    labels = np.array([i.label for i in scene.instances] + [0], np.int32)
    colours = textured_albedo(buffers, mesh, camera)
    return np.rint(255 * colours).astype(np.uint8), labels[buffers.instance]
