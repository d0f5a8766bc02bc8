import pytest

from coachc.runtime import errors


def test_render_gives_message_context_and_hint():
    error = errors.BundleError("model.onnx has changed", ["expected  1", "found     2"], "copy it again")
    assert error.render() == (
        "error[bundle]: model.onnx has changed\n  expected  1\n  found     2\n  hint: copy it again"
    )
    assert errors.SourceError("no image").render() == "error[source]: no image"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BundleError", "bundle"),
        ("SourceError", "source"),
        ("EngineError", "engine"),
        ("ConnectionFailed", "connection"),
        ("WrongBundleError", "connection"),
        ("RemoteProtocolError", "protocol"),
        ("LocalProtocolError", "protocol"),
    ],
)
def test_every_error_has_its_kind_and_exit_code(name, kind):
    error = getattr(errors, name)("message")
    assert (error.kind, error.exit_code, str(error)) == (kind, 1, "message")
    assert isinstance(error, errors.CoachRuntimeError)


@pytest.mark.needs("coachc")
def test_renders_like_the_compiler_does():
    import sys

    if sys.version_info < (3, 11):
        pytest.skip("the compiler needs Python 3.11")
    from coachc.errors import CoachError

    arguments = {"context": ["one", "two"], "hint": "three"}
    ours = errors.CoachRuntimeError("text", **arguments).render()
    assert ours.replace("error[runtime]", "error[error]") == CoachError("text", **arguments).render()
