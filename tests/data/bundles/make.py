"""Make the kept bundles of the format that this coachc writes: `python tests/data/bundles/make.py FOLDER`.

Beside each NAME.coachz goes NAME.npz: inputs, what `run` answered at every cut, and each artefact's inputs and outputs
on the way, so that readers of later versions can be held to it without an engine. Run it once a format: see README.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from coachc.models.synthetic import chain
from coachc.runtime.bundle.store import open_bundle
from coachc.runtime.cloud.service import Service
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.halves import Engines, cloud_engine
from coachc.runtime.engines.ort_engine import OrtEngine
from tests.helpers.bundles import samples_for, save
from tests.helpers.commands import succeed
from tests.helpers.device_run import run_all
from tests.helpers.runtime_bundles import Loopback

ROWS = 3
TARGETS = ["--device", "tx2", "--cloud", "a6000"]


def picture_net():
    """A convolution and a linear layer on pictures of 3x8x8."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((4, 3, 3, 3)), "k": rng.standard_normal((4, 5))}
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"], name="conv", pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "k"], ["logits"], name="linear"),
    ]
    graph = helper.make_graph(
        nodes,
        "picture",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def write_pictures(pictures, folder):
    from PIL import Image

    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index}.png")
    return folder


def recorder(bundle, calls):
    """An engine factory that keeps what each artefact was fed and made."""
    paths = {bundle.read(artefact.path): artefact.path for artefact in bundle.manifest.artefacts}

    def factory(data, providers=()):
        engine = OrtEngine(data, providers)

        def run(feed):
            made = engine.run(feed)
            for side, arrays in (("in", feed), ("out", made)):
                for name, array in arrays.items():
                    calls[f"calls/{paths[data]}/{side}/{name}"].append(np.array(array))
            return made

        return FakeEngine(run, engine.input_names, engine.output_names)

    return factory


def record(folder, source, keep):
    """Run every cut of a bundle over a source, without online decisions; what the kept file holds."""
    bundle = open_bundle(folder)
    calls = defaultdict(list)
    factory = recorder(bundle, calls)
    for cut in bundle.manifest.cuts:
        options = {"cut": cut.name, "policy": "none", "in_flight": 1, "engine_factory": factory}
        if cut.cloud is None:
            report = run_all(str(folder), None, str(source), **options)
        else:
            service = Service(bundle, cut, cloud_engine(Engines(bundle, factory), cut), [bundle.served_name_of(cut)])
            with Loopback(service) as server:
                report = run_all(str(folder), server.address, str(source), **options)
        keep[f"predictions/{cut.name}"] = np.array(report.predictions)
        keep[f"payload/{cut.name}"] = np.array(report.payload_bytes_per_task)
    keep.update({name: np.stack(arrays) for name, arrays in calls.items()})
    return keep


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        proto = chain()
        model = save(proto, work / "chain.onnx")
        samples = samples_for(proto, work / "samples.npz", count=24)
        pictures = np.random.default_rng(1).integers(0, 256, (8, 12, 16, 3)).astype(np.uint8)
        images = write_pictures(pictures, work / "images")
        few = write_pictures(pictures[:ROWS], work / "few")
        with np.load(samples) as stored:
            rows = {name: stored[name][:ROWS] for name in stored if name != "labels"}
        np.savez(work / "rows.npz", **rows)
        inputs = {f"rows/{name}": array for name, array in rows.items()}
        split = [model, "--calib", samples, "--budget", "50%", "--mode", "split", "--bandwidth", "20Mbit"]
        cuts = [model, "--calib", samples, "--budget", "50%", "--mode", "split", "--bandwidth", "1Mbit..2000Mbit"]
        jpeg = [save(picture_net(), work / "picture.onnx"), "--calib", images, "--task", "classify", "--budget", "50%"]
        jpeg += ["--mode", "cloud-jpeg"]
        for name, arguments, source, keep in (
            ("split", split, work / "rows.npz", inputs),
            ("range", cuts, work / "rows.npz", inputs),
            ("jpeg", jpeg, few, {"pictures": pictures[:ROWS]}),
        ):
            bundle = work / f"{name}.coach"
            print(succeed("compile", *arguments, *TARGETS, "-o", bundle))
            if name == "split":
                succeed("keygen", work / "kept")
                succeed("sign", bundle, "--key", work / "kept.key")
                (out / "kept.pub").write_bytes((work / "kept.pub").read_bytes())
            np.savez_compressed(out / f"{name}.npz", **record(bundle, source, dict(keep)))
            succeed("pack", bundle, "-o", out / f"{name}.coachz", "--force")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
