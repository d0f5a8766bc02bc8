"""Install a bundle on another machine with the OpenSSH that is there, its configuration, keys and known hosts.

The archive goes in at the standard input of ``python3 -m runtime.install -`` on the other side: one connection, no copy
that could stay behind. ssh hands its command to a shell over there, so every word of it is quoted, and an address may
hold nothing but what host names, user names and plain paths are made of.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import IO

from coachc.errors import ToolchainError, UsageError

SCHEME = "ssh://"
CONNECT_TIMEOUT_S = 15
#: What ssh itself exits with; everything else is the other side's.
SSH_FAILED = 255

# No part may begin with '-', which would be an option to ssh, nor hold what a shell or ssh's configuration expands.
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_IPV6 = r"\[(?P<ipv6>[0-9A-Fa-f:.]+)\]"
_PATH = r"/[A-Za-z0-9_./@+=,-]*"
_ADDRESS = re.compile(
    rf"ssh://(?:(?P<user>{_USER})@)?(?:(?P<host>{_HOST})|{_IPV6})(?::(?P<port>[0-9]{{1,5}})?)?(?P<path>{_PATH})",
    re.ASCII,
)
#: As scp has it, which takes no port.
_SCP = re.compile(rf"(?:(?P<user>{_USER})@)?(?:(?P<host>{_HOST})|{_IPV6}):(?P<path>{_PATH})", re.ASCII)
_PROGRAM = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_./+-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to install: ssh://USER@HOST:PORT/DIR, of which user and port may be left to ssh's configuration."""

    host: str
    path: str
    user: str | None = None
    port: int | None = None


def is_address(text: str) -> bool:
    """Whether a text names a folder on another machine: ssh://..., or HOST:DIR, as scp tells one from a file."""
    return text.startswith(SCHEME) or (":" in text.split("/", 1)[0] and "://" not in text)


def parse_address(text: str) -> Address:
    """Read ssh://[USER@]HOST[:PORT]/DIR, or scp's [USER@]HOST:/DIR.

    Raises
    ------
    UsageError
        It is something else, or holds a character that has no place there.
    """
    found = (_ADDRESS if "://" in text else _SCP).fullmatch(text)
    port = int(found.groupdict().get("port") or 0) or None if found is not None else None
    if found is None or (port is not None and port >= 1 << 16):
        raise _wrong(text)
    if found["path"].strip("/") == "" or ".." in found["path"].split("/"):
        raise _wrong(text)
    return Address(found["host"] or found["ipv6"], found["path"], found["user"], port)


def command_line(address: Address, words: list[str], *, python: str, runtime: str | None) -> list[str]:
    """The words of ssh that run ``PYTHON -m runtime.install WORDS`` over there, in the folder `runtime`."""
    if not _PROGRAM.fullmatch(python):
        raise UsageError(f"--python '{python}' is not the name of a program", hint="for example --python python3.8")
    if runtime is not None and not re.fullmatch(_PATH, runtime):
        raise UsageError(
            f"--runtime '{runtime}' is not a plain absolute path", hint="for example --runtime /home/nvidia/coachc"
        )
    remote = shlex.join([python, "-m", "runtime.install", *words])
    if runtime is not None:
        remote = f"cd {shlex.quote(runtime)} && {remote}"
    options = ["-T", "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}", "-o", "ServerAliveInterval=15"]
    options += ["-p", str(address.port)] if address.port is not None else []
    options += ["-l", address.user] if address.user is not None else []
    return ["ssh", *options, "--", address.host, remote]


def run_installer(
    address: Address,
    words: list[str],
    archive: IO[bytes] | None = None,
    *,
    python: str = "python3",
    runtime: str | None = None,
) -> str:
    """Run the installer on the other side, the archive at its standard input.

    Returns
    -------
    str
        What it printed.

    Raises
    ------
    UsageError
        A word cannot go to the other side.
    ToolchainError
        There is no ssh, it cannot connect, or the installer refused; says what the other side said.
    """
    command = command_line(address, words, python=python, runtime=runtime)
    if shutil.which("ssh") is None:
        raise ToolchainError("there is no program ssh here", hint="apt-get install openssh-client")
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL if archive is None else archive,
        capture_output=True,
        check=False,
    )
    said = done.stderr.decode("utf-8", "backslashreplace").strip().splitlines()[-12:]
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "backslashreplace")
    if done.returncode == SSH_FAILED:
        raise ToolchainError(
            f"ssh could not reach {address.host}", context=said, hint=f"try it by hand: {shlex.join(command[:-1])} true"
        )
    hint = "what it says above has to be mended over there"
    if any("No module named" in line and "runtime" in line for line in said):
        hint = "--runtime names the folder over there that holds runtime/"
    elif any(line.startswith("  hint: ") for line in said):
        hint = ""
    raise ToolchainError(
        f"the installer on {address.host} ended with exit code {done.returncode}", context=said, hint=hint
    )


def _wrong(text: str) -> UsageError:
    with_port = re.fullmatch(r"(?:ssh://)?([^/:]+:[0-9]+):?(/.*)", text)
    home = re.fullmatch(r"(?:ssh://)?([^/:]+):([^/:].*)", text)
    hint = "for example ssh://nvidia@tx2.local/home/nvidia/resnet"
    if with_port is not None and not text.startswith(SCHEME):
        hint = f"with a port: ssh://{with_port[1]}{with_port[2]}; a registry is oci://{text}"
    elif home is not None and not home[2][0].isdecimal():
        hint = f"give the folder as an absolute path: {home[1]}:/home/USER/{home[2].removeprefix('~/')}"
    return UsageError(
        f"{text!a} is not an address to install at",
        context=[
            "expected  ssh://[USER@]HOST[:PORT]/DIR or [USER@]HOST:/DIR",
            "          DIR an absolute path without .., of letters, digits and _./@+=,-",
        ],
        hint=hint,
    )
