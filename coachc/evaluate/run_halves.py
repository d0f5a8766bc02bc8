"""Both halves of a bundle on one task, request and response encoded as they would travel."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import numpy as np

from coachc.runtime.bundle.manifest_types import Bits, Cut
from coachc.runtime.bundle.store import Bundle
from coachc.runtime.cloud.service import Service
from coachc.runtime.engines.engine import Engine
from coachc.runtime.engines.halves import DeviceHalf, Halves, cloud_engine
from coachc.runtime.errors import CoachRuntimeError
from coachc.runtime.link.protocol import decode_response, encode_request, response_limits
from coachc.runtime.link.tensors import to_array
from coachc.runtime.link.values import encode_values


class Answered(NamedTuple):
    """A task that went through both halves.

    Attributes
    ----------
    device : mapping of str to ndarray
        What the device half made, codes and features included.
    outputs : mapping of str to ndarray
        The model's outputs, on whichever side they are made.
    payload_bytes : int
        Of the values on the wire, entropy coding included.
    """

    device: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    payload_bytes: int


class RunHalves:
    """Runs any cut of a bundle, its engines loaded once.

    Parameters
    ----------
    bundle : Bundle
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._halves = Halves(bundle)
        self._services: dict[str, Service] = {}
        self._specs = {spec.name: spec for spec in bundle.manifest.model.outputs}

    def half(self, cut: str) -> DeviceHalf:
        """The device half of a cut."""
        return self._halves.half(cut)

    @cached_property
    def whole(self) -> DeviceHalf | Engine:
        """Device-only, or the model itself in a bundle without."""
        manifest = self._bundle.manifest
        alone = next((cut.name for cut in manifest.cuts if cut.mode == "device-only"), None)
        if alone is not None:
            return self._halves.half(alone)
        return self._halves.engines.load(next(one.path for one in manifest.artefacts if one.role == "model"))

    def run(self, name: str, cut: Cut, feed: Mapping[str, np.ndarray], bits: Bits = None) -> Answered:
        """One task through both halves of a cut.

        Parameters
        ----------
        name : str
            Of the task, for errors.
        cut : Cut
        feed : mapping of str to ndarray
        bits : int, tuple of int, or None
            Precision of the values; the chosen one.

        Raises
        ------
        runtime.errors.CoachRuntimeError
            The cloud half refuses it.
        """
        made = self._halves.half(cut.name).run(feed, bits)
        outputs = {key: made[key] for key in cut.device_outputs}
        if not cut.values:
            return Answered(made, outputs, 0)
        if cut.name not in self._services:
            self._services[cut.name] = Service(self._bundle, cut, cloud_engine(self._halves.engines, cut))
        message = encode_request(encode_values(cut, made, bits), cut.cloud_outputs)
        response = self._services[cut.name].infer(_lower(message.headers), bytes(message.body))
        if response.status != 200:
            raise CoachRuntimeError(f"the cloud half of cut '{cut.name}' refused {name}: {response.body[:500]!r}")
        specs = [self._specs[key] for key in cut.cloud_outputs]
        received = decode_response(_lower(response.headers), response.body, response_limits(specs))
        by_name = {tensor.name: tensor for tensor in received}
        outputs.update({spec.name: to_array(by_name[spec.name], spec) for spec in specs})
        return Answered(made, outputs, message.payload_bytes)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
