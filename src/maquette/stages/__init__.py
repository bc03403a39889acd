"""The stations between a photo and its instances, in the order in which an object passes them:
perceive, crop, lift, sample, decode, fuse, colour, place, check.

Beside them stand ``frame`` (of perceive), ``zoom`` (one object through the middle stations),
``azimuth`` (an ablation) and ``viewpoint`` (for models that do not tell their camera).
"""
