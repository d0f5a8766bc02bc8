"""Exits, loss, bytes and latency of every online policy on real data.

    python -m coachc.bench.online_table DATA [ROWS]

DATA is a folder with weights, pictures, clips and features. Rows: a CIFAR ResNet56 cut early, in the middle, at 70 %
and late; MobileNetV2 on ImageNet pictures; MobileNetV2 with a head for three UCF101 classes, and VGG16's features of
14 of them, at three levels of correlation as COACH Table II defines them: random frames, continuous frames of random
clips, continuous frames of one clip after another. Calibration and test samples are disjoint, clips by their group.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coachc.bench.link_table import single_tensor_cuts
from coachc.bench.online_data import MOBILENET, cifar, imagenet, ucf_frames, ucf_model
from coachc.calib.certificate import LEVEL
from coachc.calib.division import divide
from coachc.calib.online.online_policy import CutTimes, Online, Part, build
from coachc.calib.online.policy_losses import Sent as SentLosses
from coachc.calib.refine import quickly_coded
from coachc.core.plan import Rejected
from coachc.cost.device_files import find_device
from coachc.cost.link import Link
from coachc.emit import bundle_writer
from coachc.emit.cuts import emit_cuts
from coachc.evaluate.bandwidth_trace import constant
from coachc.evaluate.evaluate_bundle import EvalOptions, policies_of, replay_kinds
from coachc.evaluate.replay_figures import Measured
from coachc.evaluate.tasks import BundleTasks, Sent, Tasks
from coachc.passes.partition import describe
from coachc.passes.timeline import way_at
from coachc.planning.calibration import open_calibration
from coachc.planning.certify import certify
from coachc.planning.online import alone_policies
from coachc.planning.problem import Problem, Setting, load_problem
from coachc.runtime.bundle.manifest_types import Preprocess
from coachc.runtime.bundle.source import open_source
from coachc.runtime.bundle.store import Bundle, open_bundle
from coachc.runtime.online.policy import Policy
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.scoring import scores, similarities

BUDGET = 0.005
BANDWIDTH = 2.5e6
RTT_S = 5e-3
KINDS = ("none", "paper", "default", "oracle")


@dataclass(frozen=True)
class Row:
    """One model at one cut on one order of the test samples.

    Attributes
    ----------
    name : str
    results : dict of str to Measured
        By policy.
    paper_at_equal_loss : float
        Share of exits of the paper's score, were its threshold set on these test samples so that as many exits differ
        from the model's answer as with the default policy.
    """

    name: str
    results: dict[str, Measured]
    paper_at_equal_loss: float


def setting(model: str) -> Setting:
    """TX2, 20 Mbit/s, A6000: the paper's weaker pair."""
    return Setting(
        model=model,
        device=find_device("tx2", side="device"),
        cloud=find_device("a6000", side="cloud"),
        link=Link(BANDWIDTH, RTT_S),
    )


def bundle_at(
    problem: Problem, mask: int, calib: str, preprocess: Preprocess | None, samples: int, path: Path
) -> tuple[Bundle, Online]:
    """A bundle cut where one wants it, with the policies of that cut."""
    calibration = open_calibration(problem, calib, preprocess, max_samples=samples, budget=BUDGET, task="classify")
    assert calibration.measured is not None
    evaluator = calibration.measured.evaluator(mask)
    bits = evaluator.lowest()
    if isinstance(bits, Rejected):
        raise SystemExit(f"no precision keeps the budget: {bits.reason}")
    bits = quickly_coded(evaluator, bits)
    ladder = tuple(
        tuple(evaluator.quantizer(place, wide) for wide in range(2, 9)) if q.packed else ()
        for place, q in enumerate(bits.quantizers)
    )
    bits = type(bits)(bits.quantizers, bits.accuracy, ladder, bits.layouts, bits.coded_bytes)
    certified = certify(problem, way_at(problem.graph, mask, bits, problem.costs), calibration)
    way, online = certified.way, certified.online
    assert isinstance(online, Online), online
    given = setting("")
    emitted = emit_cuts(problem.model, problem.graph, [way], given.device, given.cloud)
    bundle = bundle_writer.write(
        path,
        problem.model,
        emitted,
        sides={"device": (given.device, problem.costs.device), "cloud": (given.cloud, problem.costs.cloud)},
        link=problem.costs.link,
        calibrated=True,
        preprocess=preprocess,
        task="classify",
        summary={},
        policies={"split": online.policies, "device-only": alone_policies("device-only", problem)},
        force=True,
    )
    return open_bundle(str(bundle.path)), online


