"""Halves made of one model or of segments, and one server for all cuts of a bundle."""

import numpy as np
import pytest

from coachc.runtime.bundle.manifest_types import Cut, CutValue, Level, TensorSpec
from coachc.runtime.bundle.numeric import dequantize, quantize
from coachc.runtime.bundle.store import write_bundle
from coachc.runtime.cloud.service import Service, Services
from coachc.runtime.engines.fake_engine import FakeEngine
from coachc.runtime.engines.halves import Chain, DeviceHalf, Engines, Halves, cloud_engine
from coachc.runtime.errors import BundleError, EngineError
from coachc.runtime.link.cloud_half import CloudHalf
from tests.helpers.runtime_bundles import LEVELS, ROLES, Loopback, fake_engine_for, make_bundle, make_manifest

X = np.random.RandomState(0).randn(6, 3, 4, 4).astype(np.float32)
#: The model: a = input + 1, b = 2 a, scores = mean(b - a) of each channel. `a` skips the second segment.
SEGMENTS = {
    b"first": (("input",), lambda feed: {"a": feed["input"] + np.float32(1)}),
    b"second": (("a",), lambda feed: {"b": feed["a"] * np.float32(2)}),
    b"last": (("a", "b"), lambda feed: {"scores": (feed["b"] - feed["a"]).mean(axis=(2, 3))}),
}
FEATURES = {"one": ("a",), "two": ("a", "b")}


def scores_of(a, b):
    return (b - a).mean(axis=(2, 3))


def edge_engine(data):
    """Data "device one" quantizes what cut one sends, "cloud one" undoes it."""
    side, cut = data.decode().split()
    names = FEATURES[cut]

    def quantized(feed):
        outputs = {}
        for name in names:
            depth = int(feed[name + "/qmax"]).bit_length()
            outputs[name + "/codes"] = quantize(
                feed[name], feed[name + "/scale"].reshape(-1), feed[name + "/zero_point"].reshape(-1), depth
            )
            outputs[name + "/feature"] = feed[name].mean(axis=(2, 3))
        return outputs

    def dequantized(feed):
        return {
            name: dequantize(
                feed[name + "/codes"], feed[name + "/scale"].reshape(-1), feed[name + "/zero_point"].reshape(-1)
            )
            for name in names
        }

    if side == "device":
        inputs = [each for name in names for each in (name, name + "/scale", name + "/zero_point", name + "/qmax")]
        return FakeEngine(quantized, inputs)
    return FakeEngine(
        dequantized, [each for name in names for each in (name + "/codes", name + "/scale", name + "/zero_point")]
    )


class Loader:
    """An engine factory that counts."""

    def __init__(self):
        self.loaded = []

    def __call__(self, data, providers):
        self.loaded.append(data)
        if data in SEGMENTS:
            inputs, function = SEGMENTS[data]
            return FakeEngine(function, inputs, sorted(function(dict.fromkeys(inputs, X[:1]))))
        return edge_engine(data)


