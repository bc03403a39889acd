"""Rectified flow: path, schedules, samplers and guidance as pure functions on tensors. No networks,
no files.
"""
