"""``python3 -m runtime.build BUNDLE``: build the engines of a bundle here, before the first frame needs them.

The device program and the server do the same by themselves when they first start with ``--engine trt``; this does it
ahead, says what it does, and prints the trtexec command for those who build with that.
"""

import argparse
import hashlib
import os
import shlex
import sys
from typing import Any, List, Optional, Sequence, Tuple

from .bundle.manifest_types import Manifest
from .bundle.signature import trusted_keys
from .bundle.store import Bundle, open_bundle
from .engines.build_engine import available_bytes, find_or_build, to_stderr, workspace_bytes
from .engines.dialect import Dialect, shape_ranges
from .engines.engine_cache import DEFAULT_CACHE, EngineCache
from .engines.gpu_quantizer import quantizing_cut
from .engines.load_dialect import dialect_of, load_dialect
from .engines.trt_factory import to_build
from .errors import BundleError
from .programs import argument_parser, run_program

SIDES = ("device", "cloud")
#: What `trtexec_command` needs of a TensorRT that is not installed here.
LAST_OF_DIALECT = {"8.2": "8.2.1", "8.5": "8.5.2", "8.6": "8.6.1", "10": "10.3.0", "11": "11.4.0"}


def paths_of(manifest: Manifest, side: str, cut: Optional[str] = None) -> Tuple[str, ...]:
    """The model artefacts that a side runs, each once: of one cut, or of all.

    Raises
    ------
    BundleError
        There is no such cut, or the side computes nothing in it.
    """
    paths = manifest.run_by(side) if cut is None else manifest.cut(cut).run_by(side)
    if not paths:
        names = ", ".join(each.name for each in manifest.cuts if each.run_by(side))
        raise BundleError(f"cut '{cut}' runs nothing on the {side}", hint=f"these do: {names}")
    return paths


def trtexec_commands(
    bundle: Bundle, side: str, paths: Sequence[str], dialect: Dialect, workspace: int, folder: str
) -> List[str]:
    """One command a model that builds what `find_or_build` builds; the plans are not taken from there."""
    lines = []
    timings = os.path.join(folder, "trtexec.timings")
    for path in paths:
        chosen = to_build(bundle, side, path, bundle.read(path), dialect, workspace)
        onnx = os.path.join(bundle.path, *chosen.path.split("/"))
        plan = os.path.join(folder, hashlib.sha256(chosen.model).hexdigest()[:12] + ".plan")
        ranges = shape_ranges(chosen.model, chosen.settings)
        words = dialect.trtexec(onnx, plan, chosen.settings, timings, ranges=ranges)
        lines.append(" ".join(shlex.quote(word) for word in words))
    return lines


def build_bundle(
    bundle: Bundle,
    side: str,
    cut: Optional[str],
    cache: EngineCache,
    workspace: int,
    dialect: Dialect,
    gpu: Any,
) -> List[Tuple[str, str]]:
    """Look up or build every engine of a side; (artefact, what was done) of each, said on stderr meanwhile."""
    workspace = workspace or workspace_bytes(available_bytes(), gpu.free_bytes())
    done = []
    for path in paths_of(bundle.manifest, side, cut):
        if quantizing_cut(bundle.manifest, path) is not None and not gpu.lacks_kernels():
            done.append((path, "quantizers, computed by CUDA kernels without an engine"))
            continue
        chosen = to_build(bundle, side, path, bundle.read(path), dialect, workspace)
        to_stderr(f"{chosen.path}: {dialect.product} {dialect.version} on {gpu.name} ({gpu.compute_capability})")
        with gpu.current():
            found = find_or_build(
                dialect, chosen.model, chosen.settings, cache, gpu.name, gpu.compute_capability, to_stderr
            )
        size = len(found.plan) / 1e6
        what = f"{size:.1f} MB, there already" if not found.built else f"{size:.1f} MB, built in {found.seconds:.1f} s"
        done.append((chosen.path, f"{what}, {found.path}"))
    return done


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Command line; returns the exit code."""
    parser = argument_parser("build", "Build a bundle's engines here.")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--side", choices=SIDES, default="device", help="what this machine is; default %(default)s")
    parser.add_argument("--cut", metavar="NAME", help="only what this cut runs")
    parser.add_argument("--cache", metavar="DIR", help=f"where engines are kept; default {DEFAULT_CACHE}")
    parser.add_argument("--workspace", metavar="MIB", type=_mebibytes, default=0, help="default: half of what is free")
    parser.add_argument("--trust", metavar="DIR", help="refuse a bundle that none of this folder's *.pub keys signed")
    parser.add_argument("--trtexec", action="store_true", help="print the trtexec commands and build nothing")
    parser.add_argument(
        "--tensorrt",
        choices=sorted(LAST_OF_DIALECT),
        help="with --trtexec: for that release; default: the one that is here",
    )
    options = parser.parse_args(argv)
    if options.tensorrt and not options.trtexec:
        parser.error("--tensorrt is for --trtexec: an engine is built with the TensorRT that is here")
    return run_program(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    bundle = open_bundle(options.bundle, trusted_keys(options.trust))
    cache = EngineCache(options.cache)
    if options.trtexec:
        dialect = _named(options.tensorrt) if options.tensorrt else load_dialect()
        workspace = options.workspace or workspace_bytes(available_bytes())
        paths = paths_of(bundle.manifest, options.side, options.cut)
        print("\n".join(trtexec_commands(bundle, options.side, paths, dialect, workspace, cache.folder)))
        return
    dialect = load_dialect()
    from .engines.cuda import shared_gpu

    for path, what in build_bundle(bundle, options.side, options.cut, cache, options.workspace, dialect, shared_gpu()):
        print(f"{path}: {what}")


def _named(release: str) -> Dialect:
    class Named:
        __name__ = "tensorrt"
        __version__ = LAST_OF_DIALECT[release]

    return dialect_of(Named())


def _mebibytes(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("has to be at least 1 MiB, not " + text)
    return value << 20


if __name__ == "__main__":
    sys.exit(main())
