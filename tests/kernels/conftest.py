"""What Triton's interpreter gets wrong, mended."""

import numpy as np
import pytest

from . import INTERPRETED


@pytest.fixture(autouse=True)
def mend_the_interpreter(monkeypatch):
    """It holds bfloat16 as integers, multiplies those, and rounds down; and makes numbers of arrays that are none."""
    if not INTERPRETED:
        return
    import triton.language as tl
    from triton.runtime import interpreter
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    dot, cast, patch = InterpreterBuilder.create_dot, InterpreterBuilder.cast_impl, interpreter._patch_lang_tensor

    def wide(x):
        if x.dtype.scalar != tl.bfloat16:
            return x
        return TensorHandle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def rounded(self, x, kind):
        if x.dtype.scalar != tl.float32 or kind.scalar != tl.bfloat16:
            return cast(self, x, kind)
        bits = np.ascontiguousarray(x.data).view(np.uint32)
        return TensorHandle(((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16), tl.bfloat16)

    def patched(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    monkeypatch.setattr(InterpreterBuilder, "create_dot", lambda self, a, b, *rest: dot(self, wide(a), wide(b), *rest))
    monkeypatch.setattr(InterpreterBuilder, "cast_impl", rounded)
    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)
