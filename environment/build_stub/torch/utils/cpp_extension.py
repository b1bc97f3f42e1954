"""Stand-in for ``torch.utils.cpp_extension`` while fairseq is built.

fairseq's setup.py asks for torch only to compile three extensions (libbase, libnat,
alignment_train) that nothing here uses and that fairseq itself imports lazily.
With this module on the path they are dropped, and the build needs no torch:
seconds and a few megabytes instead of minutes and a CUDA download.
"""

from setuptools import Extension
from setuptools.command.build_ext import build_ext


class CppExtension(Extension):
    """An extension that links against torch; never built."""

    needs_torch = True


class BuildExtension(build_ext):
    """Builds the extensions that do not need torch."""

    def finalize_options(self):
        super().finalize_options()
        self.extensions = [e for e in self.extensions if not getattr(e, "needs_torch", False)]
