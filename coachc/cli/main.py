"""The command line: one Typer command a file, and the one place where an error becomes an exit code.

Exit codes are named in `runtime.errors`, and `EPILOG` tells them to users.
Nothing heavy is imported here or at the top of a command's file, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from coachc import __version__
from coachc.cli.check import check
from coachc.cli.command_line import OnceCommand, WholeSentences
from coachc.cli.compare import compare
from coachc.cli.compile import compile_
from coachc.cli.devices import devices_app
from coachc.cli.doctor import doctor
from coachc.cli.estimate import estimate
from coachc.cli.eval import eval_
from coachc.cli.explain import explain
from coachc.cli.export import export
from coachc.cli.inspect import inspect
from coachc.cli.keygen import keygen
from coachc.cli.link import link
from coachc.cli.pack import pack
from coachc.cli.profile import profile
from coachc.cli.push import push
from coachc.cli.rollback import rollback
from coachc.cli.run import run as run_
from coachc.cli.serve import serve
from coachc.cli.sign import sign
from coachc.cli.unpack import unpack
from coachc.cli.verify import verify
from coachc.errors import CoachError
from coachc.runtime.errors import CoachRuntimeError
from coachc.runtime.programs import run_program

EPILOG = (
    "Exit codes: 0 done; 1 an error you can mend; 2 wrong usage; 3 a finding (check: something differs or does not "
    "build; doctor: not ready; eval --replay: a decision differs); 70 a bug in coachc; 130 interrupted."
)

app = typer.Typer(
    name="coachc",
    help="Compile an ONNX vision model into a device half, a cloud half and the quantized link between them.",
    epilog=EPILOG,
    cls=WholeSentences,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("export", cls=OnceCommand)(export)
app.command("inspect", cls=OnceCommand)(inspect)
app.command("compile", cls=OnceCommand)(compile_)
app.command("check", cls=OnceCommand)(check)
app.command("explain", cls=OnceCommand)(explain)
app.command("compare", cls=OnceCommand)(compare)
app.command("estimate", cls=OnceCommand)(estimate)
app.command("profile", cls=OnceCommand)(profile)
app.command("serve", cls=OnceCommand)(serve)
app.command("run", cls=OnceCommand)(run_)
app.command("eval", cls=OnceCommand)(eval_)
app.add_typer(devices_app, name="devices")
app.command("doctor", cls=OnceCommand)(doctor)
app.command("link", cls=OnceCommand)(link)
app.command("pack", cls=OnceCommand)(pack)
app.command("unpack", cls=OnceCommand)(unpack)
app.command("keygen", cls=OnceCommand)(keygen)
app.command("sign", cls=OnceCommand)(sign)
app.command("verify", cls=OnceCommand)(verify)
app.command("push", cls=OnceCommand)(push)
app.command("rollback", cls=OnceCommand)(rollback)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"coachc {__version__}")
        raise typer.Exit


def run() -> None:
    """Entry point: errors become one message on stderr and an exit code."""
    sys.exit(run_program(lambda: app(prog_name="coachc"), (CoachError, CoachRuntimeError)))
