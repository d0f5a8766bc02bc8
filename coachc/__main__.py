"""Where `coachc` and `python -m coachc` begin."""

import sys

from coachc.links import missing_links


def run() -> None:
    """The command line, or what keeps this checkout from having one."""
    message = missing_links()
    if message:
        print(message, file=sys.stderr)
        sys.exit(1)
    from coachc.cli.main import run as run_command

    run_command()


if __name__ == "__main__":
    run()
