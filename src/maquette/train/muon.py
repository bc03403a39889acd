"""Muon: an optimiser in whose steps matrices move by orthogonal matrices, and everything else as in
AdamW.

In the flow: gradients of a step (loop.py) -> Muon -> new weights. A matrix's momentum is replaced
by the orthogonal matrix nearest to it before it is added, so that all its directions are learnt at
the same speed and not the few that dominate every gradient (K. Jordan and others, "Muon: an
optimizer for hidden layers in neural networks", 2024). Its length is that of an update of AdamW, so
one learning rate serves both (J. Liu and others, "Muon is scalable for LLM training", 2025, eq. 4).
docs/log.md has what it is worth here.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from maquette.models.backbone import Backbone, Trunk

LEAST_RANK = 16  # a matrix that is thinner than this has too few directions to balance
UPDATE_RMS = 0.2  # root mean square of the entries of an update of AdamW, by experience
# An odd quintic polynomial that, applied five times, brings all singular values from (0.01, 1] to
# about 1 (0.7 to 1.2).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


_Trained = tuple[Tensor, Tensor]  # a parameter and its gradient


def orthogonalised(matrices: Tensor) -> Tensor:
    """About the nearest semi-orthogonal matrix (U V^T of the singular value decomposition) of every
    matrix (..., M, N), in its dtype.

    Newton-Schulz iterations, which need products of matrices only; singular values come out between
    0.7 and 1.2.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x


def weight_matrices(model: nn.Module) -> list[Tensor]:
    """The trained weights of linear layers and convolutions, seen as (outputs, inputs x window);
    not of embeddings, of thin layers, or of a backbone, which orthogonal steps would make forget.
    """
    layers = (nn.Linear, nn.modules.conv._ConvNd)
    trained_before = [part for part in model.modules() if isinstance(part, (Backbone, Trunk))]
    left_out = {id(layer) for part in trained_before for layer in part.modules()}
    weights = [
        module.weight
        for module in model.modules()
        if isinstance(module, layers) and id(module) not in left_out
    ]
    unique = list(dict.fromkeys(weight for weight in weights if weight.requires_grad))
    return [weight for weight in unique if min(weight.shape[0], weight[0].numel()) >= LEAST_RANK]


class Muon(torch.optim.Optimizer):
    """Muon for ``weight_matrices(model)`` and AdamW for the other parameters that are trained;
    weight decay leaves vectors out.

    ``dtype``: of the orthogonalisation; bfloat16 is enough, where the hardware multiplies it.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        weight_decay: float = 0.01,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        balanced = weight_matrices(model)
        mine = {id(p) for p in balanced}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in mine]
        others = [p for p in rest if p.ndim >= 2]
        vectors = [p for p in rest if p.ndim < 2]
        groups: list[dict[str, Any]] = [
            {
                "params": balanced,
                "matrices": True,
                "weight_decay": weight_decay,
            },
            {
                "params": others,
                "matrices": False,
                "weight_decay": weight_decay,
            },
            {
                "params": vectors,
                "matrices": False,
                "weight_decay": 0.0,
            },
        ]
        defaults = {
            "lr": learning_rate,
            "momentum": momentum,
            "betas": betas,
            "eps": 1e-8,
        }
        super().__init__([group for group in groups if group["params"]], defaults)
        self._dtype = dtype

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # takes no closure: the loop has gradients
        """One update of all parameters that have a gradient."""
        for group in self.param_groups:
            trained = [(p, p.grad) for p in group["params"] if p.grad is not None]
            for p, _ in trained:
                p.mul_(1 - group["lr"] * group["weight_decay"])
            (self._step_matrices if group["matrices"] else self._step_adamw)(group, trained)

    def _step_matrices(self, group: dict[str, Any], trained: list[_Trained]) -> None:
        """Along the orthogonalised momentum; an update's RMS is that of AdamW."""
        # matrices of the same shape are orthogonalised together
        alike: dict[tuple[int, int], list[_Trained]] = {}
        for p, gradient in trained:
            alike.setdefault((p.shape[0], p[0].numel()), []).append((p, gradient))
        for (rows, columns), part in alike.items():
            momenta = [self._momentum(p, gradient, group["momentum"]) for p, gradient in part]
            ahead = torch.stack([momentum.flatten(1).to(self._dtype) for momentum in momenta])
            length = group["lr"] * UPDATE_RMS * math.sqrt(max(rows, columns))
            for (p, _), direction in zip(part, orthogonalised(ahead)):
                p.add_(direction.view_as(p), alpha=-length)

    def _momentum(
        self,
        p: Tensor,
        gradient: Tensor,
        share: float,
    ) -> Tensor:
        """Sum of the gradients so far, each ``share`` of the next; as it will be after one more of
        the same (Nesterov).
        """
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        return gradient.add(state["momentum"].mul_(share).add_(gradient), alpha=share)

    def _step_adamw(self, group: dict[str, Any], trained: list[_Trained]) -> None:
        """For vectors, embeddings and what else is no matrix."""
        first, second = group["betas"]
        for p, gradient in trained:
            state = self.state[p]
            if not state:
                state |= {
                    "steps": 0,
                    "mean": torch.zeros_like(p),
                    "square": torch.zeros_like(p),
                }
            state["steps"] += 1
            state["mean"].lerp_(gradient, 1 - first)
            state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
            known = 1 - second ** state["steps"]  # share of the sum that is not its start of 0
            width = (state["square"] / known).sqrt_().add_(group["eps"])
            length = group["lr"] / (1 - first ** state["steps"])
            p.addcdiv_(state["mean"], width, value=-length)
