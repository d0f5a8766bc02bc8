import json
import random as stdlib_random
import tracemalloc

import numpy as np
import pytest

from coachc.runtime.errors import BundleError
from coachc.runtime.online.policy import ExitRule, MemoryRule, Policy
from coachc.runtime.online.policy_file import MAGIC, decode_policies, encode_policies
from coachc.runtime.online.precision import Rung
from coachc.runtime.online.scoring import SCORES, Scorer
from tests.helpers.online import memory_of, policy_of, rule_of, scorer_of

INFINITY = float("inf")


def drawn(kind, name, seed, labels=4, size=6, memory=True):
    """Any numbers a policy may hold."""
    random = np.random.RandomState(seed)

    def array(*shape):
        return (random.standard_normal(shape) * 10.0 ** random.randint(-20, 20)).astype(np.float32)

    scorer = Scorer(
        kind,
        tuple(sorted(random.permutation(1000)[:labels].tolist())),
        array(labels, size),
        array(labels),
        array(size),
        bool(random.randint(2)),
    )
    many = 0 if kind == "head" else labels
    exits = ExitRule(scorer, tuple(sorted(random.uniform(size=3))), 0.005, -0.25, 0.1, array(many), array(many))
    rungs = tuple(Rung((bits, 8), bits * 1000.5, bits / 7) for bits in (2, 3, 8))
    recent = MemoryRule(0.97, 0.005, 64, array(size)) if memory else None
    adjust = (INFINITY, float(random.uniform()), -INFINITY)
    return Policy(name, "cut /a/b, größer", exits, recent, rungs, 2, adjust, 0.1, 1 / 3, 0.75)


