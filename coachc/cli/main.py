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
from coachc.cli.compare import compare
from coachc.cli.compile import compile_
from coachc.cli.devices import devices
from coachc.cli.doctor import doctor
from coachc.cli.eval import eval_
from coachc.cli.explain import explain
from coachc.cli.export import export
from coachc.cli.inspect import inspect
from coachc.cli.keygen import keygen
from coachc.cli.pack import pack
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
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("export")(export)
app.command("inspect")(inspect)
app.command("compile")(compile_)
app.command("check")(check)
app.command("explain")(explain)
app.command("compare")(compare)
app.command("serve")(serve)
app.command("run")(run_)
app.command("eval")(eval_)
app.command("devices")(devices)
app.command("doctor")(doctor)
app.command("pack")(pack)
app.command("unpack")(unpack)
app.command("keygen")(keygen)
app.command("sign")(sign)
app.command("verify")(verify)
app.command("push")(push)
app.command("rollback")(rollback)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"coachc {__version__}")
        raise typer.Exit


def run() -> None:
    """Entry point: errors become one message on stderr and an exit code."""
    sys.exit(run_program(app, (CoachError, CoachRuntimeError)))
