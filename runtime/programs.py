"""What to type to start one of the programs, or to update them: a copy of this folder on a device is `runtime`, an
installed coachc has it inside.
"""

from typing import Optional


def command_of(program: str) -> str:
    """The words that start a program, as of "device" or "build"."""
    return "python3 -m {}.{}".format(__package__, program)


def how_to_update(package: Optional[str] = __package__) -> str:
    """What to do where a bundle is newer than the program here: on a device there is a copy, on a host a package."""
    if package == "runtime":
        return "update this device: copy the runtime/ folder of the coachc that made the bundle over the one here"
    return "update coachc here: pip install -U coachc; or compile again with the version installed here"
