import io
import os
import subprocess
import sys

import pytest

from coachc.runtime import install as command
from coachc.runtime.bundle import installation
from coachc.runtime.bundle.installation import install, rollback
from coachc.runtime.bundle.pack import pack_bundle
from coachc.runtime.bundle.signature import trusted_keys
from coachc.runtime.bundle.store import open_bundle, write_bundle
from coachc.runtime.errors import BundleError, CoachRuntimeError, InstallError, SignatureError
from tests.helpers.runtime_bundles import FILES, ROLES, make_manifest
from tests.helpers.signing import Signer


class Packer:
    """Archives of small bundles, by revision and name."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, revision, name="tiny", signer=None):
        path = self.folder / f"{name}-{revision}{'-' + signer.key_id if signer else ''}.coach"
        if not path.exists():
            write_bundle(path, make_manifest(name=name)._replace(revision=revision), FILES, ROLES)
            if signer is not None:
                signer.sign(path)
            pack_bundle(open_bundle(path), f"{path}z")
        with open(f"{path}z", "rb") as stream:
            return stream.read()


@pytest.fixture
def pack(tmp_path):
    (tmp_path / "made").mkdir()
    return Packer(tmp_path / "made")


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "place")


def put(data, place, **options):
    return install(io.BytesIO(data), "x.coachz", place, **options)


def running(place):
    """The revision that runs, every byte of it checked."""
    return open_bundle(os.path.join(place, "current")).manifest.revision


def kept(place):
    return open_bundle(os.path.join(place, "previous")).manifest.revision


def layout(place):
    """What is there; nothing that a failure could have left."""
    names = sorted(os.listdir(place))
    assert not [name for name in names if name.startswith(".")]
    return names, len(os.listdir(os.path.join(place, "bundles")))


def test_one_after_the_other(pack, place):
    first = put(pack(1), place)
    assert (running(place), first.before, first.changed) == (1, None, True)
    assert layout(place) == (["bundles", "current", "lock", "state.json"], 1)
    second = put(pack(2), place)
    assert (running(place), kept(place), second.before) == (2, 1, first.bundle.bundle_id)
    third = put(pack(3), place)
    assert (running(place), kept(place), third.before) == (3, 2, second.bundle.bundle_id)
    assert layout(place) == (["bundles", "current", "lock", "previous", "state.json"], 2)
    assert os.readlink(os.path.join(place, "current")) == "bundles/" + third.bundle.bundle_id
    assert third.bundle.path == os.path.realpath(os.path.join(place, "current"))


def test_the_same_one_again_changes_nothing(pack, place):
    put(pack(1), place)
    put(pack(2), place)
    again = put(pack(2), place)
    assert not again.changed
    assert (running(place), kept(place)) == (2, 1)


def test_a_program_keeps_the_bundle_it_opened(pack, place):
    put(pack(1), place)
    opened = open_bundle(os.path.join(place, "current"))
    put(pack(2), place)
    assert opened.read("cloud.onnx") == FILES["cloud.onnx"]
    assert opened.manifest.revision == 1


def test_back_and_forth(pack, place):
    put(pack(1), place)
    with pytest.raises(InstallError, match="there is nothing to go back to"):
        rollback(place)
    put(pack(2), place)
    done = rollback(place)
    assert (running(place), kept(place), done.bundle.manifest.revision) == (1, 2, 1)
    assert rollback(place).before == done.bundle.bundle_id
    assert (running(place), kept(place)) == (2, 1)


def test_an_older_one_is_refused_for_good(pack, place):
    put(pack(1), place)
    put(pack(5), place)
    for options in ({}, {"force": True}):
        with pytest.raises(InstallError, match="is older than one that was installed in .* already") as caught:
            put(pack(4), place, **options)
        assert caught.value.context == ("expected  revision 5 or higher", "found     revision 4")
        assert caught.value.hint == f"compile it with --revision 6, or go back to the bundle before: --rollback {place}"
    rollback(place)
    for revision in (1, 4):  # the highest counts, not the one that runs
        with pytest.raises(InstallError, match="is older than"):
            put(pack(revision), place)
    assert (running(place), kept(place)) == (1, 5)
    put(pack(5), place)
    assert (running(place), kept(place)) == (5, 1)
    assert layout(place)[1] == 2


def test_another_one_of_the_same_revision_needs_force(pack, place):
    put(pack(3), place)
    with pytest.raises(InstallError, match="another bundle of the same revision") as caught:
        put(pack(3, "other"), place)
    assert caught.value.hint == "compile it with --revision 4, or replace it with --force"
    assert running(place) == 3
    assert put(pack(3, "other"), place, force=True).bundle.manifest.model.name == "other"
    with pytest.raises(InstallError, match="another bundle of the same revision"):
        put(pack(3), place)
    assert rollback(place).bundle.manifest.model.name == "tiny"


@pytest.mark.needs("cryptography")
def test_pinned_keys(pack, place, tmp_path):
    signer, other = Signer(tmp_path / "ours"), Signer(tmp_path / "theirs")
    keys = trusted_keys(str(tmp_path / "ours"))
    for data in (pack(1), pack(2, signer=other)):
        with pytest.raises(SignatureError, match="not (signed|trusted)"):
            put(data, place, keys=keys)
    assert layout(place) == (["bundles", "lock"], 0)
    put(pack(2, signer=signer), place, keys=keys)
    # From now on without being told: the folder itself says whom it trusts.
    os.mkdir(os.path.join(place, "trust"))
    with pytest.raises(SignatureError, match="holds no key"):
        put(pack(3, signer=signer), place)
    Signer(os.path.join(place, "trust"), "else")
    os.rename(signer.path, os.path.join(place, "trust", "ours.pub"))
    put(pack(3, signer=signer), place)
    with pytest.raises(SignatureError, match="is not signed"):
        put(pack(4), place)
    with pytest.raises(SignatureError, match="is not trusted"):
        put(pack(5, signer=other), place)
    assert running(rollback(place).bundle.path + "/../..") == 2
    os.unlink(os.path.join(place, "trust", "ours.pub"))
    with pytest.raises(SignatureError, match="is not trusted"):
        rollback(place)
    assert (running(place), kept(place)) == (2, 3)


@pytest.mark.needs("cryptography")
def test_a_bundle_that_is_signed_later(pack, place, tmp_path):
    signer = Signer(tmp_path / "ours")
    put(pack(1), place)
    assert not put(pack(1, signer=signer), place).changed
    open_bundle(os.path.join(place, "current"), trusted_keys(str(tmp_path / "ours")))
    put(pack(1), place)
    open_bundle(os.path.join(place, "current"), trusted_keys(str(tmp_path / "ours")))


def test_a_damaged_archive_changes_nothing(pack, place):
    put(pack(1), place)
    data = pack(2)
    for damaged in (data[:-1], data[:3000], data[:-40] + b"\xaa" + data[-39:]):
        with pytest.raises(BundleError):
            put(damaged, place)
    with pytest.raises(BundleError, match="more than are taken"):
        put(data, place, limit_bytes=1000)
    assert running(place) == 1
    assert layout(place) == (["bundles", "current", "lock", "state.json"], 1)
    assert put(pack(1), place).bundle.manifest.revision == 1


CALLS = ("fsync", "mkdir", "open", "rename", "replace", "symlink", "unlink")


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches a power cut."""


