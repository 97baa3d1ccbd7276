"""The `hipopt` command: finds the subcommand, and turns our errors into words and exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import NoReturn

import click
from click.exceptions import NoSuchCommand

import hipopt
from hipopt.errors import HipoptError

COMMANDS = {
    "run": "Everything on one machine, behind one command.",
    "dispatch": "Send a task for every kernel still to do, and watch until all are done.",
    "worker": "Judge kernels on this node; start more of these to scale out.",
    "collect": "Write results to the log; exactly one of these.",
    "status": "How far a run is.",
    "log": "Is a result log sound; set aside what is not.",
    "evaluate": "Judge one candidate, with no broker.",
    "compile": "Show what a kernel becomes on a GPU: arguments, registers, LDS, occupancy.",
    "workloads": "Find workloads for kernels that came with none.",
    "extract": "Make a manifest from HIP sources.",
    "doctor": "What works on this machine, what doesn't, and what mends it.",
    "flower": "Show the cluster in a browser.",
}
INTERRUPTED = 130


class _Commands(click.Group):
    """Imports a subcommand only when it is called, so that `hipopt --help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:
                return None
            raise NoSuchCommand(cmd_name, possibilities=COMMANDS, ctx=ctx)
        command: click.Command = importlib.import_module(f"hipopt.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every option is also HIPOPT_<OPTION> in the environment and a key in hipopt.toml.",
)
@click.version_option(hipopt.__version__, prog_name="hipopt")
def cli() -> None:
    """Optimise HIP kernels with a language model, and judge every candidate truthfully."""


def main() -> NoReturn:
    """Run the command line; exit 0 done, 1 our side failed, 2 used wrongly, 130 interrupted."""
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(0 if error.ctx and error.ctx.parent is None else 2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        sys.exit(INTERRUPTED)
    except HipoptError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        _say(_explain(error))
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str) -> None:
    click.echo(f"hipopt: {message}", err=True)


def _explain(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    hint = {
        errno.ENOSPC: "; free some space, then run the same command again",
        errno.EACCES: "; check who owns it, or choose another place",
        errno.EROFS: "; choose a place that can be written",
    }.get(error.errno or 0, "")
    return f"{where}{error.strerror or error}{hint}"
