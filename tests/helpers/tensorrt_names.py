"""The names and signatures of TensorRT's Python API, release by release: read from files, or from the bindings.

`tests/data/tensorrt` has one file a release and one name a line: what the bindings themselves say, so that a method
that is misspelt here or was removed there fails a test. TensorRT cannot be installed from the package index, but its
bindings can, and their names can be read against libraries that do nothing:

    pip download --no-deps tensorrt-cu12-bindings==10.3.0 && unzip *.whl -d bindings
    python tests/helpers/tensorrt_names.py bindings > tests/data/tensorrt/10.3.txt

(8.6.1 is tensorrt-bindings and wants Python 3.6 to 3.10; with `tensorrt_rtx` for a folder the installed one is read.)
8.2 is on no package index: its file was written from the source of the bindings and says which.
Runs under Python 3.6.
"""

import importlib
import os
import re
import subprocess
import sys
import tempfile

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "tensorrt")

#: All that an engine is built, loaded and run with.
CLASSES = (
    "Builder",
    "BuilderFlag",
    "ComputeCapability",
    "DataType",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProfiler",
    "ITimingCache",
    "MemoryPoolType",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "Runtime",
    "TensorIOMode",
)
#: Of thousands of lines, those that define layers say nothing here.
LEFT_OUT = re.compile(
    r"INetworkDefinition\.(add|mark|unmark|are|set|remove|is)_"
    r"|\.(error_recorder|gpu_allocator|value|name(\(.*\) -> str)?)$"
)

#: What the bindings link to; nothing is called while names are read.
STUB = """
#define S(n) void *n(void) { return 0; }
S(createInferBuilder_INTERNAL) S(createInferRefitter_INTERNAL) S(createInferRuntime_INTERNAL)
S(createNvOnnxParser_INTERNAL) S(createNvOnnxParserRefitter_INTERNAL) S(getBuilderPluginRegistry)
S(getNvOnnxParserVersion) S(getPluginRegistry) S(initLibNvInferPlugins) S(_ZN11nvuffparser15createUffParserEv)
S(_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi) S(_ZN14nvcaffeparser117createCaffeParserEv)
S(_ZN14nvcaffeparser123shutdownProtobufLibraryEv)
"""


def names_of(trt):
    """Sorted lines: "Class.method(argument, optional=) -> Type", "Class.property", "Enum.MEMBER"."""
    lines = set()
    for class_name in CLASSES:
        kind = getattr(trt, class_name, None)
        for name in dir(kind) if kind is not None else ():
            if name[0] == "_" and name != "__init__":
                continue
            member = getattr(kind, name)
            text = (getattr(member, "__doc__", None) or "").replace("*args, **kwargs", "")
            signatures = re.findall(rf"^(?:\d+\. )?{name}\((.*)\)(?: -> (.*))?$", text, re.MULTILINE)
            found = [shown(*signature) for signature in signatures if signature[0].startswith("self")]
            lines.update(f"{class_name}.{name}{signature}" for signature in found or [""])
    return sorted(line for line in lines if not LEFT_OUT.search(line))


def shown(arguments, returns):
    """ "(self: a.B, flags: int = 0)", "a.C" -> "(flags=) -> C"."""
    while re.search(r"\[[^\[\]]*\]", arguments):
        arguments = re.sub(r"\[[^\[\]]*\]", "", arguments)
    arguments = re.sub(r"<[^<>]*>", "", arguments)
    words = []
    for argument in arguments.split(",")[1:]:
        name = argument.split(":")[0].strip()
        words.append(name + "=" * ("=" in argument))
    last = re.split(r"[.:]+", returns.split("[")[0])[-1] if returns else "None"
    return "({}) -> {}".format(", ".join(words), last)


def read_names(release):
    """The lines of one release; comments left out."""
    with open(os.path.join(FOLDER, release + ".txt"), encoding="ascii") as stream:
        return [line for line in stream.read().splitlines() if line and line[0] != "#"]


def main(folder):
    """Print the names of the bindings in `folder`, in a process that sees libraries that do nothing."""
    if folder == "tensorrt_rtx" or "READ_NAMES" in os.environ:
        if folder != "tensorrt_rtx":
            sys.path.insert(0, folder)
        trt = importlib.import_module("tensorrt_rtx" if folder == "tensorrt_rtx" else "tensorrt_bindings")
        print(f"# {trt.__name__} {trt.__version__}, read by tests/helpers/tensorrt_names.py")
        print("\n".join(names_of(trt)))
        return
    with tempfile.TemporaryDirectory() as stubs:
        source = os.path.join(stubs, "stub.c")
        with open(source, "w") as stream:
            stream.write(STUB)
        binding = os.path.join(folder, "tensorrt_bindings", "tensorrt.so")
        needed = subprocess.check_output(["readelf", "-d", binding]).decode()
        for library in re.findall(r"\[(libnv\S+)\]", needed):
            target = os.path.join(stubs, library)
            subprocess.check_call(["gcc", "-shared", "-fPIC", "-Wl,-soname," + library, "-o", target, source])
        environment = dict(os.environ, LD_LIBRARY_PATH=stubs, READ_NAMES="1")
        subprocess.check_call([sys.executable, os.path.abspath(__file__), folder], env=environment)


if __name__ == "__main__":
    main(sys.argv[1])
