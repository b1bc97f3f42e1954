"""What every command shares: bad input answered with one line, exit status that tells the truth."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from fairseq_xling.formats.errors import InputError


def run_command(main: Callable[[], None]) -> None:
    """Run `main` and turn expected failures into one line on standard error.

    Exit status: 0 done, 2 bad input or a file that cannot be read or written, 130 interrupted.
    """
    try:
        main()
    except (InputError, OSError) as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{sys.argv[0]}: interrupted; what was finished is kept, run it again to go on", file=sys.stderr)
        sys.exit(130)


def show_input_errors_in_one_line() -> None:
    """Make an uncaught `InputError` end a program with one line instead of a traceback.

    For programs whose main function is not ours, such as ``fairseq-train``. An `InputError` that was wrapped
    in another exception on its way up counts as well; everything else is shown as ever.
    """
    if sys.excepthook is not _excepthook:
        sys.excepthook = _excepthook


def _excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        sys.__excepthook__(kind, error, trace)
    else:
        print(f"{sys.argv[0]}: {cause}", file=sys.stderr)
