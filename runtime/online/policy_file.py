"""The policies of one cut as one file of the bundle: a JSON header, then every array as little-endian float32.

Layout: 8 bytes magic with the version, 4 bytes little-endian length of the header, the header, the arrays one after the
other in the order of the header's shapes. Lengths are checked before anything is made of them.
"""

import functools
import json
import math
import operator
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from ..bundle.json_fields import json_object, list_of, number, one_of, optional, record, text, whole, wrong
from ..errors import BundleError
from .policy import POLICIES, ExitRule, MemoryRule, Policy
from .precision import Rung
from .scoring import SCORES, Scorer

MAGIC = b"COACHPO1"
_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def encode_policies(policies: Mapping[str, Policy]) -> bytes:
    """Policies by name to a file; the same bytes for the same policies."""
    arrays: List[np.ndarray] = []
    body = {name: _to_json(policy, arrays) for name, policy in sorted(policies.items())}
    shapes = [list(array.shape) for array in arrays]
    text_header = json.dumps(
        {"policies": body, "shapes": shapes}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    header = text_header.encode("ascii")
    return b"".join(
        [MAGIC, len(header).to_bytes(4, "little"), header]
        + [np.ascontiguousarray(array, dtype="<f4").tobytes() for array in arrays]
    )


def decode_policies(data: bytes) -> Dict[str, Policy]:
    """Undo `encode_policies`.

    Raises
    ------
    BundleError
        If it is not such a file, in whole and in every field.
    """
    if data[:8] != MAGIC:
        raise BundleError(f"not a policy file of this version: it begins with {data[:8]!r}, expected {MAGIC!r}")
    end = 12 + int.from_bytes(data[8:12], "little")
    if len(data) < end:
        raise BundleError(f"a policy file of {len(data)} bytes, expected at least {end}")
    try:
        header = json_object(json.loads(data[12:end].decode("ascii")), "policy file")
    except (ValueError, RecursionError) as exc:
        raise BundleError(f"the header of a policy file is not JSON: {exc}") from exc
    shapes = list_of(list_of(whole))(header.get("shapes"), "policy file.shapes")
    if any(not 1 <= len(shape) <= 2 for shape in shapes):
        raise wrong("policy file.shapes", "vectors and matrices", [list(shape) for shape in shapes])
    sizes = [functools.reduce(operator.mul, shape, 1) for shape in shapes]  # exact, however large a lie
    if len(data) != end + 4 * sum(sizes):
        raise BundleError(f"a policy file of {len(data)} bytes, expected {end + 4 * sum(sizes)}")
    arrays: List[np.ndarray] = []
    for shape, size in zip(shapes, sizes):
        numbers = np.frombuffer(data, dtype="<f4", count=size, offset=end).astype(np.float32)
        if not np.isfinite(numbers).all():
            raise BundleError(f"array {len(arrays)} of a policy file holds numbers that are not finite")
        arrays.append(numbers.reshape(shape))
        end += 4 * size
    policies = json_object(header.get("policies"), "policy file.policies")
    found = {}
    for name in sorted(policies):
        found[name] = _from_json(policies[name], arrays, f"policy file.{name}")
        _check(found[name], f"policy file.{name}")
    return found


def _to_json(policy: Policy, arrays: List[np.ndarray]) -> Dict[str, Any]:
    def place(array: np.ndarray) -> int:
        arrays.append(array)
        return len(arrays) - 1

    body = dict(policy._asdict())
    body["adjust"] = [_number(value) for value in policy.adjust]
    body["rungs"] = [dict(rung._asdict()) for rung in policy.rungs]
    if policy.exits is not None:
        rule, scorer = policy.exits, policy.exits.scorer
        body["exits"] = dict(
            rule._asdict(),
            lengths=place(rule.lengths),
            counts=place(rule.counts),
            scorer=dict(
                scorer._asdict(), weights=place(scorer.weights), bias=place(scorer.bias), mean=place(scorer.mean)
            ),
        )
    if policy.memory is not None:
        body["memory"] = dict(policy.memory._asdict(), mean=place(policy.memory.mean))
    return body


def _number(value: float) -> Any:
    return value if math.isfinite(value) else str(value)


def _from_json(value: Any, arrays: List[np.ndarray], where: str) -> Policy:
    def array(item: Any, place: str) -> np.ndarray:
        index = whole(item, place)
        if index >= len(arrays):
            raise wrong(place, f"one of {len(arrays)} arrays", item)
        return arrays[index]

    scorer = record(
        Scorer, kind=one_of(SCORES), labels=list_of(whole), weights=array, bias=array, mean=array, signed=_boolean
    )
    exits = record(
        ExitRule,
        scorer=scorer,
        thresholds=list_of(number),
        wrong_share=number,
        band=number,
        band_wrong_share=number,
        lengths=array,
        counts=array,
    )
    memory = record(MemoryRule, threshold=number, wrong_share=number, capacity=whole, mean=array)
    rung = record(Rung, bits=list_of(whole), size_bytes=number, coding_s=number, header_bytes=optional(number))

    def rung_of_any_age(item: Any, place: str) -> Any:
        return rung(dict({"header_bytes": None}, **json_object(item, place)), place)

    policy = record(
        Policy,
        name=one_of(POLICIES),
        cut=text,
        exits=optional(exits),
        memory=optional(memory),
        rungs=list_of(rung_of_any_age),
        base=whole,
        adjust=list_of(_extended),
        device_s=number,
        cloud_s=number,
        server_share=number,
    )
    try:
        read: Policy = policy(value, where)
    except OverflowError as exc:
        raise BundleError(f"{where}: a whole number too large for any field") from exc
    return read


def _check(policy: Policy, where: str) -> None:
    """What no field says by itself: that they fit together."""
    rungs = len(policy.rungs)
    if len(policy.adjust) != rungs or policy.base >= max(rungs, 1):
        raise BundleError(f"{where}: {rungs} rungs, {len(policy.adjust)} thresholds, base {policy.base}")
    if not rungs and (policy.exits is not None or policy.memory is not None):
        raise BundleError(f"{where}: exits of a cut that sends nothing")
    falling = all(b <= a for a, b in zip(policy.adjust, policy.adjust[1:]))
    if not falling or policy.adjust[policy.base : policy.base + 1] not in ((), (-math.inf,)):
        raise BundleError(f"{where}.adjust: expected falling thresholds, -inf from the base on")
    if policy.server_share <= 0:
        raise wrong(where + ".server_share", "a positive number", policy.server_share)
    times = [("device_s", policy.device_s), ("cloud_s", policy.cloud_s)]
    for index, rung in enumerate(policy.rungs):
        times += [(f"rungs[{index}].size_bytes", rung.size_bytes), (f"rungs[{index}].coding_s", rung.coding_s)]
        times += [(f"rungs[{index}].header_bytes", rung.header_bytes or 0.0)]
    for field, value in times:
        if value < 0:
            raise wrong(f"{where}.{field}", "a number >= 0", value)
    shares = []
    if policy.exits is not None:
        shares += [("exits.wrong_share", policy.exits.wrong_share)]
        shares += [("exits.band_wrong_share", policy.exits.band_wrong_share)]
    if policy.memory is not None:
        shares += [("memory.wrong_share", policy.memory.wrong_share)]
    for field, value in shares:
        if not 0 <= value <= 1:
            raise wrong(f"{where}.{field}", "0 to 1", value)
    if policy.exits is not None:
        scorer, labels = policy.exits.scorer, len(policy.exits.scorer.labels)
        size = scorer.mean.shape
        per_label = (labels,) if scorer.kind != "head" else (0,)
        expected: Tuple[Tuple[str, Any, Any], ...] = (
            ("scorer.mean", len(size), 1),
            ("scorer.weights", scorer.weights.shape, (labels,) + size),
            ("scorer.bias", scorer.bias.shape, (labels,)),
            ("lengths", policy.exits.lengths.shape, per_label),
            ("counts", policy.exits.counts.shape, per_label),
        )
        for name, shape, wanted in expected:
            if shape != wanted:
                raise BundleError(f"{where}.exits.{name}: expected shape {wanted}, found {shape}")
        if list(scorer.labels) != sorted(set(scorer.labels)):
            raise wrong(where + ".exits.scorer.labels", "ascending classes", list(scorer.labels))
        if list(policy.exits.thresholds) != sorted(policy.exits.thresholds):
            raise wrong(where + ".exits.thresholds", "rising numbers", list(policy.exits.thresholds))
    if policy.memory is not None and (policy.memory.mean.ndim != 1 or not 0 < policy.memory.capacity <= 4096):
        raise BundleError(f"{where}.memory: expected 1 to 4096 places and a vector for the mean")
    if policy.exits is not None and policy.memory is not None:
        sizes = policy.exits.scorer.mean.size, policy.memory.mean.size
        if sizes[0] != sizes[1]:
            raise BundleError("{}: expected features of one size, found {} and {}".format(where, *sizes))


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise wrong(where, "true or false", value)
    return value


def _extended(value: Any, where: str) -> float:
    return _INFINITIES[value] if isinstance(value, str) and value in _INFINITIES else number(value, where)
