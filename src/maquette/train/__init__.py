"""Training: one loop, and one task per network (what a sample is, what the loss is, how it is
judged).
"""
