"""`--print-after` and `--dump-dir`: the model between passes, of import and of what is emitted."""

from __future__ import annotations

import os

import onnx
import pytest

from coachc.cli.flags.pass_flags import pass_names
from coachc.frontend.import_passes import import_pass_names
from coachc.frontend.onnx_import import import_model
from coachc.models.synthetic import chain
from coachc.passes.lower.rewrite_model import lowering_pass_names
from tests.helpers.bundles import save
from tests.helpers.commands import coachc, succeed
from tests.helpers.transformer import transformer

pytestmark = pytest.mark.needs("onnxruntime")


@pytest.fixture
def model(tmp_path):
    return save(chain(), tmp_path / "net.onnx")


def files(folder):
    found = (os.path.join(home, name) for home, _, names in os.walk(folder) for name in names)
    return sorted(os.path.relpath(path, folder) for path in found)


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_a_pass_by_name(command, model):
    plain = coachc(command, model)
    outcome = coachc(command, model, "--print-after", "fold", "--print-after", "read")
    assert outcome.code == 0
    assert outcome.out == plain.out
    heads = [line for line in outcome.err.splitlines() if line.startswith("# ")]
    assert [head.split(":")[0] for head in heads] == ["# import, after read", "# import, after fold"]
    assert "Conv" in outcome.err
    assert "{...}" in outcome.err


def test_every_pass(model):
    err = coachc("check", model, "--print-after", "all").err
    heads = [line.split(":")[0] for line in err.splitlines() if line.startswith("# ")]
    assert heads == [f"# import, after {name}" for name in import_pass_names()]


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_an_unknown_pass_is_answered_with_all(command, model):
    outcome = coachc(command, model, "--print-after", "folding")
    assert outcome.code == 2
    assert "error[usage]: --print-after 'folding' is no pass" in outcome.err
    assert f"hint: one of all, {', '.join(import_pass_names())}\n" in outcome.err
    # Nothing is lowered here, so no pass of lowering would ever print.
    assert coachc(command, model, "--print-after", "take-apart").code == 2


def test_compile_knows_the_passes_of_lowering_too(model):
    assert pass_names() == (*import_pass_names(), *lowering_pass_names())
    assert len(set(pass_names())) == len(pass_names())
    outcome = coachc("compile", model, "--device", "tx2", "--calib", "random", "--print-after", "folding")
    assert outcome.code == 2
    assert f"hint: one of all, {', '.join(pass_names())}\n" in outcome.err


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_a_folder_of_models(command, model, tmp_path):
    succeed(command, model, "--dump-dir", tmp_path / "new" / "dump")
    found = files(tmp_path / "new" / "dump")
    assert found == [f"import/{number:02}-{name}.onnx" for number, name in enumerate(import_pass_names(), start=1)]
    last = onnx.load(tmp_path / "new" / "dump" / found[-1])
    assert last == import_model(model).proto
    onnx.checker.check_model(last, full_check=True)


def test_compile_writes_every_artefact_as_lowering_leaves_it(tmp_path):
    model, dump = save(transformer(), tmp_path / "vit.onnx"), tmp_path / "dump"
    arguments = ("--device", "tx2", "--calib", "random", "--samples", 20, "--mode", "split", "-o", tmp_path / "b.coach")
    outcome = coachc("compile", model, *arguments, "--dump-dir", dump, "--print-after", "take-apart")
    assert outcome.code == 0, outcome.err
    found = files(dump)
    homes = {os.path.dirname(path) for path in found} - {"import"}
    assert homes >= {"lower/device.onnx", "lower/cloud.onnx"}
    for home in homes:
        names = [os.path.basename(path)[3:-5] for path in found if os.path.dirname(path) == home]
        assert names[:4] == list(lowering_pass_names()[:4])
        assert f"# {home}, after take-apart: " in outcome.err
    written = tmp_path / "b.coach" / "cloud.onnx"
    last = max(path for path in found if path.startswith("lower/cloud.onnx/"))
    assert onnx.load(dump / last) == onnx.load(written)

    again = coachc("compile", model, *arguments, "--dump-dir", dump)
    assert again.code == 1
    assert f"error[file]: --dump-dir {dump} is not empty" in again.err
    before = files(dump)
    succeed("compile", model, *arguments, "--dump-dir", dump, "--force")
    assert files(dump) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text(""), "is a file\n  hint: name a folder; it is made where there is none"),
        (lambda path: (path / "x").mkdir(parents=True), "is not empty\n  hint: name an empty or a new folder\n"),
    ],
    ids=["a file", "not empty"],
)
def test_folders_that_will_not_do(make, message, model, tmp_path):
    make(tmp_path / "there")
    outcome = coachc("inspect", model, "--dump-dir", tmp_path / "there")
    assert outcome.code == 1
    assert f"error[file]: --dump-dir {tmp_path / 'there'} {message}" in outcome.err


def test_force_is_named_where_there_is_such_a_flag(model, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_text("")
    outcome = coachc("compile", model, "--device", "tx2", "--calib", "random", "--dump-dir", tmp_path / "there")
    assert "name an empty or a new folder; --force replaces files of the same names" in outcome.err


def test_a_folder_below_a_file(model, tmp_path):
    outcome = coachc("inspect", model, "--dump-dir", model / "below")
    assert outcome.code == 1
    assert f"error[file]: cannot make the folder {model / 'below'}: " in outcome.err
    assert "hint: choose another --dump-dir" in outcome.err


def test_check_takes_them_with_models_alone(tmp_path):
    outcome = coachc("check", tmp_path, "--dump-dir", tmp_path / "dump")
    assert outcome.code == 2
    assert "error[usage]: --print-after and --dump-dir take a model, not a bundle" in outcome.err
    assert f"hint: coachc check {tmp_path}/model.onnx" in outcome.err
