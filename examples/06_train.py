"""Train a tiny volume VAE for a few steps, stop, and resume: what `maquette train` does, from
Python.

Uses `library/` of example 01. A real run takes the preset "cpu" or "gpu" and minutes instead of
steps; see docs/training.md.
"""

from maquette.options.training import LoopConfig, RunOptions
from maquette.train.loop import Run
from maquette.train.runs import build_task

options = RunOptions(network="volume-vae", library="library", held_out="library", preset="tiny")
settings = {
    "steps": 40,
    "batch": 4,
    "learning_rate": 3e-3,
    "warmup": 5,
    "workers": 0,
    "log_every": 5,
}

run = Run(build_task(options), "run", LoopConfig(**settings, slice_minutes=0.005))
run.train(log=print)  # ends after the slice, in the middle of the schedule

resumed = Run(build_task(options), "run", LoopConfig(**settings))
resumed.resume()
resumed.train(log=print)  # continues exactly where it stopped
losses = [row["loss"] for row in resumed.rows if "loss" in row]
print(
    f"loss {losses[0]:.3f} -> {losses[-1]:.3f}; run/weights.safetensors, run/log.csv, run/loss.png"
)
