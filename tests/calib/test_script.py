"""Samples from the user's code: what it may give, and that its mistakes are named with file, function and sample."""

from __future__ import annotations

import sys
import textwrap
import tracemalloc

import numpy as np
import pytest

from coachc.calib.script import ScriptSource, script_of
from coachc.errors import DataError
from coachc.runtime.bundle.manifest_types import TensorSpec

X = TensorSpec("x", "float32", (1, 3))
PAIR = (TensorSpec("a", "float32", (2, 3)), TensorSpec("b", "int64", (4,)))


def source_of(folder, code, inputs=(X,), function="load", max_samples=100):
    path = folder / "data.py"
    path.write_text("import numpy as np\n" + textwrap.dedent(code))
    return ScriptSource(str(path), function, inputs, max_samples)


def refused(folder, code, message, *context, inputs=(X,), function="load"):
    with pytest.raises(DataError, match=message) as caught:
        source_of(folder, code, inputs, function)
    assert caught.value.context == context
    return caught.value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("data.py:load", ("data.py", "load")),
        ("a/b:c/data.py:load", ("a/b:c/data.py", "load")),
        ("C:/data.py:_f2", ("C:/data.py", "_f2")),
        ("images", None),
        ("images.npz", None),
        ("random", None),
        ("C:/images", None),
        ("data.python:load", None),
    ],
)
def test_what_names_a_function(text, found):
    assert script_of(text) == found


@pytest.mark.parametrize("text", ["data.py", "data.py:", "data.py:a.b", "data.py:2", "data.py:a b"])
def test_what_should_name_a_function(text):
    with pytest.raises(DataError, match=r"names no function|is not the name of a function") as caught:
        script_of(text)
    assert caught.value.hint.endswith("data.py:load")


def test_arrays_one_a_sample(tmp_path):
    source = source_of(tmp_path, "def load():\n    return [np.full((1, 3), i, np.float64) for i in range(5)]")
    assert (len(source), source.labels) == (5, None)
    for _ in range(2):
        feeds = list(source)
        assert [feed["x"].tolist() for feed in feeds] == [[[i] * 3] for i in range(5)]
        assert {feed["x"].dtype for feed in feeds} == {np.dtype(np.float32)}


@pytest.mark.parametrize("label", ["i % 3", "np.int32(i % 3)", "np.array([i % 3])", "[i % 3]"])
@pytest.mark.parametrize("sample", ["(x, label)", "[x, label]", "({'x': x}, label)"])
def test_labelled_samples(tmp_path, label, sample):
    source = source_of(
        tmp_path,
        f"""
        def load():
            for i in range(5):
                x, label = np.full((1, 3), i, np.float32), {label}
                yield {sample}
        """,
    )
    assert source.labels.tolist() == [0, 1, 2, 0, 1]
    assert [feed["x"][0, 0] for feed in source] == [0, 1, 2, 3, 4]


def test_several_inputs_and_batches(tmp_path):
    source = source_of(
        tmp_path,
        """
        def load():
            for i in range(3):
                yield {"b": np.arange(4) + i, "a": np.ones((2, 3), np.float16)}, (i, i + 1)
        """,
        PAIR,
    )
    assert source.labels.tolist() == [0, 1, 1, 2, 2, 3]
    assert [list(feed) for feed in source] == [["a", "b"]] * 3
    assert [feed["b"].tolist() for feed in source][2] == [2, 3, 4, 5]


@pytest.mark.needs("torch")
def test_tensors_of_torch(tmp_path):
    source = source_of(
        tmp_path, "import torch\ndef load():\n    return [(torch.ones(1, 3) * i, torch.tensor(i)) for i in (4, 2)]"
    )
    assert source.labels.tolist() == [4, 2]
    assert [feed["x"].tolist() for feed in source] == [[[4] * 3], [[2] * 3]]


def test_called_again_for_every_pass_and_no_further_than_needed(tmp_path):
    code = """
    calls, made = [], []
    def load():
        calls.append(1)
        for i in range(10):
            made.append(i)
            yield np.full((1, 3), i, np.float32)
    """
    source = source_of(tmp_path, code, max_samples=4)
    assert len(source) == len(list(source)) == len(list(source)) == 4
    module = sys.modules["coachc_user_data"]
    assert (len(module.calls), module.made) == (3, [0, 1, 2, 3] * 3)


