"""The bundle of `runtime_bundles` with real ONNX halves; needs onnx."""

import numpy as np

from coachc.runtime.bundle.store import write_bundle
from tests.helpers.runtime_bundles import ROLES, SCALE, SHAPE, WEIGHTS, ZERO_POINT, make_manifest


def make_onnx_bundle(path, **options):
    import onnx.helper as oh
    from onnx import TensorProto, numpy_helper

    flat = numpy_helper.from_array(np.array([SHAPE[0], -1], np.int64), "flat")
    weights = numpy_helper.from_array(WEIGHTS, "weights")
    scale = numpy_helper.from_array(np.float32(SCALE), "scale")
    zero_point = numpy_helper.from_array(np.uint8(ZERO_POINT), "zero_point")
    top = numpy_helper.from_array(np.uint8(15), "top")
    low = numpy_helper.from_array(np.uint8(0), "low")
    tail = [oh.make_node("Reshape", ["x", "flat"], ["rows"]), oh.make_node("MatMul", ["rows", "weights"], ["scores"])]
    quantizer = ["scale", "zero_point"]

    def model(nodes, source, sink, initializers):
        values = {
            "input": (TensorProto.FLOAT, SHAPE),
            "features_codes": (TensorProto.UINT8, SHAPE),
            "scores": (TensorProto.FLOAT, (SHAPE[0], 5)),
        }
        ends = [[oh.make_tensor_value_info(name, *values[name])] for name in (source, sink)]
        graph = oh.make_graph(nodes, "half", ends[0], ends[1], initializers)
        return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 13)], ir_version=8).SerializeToString()

    whole = [oh.make_node("Identity", ["input"], ["x"])] + tail
    device = [
        oh.make_node("QuantizeLinear", ["input"] + quantizer, ["wide"]),
        oh.make_node("Clip", ["wide", "low", "top"], ["features_codes"]),
    ]
    cloud = [oh.make_node("DequantizeLinear", ["features_codes"] + quantizer, ["x"])] + tail
    files = {
        "model.onnx": model(whole, "input", "scores", [flat, weights]),
        "device.onnx": model(device, "input", "features_codes", [scale, zero_point, low, top]),
        "cloud.onnx": model(cloud, "features_codes", "scores", [flat, weights, scale, zero_point]),
    }
    manifest = make_manifest(**options)
    cuts = tuple(cut for cut in manifest.cuts if cut.name != "raw")
    roles = {name: ROLES[name] for name in files}
    return write_bundle(str(path), manifest._replace(cuts=cuts), files, roles)
