"""Stand-in for ``torch.utils.cpp_extension`` while fairseq is built.

fairseq's setup.py asks for torch only to compile three extensions (libbase, libnat,
alignment_train) that nothing here uses and that fairseq itself imports lazily.
With this module on the path they are dropped, and the build needs no torch:
seconds and a few megabytes instead of minutes and a CUDA download.
The three that stay (data_utils_fast, token_block_utils_fast, libbleu) are compiled side by
side and at -O1: they sort and cut indices once a run, and the compiler is most of the build.
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
        self.parallel = max(1, len(self.extensions))
        for extension in self.extensions:
            extension.extra_compile_args = ["-std=c++11", "-O1", "-g0"]