class Countdown:
    """Calls of `os` that fail once as many of them as given were made."""

    def __init__(self, left, failure):
        self.left = left
        self._failure = failure

    def before(self, name):
        real = getattr(os, name)

        def call(*arguments, **options):
            self.left -= 1
            if self.left < 0:
                raise self._failure(28, name)
            return real(*arguments, **options)

        return call


@pytest.mark.parametrize("failure", [PowerCut, OSError])
@pytest.mark.parametrize("change", ["install", "rollback"])
def test_whenever_it_stops_a_whole_bundle_runs(pack, tmp_path, monkeypatch, failure, change):
    """Stopped at each of its calls in turn: then the bundle before or the new one runs, and a second try works."""
    data, wanted = [pack(revision) for revision in (1, 2, 3)], 3 if change == "install" else 1
    for stop in range(1000):
        place = str(tmp_path / f"{stop}")
        put(data[0], place)
        put(data[1], place)
        countdown = Countdown(stop, failure)
        with monkeypatch.context() as patch:
            for name in CALLS:
                patch.setattr(os, name, countdown.before(name))
            if failure is PowerCut:
                patch.setattr(installation.shutil, "rmtree", lambda *arguments, **options: None)
            try:
                put(data[2], place) if change == "install" else rollback(place)
            except (failure, CoachRuntimeError):
                pass
        assert running(place) in (2, wanted)
        if change == "install":
            put(data[2], place)
            assert (running(place), kept(place)) == (3, 2)
        elif running(place) == 2:
            rollback(place)
        assert running(place) == wanted
        if change == "install":
            assert layout(place) == (["bundles", "current", "lock", "previous", "state.json"], 2)
        if countdown.left >= 0:
            break
    assert stop > (15 if change == "install" else 5)


