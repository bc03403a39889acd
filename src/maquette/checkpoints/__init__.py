"""Weights: safetensors files that carry their model's configuration, and the weights that ship with
the package.
"""
