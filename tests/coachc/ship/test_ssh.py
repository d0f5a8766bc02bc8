"""Installing through ssh: a program of that name that runs its command here, as sshd would there."""

from __future__ import annotations

import json
import os
import sys

import pytest

from coachc.errors import ToolchainError, UsageError
from coachc.ship.ssh import Address, command_line, is_address, parse_address, run_installer
from tests.helpers.commands import REPOSITORY

FAKE = """#!{python}
import json, os, subprocess, sys
words = sys.argv[1:]
json.dump(words, open({log!r}, "w"))
assert words[-3] == "--", words
if os.environ.get("FAKE_SSH") == "unreachable":
    sys.exit("ssh: connect to host tx2 port 22: No route to host")
sys.exit(subprocess.run(["sh", "-c", words[-1]], cwd={home!r}).returncode)
""".replace('sys.exit("ssh', 'print("ssh').replace('to host")', 'to host", file=sys.stderr); sys.exit(255)')


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """The fake on PATH; what it gives is how it was called last."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "home").mkdir()
    log = tmp_path / "called.json"
    script = tmp_path / "bin" / "ssh"
    script.write_text(FAKE.format(python=sys.executable, log=str(log), home=str(tmp_path / "home")))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return lambda: json.loads(log.read_text())


HERE = {"python": sys.executable, "runtime": str(REPOSITORY)}


def test_words_arrive_as_they_are(ssh, tmp_path):
    words = ["--into", "/a b/$(touch pwned);`touch pwned`'\"\\&|>x"]
    with pytest.raises(ToolchainError, match="ended with exit code 2") as caught:
        run_installer(Address("tx2", "/x"), words, **HERE)
    assert "give FILE.coachz and --into DIR" in caught.value.context[-1]
    assert list((tmp_path / "home").iterdir()) == []
    assert ssh()[-2:] == ["tx2", command_line(Address("tx2", "/x"), words, **HERE)[-1]]


def test_what_ssh_is_asked(ssh):
    address = Address("tx2.local", "/data/resnet", "nvidia", 2222)
    command = command_line(address, ["--rollback", "/data/resnet"], python="python3", runtime=None)
    assert command == [
        *("ssh", "-T", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=15", "-p", "2222", "-l", "nvidia"),
        *("--", "tx2.local", "python3 -m runtime.install --rollback /data/resnet"),
    ]
    plain = command_line(Address("tx2", "/d"), ["-"], python="python3.8", runtime="/opt/coachc")
    assert plain[-3:] == ["--", "tx2", "cd /opt/coachc && python3.8 -m runtime.install -"]
    assert "-p" not in plain
    assert "-l" not in plain


def test_errors_of_ssh_and_of_the_other_side(ssh, monkeypatch, tmp_path):
    with pytest.raises(ToolchainError, match="the installer on tx2 ended with exit code 1") as caught:
        run_installer(Address("tx2", "/x"), ["--rollback", "/nothing/there"], **HERE)
    assert caught.value.context[0].startswith("error[install]: cannot change /nothing/there: No such file")
    bare = tmp_path / "bin" / "python3.0"
    bare.write_text(
        "#!/bin/sh\necho \"$0: Error while finding module specification: No module named 'runtime'\" >&2; exit 1"
    )
    bare.chmod(0o755)
    with pytest.raises(ToolchainError, match="ended with exit code 1") as caught:
        run_installer(Address("tx2", "/x"), ["--rollback", "/x"], python="python3.0")
    assert caught.value.hint == "--runtime names the folder over there that holds runtime/"
    with pytest.raises(ToolchainError, match="ended with exit code 127") as caught:
        run_installer(Address("tx2", "/x"), ["--rollback", "/x"], python="python0")
    assert caught.value.hint == "what it says above has to be mended over there"
    monkeypatch.setenv("FAKE_SSH", "unreachable")
    with pytest.raises(ToolchainError, match="ssh could not reach tx2") as caught:
        run_installer(Address("tx2", "/x"), ["--rollback", "/x"], **HERE)
    assert caught.value.context == ("ssh: connect to host tx2 port 22: No route to host",)
    assert caught.value.hint.endswith("-- tx2 true")
    monkeypatch.setenv("PATH", "/nothing")
    with pytest.raises(ToolchainError, match="there is no program ssh here"):
        run_installer(Address("tx2", "/x"), ["--rollback", "/x"])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ssh://tx2/data/resnet", Address("tx2", "/data/resnet")),
        ("ssh://nvidia@TX2.local:2222/data/", Address("TX2.local", "/data/", "nvidia", 2222)),
        ("ssh://10.0.0.7/a.b_c-d/@e+f=g,h", Address("10.0.0.7", "/a.b_c-d/@e+f=g,h")),
        ("ssh://me@[fe80::1]:22/x", Address("fe80::1", "/x", "me", 22)),
    ],
)
def test_addresses(text, wanted):
    assert parse_address(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tx2:data",
        "tx2:22:/data",
        "-oProxyCommand=id:/data",
        "me@-x:/data",
        "tx2:/data;id",
        "tx2:/a/../../etc",
        "tx2://data",
        "ssh://",
        "ssh://tx2",
        "ssh://tx2/",
        "ssh:///data",
        "ssh://@tx2/data",
        "ssh://-oProxyCommand=id/data",
        "ssh://-oProxyCommand=id@tx2/data",
        "ssh://me@-x/data",
        "ssh://me:secret@tx2/data",
        "ssh://`id`@tx2/data",
        "ssh://$(id)/data",
        "ssh://tx2;id/data",
        "ssh://tx2/data;id",
        "ssh://tx2/data id",
        "ssh://tx2/data$HOME",
        "ssh://tx2/data`id`",
        "ssh://tx2/data\nid",
        "ssh://tx2\n/data",
        "ssh://tx2/a/../../etc",
        "ssh://tx2/..",
        "ssh://tx2/~/data",
        "ssh://tx2/dätä",
        "ssh://tx2/data?x",
        "ssh://tx2/data#x",
        "ssh://tx2/data?",
        "ssh://tx2:port/data",
        "ssh://tx2:99999/data",
        "ssh://[::1/data",
        "ssh://%68ost/data",
        "ssh://a b/data",
    ],
)
def test_what_is_no_address(text):
    with pytest.raises(UsageError, match="is not an address to install at") as caught:
        parse_address(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tx2:/data", Address("tx2", "/data")),
        ("nvidia@tx2.local:/home/nvidia/resnet", Address("tx2.local", "/home/nvidia/resnet", "nvidia")),
        ("nvidia@[fe80::1]:/data", Address("fe80::1", "/data", "nvidia")),
        ("ssh://tx2:/data", Address("tx2", "/data")),
    ],
)
def test_addresses_as_scp_has_them(text, address):
    assert is_address(text)
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tx2:resnet", "give the folder as an absolute path: tx2:/home/USER/resnet"),
        ("me@tx2:~/resnet", "give the folder as an absolute path: me@tx2:/home/USER/resnet"),
        ("me@tx2:2222/data", "with a port: ssh://me@tx2:2222/data; a registry is oci://me@tx2:2222/data"),
        ("tx2:22:/data", "with a port: ssh://tx2:22/data; a registry is oci://tx2:22:/data"),
    ],
)
def test_what_was_meant_by_an_address(text, hint):
    assert is_address(text)
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert caught.value.hint == hint


def test_folders_here_are_no_addresses():
    assert not any(map(is_address, ("/data", "./a:b", "data", "folder/with:colon", "oci://x/y:1")))


def test_programs_and_folders_are_plain_words():
    for python in ("", "-c", "python3; id", "python 3", "$(id)", "python3\n"):
        with pytest.raises(UsageError, match="is not the name of a program"):
            command_line(Address("tx2", "/x"), [], python=python, runtime=None)
    for runtime in ("", "coachc", "/a b", "/a;id", "/a\n"):
        with pytest.raises(UsageError, match="is not a plain absolute path"):
            command_line(Address("tx2", "/x"), [], python="python3", runtime=runtime)
