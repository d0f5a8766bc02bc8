"""A device as the rules of targets see it: its TensorRT, and what its GPU has."""

from __future__ import annotations

from dataclasses import dataclass

from coachc.cost.device import DeviceSpec
from coachc.errors import ProfileError
from coachc.targets.generation import Generation, version
from coachc.targets.generation_toml import generations


@dataclass(frozen=True)
class Target:
    """A device as the rules see it.

    Attributes
    ----------
    name : str
    generation : str
        Of its TensorRT: "8.2", "8.5", "8.6", "10", "11", "rtx"; "" for ONNX Runtime, which takes every model.
    release : str
        Of its TensorRT, such as "10.3".
    compute_capability : str
        Empty if it is not known.
    precisions : tuple of str
    fast_int8 : bool
        Whether the GPU has INT8 arithmetic; without it no Q/DQ builds.
    """

    name: str
    generation: str
    release: str = ""
    compute_capability: str = ""
    precisions: tuple[str, ...] = ()
    fast_int8: bool = True

    @property
    def rules(self) -> Generation | None:
        """The generation's rules; None for ONNX Runtime."""
        return generations()[self.generation] if self.generation else None

    @property
    def typed(self) -> bool:
        """Whether its TensorRT takes precisions from the graph alone."""
        rules = self.rules
        return rules is not None and rules.dialect == "11"

    @property
    def operators(self) -> frozenset[str] | None:
        """Operators of ai.onnx that it has; None for all."""
        rules = self.rules
        return None if rules is None else frozenset(n for n in rules.operators if rules.operator(n, self.release))

    @property
    def title(self) -> str:
        """For messages."""
        return f"{self.name} (TensorRT {self.release})" if self.generation else f"{self.name} (ONNX Runtime)"


def target_of(spec: DeviceSpec) -> Target:
    """The target that a device is.

    Raises
    ------
    ProfileError
        There are no rules for a TensorRT as old as its.
    """
    generation = "" if spec.is_local else _generation_of(spec)
    return Target(
        name=spec.name,
        generation=generation,
        release=spec.tensorrt,
        compute_capability=spec.compute_capability,
        precisions=spec.precisions,
        fast_int8="int8" in spec.precisions,
    )


def _generation_of(spec: DeviceSpec) -> str:
    numbered = [name for name in generations() if name != "rtx"]
    older = [name for name in numbered if version(name) <= version(spec.tensorrt)]
    if not older:
        raise ProfileError(
            f"there are no rules for TensorRT {spec.tensorrt} of {spec.name}",
            context=[f"oldest known: {numbered[0]}"],
            hint="choose another target; `coachc devices` lists them",
        )
    return older[-1]
