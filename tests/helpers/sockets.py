"""What a bundle answers over a socket, and what it should: the whole model with Q/DQ where the cut is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx

from coachc.core.plan import Quantizer
from coachc.frontend import ort
from coachc.frontend.onnx_import import import_model
from coachc.passes.insert_qdq import insert_reference
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.engines.halves import Halves
from coachc.runtime.link.cloud_half import CloudHalf

Feed = Mapping[str, np.ndarray]


def feeds_of(samples: Path, count: int) -> list[dict[str, np.ndarray]]:
    """The first rows of a .npz, one feed each."""
    with np.load(samples) as stored:
        return [{name: stored[name][i : i + 1] for name in stored if name != "labels"} for i in range(count)]


def outputs_over_socket(path: Path, address: str, feeds: Iterable[Feed]) -> list[dict[str, np.ndarray]]:
    """Every model output of each feed: device half here, cloud half behind `address`."""
    bundle = open_bundle(path)
    half = Halves(bundle).half()
    cloud = CloudHalf(bundle, address, 30.0)
    answers = []
    try:
        cloud.check()
        for feed in feeds:
            made = half.run(feed)
            outputs = {**made, **cloud.infer(made).outputs}
            answers.append({spec.name: outputs[spec.name] for spec in bundle.manifest.model.outputs})
    finally:
        cloud.connection.close()
    return answers


def quantized_reference(path: Path, feeds: Iterable[Feed]) -> list[dict[str, np.ndarray]]:
    """Every model output of each feed, from ONNX Runtime on the whole model with Q/DQ at the chosen cut."""
    bundle = open_bundle(path)
    cut = bundle.manifest.cut()
    model = import_model(path / "model.onnx")
    quantizers = [
        Quantizer(v.name, v.codec, *v.level()) if v.codec == "packed" else Quantizer(v.name, v.codec, v.bits)
        for v in cut.values
    ]
    on_cloud = {node.name for part in cut.on_cloud for node in onnx.load_from_string(bundle.read(part)).graph.node}
    session = ort.session(insert_reference(model, quantizers, on_cloud))
    return [ort.run_session(session, feed, model.outputs) for feed in feeds]


def assert_same_outputs(found: list[dict[str, np.ndarray]], expected: list[dict[str, np.ndarray]]) -> None:
    """Equal to float32 rounding of sums taken in another order: the engines fuse operators, the reference does not."""
    assert len(found) == len(expected)
    for mine, wanted in zip(found, expected, strict=True):
        assert mine.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_allclose(mine[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