def row(name: str, tasks: Tasks, order: np.ndarray, policies: dict[str, dict[str, Policy]], cut: str) -> Row:
    """Every policy over the same tasks."""
    options = EvalOptions(data="", trace=constant(BANDWIDTH), rtt_s=RTT_S, kinds=KINDS, cuts=False)
    results = replay_kinds(tasks, order, policies, cut, options)
    default = results["default"]
    wrong = round(default.tasks * default.exits.value * (1 - default.exit_agreement.value))
    return Row(name, results, _paper_at(tasks, order, policies[cut]["paper"], cut, wrong))


def _paper_at(tasks: Tasks, order: np.ndarray, policy: Policy, cut: str, wrong: int) -> float:
    """The largest share of exits of Eq. 9, centres as calibrated, no more than `wrong` of them other than the model."""
    if policy.exits is None:
        return 0.0
    scorer = policy.exits.scorer
    features = np.stack([tasks.feature(int(task), cut) for task in order])
    best, score = scores(scorer.kind, similarities(scorer, features, scorer.weights))
    differs = np.array(scorer.labels)[best] != np.array([tasks.alone(int(task)) for task in order])
    count = np.cumsum(differs[np.argsort(-score, kind="stable")])
    return float(np.searchsorted(count, wrong, side="right") / len(order))


def resnet56(data: Path, scratch: Path) -> Iterator[Row]:
    """Four depths; calibrated with 2,000 JPEG pictures that the network was not trained on, tested on others."""
    calib = cifar(data, "cifar10_test_jpeg_2500", scratch / "calib.npz", slice(2000))
    tests = {
        "lossless": cifar(data, "cifar10_test_lossless_500", scratch / "test.npz"),
        "JPEG": cifar(data, "cifar10_test_jpeg_2500", scratch / "jpeg.npz", slice(2000, None)),
    }
    problem = load_problem(setting(str(data / "weights" / "cifar10_resnet56.onnx")))
    cuts = single_tensor_cuts(problem)
    for place, share in (("early", 0.25), ("middle", 0.5), ("70 % deep", 0.7), ("late", 0.85)):
        mask = cuts[int(share * len(cuts))]
        bundle, online = bundle_at(problem, mask, calib, None, 2000, scratch / "r56.coach")
        where = describe(problem.graph.cut_values(mask)).replace("_output_0", "").removeprefix("cut at ")
        for kind, test in tests.items():
            tasks = tasks_of(bundle, test, online)
            order = np.random.default_rng(0).permutation(len(tasks))
            yield row(f"ResNet56 {place} ({where}), {kind}", tasks, order, policies_of(bundle), "split")


def mobilenet(data: Path, scratch: Path) -> Iterator[Row]:
    """ImageNet: one calibration picture a class, so that no class has been seen twice."""
    calib = imagenet(data, "imagenet_sample_1per_class_1000", scratch / "calib")
    test = imagenet(data, "imagenet_nips2017dev_500", scratch / "test")
    problem = load_problem(setting(str(data / "weights" / "imagenet_mobilenet_v2_1.0_224.onnx")))
    cuts = single_tensor_cuts(problem)
    for place, share in (("middle", 0.5), ("late", 0.9)):
        bundle, online = bundle_at(problem, cuts[int(share * len(cuts))], calib, MOBILENET, 1000, scratch / "mb.coach")
        tasks = tasks_of(bundle, test, online)
        order = np.random.default_rng(0).permutation(len(tasks))
        yield row(f"MobileNetV2 {place}, ImageNet", tasks, order, policies_of(bundle), "split")


def ucf(data: Path, scratch: Path) -> Iterator[Row]:
    """Three classes of UCF101, clips split by group."""
    model = ucf_model(data, scratch / "ucf.onnx")
    seen = ("Punch_g01", "YoYo_g01", "YoYo_g08", "ApplyEyeMakeup_g01", "ApplyEyeMakeup_test_first")
    fresh = ("Punch_g02", "YoYo_g03", "ApplyEyeMakeup_test_rest")
    calib = ucf_frames(data, seen, scratch / "ucf_calib.npz", 5)
    test = ucf_frames(data, fresh, scratch / "ucf_test.npz", 20)
    problem = load_problem(setting(model))
    cuts = single_tensor_cuts(problem)
    for place, share in (("middle", 0.5), ("late", 0.9)):
        bundle, online = bundle_at(problem, cuts[int(share * len(cuts))], calib, None, 5000, scratch / "ucf.coach")
        tasks = tasks_of(bundle, test, online)
        groups = np.load(test)["groups"]
        for level, order in levels(groups):
            yield row(f"UCF101x3 {place}, {level} correlation", tasks, order, policies_of(bundle), "split")


