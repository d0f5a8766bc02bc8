"""Bytes and accuracy of the link's precision.

    python -m coachc.bench.link_table MODEL.onnx --calib C.npz --test T.npz

Cuts: three places where one tensor crosses (after a quarter, half and three quarters of them) and the plan's own.
Rows: float; 8 bits over the whole range, packed; the paper's quantizer (min-max, dichotomous bits, packed), with the
loss on the samples as its criterion as printed; coachc's fewest bytes at the same or a smaller loss than the paper's;
coachc, as its kept-back samples prove it. Precision is chosen on the calibration samples alone, accuracy is that of the
test samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from coachc.calib.certificate import paired_loss_bound
from coachc.calib.coding import entropy_bytes
from coachc.calib.cut_evaluator import CutEvaluator
from coachc.calib.dataset import open_dataset
from coachc.calib.ranges import Scheme
from coachc.calib.reference_answers import trial_of
from coachc.calib.refine import candidate_points, layouts_of, refine
from coachc.core.plan import MAX_BITS, MIN_BITS, UNQUANTIZED, Accuracy, BitPlan, Quantizer, Rejected
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.cost.units import parse_bandwidth
from coachc.passes.candidates.candidate_masks import boundaries
from coachc.passes.partition import Limits, describe
from coachc.passes.timeline import way_at, wire_bytes
from coachc.planning.calibration import Calibration, open_calibration
from coachc.planning.certify import certify
from coachc.planning.make_plan import make_plan
from coachc.planning.precisions import MeasuredPrecision
from coachc.planning.problem import Problem, Setting, load_problem
from coachc.runtime.bundle.deflate import coded_size
from coachc.runtime.bundle.manifest_types import Layout, Preprocess

BUDGET = 0.005
#: Test samples whose bytes are counted.
BYTES_SAMPLES = 64


@dataclass(frozen=True)
class Row:
    """One precision of one cut on the test samples.

    Attributes
    ----------
    cut, method : str
    bits : str
    size_bytes : float
        Mean of a task.
    over_entropy : float or None
        Bytes over the zero-order entropy of the codes; None without codes.
    accuracy : Accuracy
        On the test samples.
    worse_and_better : (int, int)
        Of them, how many only the whole model, and only the split one, gets right.
    """

    cut: str
    method: str
    bits: str
    size_bytes: float
    over_entropy: float | None
    accuracy: Accuracy
    worse_and_better: tuple[int, int]


def single_tensor_cuts(problem: Problem) -> list[int]:
    """Boundaries of the chain of blocks at which one tensor crosses, in the order of the model."""
    masks = boundaries(problem.blocks.chain)[1:-1]
    return [mask for mask in masks if len(problem.graph.cut_values(mask)) == 1]


def paper_bits(evaluator: CutEvaluator, admissible: Callable[[tuple[Quantizer, ...]], bool]) -> tuple[Quantizer, ...]:
    """The paper's precision: min-max ranges, the fewest bits that are admissible, found by bisection."""
    low, high = MIN_BITS - 1, MAX_BITS
    while high - low > 1:
        middle = (low + high) // 2
        if admissible(evaluator.quantizers(middle, Scheme("min-max"))):
            high = middle
        else:
            low = middle
    return evaluator.quantizers(high, Scheme("min-max"))


def at_loss_of(evaluator: CutEvaluator, paper: tuple[Quantizer, ...]) -> BitPlan:
    """Fewest coded bytes with outputs that move no further, and no larger a loss, than with these quantizers.

    The loss is that of all samples seen, the movement that of the first; the paper's quantizers, coded, are one of the
    choices.
    """
    points = candidate_points(evaluator, BitPlan(paper))
    limit, most = points[0].divergence, _lost(evaluator, paper)
    closer = sorted((p for p in points[1:] if p.divergence <= limit), key=lambda p: p.size_bytes)
    best = next((p.quantizers for p in closer if _lost(evaluator, p.quantizers) <= most), paper)
    layouts, size = layouts_of(evaluator, best)
    return BitPlan(best, layouts=layouts, coded_bytes=size)


def _lost(evaluator: CutEvaluator, quantizers: tuple[Quantizer, ...]) -> float:
    accuracy = evaluator.measure(quantizers).accuracy
    assert accuracy is not None
    return accuracy.loss


