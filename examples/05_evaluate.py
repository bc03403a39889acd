"""Score a scene against its truth under a named protocol. Objects are matched by label, or by
node name where a file tells no labels; a missing one counts as zero.

Uses `scene.glb` of example 02 and `truth.glb` of example 01.
"""

from maquette.evaluate import load_pair, score_scene

predicted, truth = load_pair("scene.glb", "truth.glb")
score = score_scene(predicted, truth, "iscene")
print(
    f"{score.protocol}: scene F {score.f_s:.1f} %, object F {score.f_o:.1f} %, box IoU "
    f"{score.iou_b:.2f}"
)
print(
    f"without any alignment: scene F {score.f_s_raw:.1f} %, object F {score.f_o_raw:.1f} %, box "
    f"IoU {score.iou_b_raw:.2f}"
)
for row in score.objects:
    print(f"  {row.name}: {row.miss or f'F {row.f_o:.1f} %, box IoU {row.iou_b:.2f}'}")
