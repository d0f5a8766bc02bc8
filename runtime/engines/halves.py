"""The halves of a bundle's cuts as one thing each, whatever they are made of: one model, or segments and an edge.

Cuts of one bundle share segments of the model, so engines are loaded once and belong to `Engines`. A half runs its
artefacts one after the other; each takes what it needs from the task's inputs and from anything before it, so that a
value may skip segments. Like the engines, nothing here is thread-safe: one caller at a time.
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..bundle.frame import Framing
from ..bundle.manifest_types import Bits, Cut
from ..bundle.preprocess import encode_jpeg
from ..bundle.quantizer_inputs import value_inputs
from ..bundle.store import Bundle
from ..errors import EngineError
from .engine import Engine
from .ort_engine import CPU, OrtEngine

Arrays = Dict[str, np.ndarray]
#: (model bytes, providers) -> Engine
EngineFactory = Callable[[bytes, Sequence[str]], Engine]


class Engines:
    """The engines of a bundle's artefacts, each loaded when it is first asked for, and once.

    Parameters
    ----------
    bundle : Bundle
    engine_factory : callable
        (model bytes, providers) -> Engine.
    providers : sequence of str
    """

    def __init__(
        self, bundle: Bundle, engine_factory: EngineFactory = OrtEngine, providers: Sequence[str] = (CPU,)
    ) -> None:
        self.bundle = bundle
        self._factory = engine_factory
        self._providers = providers
        self._loaded: Dict[str, Engine] = {}

    def load(self, path: str) -> Engine:
        """The engine of one artefact.

        Raises
        ------
        BundleError, EngineError
            If the artefact has changed, or no engine can be made of it.
        """
        if path not in self._loaded:
            self._loaded[path] = self._factory(self.bundle.read(path), self._providers)
        return self._loaded[path]

    @property
    def loaded(self) -> Tuple[str, ...]:
        """Artefacts with an engine, in the order they were loaded."""
        return tuple(self._loaded)


class Chain(Engine):
    """Engines that run one after the other, as one.

    Each is fed what it takes, by name, from the feed and the outputs of those before it. One that does not say what it
    takes is fed everything.

    Parameters
    ----------
    engines : sequence of Engine
        At least one.
    wanted : sequence of str, optional
        Outputs that are read outside; the others may be given as their engine left them.
    """

    def __init__(self, engines: Sequence[Engine], wanted: Optional[Sequence[str]] = None) -> None:
        self._engines, self._wanted = list(engines), wanted
        self.description = ", ".join(dict.fromkeys(engine.description for engine in engines))
        made: List[str] = []
        needed: List[str] = []
        for engine in engines:
            needed += [name for name in engine.input_names if name not in made and name not in needed]
            made += engine.output_names
        self.input_names = tuple(needed)
        self.output_names = tuple(made)
        # Everything the last task knew before its last engine ran, and what had been made by then.
        self._known: Arrays = {}
        self._made: Arrays = {}

    def run(self, feed: Mapping[str, np.ndarray]) -> Arrays:
        """All outputs of all engines."""
        return self.run_framed(feed, {})

    def run_framed(
        self, feed: Mapping[str, Any], framings: Mapping[str, Framing], wanted: Optional[Sequence[str]] = None
    ) -> Dict[str, Any]:
        """All outputs of all engines, those of `framings` packed by an engine that can."""
        self._known, self._made = self._through(self._engines[:-1], dict(feed), {}, framings)
        return self.run_last({}, framings)

    def run_last(self, feed: Mapping[str, np.ndarray], framings: Mapping[str, Framing]) -> Dict[str, Any]:
        """All outputs of the latest task again, its last engine fed otherwise.

        Parameters
        ----------
        feed : mapping of str to ndarray
            Instead of what `run` was fed under these names.
        framings : mapping of str to Framing
            As `run_framed` takes them.
        """
        return self._through(self._engines[-1:], dict(self._known, **feed), dict(self._made), framings)[1]

    def _through(
        self, engines: Sequence[Engine], known: Arrays, made: Arrays, framings: Mapping[str, Framing]
    ) -> Tuple[Arrays, Arrays]:
        for engine in engines:
            missing = [name for name in engine.input_names if name not in known]
            if missing:
                raise EngineError(
                    f"a half has no input '{missing[0]}': neither the task nor anything before it makes it",
                    ["found  " + (", ".join(sorted(known)) or "nothing")],
                    hint="recompile the bundle",
                )
            taken = {name: known[name] for name in engine.input_names} if engine.input_names else known
            outputs = engine.run_framed(taken, framings, self._wanted)
            known.update(outputs)
            made.update(outputs)
        return known, made


def cloud_engine(engines: Engines, cut: Cut) -> Engine:
    """The cloud half of a cut."""
    return Chain([engines.load(path) for path in cut.on_cloud], cut.cloud_outputs)


class DeviceHalf:
    """The device half of one cut, with the quantizers it is fed.

    Parameters
    ----------
    bundle : Bundle
    cut : Cut
    engine_factory : callable
    providers : sequence of str
    engines : Engines, optional
        Those that other cuts share; `engine_factory` and `providers` are not used then.

    Attributes
    ----------
    cut : Cut
    description : str
        What runs it and where, for reports; "none" where the device computes nothing.

    Raises
    ------
    BundleError, EngineError
        As `Engines.load` does.
    """

    def __init__(
        self,
        bundle: Bundle,
        cut: Cut,
        engine_factory: EngineFactory = OrtEngine,
        providers: Sequence[str] = (CPU,),
        engines: Optional[Engines] = None,
    ) -> None:
        self.cut = cut
        loader = engines if engines is not None else Engines(bundle, engine_factory, providers)
        self._wanted = tuple(value.codes for value in cut.values) + cut.device_outputs + cut.features
        self._engine = Chain([loader.load(path) for path in cut.on_device], self._wanted) if cut.on_device else None
        self.description = self._engine.description if self._engine is not None else "none"
        self._passed: Arrays = {}
        # Made once for each precision: a task may come at any.
        self._prepared: Dict[Bits, Tuple[Arrays, Dict[str, Framing]]] = {}

    @property
    def tunable(self) -> bool:
        """Whether both halves take any precision the values have; else the chosen one only."""
        return bool(self.cut.device_parameters and self.cut.cloud_parameters)

    @property
    def adjustable(self) -> bool:
        """Whether `again` can quantize a task once more: the quantizers are an artefact of their own."""
        return self.tunable and bool(self.cut.before)

    @property
    def takes_images(self) -> bool:
        """Whether `run` takes a picture, uint8 (height, width[, 3]), which is sent as JPEG, instead of arrays."""
        return self.cut.mode == "cloud-jpeg"

    def run(self, feed: Mapping[str, np.ndarray], bits: Bits = None) -> Arrays:
        """One task.

        Parameters
        ----------
        feed : mapping of str to ndarray
            The model's inputs.
        bits : int or tuple of int, optional
            Precision of all packed values, or one for each value of the cut; else the chosen ones.

        Returns
        -------
        dict of str to ndarray
            What is sent, by the names of the codes, the model outputs made on the device, and the cut's features. A
            value that its engine has packed already is a `Frame`.

        Raises
        ------
        BundleError
            If a value has no such precision.
        EngineError
            If an engine fails.
        """
        if self._engine is None:
            value = self.cut.values[0]
            assert value.quality is not None
            data = encode_jpeg(feed[value.name], value.quality)
            return {value.codes: np.frombuffer(data, dtype=np.uint8)}
        quantizers, framings = self._prepare(bits)
        made = self._engine.run_framed(dict(feed, **quantizers), framings)
        # An input of the model that is an output too.
        self._passed = {name: feed[name] for name in self.cut.device_outputs if name in feed}
        return self._wanted_of(made)

    def again(self, bits: Bits) -> Arrays:
        """The latest task at another precision; only the last artefact runs. Only where `adjustable`.

        Raises
        ------
        BundleError, EngineError
            As `run` does.
        """
        assert self._engine is not None and self.adjustable
        return self._wanted_of(self._engine.run_last(*self._prepare(bits)))

    def _wanted_of(self, made: Arrays) -> Arrays:
        made = dict(self._passed, **made)
        return {name: made[name] for name in self._wanted if name in made}

    def _prepare(self, bits: Bits) -> Tuple[Arrays, Dict[str, Framing]]:
        """What quantizers are fed at a precision, and how values are packed by an engine that can do that itself."""
        if bits not in self._prepared:
            feed: Arrays = {}
            framings = {}
            for value, depth in zip(self.cut.values, self.cut.precisions(bits)):
                if value.packed:
                    feed.update(value_inputs(self.cut, value, "device", depth))
                    framings[value.codes] = Framing(depth, value.layout)
            self._prepared[bits] = feed, framings
        return self._prepared[bits]


class Halves:
    """The device halves of a bundle's cuts; segments that they share are loaded once.

    Parameters
    ----------
    bundle : Bundle
    engine_factory : callable
    providers : sequence of str
    """

    def __init__(
        self, bundle: Bundle, engine_factory: EngineFactory = OrtEngine, providers: Sequence[str] = (CPU,)
    ) -> None:
        self.engines = Engines(bundle, engine_factory, providers)
        self._halves: Dict[str, DeviceHalf] = {}

    def half(self, cut_name: Optional[str] = None) -> DeviceHalf:
        """The device half of the cut called `cut_name`, or of the chosen one; loads what of it no other has loaded.

        Raises
        ------
        BundleError, EngineError
            There is no such cut, or as `Engines.load` does.
        """
        bundle = self.engines.bundle
        cut = bundle.manifest.cut(cut_name)
        if cut.name not in self._halves:
            self._halves[cut.name] = DeviceHalf(bundle, cut, engines=self.engines)
        return self._halves[cut.name]
