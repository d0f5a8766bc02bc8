import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coachc.runtime import errors
from coachc.runtime.programs import argument_parser, run_program


def test_render_gives_message_context_and_hint():
    error = errors.BundleError("model.onnx has changed", ["expected  1", "found     2"], "copy it again")
    assert error.render() == (
        "error[bundle]: model.onnx has changed\n  expected  1\n  found     2\n  hint: copy it again"
    )
    assert errors.SourceError("no image").render() == "error[source]: no image"


KINDS = {
    "CoachRuntimeError": ("runtime", 1),
    "UsageError": ("usage", 2),
    "BundleError": ("bundle", 1),
    "SignatureError": ("signature", 1),
    "InstallError": ("install", 1),
    "SourceError": ("source", 1),
    "RecordError": ("record", 1),
    "ProfileFileError": ("profile", 1),
    "EngineError": ("engine", 1),
    "ConnectionFailed": ("connection", 1),
    "AnswerOverdue": ("connection", 1),
    "WrongBundleError": ("connection", 1),
    "ServerBusy": ("connection", 1),
    "LinkFileError": ("link", 1),
    "RemoteProtocolError": ("protocol", 1),
    "LocalProtocolError": ("protocol", 70),
}


def test_the_errors_of_that_table_are_all_there_are():
    classes = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)}
    assert classes == {*KINDS, "UnreadablePicture"}


def test_a_picture_that_cannot_be_read_is_named():
    error = errors.UnreadablePicture("a/b.png", "no image of a known kind")
    assert (error.kind, error.exit_code, error.reason) == ("source", 1, "no image of a known kind")
    assert error.message == "cannot read a/b.png: no image of a known kind"


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_error_has_its_kind_and_exit_code(name):
    error = getattr(errors, name)("message")
    assert (error.kind, error.exit_code, str(error)) == (*KINDS[name], "message")
    assert isinstance(error, errors.CoachRuntimeError)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_program_ends_with_the_code_of_its_error(name, capsys):
    def fail():
        raise getattr(errors, name)("message", hint="mend it")

    assert run_program(fail) == KINDS[name][1]
    said = capsys.readouterr().err
    assert said.endswith("error[{}]: message\n  hint: mend it\n".format(KINDS[name][0]))
    assert ("Traceback" in said) == (KINDS[name][1] == 70)


def raising(error):
    def fail():
        raise error

    return fail


def test_other_ends_of_a_program(capsys):
    assert run_program(lambda: None) == 0
    assert run_program(lambda: errors.FINDING) == 3
    assert run_program(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")
    assert run_program(raising(ZeroDivisionError("division by zero"))) == 70
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and "ZeroDivisionError" in said
    assert said.endswith("error[internal]: this is a bug in coachc; please report it with the lines above\n")
    # argparse's own
    with pytest.raises(SystemExit):
        run_program(raising(SystemExit(2)))


@pytest.mark.parametrize("name", ["ENOSPC", "EROFS", "EACCES", "EDQUOT", "EMFILE"])
def test_what_the_machine_refuses_is_no_bug(name, capsys):
    number = getattr(errno, name)
    assert run_program(raising(OSError(number, os.strerror(number), "/data/x"))) == 1
    hint = "  hint: check free space, owner and permissions there, or name another place\n"
    assert capsys.readouterr().err == "error[file]: /data/x: {}\n".format(os.strerror(number)) + hint
    assert run_program(raising(OSError(number, os.strerror(number)))) == 1
    assert capsys.readouterr().err.startswith("error[file]: {}\n".format(os.strerror(number)))


def test_other_failures_of_the_system_are_faults_of_ours(capsys):
    assert run_program(raising(FileNotFoundError(errno.ENOENT, "No such file", "x"))) == 70
    assert "Traceback" in capsys.readouterr().err


PROGRAM = (
    "import sys; from coachc.runtime.programs import run_program; sys.exit(run_program(lambda: print('x' * 99999)))"
)


def run_into(output):
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    done = subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=output, stderr=subprocess.PIPE, env=environment)
    return done.communicate(timeout=60)[1].decode(), done.returncode


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout():
    with open("/dev/full", "wb") as full:
        said, code = run_into(full)
    assert (said.splitlines()[0], code) == ("error[file]: No space left on device", 1)
    assert len(said.splitlines()) == 2


def test_a_reader_of_stdout_that_has_gone():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert run_into(writer) == ("", 1)
    finally:
        os.close(writer)


@pytest.mark.needs("coachc")
def test_renders_like_the_compiler_does():
    if sys.version_info < (3, 11):
        pytest.skip("the compiler needs Python 3.11")
    from coachc.errors import CoachError

    arguments = {"context": ["one", "two"], "hint": "three"}
    ours = errors.CoachRuntimeError("text", **arguments).render()
    assert ours.replace("error[runtime]", "error[error]") == CoachError("text", **arguments).render()


def test_a_program_refuses_an_option_given_twice(capsys):
    parser = argument_parser("device", "Run.")
    parser.add_argument("bundle")
    parser.add_argument("--server")
    parser.add_argument("--cut")
    parser.add_argument("--provider", action="append")
    given = parser.parse_args(["b", "--server", "a:1", "--provider", "x", "--provider", "y"])
    assert (given.server, given.provider) == ("a:1", ["x", "y"])
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["b", "--cut", "split", "--cut=raw"])
    assert stopped.value.code == 2
    assert "argument --cut: is given twice, split and raw, and takes one value" in capsys.readouterr().err
