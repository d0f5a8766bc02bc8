"""The small detector: its training and the committed `digits_detector.onnx`.

    python -m coachc.models.digits_detector train -o models/digits_detector.onnx
    python -m coachc.models.digits_detector data scenes --count 100 --seed 1

Input: RGB float32 [N, 3, 128, 128] in [0, 1]. What the outputs mean is said in `detector_outputs.py`; the same boxes in
the layouts of well-known detectors are made by `detector_heads.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coachc.models.canvases import SIZE, as_input, scenes, write_detection_set
from coachc.models.detector_outputs import OUTPUT_NAMES, boxes_and_scores, detections
from coachc.models.digits import run_program
from coachc.models.onnx_writer import INPUT, check_opset, check_output, write_onnx
from coachc.models.scene_scores import mean_ap50
from coachc.models.scene_training import print_progress, train_on_scenes

if TYPE_CHECKING:
    import torch

    from coachc.models.scene_training import Parts

DETECTOR_FILE = Path(__file__).with_name("digits_detector.onnx")
INPUT_SHAPE = (3, SIZE, SIZE)
STEPS = 1400
# Of the scenes that the accuracy is computed on.
TEST_SEED = 7
TEST_SCENES = 300


def train(*, steps: int = STEPS, report: Callable[[int, float], None] = lambda step, loss: None) -> torch.nn.Module:
    """Train the network, a `DetectorNet`; about eight minutes on one core. See `scene_training.train_on_scenes`."""

    def parts() -> Parts:
        from coachc.models.detector_loss import detector_loss
        from coachc.models.detector_net import DetectorNet

        return DetectorNet, detector_loss

    return train_on_scenes(parts, of=STEPS, steps=steps, report=report)


def score(path: Path, *, count: int = TEST_SCENES, seed: int = TEST_SEED) -> float:
    """Mean average precision at IoU 0.5 of a file on test scenes, 0 to 1, computed with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    test = list(scenes(count, seed))
    found = []
    for one in test:
        boxes, scores = boxes_and_scores(session.run(list(OUTPUT_NAMES), {INPUT: as_input([one.picture])}))
        found.append(detections(boxes[0], scores[0]))
    return mean_ap50(found, test)


app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the small detector, or write its data.")


@app.command("train")
def train_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="ONNX file to write.")],
    opset: Annotated[int, typer.Option(help="ONNX opset, 9 to 20.")] = 13,
) -> None:
    """Train on scenes of training digits, write the network, print its accuracy on scenes of held-out digits."""
    check_opset(opset)
    check_output(output)
    net = train(report=print_progress)
    write_onnx(net, INPUT_SHAPE, output, opset=opset, outputs=OUTPUT_NAMES)
    typer.echo(f"{output}: mAP50 {score(output):.3f} on {TEST_SCENES} test scenes")


@app.command("data")
def data_command(
    folder: Annotated[Path, typer.Argument(help="Folder to write into.")],
    count: Annotated[int, typer.Option(min=1, help="Scenes.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of the scenes.")] = TEST_SEED,
) -> None:
    """Write test scenes as pictures/*.png and annotations.json, in the layout of COCO."""
    write_detection_set(folder, count, seed)
    typer.echo(f"{folder}: {count} scenes")


def main() -> None:
    """Run the command line of this module."""
    run_program(app)


if __name__ == "__main__":
    main()
