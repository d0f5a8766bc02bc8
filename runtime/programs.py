"""What to type to start one of the programs: a copy of this folder is `runtime`, an installed coachc has it inside."""


def command_of(program: str) -> str:
    """The words that start a program, as of "device" or "build"."""
    return "python3 -m {}.{}".format(__package__, program)