def test_one_at_a_time(pack, place):
    put(pack(1), place)
    code = (
        "import fcntl, sys, time\nlock = open(sys.argv[1], 'a')\nfcntl.flock(lock, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\ntime.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, os.path.join(place, "lock")], stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        for change in (lambda: put(pack(2), place), lambda: rollback(place)):
            with pytest.raises(InstallError, match="another program is installing into"):
                change()
    finally:
        holder.kill()
        holder.communicate()
    put(pack(2), place)


def test_a_damaged_installation_is_mended(pack, place):
    put(pack(1), place)
    put(pack(2), place)
    path = os.path.join(place, "current", "cloud.onnx")
    with open(path, "wb") as stream:
        stream.write(b"rotten")
    put(pack(2), place)
    assert (running(place), kept(place)) == (2, 1)
    with open(os.path.join(place, "previous", "cloud.onnx"), "wb") as stream:
        stream.write(b"rotten")
    with pytest.raises(BundleError, match="cloud.onnx in .* has another size"):
        rollback(place)
    assert running(place) == 2


def test_what_was_installed_is_not_guessed(pack, place):
    put(pack(1), place)
    state = os.path.join(place, "state.json")
    for data, problem in (
        (b"", "Expecting value"),
        (b"{}", "highest_revision"),
        (b"[1]", "list indices"),
        (b'{"highest_revision": "1", "bundle_id": "x"}', "its fields are of other types"),
    ):
        with open(state, "wb") as stream:
            stream.write(data)
        with pytest.raises(InstallError, match=f"does not say which revision was installed here: .*{problem}"):
            put(pack(2), place)
    os.unlink(state)
    with pytest.raises(InstallError, match=r"does not say which revision .*: No such file"):
        put(pack(2), place)
    assert running(place) == 1


def test_folders_of_other_things_are_left_alone(pack, tmp_path, place):
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_bytes(b"dear")
    with pytest.raises(InstallError, match="holds other files than installed bundles, for example letter.txt"):
        put(pack(1), str(home))
    assert os.listdir(str(home)) == ["letter.txt"]
    with pytest.raises(InstallError, match="cannot change .*letter.txt: File exists"):
        put(pack(1), str(home / "letter.txt"))
    with pytest.raises(InstallError, match="no bundle is installed in"):
        rollback(str(home))
    with pytest.raises(InstallError, match="cannot change .*nothing: No such file"):
        rollback(str(tmp_path / "nothing"))
    put(pack(1), place)
    for name, target in (("current", "/etc"), ("current", "bundles/../../home")):
        os.unlink(os.path.join(place, name))
        os.symlink(target, os.path.join(place, name))
        with pytest.raises(InstallError, match="current is not a link to an installed bundle"):
            put(pack(2), place)
    os.unlink(os.path.join(place, "current"))
    os.mkdir(os.path.join(place, "current"))
    with pytest.raises(InstallError, match="current is not a link") as caught:
        put(pack(2), place)
    assert caught.value.context[1] == "found     no link"


def run(*arguments, **options):
    done = subprocess.Popen(
        [sys.executable, "-m", "runtime.install"] + [str(argument) for argument in arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))),
    )
    out, err = done.communicate(options.get("data", b""))
    return done.returncode, out.decode(), err.decode()


def test_the_command(pack, place, tmp_path):
    pack(1)
    code, out, err = run(tmp_path / "made" / "tiny-1.coachz", "--into", place)
    assert (code, err) == (0, "")
    assert out.startswith(f"{place}/current is tiny, revision 1, bundle ")
    code, out, err = run("-", "--into", place, data=pack(2))
    assert (code, err) == (0, "")
    assert f"{place}/current is tiny, revision 2, bundle " in out
    assert "; kept: bundle " in out
    assert run("-", "--into", place, data=pack(2))[1].count("as before") == 1
    code, out, err = run("--rollback", place)
    assert "current is tiny, revision 1, " in out
    code, out, err = run("-", "--into", place, data=pack(1))
    assert code == 1
    assert err.startswith("error[install]: the bundle is older than one that was installed")
    code, out, err = run("-", "--into", place, "--limit-mib", 0, data=pack(3))
    assert "standard input holds" in err
    for wrong in (
        [],
        ["x.coachz"],
        ["--into", place],
        ["x.coachz", "--rollback", place],
        ["x", "--into", "y", "--rollback", "z"],
    ):
        code, out, err = run(*wrong)
        assert code == 2
        assert "give FILE.coachz and --into DIR, or --rollback DIR" in err


@pytest.mark.needs("cryptography")
def test_the_command_with_keys(pack, place, tmp_path, capsys):
    signer, other = Signer(tmp_path / "ours"), Signer(tmp_path / "theirs")
    pack(1, signer=signer)
    archive = str(tmp_path / "made" / f"tiny-1-{signer.key_id}.coachz")
    assert command.main([archive, "--into", place, "--key", other.path]) == 1
    assert "error[signature]: " in capsys.readouterr().err
    assert command.main([archive, "--into", place, "--key", other.path, "--key", signer.path]) == 0
    assert command.main([archive, "--into", place, "--trust", str(tmp_path / "ours")]) == 0
    assert command.main([archive, "--into", place, "--trust", str(tmp_path / "theirs")]) == 1
