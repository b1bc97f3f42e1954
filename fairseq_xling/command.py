"""What every command shares: bad input answered with one line, exit status that tells the truth."""

from __future__ import annotations

import sys
from collections.abc import Callable

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
