"""Two network namespaces with a shaped link between them: a server in one, the device's commands in the other.

Made by the scripts that the machines of this project have in ../shared/bin, inside namespaces of their own, so that
neither names nor processes outlive a test and tests beside each other do not meet. No root is needed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.helpers.commands import REPOSITORY

SCRIPTS = REPOSITORY.parent / "shared" / "bin"
DEVICE, CLOUD = "nsdev", "nscld"
SERVER = "10.99.0.2:8700"
_OWN = ["unshare", "-Urnmp", "--fork", "--kill-child", "--mount-proc"]

#: netshape.sh, the server, then lines of commands from stdin, each answered by a line; the last command ends it.
_SHAPED = """
set -e
mount -t tmpfs t /run
bash $SCRIPTS/netshape.sh up 20
ip netns exec $CLOUD $PYTHON -m tests.helpers.serve_tiny $SERVER &
while read -r line; do eval "$line" || echo failed; done
"""
#: The same over the TUN relay, whose rate and delay are in /run/link.json.
_DELAYED = """
set -e
mount -t tmpfs t /run
ip netns add $DEVICE; ip netns add $CLOUD
for n in $DEVICE $CLOUD; do ip -n $n link set lo up; done
echo '{}' > /run/link.json
$PYTHON $SCRIPTS/tunlink.py $DEVICE 10.99.0.1 $CLOUD ${SERVER%:*} /run/link.json > /run/log &
until grep -q up /run/log; do sleep 0.05; done
ip netns exec $CLOUD $PYTHON -m tests.helpers.serve_tiny $SERVER &
while read -r line; do eval "$line" || echo failed; done
"""


@functools.cache
def missing() -> str:
    """What keeps a link from being shaped here; empty if nothing does."""
    for name in ("unshare", "ip", "tc"):
        if shutil.which(name) is None:
            return name
    if not (SCRIPTS / "netshape.sh").exists() or not (SCRIPTS / "tunlink.py").exists():
        return f"netshape.sh and tunlink.py in {SCRIPTS}"
    if not os.path.exists("/dev/net/tun"):
        return "/dev/net/tun"
    tried = "mount -t tmpfs t /run && ip netns add x && ip link add va type veth peer name vb"
    done = subprocess.run([*_OWN, "sh", "-c", tried], capture_output=True, text=True, check=False, timeout=30)
    return f"namespaces: {done.stderr.strip()}" if done.returncode else ""


class ShapedLink:
    """The device's end of a link, and the knobs of the link."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def rate(self, mbit: int) -> None:
        """Of netshape's uplink from now on."""
        self._do(f"bash $SCRIPTS/netshape.sh set {mbit}; echo done")

    def relay(self, up: Mapping[str, float], down: Mapping[str, float]) -> None:
        """What the relay does from now on."""
        said = json.dumps({"ab": up, "ba": down})
        self._do(f"echo '{said}' > /run/link.json; sleep 0.2; echo done")

    def python(self, *words: str) -> str:
        """A line that a Python program on the device prints."""
        return self._do("ip netns exec $DEVICE $PYTHON " + " ".join(words) + " | tr -d '\\n'; echo")

    def _do(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the namespaces' shell ended"
        return answer.strip()


def shaped() -> contextlib.AbstractContextManager[ShapedLink]:
    """A link of netshape.sh; a server is at `SERVER`."""
    return _link(_SHAPED)


def delayed() -> contextlib.AbstractContextManager[ShapedLink]:
    """A link of tunlink.py; a server is at `SERVER`."""
    return _link(_DELAYED)


@contextlib.contextmanager
def _link(script: str) -> Iterator[ShapedLink]:
    names = {"SCRIPTS": SCRIPTS, "DEVICE": DEVICE, "CLOUD": CLOUD, "SERVER": SERVER, "PYTHON": sys.executable}
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **{name: str(value) for name, value in names.items()}}
    process = subprocess.Popen(
        _command(script), cwd=REPOSITORY, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "serving\n"
        yield ShapedLink(process)
    finally:
        process.send_signal(signal.SIGKILL)  # the first process of the namespace goes, and all in it
        process.wait(10)
        process.stdout.close()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def _command(script: str) -> Sequence[str | Path]:
    return [*_OWN, "bash", "-c", script]
