"""Trains a network on scenes of digits: the loop, the optimiser and the schedule that both small networks share.

No scene is seen twice: each batch is drawn as it is needed, so that nothing has to be kept and nothing can be learnt by
heart except the digits themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from coachc.errors import ToolchainError
from coachc.models.canvases import Scene, as_input, scene
from coachc.models.digits import reproducible

if TYPE_CHECKING:
    import torch

    Loss = Callable[[torch.nn.Module, torch.Tensor, list[Scene]], torch.Tensor]
    #: What makes a network with random weights, and (network, pictures [BATCH, 3, 128, 128], their scenes) -> its loss.
    Parts = tuple[Callable[[], torch.nn.Module], Loss]

BATCH = 32
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.02
# Of the training scenes; a test scene of the same number is another one.
SEED = 0


def train_on_scenes(
    parts: Callable[[], Parts],
    *,
    of: int,
    steps: int,
    report: Callable[[int, float], None],
) -> torch.nn.Module:
    """Run the first `steps` steps of a training of `of`.

    Parameters
    ----------
    parts : callable
        Imports what needs torch and returns it: the network's class and its loss.
    of : int
        Steps over which the learning rate rises and falls.
    steps : int
        At most `of`; fewer show that training repeats without taking minutes.
    report : callable
        Is given the number of each step, from 0, and its loss.

    Returns
    -------
    torch.nn.Module
        In evaluation mode. The same weights on the same kind of processor, and nearly the same on another.

    Raises
    ------
    ToolchainError
        If torch or scikit-learn is not installed.
    """
    try:
        import torch
    except ImportError as exc:
        raise ToolchainError("training needs torch", hint="pip install 'coachc[export]'") from exc
    make, loss_of = parts()
    with reproducible(SEED):
        net = make()
        optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=of, pct_start=0.1)
        for step in range(steps):
            batch = [scene(SEED, index, train=True) for index in range(step * BATCH, (step + 1) * BATCH)]
            loss = loss_of(net, torch.from_numpy(as_input([one.picture for one in batch])), batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            report(step, float(loss.detach()))
    return net.eval()


def print_progress(step: int, loss: float) -> None:
    """Every hundredth loss, on stderr."""
    if step % 100 == 0:
        typer.echo(f"step {step}: loss {loss:.3f}", err=True)
