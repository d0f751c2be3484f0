"""How a command ends: its exit status, and for a failure one line on standard error and, with `--json`, one document.

`leave(run)` runs a command and never returns. What is not a `FintuneError` is a fault of ours, and its traceback goes to a file.
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import typer

from fintune.console import print_json
from fintune.errors import FintuneError, UsageError

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of the signal."""


class Debug:
    """Whether tracebacks are shown; set by `--debug` before a command runs."""

    on = False


def leave(run: Callable[[], Any]) -> NoReturn:
    """Run a command and end the process with its exit status."""
    try:
        status = run()
        sys.stdout.flush()
        if status == INTERRUPTED:  # what typer makes of a keyboard interrupt
            _stopped("interrupted", INTERRUPTED)
        sys.exit(status if isinstance(status, int) else 0)
    except FintuneError as error:
        _fail(error)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).removesuffix(".")
        if not message:  # no command: the help has been shown
            sys.exit(error.exit_code)
        context = getattr(error, "ctx", None)
        _fail(UsageError(message, fix=f"see '{context.command_path} --help'" if context else ""))
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _stopped("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        sys.exit(0)
    except Exception as error:
        status = getattr(error, "status", None)
        if type(error).__name__ == "Interrupted" and isinstance(status, int):  # its class stands in a room that imports torch
            _stopped(f"stopped by {error}; the state is saved, the same command goes on from it", status)
        _unexpected(error)


def _say(message: str, record: dict[str, object]) -> None:
    if "--json" in sys.argv:
        print_json(record)
    print(f"fintune: {message}", file=sys.stderr)


def _fail(error: FintuneError) -> NoReturn:
    _say(str(error), error.record())
    sys.exit(error.exit_status)


def _stopped(message: str, status: int) -> NoReturn:
    _say(message, {"error": "E-STOPPED", "what": message, "where": "", "why": "", "fix": "", "exit_status": status})
    sys.exit(status)


def _unexpected(error: Exception) -> NoReturn:
    if Debug.on:
        traceback.print_exc()
        sys.exit(1)
    with tempfile.NamedTemporaryFile("w", prefix="fintune-", suffix=".log", delete=False, encoding="utf-8") as log:
        traceback.print_exc(file=log)
    what = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    _fail(FintuneError(what, fix=f"the traceback is in {log.name}, or use 'fintune --debug ...'"))
