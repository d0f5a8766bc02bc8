"""A TensorRT that computes nothing, with exactly the names and signatures of a real release. Python 3.6-clean.

What is misspelt, was removed, or is called with other arguments raises, as the real bindings do. Everything called or
set is recorded.
"""

import re

from tests.helpers.tensorrt_names import read_names

VERSIONS = {
    "8.2": "8.2.1.8",
    "8.6": "8.6.1",
    "10.3": "10.3.0",
    "10.16": "10.16.1.11",
    "11.4": "11.4.0.106",
    "rtx-1.7": "1.7.1.116",
}
#: Of the bindings below: name, whether it goes in, data type, shape.
SUBCLASSED = {"ILogger": ("log",), "IProfiler": ("report_layer_time",)}
TENSORS = (("x", True, "FLOAT", (1, 3, 4, 4)), ("codes", False, "INT32", (1, 3, 4, 4)))


def fake_tensorrt(release, tensors=TENSORS, **answers):
    """A module of one release.

    Parameters
    ----------
    release : str
        A file of `tests/data/tensorrt`.
    tensors : sequence of (str, bool, str, tuple)
        Of every engine, as `TENSORS`.
    answers : object
        What "Class_method" returns (called with the arguments, if it can be) or "Class_property" holds, instead of the
        default; None is an answer.

    Returns
    -------
    Module
        `calls` has (name, arguments) of everything called or set.
    """
    return Module(release, dict(defaults(tensors), **answers))


class Module:
    def __init__(self, release, answers):
        self.__name__ = "tensorrt_rtx" if release.startswith("rtx") else "tensorrt"
        self.__version__ = VERSIONS[release]
        self.calls = []
        signatures = {}
        for line in read_names(release):
            found = re.match(r"(\w+)\.(\w+)(?:\((.*)\) -> (\w+))?$", line)
            owner, name, arguments, returns = found.groups()
            members = signatures.setdefault(owner, {})
            if arguments is None:
                members.setdefault(name, [])
            else:
                words = [word for word in arguments.split(", ") if word]
                needed = len([word for word in words if not word.endswith("=")])
                members.setdefault(name, []).append((needed, len(words), returns))
        for owner, members in signatures.items():
            kind = enum_of(owner, members) if is_enum(members) else class_of(self, owner, members, answers)
            setattr(self, owner, kind)
        self.Severity = self.ILogger.Severity = enum_of("Severity", ["INTERNAL_ERROR", "ERROR", "WARNING", "INFO"])


def is_enum(members):
    return all(name.isupper() or re.match(r"[A-Z][A-Z0-9_]+$|__init__$|itemsize$", name) for name in members)


class Member:
    def __init__(self, owner, name, number):
        self.text, self.number = owner + "." + name, number

    def __str__(self):
        return self.text

    def __int__(self):
        return self.number


def enum_of(owner, members):
    names = sorted(name for name in members if name[0] != "_" and name.isupper())
    made = {name: Member(owner, name, number) for number, name in enumerate(names)}
    return type(owner, (), dict(made, __members__=made))


def class_of(module, owner, members, answers):
    def record(name, arguments):
        module.calls.append((owner + "." + name, arguments))

    class Fake:
        def __init__(self, *arguments):
            check(owner, members.get("__init__", []), arguments)
            if owner not in SUBCLASSED:
                record("__init__", arguments)

        def __getattr__(self, name):
            if name not in members:
                raise AttributeError(f"{owner} of this release has no '{name}'")
            key = owner + "_" + name
            if not members[name]:
                value = answers.get(key)
                return value(module) if callable(value) else value

            def call(*arguments):
                returns = check(owner + "." + name, members[name], arguments)
                record(name, arguments)
                if key in answers:
                    answer = answers[key]
                    return answer(module, *arguments) if callable(answer) else answer
                if returns == "bool":
                    return True
                kind = getattr(module, {"IParserError": "ParserError"}.get(returns, returns), None)
                return object.__new__(kind) if isinstance(kind, type) else None

            return call

        def __setattr__(self, name, value):
            if name not in members or members[name]:
                raise AttributeError(f"{owner} of this release has no property '{name}'")
            record(name, (value,))

    Fake.__name__ = owner
    if owner in SUBCLASSED:
        # Subclassed in Python, where it is an ordinary class.
        return type(owner, (), dict({"__init__": lambda self: None}, **dict.fromkeys(SUBCLASSED[owner])))
    return Fake


def check(name, signatures, arguments):
    """What it returns; TypeError unless one of the signatures takes that many arguments."""
    for needed, most, returns in signatures:
        if needed <= len(arguments) <= most:
            return returns
    raise TypeError(f"{name} does not take {len(arguments)} arguments: {signatures}")


def defaults(tensors):
    def tensor(index):
        return tensors[index]

    def named(name):
        return next(item for item in tensors if item[0] == name)

    def find(key):
        return tensor(key) if isinstance(key, int) else named(key)

    return {
        "Builder_platform_has_fast_fp16": True,
        "Builder_platform_has_fast_int8": False,
        "Builder_build_serialized_network": b"a plan",
        "ITimingCache_serialize": b"timings",
        "IBuilderConfig_add_optimization_profile": 0,
        "OnnxParser_num_errors": 0,
        "ICudaEngine_num_bindings": len(tensors),
        "ICudaEngine_num_io_tensors": len(tensors),
        "ICudaEngine_get_binding_name": lambda trt, index: tensor(index)[0],
        "ICudaEngine_binding_is_input": lambda trt, key: find(key)[1],
        "ICudaEngine_get_binding_dtype": lambda trt, key: getattr(trt.DataType, find(key)[2]),
        "ICudaEngine_get_binding_shape": lambda trt, key: find(key)[3],
        "ICudaEngine_get_tensor_name": lambda trt, index: tensor(index)[0],
        "ICudaEngine_get_tensor_mode": lambda trt, name: (
            trt.TensorIOMode.INPUT if named(name)[1] else trt.TensorIOMode.OUTPUT
        ),
        "ICudaEngine_get_tensor_dtype": lambda trt, name: getattr(trt.DataType, named(name)[2]),
        "ICudaEngine_get_tensor_shape": lambda trt, name: named(name)[3],
    }