def plans_of(problem: Problem, calibration: Calibration, mask: int) -> list[tuple[str, BitPlan]]:
    """Every method's precision of one cut, from the calibration samples."""
    assert calibration.measured is not None
    evaluator = calibration.measured.evaluator(mask)

    def printed(quantizers: tuple[Quantizer, ...]) -> bool:
        accuracy = evaluator.measure(quantizers).accuracy
        return accuracy is not None and abs(accuracy.whole - accuracy.split) <= BUDGET

    printed_bits = paper_bits(evaluator, printed)
    found = [
        ("float", BitPlan(evaluator.quantizers(UNQUANTIZED))),
        ("8 bits, packed", BitPlan(evaluator.quantizers(MAX_BITS, Scheme("min-max")))),
        ("paper, as printed", BitPlan(printed_bits)),
        ("coachc, at the loss of the paper's", at_loss_of(evaluator, printed_bits)),
    ]
    start = evaluator.lowest()
    if not isinstance(start, Rejected):
        refined = refine(evaluator, start)
        way = certify(problem, way_at(problem.graph, mask, refined.plan, problem.costs), calibration).way
        accuracy = way.bits.accuracy
        assert accuracy is not None
        proven = (
            f"at most {accuracy.loss_bound:.2%}" if accuracy.certified else f"not certified, {accuracy.needed} would do"
        )
        found.append((f"coachc: {', '.join(map(str, refined.schemes))} ({proven})", way.bits))
    return found


def row_of(cut: str, method: str, problem: Problem, mask: int, plan: BitPlan, tester: CutEvaluator) -> Row:
    """What a precision sends and loses on the test samples."""
    values = [problem.graph.values[value] for value in problem.graph.cut_values(mask)]
    layouts = plan.layouts or (Layout(),) * len(values)
    size = entropy = 0.0
    codes = tester.codes(plan.quantizers, BYTES_SAMPLES)
    for value, quantizer, layout, arrays in zip(values, plan.quantizers, layouts, codes, strict=True):
        if quantizer.packed and plan.layouts:
            size += float(np.mean([coded_size(array, quantizer.bits, layout) for array in arrays]))
        else:
            size += wire_bytes(value, quantizer)
        entropy += float(np.mean([entropy_bytes(array) for array in arrays])) if arrays else 0.0
    accuracy = tester.measure(plan.quantizers).accuracy
    assert accuracy is not None
    lost = tester.losses(plan.quantizers)
    counts = int((lost > 0).sum()), int((lost < 0).sum())
    bits = "/".join(str(quantizer.bits) for quantizer in plan.quantizers)
    return Row(cut, method, bits, size, size / entropy if entropy else None, accuracy, counts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--calib", required=True)
    parser.add_argument("--test", required=True, action="append")
    parser.add_argument("--device", default="tx2")
    parser.add_argument("--bandwidth", default="20Mbit")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--image-scale", type=float, nargs=2, metavar=("SCALE", "MEAN"), help="folders of images")
    parser.add_argument("--cuts", default="chosen,early,middle,late")
    options = parser.parse_args()
    device, cloud = find_device(options.device, side="device"), find_device("a6000", side="cloud")
    link = Link(parse_bandwidth(options.bandwidth), 5e-3)
    problem = load_problem(Setting(model=options.model, device=device, cloud=cloud, link=link))
    preprocess = None
    if options.image_scale:
        height, width = problem.model.values[problem.model.inputs[0]].shape[-2:]
        scale, mean = options.image_scale
        preprocess = Preprocess((height, width), "bilinear", "rgb", "nchw", scale, (mean,) * 3, (1.0,) * 3)
    calibration = open_calibration(
        problem, options.calib, preprocess, max_samples=options.samples, budget=BUDGET, task="classify"
    )
    assert calibration.measured is not None
    inputs = [problem.model.values[name] for name in problem.model.inputs]
    tests = [
        trial_of(problem.model.proto, open_dataset(path, inputs, preprocess, max_samples=5000), "classify", None)
        for path in options.test
    ]
    cuts = single_tensor_cuts(problem)
    masks = {
        "early": cuts[len(cuts) // 4],
        "middle": cuts[len(cuts) // 2],
        "late": cuts[3 * len(cuts) // 4],
    }
    if "chosen" in options.cuts:
        plan = make_plan(problem, calibration, Limits(), mode="split").plan
        masks = {"chosen": plan.way.mask, **masks}
    for name, mask in masks.items():
        if name not in options.cuts:
            continue
        print(f"\n{problem.model.name}, {name} cut: {describe(problem.graph.cut_values(mask))}", flush=True)
        plans = plans_of(problem, calibration, mask)
        for trial, path in zip(tests, options.test, strict=True):
            print(f"  {path}, {trial.data.samples} samples")
            tester = MeasuredPrecision(problem, trial, BUDGET).evaluator(mask)
            for method, bits in plans:
                print(f"    {_text(row_of(name, method, problem, mask, bits, tester))}", flush=True)


def _text(row: Row) -> str:
    """One line; the bounds are those of the paired loss, each 95 % one-sided."""
    accuracy = row.accuracy
    samples = accuracy.samples
    worse, better = row.worse_and_better
    entropy = f"{row.over_entropy:.3f} x entropy" if row.over_entropy is not None else ""
    return (
        f"{row.method:<52} {row.bits:>8} bits {row.size_bytes:10,.0f} bytes  {entropy:<16} "
        f"top-1 {accuracy.split:.2%} (float {accuracy.whole:.2%}, lost {accuracy.loss:+.2%}, "
        f"{-paired_loss_bound(better, worse, samples):.2%} to {paired_loss_bound(worse, better, samples):.2%})"
    )


if __name__ == "__main__":
    main()
