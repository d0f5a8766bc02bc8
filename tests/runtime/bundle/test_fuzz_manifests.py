"""Damaged manifests are refused or valid, never anything else. The seed is printed with what fails."""

import copy
import json
import random

from coachc.runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from coachc.runtime.bundle.manifest_types import Layout
from coachc.runtime.bundle.upgrade import UPGRADES
from coachc.runtime.errors import BundleError
from tests.helpers.kept_bundles import manifest_bytes
from tests.helpers.runtime_bundles import LEVELS, make_manifest

ROUNDS = 5000

STRANGE = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    8,
    255,
    1.5,
    -0.0,
    1e308,
    5e-324,
    10**400,
    1 << 53,
    (1 << 53) - 1,
    "",
    "x",
    "\ud800",
]
STRANGE += [
    "../x",
    "/x",
    "a/b",
    "a" * 70,
    "raw",
    "packed",
    "jpeg",
    "split",
    "cloud-jpeg",
    "qdq",
    "float32",
    "uint8",
    "\0",
]
STRANGE += [[], {}, [[]], [None], [0], [1, 2], [1.5], ["x"], {"": 0}, {"name": "x"}, [[[[[[]]]]]]]


def manifest():
    layout = Layout("bytes", (2, 0, 1), "huffman", 6)
    options = {"levels": LEVELS, "layout": layout, "parameters": "qdq", "features": ("features/pooled",)}
    raw = json.loads(to_json_bytes(make_manifest(**options)).decode())
    raw["artefacts"] = [
        {"path": path, "role": role, "sha256": "a" * 64, "size_bytes": 3}
        for path, role in (
            ("model.onnx", "model"),
            ("device.onnx", "device"),
            ("cloud.onnx", "cloud"),
            ("raw.onnx", "device"),
        )
    ]
    return raw


def places(value, found):
    """Every container, and the key or index of everything in it."""
    steps = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for step in steps:
        found.append((value, step))
        places(value[step], found)
    return found


def change_value(raw, draw):
    """One to three values replaced, removed, repeated, moved or renamed."""
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        container, step = draw.choice(places(raw, []))
        kind = draw.randrange(6)
        if kind < 3:
            container[step] = copy.deepcopy(draw.choice(STRANGE))
        elif kind == 3:
            other, there = draw.choice(places(raw, []))
            container[step] = copy.deepcopy(other[there])
        elif kind == 4:
            del container[step]
        elif isinstance(container, list):
            container.insert(step, copy.deepcopy(container[step]))
        else:
            container[draw.choice(["x", "", "bits", "\ud800"])] = container[step]
    return json.dumps(raw, indent=draw.choice([None, 1])).encode()


PIECES = [
    b"",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"\0",
    b"\xff",
]
PIECES += [b"null", b"true", b"0" * 50, b"9" * 5000, b"[" * 5000, b'{"a":' * 3000, b"\xef\xbb\xbf", b"-", b"1.", b" "]


def change_bytes(data, draw):
    """One to four places overwritten, removed, doubled or with something between."""
    data = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(data) + 1)
        end = min(len(data), start + draw.choice([0, 0, 1, 1, 2, 10, 300]))
        kind = draw.randrange(4)
        if kind == 0 and start < len(data):
            data[start] ^= 1 << draw.randrange(8)
        elif kind == 1:
            data[start:end] = draw.choice(PIECES)
        elif kind == 2:
            data[start:end] = data[start:end] * 2
        else:
            del data[start:end]
    return bytes(data)


def survives(data):
    """Whether it is a manifest; whatever is not says what it is, and a manifest can be written again."""
    try:
        found = from_json_bytes(data)
    except BundleError as error:
        assert error.message
        error.render().encode("utf-8", "backslashreplace")
        return False
    again = to_json_bytes(found)
    assert from_json_bytes(again) == found
    assert to_json_bytes(from_json_bytes(again)) == again
    return True


def fuzz(make, name):
    valid = 0
    for seed in range(ROUNDS):
        data = make(random.Random(seed))
        try:
            valid += survives(data)
        except BaseException:
            print(f"{name}, seed {seed}: {data[:20000]!r}")
            raise
    return valid


def test_five_thousand_manifests_with_other_values():
    plain = manifest()
    valid = fuzz(lambda draw: change_value(copy.deepcopy(plain), draw), "values")
    assert 50 < valid < ROUNDS / 2  # the changes reach what is behind the types too, and most are wrong


def test_five_thousand_manifests_with_other_bytes():
    plain = (json.dumps(manifest(), indent=1, sort_keys=True) + "\n").encode()
    valid = fuzz(lambda draw: change_bytes(plain, draw), "bytes")
    assert 50 < valid < ROUNDS / 2


def older():
    """Manifests of every older format; without the compiler's own objects, which would be most of what is changed."""
    for version in UPGRADES:
        for name in ("range", "jpeg"):
            yield dict(json.loads(manifest_bytes(version, name).decode()), plan={}, device={}, cloud={})


def test_five_thousand_manifests_of_older_formats_with_other_values():
    plain = list(older())
    valid = fuzz(lambda draw: change_value(copy.deepcopy(draw.choice(plain)), draw), "older values")
    assert 50 < valid < ROUNDS / 2


def test_five_thousand_manifests_of_older_formats_with_other_bytes():
    plain = [(json.dumps(raw, indent=1, sort_keys=True) + "\n").encode() for raw in older()]
    valid = fuzz(lambda draw: change_bytes(draw.choice(plain), draw), "older bytes")
    assert 50 < valid < ROUNDS / 2


def test_what_is_changed_was_valid():
    for raw in [manifest()] + list(older()):
        assert survives(json.dumps(raw).encode())
