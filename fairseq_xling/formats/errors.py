"""The one exception for bad input, so that every command answers it in the same way."""

from __future__ import annotations

from os import PathLike


class InputError(ValueError):
    """A file or value from outside is not what was expected.

    Parameters
    ----------
    message : str
        What was expected and what was found, in one line.
    path : path-like, optional
        The file at fault.
    line : int, optional
        Line number, counted from 1.
    """

    def __init__(self, message: str, path: str | PathLike[str] | None = None, line: int | None = None):
        self.message, self.path, self.line = message, path, line
        where = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(where + message)
