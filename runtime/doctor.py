"""``python3 -m runtime.doctor``: what this machine has of what the device or cloud program needs, and what mends it.

Only the standard library is imported here, so that it can say that all else is missing. Exit code 0, or 3 where
something needed is missing or wrong.
"""

import argparse
import json
import sys
from typing import Any, Callable, List, Optional, Sequence

from .bundle.manifest_types import Manifest
from .bundle.signature import trusted_keys
from .bundle.store import open_bundle
from .engines.engine_cache import DEFAULT_CACHE
from .health import board, gpu, modules
from .health.findings import Checkup, Finding, gather
from .health.machine import Machine, survey
from .health.suits import suits
from .health.system import System
from .paragraphs import columns_of
from .programs import argument_parser, run_program

#: The bundle's target -> its compute capability, "" where it is not known.
Capability = Callable[[str], str]


def examine(
    system: System,
    side: Optional[str] = None,
    bundle: Optional[str] = None,
    trust: Optional[str] = None,
    engine_cache: Optional[str] = None,
    capability: Capability = lambda target: "",
) -> Checkup:
    """Look a machine over.

    Parameters
    ----------
    system : System
    side : {"device", "cloud"}, optional
        What it is to be; if not given, a Jetson is a device and anything else a cloud.
    bundle : str, optional
        A bundle it should suit.
    trust : str, optional
        Folder of public keys, one of which has to have signed the bundle.
    engine_cache : str, optional
    capability : callable
        Of the bundle's target.

    Raises
    ------
    CoachRuntimeError
        The bundle is damaged or not signed. About the machine itself nothing raises.
    """
    manifest = open_bundle(bundle, trusted_keys(trust)).manifest if bundle is not None else None
    machine = survey(system)
    role = side or ("device" if machine.jetson else "cloud")
    found = gpu.Accelerator(system, machine)
    cache = engine_cache or DEFAULT_CACHE
    findings = gather(
        (
            ("JetPack", lambda: board.jetpack(machine)),
            ("system", lambda: board.system(machine)),
            ("Python", lambda: board.python(machine)),
            ("numpy", lambda: modules.numpy(system, machine)),
            ("ONNX Runtime", lambda: modules.onnxruntime(system, machine, found)),
            ("GPU", lambda: gpu.gpu(system, machine, found)),
            ("CUDA", lambda: gpu.cuda(system, machine, found)),
            ("cuDNN", lambda: gpu.cudnn(machine, found)),
            ("TensorRT", lambda: gpu.tensorrt(system, machine, found)),
            ("modules", lambda: modules.optional(system, machine, found, role)),
            ("memory", lambda: board.memory(system, machine, role)),
            ("disk", lambda: board.disk(system, cache)),
            ("power", lambda: board.power(system, machine)),
            ("network", lambda: board.network(system, machine, role)),
            ("bundle", lambda: _against(system, machine, found, manifest, role, capability, cache)),
        )
    )
    return Checkup(role, _describe(system, machine), _facts(system, machine, found), tuple(findings), bundle)


def _against(
    system: System,
    machine: Machine,
    found: gpu.Accelerator,
    manifest: Optional[Manifest],
    side: str,
    capability: Capability,
    cache: str,
) -> List[Finding]:
    if manifest is None:
        return []
    target = manifest.device if side == "device" else manifest.cloud
    return suits(system, machine, found, manifest, side, capability(str(target.get("target", ""))), cache)


def _describe(system: System, machine: Machine) -> str:
    return "{} ({}{})".format(
        machine.model.splitlines()[0] if machine.model else "this machine",
        system.arch,
        ", in a container" if machine.container else "",
    )


def _facts(system: System, machine: Machine, found: gpu.Accelerator) -> Any:
    memory = board.memory_of(system)
    return dict(
        modules.facts(system),
        model=machine.model or None,
        chip=machine.chip or None,
        l4t=".".join(str(part) for part in machine.l4t) or None,
        jetpack=machine.jetpack or None,
        os=machine.os or None,
        python=".".join(str(part) for part in machine.python),
        memory_bytes=memory.get("MemTotal"),
        memory_free_bytes=memory.get("MemAvailable"),
        swap_bytes=memory.get("SwapTotal"),
        **found.facts(),
    )


def main(argv: Optional[Sequence[str]] = None, system: Optional[System] = None) -> int:
    """Command line; returns the exit code."""
    parser = argument_parser("doctor", "What this machine lacks, and the command that mends it.")
    sides = parser.add_mutually_exclusive_group()
    sides.add_argument("--device", action="store_const", const="device", dest="side", help="look at it as a device")
    sides.add_argument("--cloud", action="store_const", const="cloud", dest="side", help="look at it as a server")
    parser.add_argument("--bundle", metavar="X.coach", help="say whether it suits that side of this bundle too")
    parser.add_argument("--trust", metavar="DIR", help="refuse a bundle that none of this folder's *.pub keys signed")
    parser.add_argument("--engine-cache", metavar="DIR", help="where engines are kept; default " + DEFAULT_CACHE)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout instead of a table")
    options = parser.parse_args(argv)
    return run_program(lambda: _run(options, system or System()))


def _run(options: argparse.Namespace, system: System) -> int:
    checkup = examine(system, options.side, options.bundle, options.trust, options.engine_cache)
    print(json.dumps(checkup.to_json(), indent=1) if options.json else checkup.text(columns_of(sys.stdout)))
    return checkup.exit_code


if __name__ == "__main__":
    sys.exit(main())