def test_an_array_that_is_filled_again(tmp_path):
    code = """
    def load():
        x = np.zeros((1, 3), np.float32)
        for i in range(4):
            x[:] = i
            yield x
    """
    assert [feed["x"][0, 0] for feed in list(source_of(tmp_path, code))] == [0, 1, 2, 3]


def test_the_file_finds_what_lies_beside_it_and_keeps_stdout_clean(tmp_path, capsys):
    (tmp_path / "beside_the_data.py").write_text("COUNT = 3\n")
    path = list(sys.path)
    code = """
    from dataclasses import dataclass
    from beside_the_data import COUNT
    print("importing")
    @dataclass
    class Item:
        x: "np.ndarray"
    def load():
        print("loading")
        for i in range(COUNT):
            print("making", i)
            yield Item(np.zeros((1, 3), np.float32)).x
    """
    try:
        assert len(source_of(tmp_path, code)) == 3
    finally:
        sys.modules.pop("beside_the_data", None)
    assert sys.path == path
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split("\n")[:3] == ["importing", "loading", "making 0"]


def test_memory_does_not_grow_with_the_samples(tmp_path):
    code = """
    def load():
        for i in range(300):
            yield np.full((1, 3, 64, 64), i, np.float32)
    """
    tracemalloc.start()
    try:
        source = source_of(tmp_path, code, (TensorSpec("x", "float32", (1, 3, 64, 64)),), max_samples=300)
        assert sum(1 for _ in source) == 300
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * (1 << 20) < 300 * 49152 / 5