class FeatureTasks:
    """VGG16's features as tasks: the feature is what would be sent, the model behind it one linear layer."""

    def __init__(self, features: np.ndarray, logits: np.ndarray, labels: np.ndarray, rungs: tuple[Rung, ...]) -> None:
        self._features, self._logits, self._labels, self._rungs = features, logits, labels, rungs

    def __len__(self) -> int:
        return len(self._labels)

    def feature(self, task: int, cut: str) -> np.ndarray:
        return self._features[task]

    def sent(self, task: int, cut: str, rung: int) -> Sent:
        logits = self._logits[task].astype(np.float64)
        return Sent(self.alone(task), float(1 / np.exp(logits - logits.max()).sum()), self._rungs[rung].size_bytes)

    def alone(self, task: int) -> int:
        return int(self._logits[task].argmax())

    def truth(self, task: int) -> int:
        return int(self._labels[task])


def vgg16(data: Path, scratch: Path) -> Iterator[Row]:
    """Cut behind relu6: 4,096 values at 8 bits, packed; 9 ms on the device, 1 ms on the server."""
    online, tasks, groups = vgg16_case(data)
    for level, frames in levels(groups):
        yield row(f"VGG16 relu6, {level} correlation", tasks, frames, {"relu6": online.policies}, "relu6")


def vgg16_case(data: Path) -> tuple[Online, FeatureTasks, np.ndarray]:
    """Policies from two frames of each training video; 25 frames of each test video, and which video each is of."""
    with np.load(data / "features" / "ucf101_vgg16_relu6_14cls.npz") as stored:
        scale, weights, bias = stored["scale"], stored["linear_w"], stored["linear_b"]
        seen = stored["train_feat_u8"].reshape(-1, 4096).astype(np.float32) * scale
        seen_labels = np.repeat(stored["train_label"].astype(np.int64), 2)
        fresh = stored["test_feat_u8"].reshape(-1, 4096).astype(np.float32) * scale
        fresh_labels = np.repeat(stored["test_label"].astype(np.int64), 25)

    def logits(features: np.ndarray) -> np.ndarray:
        lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
        return features / lengths @ weights.T + bias

    division = divide(len(seen), np.repeat(np.arange(len(seen) // 2), 2), BUDGET)
    answers = logits(seen).argmax(axis=1)

    def part(kept: bool) -> Part:
        places = np.flatnonzero(division.kept == kept)
        # What is sent is the feature, 8 bits of it change no answer.
        sent = SentLosses(lambda rung: np.zeros(len(places)), 1, division.units[places], division.longest)
        return Part(seen[places], answers[places], seen_labels[places], sent, np.arange(len(places)))

    rungs = (Rung((8,), 4096.0),)
    times = CutTimes(9e-3, 1e-3, 1.0)
    kept = part(kept=True) if division.proves else None
    online, _ = build("relu6", part(kept=False), kept, rungs, 0, times, BUDGET, LEVEL, missing=division.missing)
    groups = np.repeat(np.arange(len(fresh) // 25), 25)
    return online, FeatureTasks(fresh, logits(fresh), fresh_labels, rungs), groups


def levels(groups: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """COACH Table II: random frames; continuous frames of random clips; continuous frames of sequential clips."""
    rng = np.random.default_rng(0)
    yield "low", rng.permutation(len(groups))
    clips = rng.permutation(np.unique(groups))
    yield "medium", np.concatenate([np.flatnonzero(groups == clip) for clip in clips])
    yield "high", np.argsort(groups, kind="stable")


def tasks_of(bundle: Bundle, test: str, online: Online) -> BundleTasks:
    """Test samples through a bundle's halves."""
    source = open_source(test, bundle.manifest.model.inputs, bundle.manifest.preprocess)
    return BundleTasks(bundle, source, {"split": online.policies["none"]})


ROWS: dict[str, Callable[[Path, Path], Iterator[Row]]] = {
    "resnet56": resnet56,
    "mobilenet": mobilenet,
    "ucf101": ucf,
    "vgg16": vgg16,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    options = parser.parse_args()
    print(
        "TX2, 20 Mbit/s, A6000; accuracy, exits and bytes measured, latency simulated from estimated stage times.\n"
        "exits with their 95 % interval; lost with its one-sided 95 % bound"
    )
    for name in options.rows:
        with tempfile.TemporaryDirectory() as scratch:
            for found in ROWS[name](options.data, Path(scratch)):
                print(_text(found), flush=True)


def _text(found: Row) -> str:
    first = next(iter(found.results.values()))
    lines = [f"\n{found.name}: {first.tasks} tasks, accuracy without exits {first.accuracy.value:.2%}"]
    for kind, m in found.results.items():
        lines.append(
            f"  {kind:<8} exits {m.exits.value:6.1%} ({m.exits.low:.1%} to {m.exits.high:.1%}), the model's answer in "
            f"{m.exit_agreement.value:7.2%}, lost {m.loss:+.2%} (at most {m.loss_bound:.2%}), "
            f"{m.bytes_per_task.value:7,.0f} bytes, {m.latency_s.value * 1e3:6.2f} ms"
        )
    lines.append(
        f"  paper's score with as many wrong exits as the default, threshold set on the test samples: "
        f"{found.paper_at_equal_loss:.1%}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