def flat(value):
    """Values to compare: arrays as their shape and bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: flat(item) for name, item in value.items()}
    return tuple(flat(item) for item in value) if isinstance(value, tuple) else value


def small():
    """One policy with every field, in well under a kilobyte of arrays."""
    return {"default": policy_of(exits=rule_of(), memory=memory_of())}


def taken_apart(data):
    size = int.from_bytes(data[8:12], "little")
    return json.loads(data[12 : 12 + size].decode()), data[12 + size :]


def put_together(header, arrays):
    text = json.dumps(header).encode()
    return MAGIC + len(text).to_bytes(4, "little") + text + arrays


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("seed", range(5))
def test_round_trip(kind, seed):
    policies = {
        "none": policy_of("none"),
        "paper": drawn("separability", "paper", seed, memory=False),
        "default": drawn(kind, "default", seed + 50),
    }
    data = encode_policies(policies)
    found = decode_policies(data)
    assert flat(found) == flat(policies)
    assert encode_policies(found) == data
    assert encode_policies(dict(reversed(list(policies.items())))) == data
    for policy in found.values():
        assert type(policy) is Policy
        assert all(type(rung) is Rung for rung in policy.rungs)


@pytest.mark.parametrize("labels", [0, 1])
@pytest.mark.parametrize("kind", SCORES)
def test_few_labels(kind, labels):
    policies = {"default": drawn(kind, "default", 1, labels=labels)}
    assert flat(decode_policies(encode_policies(policies))) == flat(policies)


def test_no_policies():
    assert decode_policies(encode_policies({})) == {}


def test_what_cannot_be_read_is_not_written():
    for bad in (float("nan"), INFINITY):
        with pytest.raises(ValueError, match="JSON compliant"):
            encode_policies({"default": policy_of(exits=rule_of(band=bad))})


def test_arrays_are_read_in_the_machine_s_own_order_and_may_be_written_to():
    found = decode_policies(encode_policies(small()))["default"].exits.scorer.weights
    assert found.dtype == np.float32
    assert found.dtype.isnative
    found[0, 0] = 3


def test_every_truncation_is_refused():
    data = encode_policies(small())
    for size in range(len(data)):
        with pytest.raises(BundleError):
            decode_policies(data[:size])
    with pytest.raises(BundleError, match=f"a policy file of {len(data) + 1} bytes, expected {len(data)}"):
        decode_policies(data + b"\0")


@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_byte_is_refused_or_harmless(seed):
    source = stdlib_random.Random(seed)
    data = encode_policies(small())
    refused = 0
    for _ in range(3000):
        place = source.randrange(len(data))
        mutated = bytearray(data)
        mutated[place] = source.choice([other for other in range(256) if other != data[place]])
        try:
            found = decode_policies(bytes(mutated))
        except BundleError:
            refused += 1
            continue
        # What passes the checks once passes them again, and says the same.
        assert flat(decode_policies(encode_policies(found))) == flat(found)
    assert 1500 < refused < 3000


def test_random_bytes_are_refused():
    source = stdlib_random.Random(9)
    for _ in range(1000):
        noise = bytes(source.randrange(256) for _ in range(source.randrange(60)))
        for data in (noise, MAGIC + noise, MAGIC + len(noise).to_bytes(4, "little") + noise):
            with pytest.raises(BundleError):
                decode_policies(data)


@pytest.mark.parametrize(
    "shape", [[1 << 50], [1 << 30, 1 << 30], [(1 << 53) - 1, (1 << 53) - 1], [1 << 40, 0, 1 << 40], [1] * 70, []]
)
def test_shapes_that_lie_are_refused_before_anything_is_allocated(shape):
    header, arrays = taken_apart(encode_policies(small()))
    header["shapes"][0] = shape
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match="bytes, expected|vectors and matrices"):
            decode_policies(put_together(header, arrays))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_empty_matrices_of_any_width_are_only_shapes():
    header, arrays = taken_apart(encode_policies(small()))
    header["shapes"].append([0, (1 << 53) - 1])
    assert flat(decode_policies(put_together(header, arrays))) == flat(small())


@pytest.mark.parametrize("size", [0, 1 << 31, (1 << 32) - 1])
def test_a_header_that_lies_about_its_length(size):
    data = encode_policies(small())
    with pytest.raises(BundleError, match="bytes, expected at least|not JSON"):
        decode_policies(data[:8] + size.to_bytes(4, "little") + data[12:])


@pytest.mark.parametrize("text", [b"[" * 5000, b"[]", b"{}", b"null", b'"\xff"', b'{"shapes": [], "policies": []}'])
def test_headers_that_say_nothing(text):
    with pytest.raises(BundleError):
        decode_policies(MAGIC + len(text).to_bytes(4, "little") + text)


def test_another_version():
    data = encode_policies(small())
    with pytest.raises(BundleError, match="not a policy file of this version: it begins with b'COACHPO2'"):
        decode_policies(b"COACHPO2" + data[8:])


def changed(path, value):
    header, arrays = taken_apart(encode_policies(small()))
    place = header["policies"]["default"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return put_together(header, arrays)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["name"], "other", "name': expected one of none, paper, default"),
        (["cut"], "", "cut': expected a non-empty string"),
        (["base"], 5, "5 rungs, 5 thresholds, base 5"),
        (["base"], 1, "expected falling thresholds, -inf from the base on"),
        (["rungs"], [], "0 rungs"),
        (["adjust"], [0.1], "5 rungs, 1 thresholds"),
        (["adjust", 1], 0.7, "expected falling thresholds"),
        (["adjust", 0], "nan", "expected a finite number"),
        (["device_s"], -1, "device_s': expected a number >= 0, found -1"),
        (["rungs", 2, "size_bytes"], -5, r"rungs\[2\].size_bytes': expected a number >= 0"),
        (["server_share"], 0, "server_share': expected a positive number"),
        (["server_share"], 10**400, "too large|expected a finite number"),
        (["exits", "wrong_share"], 1.5, "wrong_share': expected 0 to 1"),
        (["exits", "band_wrong_share"], -0.1, "band_wrong_share': expected 0 to 1"),
        (["exits", "thresholds"], [0.5, 0.4], "rising numbers"),
        (["exits", "scorer", "kind"], "sum", "kind': expected one of"),
        (["exits", "scorer", "kind"], "head", r"lengths: expected shape \(0,\), found \(3,\)"),
        (["exits", "scorer", "labels"], [2, 5], r"weights: expected shape \(2, 4\), found \(3, 4\)"),
        (["exits", "scorer", "labels"], [2, 7, 5], "ascending classes"),
        (["exits", "scorer", "labels"], [2, 5, 5], "ascending classes"),
        (["exits", "scorer", "signed"], 1, "signed': expected true or false"),
        (["exits", "scorer", "weights"], 99, "weights': expected one of 6 arrays"),
        (["exits", "scorer", "mean"], True, "expected a whole number"),
        (["exits", "extra"], 1, "extra' is unknown"),
        (["memory", "wrong_share"], 2, "memory.wrong_share': expected 0 to 1"),
        (["memory", "capacity"], 0, "expected 1 to 4096 places"),
        (["memory", "capacity"], 4097, "expected 1 to 4096 places"),
    ],
)
def test_fields_that_do_not_fit(path, value, message):
    with pytest.raises(BundleError, match=message):
        decode_policies(changed(path, value))


def test_a_memory_of_other_features_than_the_score():
    policies = {"default": policy_of(exits=rule_of(), memory=memory_of(size=5))}
    with pytest.raises(BundleError, match="expected features of one size, found 4 and 5"):
        decode_policies(encode_policies(policies))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_arrays_that_are_not_numbers(bad):
    policies = {"default": policy_of(exits=rule_of(scorer_of(mean=(0, bad, 0, 0))))}
    with pytest.raises(BundleError, match=r"array \d of a policy file holds numbers that are not finite"):
        decode_policies(encode_policies(policies))
