"""The small segmenter: its training and the committed `digits_segmenter.onnx`.

    python -m coachc.models.digits_segmenter train -o models/digits_segmenter.onnx
    python -m coachc.models.digits_segmenter data scenes --count 100 --seed 7

Input: RGB float32 [N, 3, 128, 128] in [0, 1]. Output: `logits` [N, 11, 128, 128], of the background and the ten digits.
Masks of other forms are made by `segmenter_heads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from coachc.models.canvases import SIZE, as_input, scenes, write_segmentation_set
from coachc.models.digits import run_program
from coachc.models.onnx_writer import INPUT, OUTPUT, check_opset, check_output, write_onnx
from coachc.models.scene_scores import mean_iou
from coachc.models.scene_training import print_progress, train_on_scenes

if TYPE_CHECKING:
    import torch

    from coachc.models.scene_training import Parts

SEGMENTER_FILE = Path(__file__).with_name("digits_segmenter.onnx")
INPUT_SHAPE = (3, SIZE, SIZE)
STEPS = 1400
# Of the scenes that the agreement is computed on.
TEST_SEED = 7
TEST_SCENES = 300


def train(*, steps: int = STEPS, report: Callable[[int, float], None] = lambda step, loss: None) -> torch.nn.Module:
    """Train the network, a `SegmenterNet`; some fifteen minutes on one core. See `scene_training.train_on_scenes`."""

    def parts() -> Parts:
        from coachc.models.segmenter_loss import segmenter_loss
        from coachc.models.segmenter_net import SegmenterNet

        return SegmenterNet, segmenter_loss

    return train_on_scenes(parts, of=STEPS, steps=steps, report=report)


def score(path: Path, *, count: int = TEST_SCENES, seed: int = TEST_SEED) -> float:
    """Mean IoU of a file on test scenes, 0 to 1, computed with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    test = list(scenes(count, seed))
    found = [session.run([OUTPUT], {INPUT: as_input([one.picture])})[0].argmax(1) for one in test]
    return mean_iou(np.concatenate(found), test)


app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the small segmenter, or write its data.")


@app.command("train")
def train_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.")],
    opset: Annotated[int, typer.Option(help="ONNX opset, 9 to 20.")] = 13,
) -> None:
    """Train on scenes of training digits, write the network, print its mean IoU on scenes of held-out digits."""
    check_opset(opset)
    check_output(output)
    net = train(report=print_progress)
    write_onnx(net, INPUT_SHAPE, output, opset=opset)
    typer.echo(f"{output}: mean IoU {score(output):.3f} on {TEST_SCENES} test scenes")


@app.command("data")
def data_command(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")],
    count: Annotated[int, typer.Option(min=1, help="Scenes.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the scenes.")] = TEST_SEED,
) -> None:
    """Write test scenes as pictures/*.png and masks/*.png."""
    write_segmentation_set(folder, count, seed)
    typer.echo(f"{folder}: {count} scenes")


def main() -> None:
    """Run the command line of this module."""
    run_program(app)


if __name__ == "__main__":
    main()
