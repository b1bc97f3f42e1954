"""What every command shares: bad input answered with one line, and the meaning of the exit status."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from fairseq_xling.formats.errors import InputError

BAD_INPUT = 2
"""Exit status after bad input; a job that ends with it is not started again."""

STOPPED = 75
"""Exit status after a signal: what was done is saved, and the same command goes on (EX_TEMPFAIL of sysexits.h)."""

_LARGEST_SEED = 2**32 - 1
"""Of NumPy's older generators, which libraries seed as well."""


def seed_number(text: str) -> int:
    """A seed of the command line, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= _LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {_LARGEST_SEED}, found {text[:40]!r}")
    return number


def name(text: str) -> str:
    """A name of the command line, such as an experiment's, for argparse."""
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise argparse.ArgumentTypeError(f"expected a name of at most 100 characters, found {text[:40]!r}")
    return text


def run_command(main: Callable[[], None]) -> None:
    """Run `main` and turn expected failures into one line on standard error.

    Exit status: 0 done, 2 bad input or a file that cannot be read or written, 130 interrupted, 141 (without a word, as
    programs in C) where the output is a pipe that nobody reads any more.
    """
    try:
        main()
        if sys.stdout is not None:  # None where the program was started with its output closed: `>&-`
            sys.stdout.flush()
    except BrokenPipeError:  # of `... | head`: whoever read has enough; nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the exit tries to write again
        sys.exit(141)
    except (InputError, OSError) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print(f"{sys.argv[0]}: interrupted; what was finished is kept, run it again to go on", file=sys.stderr)
        sys.exit(130)


def show_input_errors_in_one_line() -> None:
    """Make an uncaught `InputError` end a program with one line instead of a traceback.

    For programs whose main function is not ours, such as ``fairseq-train``. An `InputError` that was wrapped
    in another exception on its way up counts as well; everything else is shown as ever. Exit status: 2 for an
    `InputError`, as `run_command` has it.
    """
    if sys.excepthook is not _excepthook:
        sys.excepthook = _excepthook


def runs_fairseq() -> bool:
    """Whether one of fairseq's own programs is running; not so in a session or a script that reads a checkpoint.

    There `_excepthook` would end the session at a wrong name, and hide where the user's own code failed.
    """
    program = getattr(sys.modules["__main__"], "__file__", None) or ""
    # `torchrun .../fairseq_cli/train.py` imports no package of that name
    return "fairseq_cli" in sys.modules or Path(program).parent.name == "fairseq_cli"


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    line = one_line(error)
    if line is None:
        sys.__excepthook__(kind, error, trace)
        return
    print(f"{sys.argv[0]}: {line}", file=sys.stderr)
    if _input_error(error) is not None:
        raise SystemExit(BAD_INPUT)  # raised by the hook, it gives the program its exit status


def _input_error(error: BaseException) -> InputError | None:
    """The `InputError` that was wrapped in an exception, or is it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__ or cause.__context__
    return cause


def one_line(error: BaseException) -> str | None:
    """What is to be said of an expected failure; None where the failure is not expected.

    Expected failures are an `InputError` (also one that another exception wraps, or one raised in a data loader, which
    arrives with the loader's traceback as its text), a file that cannot be read or written, and a killed data loader.
    """
    cause = _input_error(error)
    if cause is not None:
        return str(cause).strip().splitlines()[-1].removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")
    if isinstance(error, OSError) and (error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT)):
        return str(error)
    of_loader = isinstance(error, RuntimeError) and "DataLoader worker" in str(error) and "Traceback" not in str(error)
    if of_loader or (isinstance(error, ConnectionError | EOFError) and _went_through(error, "multiprocessing")):
        reason = " ".join(str(error).split())
        return f"a data loader died, killed from outside or by a small /dev/shm: try --num-workers 0 ({reason})"
    return None


def _went_through(error: BaseException, package: str) -> bool:
    """Whether an error was raised in, or passed, a package: there a connection is one to a process of this program."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(package in Path(frame.f_code.co_filename).parts for frame, _ in frames)