def levels(scale):
    return tuple(Level(bits, (scale / 2**bits,), (2**bits // 2,)) for bits in (2, 4, 8))


@pytest.fixture
def bundle(tmp_path):
    """Two nested cuts and device-only over three segments."""
    shape = (1, 3, 4, 4)
    values = {
        name: CutValue(name, "float32", shape, "packed", 4, levels(scale), name + "/codes")
        for name, scale in (("a", 8.0), ("b", 16.0))
    }
    segments = ("first.onnx", "second.onnx", "last.onnx")
    cuts = [
        Cut(
            name, "split", "device-" + name, "cloud-" + name, tuple(values[v] for v in FEATURES[name]), (), ("scores",),
            "qdq", "qdq", tuple(v + "/feature" for v in FEATURES[name]), segments[:behind], segments[behind:],
        )
        for name, behind in (("one", 1), ("two", 2))
    ]  # fmt: skip
    cuts.append(Cut("device-only", "device-only", segments[2], None, (), ("scores",), (), "", "", (), segments[:2], ()))
    files = {path: path[:-5].encode() for path in segments}
    roles = dict.fromkeys(segments, "segment")
    for name in ("one", "two"):
        for side in ("device", "cloud"):
            files[side + "-" + name] = "{} {}".format(side, name).encode()
            roles[side + "-" + name] = side
    manifest = make_manifest()
    model = manifest.model._replace(outputs=(TensorSpec("scores", "float32", (1, 3)),))
    manifest = manifest._replace(cuts=tuple(cuts), chosen="one", preprocess=None, model=model)
    return write_bundle(str(tmp_path / "shared.coach"), manifest, files, roles)


def through(bundle, name, row, bits):
    """What a cut answers for one row, computed by itself."""
    cut = bundle.manifest.cut(name)
    a = X[row : row + 1] + np.float32(1)
    known = {"a": a, "b": a * np.float32(2)}
    for value, depth in zip(cut.values, cut.precisions(bits)):
        level = value.level(depth)
        codes = quantize(known[value.name], level.scale, level.zero_point, depth)
        known[value.name] = dequantize(codes, level.scale, level.zero_point)
        if value.name == "a" and len(cut.values) == 1:
            known["b"] = known["a"] * np.float32(2)
    return scores_of(known["a"], known["b"])


def test_what_a_cut_shares_is_loaded_once(bundle):
    loader = Loader()
    halves = Halves(bundle, loader)
    one = halves.half()
    assert loader.loaded == [b"first", b"device one"]
    two = halves.half("two")
    alone = halves.half("device-only")
    assert loader.loaded[2:] == [b"second", b"device two", b"last"]
    assert (halves.half("one"), halves.half("two")) == (one, two)
    assert len(loader.loaded) == 5
    feed = {"input": X[:1]}
    assert sorted(one.run(feed)) == ["a/codes", "a/feature"]
    assert sorted(two.run(feed)) == ["a/codes", "a/feature", "b/codes", "b/feature"]
    assert list(alone.run(feed)) == ["scores"]
    assert np.array_equal(alone.run(feed)["scores"], scores_of(X[:1] + 1, (X[:1] + 1) * np.float32(2)))
    assert one.description == "fake"
    by_itself = DeviceHalf(bundle, bundle.manifest.cut("two"), Loader())
    assert np.array_equal(by_itself.run(feed)["b/codes"], two.run(feed)["b/codes"])


def test_one_precision_for_all_values_or_one_for_each(bundle):
    half = Halves(bundle, Loader()).half("two")
    feed = {"input": X[:1]}
    chosen = half.run(feed)
    for bits, depths in ((None, (4, 4)), (2, (2, 2)), ((8, 2), (8, 2)), ((2, 8), (2, 8))):
        made = half.run(feed, bits)
        for value, depth in zip(half.cut.values, depths):
            level = value.level(depth)
            array = (X[:1] + np.float32(1)) * np.float32(1 if value.name == "a" else 2)
            assert np.array_equal(made[value.codes], quantize(array, level.scale, level.zero_point, depth))
    assert np.array_equal(half.run(feed, (4, 4))["b/codes"], chosen["b/codes"])
    with pytest.raises(BundleError, match="value 'b' has no quantizer at 3 bits"):
        half.run(feed, (2, 3))
    with pytest.raises(BundleError, match="sends 2 values, and 3 precisions were given"):
        half.run(feed, (2, 2, 2))


def test_one_connection_asks_every_cut_at_any_precision(bundle):
    loader = Loader()
    engines, halves = Engines(bundle, loader), Halves(bundle, Loader())
    cuts = [cut for cut in bundle.manifest.cuts if cut.cloud is not None]
    names = [bundle.served_name_of(cut) for cut in cuts]
    assert names == [bundle.served_name, bundle.served_name + "-two"]
    services = Services([Service(bundle, cut, cloud_engine(engines, cut), names) for cut in cuts])
    assert loader.loaded == [b"cloud one", b"second", b"last", b"cloud two"]
    with Loopback(services) as server:
        cloud = CloudHalf(bundle, server.address, 5.0)
        cloud.check([cut.name for cut in cuts])
        for row in range(len(X)):
            for name, bits in (
                ("one", None),
                ("two", None),
                ("one", 8),
                ("two", (8, 2)),
                ("two", (2, 8)),
                ("one", (2,)),
            ):
                made = halves.half(name).run({"input": X[row : row + 1]}, bits)
                answer = cloud.infer(made, name, bits)
                assert np.allclose(answer.outputs["scores"], through(bundle, name, row, bits), atol=1e-5)
                depths = bundle.manifest.cut(name).precisions(bits)
                assert answer.payload_bytes == sum(2 + 6 * depth for depth in depths)
        cloud.connection.close()


def test_a_chain_says_what_it_takes_and_makes():
    chain = Chain([FakeEngine(*reversed_of(SEGMENTS[name]), [made]) for name, made in
                   ((b"first", "a"), (b"second", "b"), (b"last", "scores"))])  # fmt: skip
    assert (chain.input_names, chain.output_names) == (("input",), ("a", "b", "scores"))
    assert sorted(chain.run({"input": X[:1], "unused": X})) == ["a", "b", "scores"]
    with pytest.raises(EngineError, match="a half has no input 'input': neither the task nor") as caught:
        chain.run({"other": X})
    assert caught.value.context == ("found  other",)
    last = Chain([FakeEngine(*reversed_of(SEGMENTS[b"last"]))])
    assert last.input_names == ("a", "b")
    with pytest.raises(EngineError, match="no input 'b'"):
        last.run({"a": X})


def reversed_of(segment):
    inputs, function = segment
    return function, inputs


def test_an_output_that_is_an_input_is_given_as_it_is(tmp_path):
    manifest = make_manifest()
    cuts = tuple(cut._replace(device_outputs=cut.device_outputs + ("input",)) for cut in manifest.cuts[:2])
    specs = manifest.model.outputs + manifest.model.inputs
    manifest = manifest._replace(cuts=cuts, model=manifest.model._replace(outputs=specs))
    files = {"model.onnx": b"the whole model", "device.onnx": b"the device half", "cloud.onnx": b"the cloud half"}
    bundle = write_bundle(str(tmp_path / "b"), manifest, files, {name: ROLES[name] for name in files})
    for name in ("middle", "device-only"):
        assert np.array_equal(Halves(bundle, fake_engine_for).half(name).run({"input": X[:1]})["input"], X[:1])


@pytest.mark.needs("PIL")
def test_a_picture_is_sent_as_jpeg_without_an_engine(tmp_path):
    bundle = make_bundle(tmp_path / "b", levels=LEVELS)
    halves = Halves(bundle, fake_engine_for)
    half = halves.half("jpeg")
    assert (half.takes_images, half.description, halves.engines.loaded) == (True, "none", ())
    made = half.run({"input": np.zeros((4, 4, 3), np.uint8)})
    assert made["input"].dtype == np.uint8
    assert bytes(made["input"][:2].tobytes()) == b"\xff\xd8"
    assert not halves.half("middle").takes_images


def test_quantizing_again_is_the_same_as_computing_again(bundle):
    loader, ran = Loader(), []

    def counted(data, providers):
        inner = loader(data, providers)

        def compute(feed):
            ran.append(data)
            return inner.run(feed)

        return FakeEngine(compute, inner.input_names, inner.output_names)

    half, other = Halves(bundle, counted).half("two"), Halves(bundle, Loader()).half("two")
    assert half.adjustable
    assert half.tunable
    for row in range(len(X)):
        feed = {"input": X[row : row + 1]}
        first = half.run(feed)
        for bits in (2, 8, (8, 2), None):
            del ran[:]
            again, whole = half.again(bits), other.run(feed, bits)
            assert ran == [b"device two"]
            assert sorted(again) == sorted(whole) == sorted(first)
            assert all(np.array_equal(again[name], whole[name]) for name in whole)
    with pytest.raises(BundleError, match="has no quantizer at 3 bits"):
        half.again(3)


def test_what_can_be_quantized_again(tmp_path, bundle):
    assert not Halves(bundle, Loader()).half("device-only").tunable
    one_model = Halves(make_bundle(tmp_path / "a", levels=LEVELS, parameters="qdq"), fake_engine_for).half()
    assert (one_model.tunable, one_model.adjustable) == (True, False)
    constant = Halves(make_bundle(tmp_path / "b"), fake_engine_for).half()
    assert (constant.tunable, constant.adjustable) == (False, False)
