"""Photos in, folders with results out: which photo goes with which masks, what is finished, and
all-or-nothing writing.
"""
