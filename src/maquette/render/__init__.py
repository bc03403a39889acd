"""Meshes to pixels on the CPU: rasterise, shade, compare silhouettes, and pictures of results for
people. No files.
"""