class TestRefused:
    def test_no_file(self, tmp_path):
        with pytest.raises(DataError, match=r"no such file: .*absent\.py"):
            ScriptSource(str(tmp_path / "absent.py"), "load", (X,), 1)

    def test_no_function(self, tmp_path):
        code = "def samples(): pass\ndef other(): pass\ndef _hidden(): pass"
        refused(tmp_path, code, r"data\.py has no function 'load'", "found  other, samples")
        refused(tmp_path, "load = [1]", r"data\.py has no function 'load'", "found  none")

    def test_code_that_cannot_be_imported(self, tmp_path):
        at = f"at {tmp_path}/data.py line"
        refused(
            tmp_path, "import absent_module", r"data\.py:load cannot be imported: ModuleNotFoundError: No", f"{at} 2"
        )
        refused(tmp_path, "def load(:", r"data\.py:load cannot be imported: SyntaxError: ")
        refused(tmp_path, "import sys; sys.exit(4)", r"data\.py:load cannot be imported: SystemExit: 4", f"{at} 2")

    def test_code_that_fails(self, tmp_path):
        at, file = f"at {tmp_path}/data.py line", r"data\.py:load failed: "
        refused(tmp_path, "def load():\n    raise OSError('no disk')", file + "OSError: no disk", f"{at} 3")
        refused(tmp_path, "def load(path): pass", file + r"TypeError: load\(\) missing 1 required positional argument")
        refused(tmp_path, "def load(): pass", file + "TypeError: 'NoneType' object is not iterable")
        code = """
        def load():
            for i in range(5):
                yield np.zeros((1, 3), np.float32) if i < 2 else helper()
        def helper():
            return {}["label"]
        """
        refused(tmp_path, code, file + "KeyError: 'label'", f"{at} 7", "while it made sample 2")

    def test_interrupts_are_not_errors_of_the_code(self, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            source_of(tmp_path, "def load():\n    raise KeyboardInterrupt")

    def test_no_samples(self, tmp_path):
        refused(tmp_path, "def load(): return []", r"data\.py:load gives no samples")

    @pytest.mark.parametrize(
        ("sample", "found"),
        [
            ("np.zeros(3, np.float32)", "float32 of shape (3)"),
            ("np.zeros((3, 1), np.float32)", "float32 of shape (3,1)"),
            ("np.zeros((1, 3), np.int32)", "int32 of shape (1,3)"),
            ("np.zeros((1, 3), np.uint8)", "uint8 of shape (1,3)"),
            ("{'x': 'text'}", "<U4 of shape ()"),
            ("{'x': [None]}", "object of shape (1)"),
        ],
    )
    def test_arrays_that_do_not_suit(self, tmp_path, sample, found):
        error = refused(
            tmp_path,
            f"def load():\n    yield np.zeros((1, 3), np.float32)\n    yield {sample}",
            r"sample 1 of .*data\.py:load does not suit input 'x'",
            "expected  float32 of shape (1,3)",
            f"found     {found}",
        )
        assert error.hint == ("the first dimension is the batch: array[None]" if found.endswith("(3)") else "")

    def test_what_is_no_array(self, tmp_path):
        expected = "expected  an array or a dict of arrays, or a tuple of that and a label"
        for sample, kind in (("'text'", "str"), ("None", "NoneType"), ("(1, 2, 3)", "tuple")):
            code = f"def load(): return [{sample}]"
            refused(tmp_path, code, rf"sample 0 of .*data\.py:load is of type {kind}", expected, "inputs    x")
        code = "def load(): return [np.zeros((2, 3), np.float32)]"
        expected = "expected  a dict of arrays, one per input, or a tuple of that and a label"
        refused(tmp_path, code, "sample 0 of .* is of type ndarray", expected, "inputs    a, b", inputs=PAIR)
        refused(tmp_path, "def load(): return [{'x': [[1], [1, 2]]}]", "has no array for input 'x': ValueError")

    def test_names_that_are_not_the_models(self, tmp_path):
        message = r"sample 0 of .*data\.py:load does not name the model's inputs"
        one = "np.zeros((1, 3), np.float32)"
        refused(tmp_path, f"def load(): return [{{'y': {one}}}]", message, "expected  x", "found     y")
        refused(tmp_path, f"def load(): return [{{'x': {one}, 2: 3}}]", message, "expected  x", "found     2, x")

    @pytest.mark.parametrize("label", ["'cat'", "1.0", "None", "[1, 2]", "True"])
    def test_labels_that_are_no_class(self, tmp_path, label):
        code = f"def load(): return [(np.zeros((1, 3), np.float32), {label})]"
        message = r"sample 0 of .*data\.py:load has label"
        refused(tmp_path, code, message, "expected  1 whole number(s), the index of the class")

    def test_labels_for_some(self, tmp_path):
        code = "def load(): return [(np.zeros((1, 3), np.float32), 1), np.zeros((1, 3), np.float32)]"
        refused(tmp_path, code, r"data\.py:load gives some samples with and some without a label")


class TestAnotherPass:
    def test_other_samples(self, tmp_path):
        source = source_of(
            tmp_path,
            """
            rng = np.random.default_rng(0)
            def load():
                yield np.zeros((1, 3), np.float32)
                for i in range(5):
                    yield rng.standard_normal((1, 3))
            """,
        )
        with pytest.raises(DataError, match=r"data\.py:load gives another sample 1 than at first") as caught:
            list(source)
        assert "has to give the same samples each time" in caught.value.hint

    def test_fewer_samples(self, tmp_path):
        code = "items = iter([np.zeros((1, 3), np.float32)] * 3)\ndef load(): return items"
        with pytest.raises(DataError, match=r"data\.py:load gives 0 samples where it gave 3 or more at first"):
            list(source_of(tmp_path, code))


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Folders and a module of the user's beside `data.py`, of names that coachc's own folders have."""
    for name in ("models", "runtime", "passes", "calib"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("SIZE = 3")
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "my_numbers.py").write_text("SIZE = 3")
    yield tmp_path
    for name in ("models", "runtime", "passes", "calib", "my_numbers"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("module", ["models", "runtime", "passes", "calib", "my_numbers"])
@pytest.mark.parametrize(
    "code",
    [
        "from {module} import SIZE\ndef load():\n    return [np.zeros((1, SIZE))] * 2",
        "def load():\n    from {module} import SIZE\n    return [np.zeros((1, SIZE))] * 2",
        "def load():\n    yield np.zeros((1, 3))\n    from {module} import SIZE\n    yield np.zeros((1, SIZE))",
    ],
    ids=["at the top", "inside load", "between samples"],
)
def test_what_lies_beside_the_file_can_be_imported(beside, module, code):
    path = list(sys.path)
    source = source_of(beside, code.format(module=module))
    assert [len(list(source)), len(list(source))] == [2, 2]
    assert sys.path == path


def test_code_that_changes_the_path_itself_is_left_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = source_of(
        tmp_path, "import sys\ndef load():\n    sys.path[:] = sys.path[1:]\n    return [np.zeros((1, 3))]"
    )
    assert len(source) == 1
