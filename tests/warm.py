"""Imported where the processes of the tests are copied from: what this has imported, and kernels
that it has loaded by calling them once, none of the copies has to. Nothing here may leave threads
behind, which copies lack.
"""

import contextlib

import cv2
import torch
from torch import nn

from maquette.data.fields import compute_field
from maquette.errors import InputError
from tests.evaluate.scenes import toy_case
from tests.train.worlds import solids

cv2.setNumThreads(1)
torch.set_num_threads(1)
torch.optim.AdamW(nn.Linear(1, 1).parameters())
toy_case(0)
with contextlib.suppress(InputError):  # without libigl
    compute_field(solids()[0])
