"""What libmm_experimental.h declares: it may change or go in any release."""
from __future__ import annotations

from ctypes import POINTER, byref, c_float, c_int32, c_size_t, c_void_p, cast
from typing import TYPE_CHECKING

from . import abi
from .abi import lib
from .errors import check, fail, new_error
from .events import _floats

if TYPE_CHECKING:
    from .events import Floats
    from .session import Session

PROTOTYPES = {"mm_x_session_logits": (c_int32, [c_void_p, POINTER(POINTER(c_float)), POINTER(c_size_t), POINTER(abi.mm_error)])}


def logits(session: Session) -> Floats:
    """The scores that the latest Text event was chosen from: float32 [vocab], before temperature, penalties and softmax.

    StateError: no token was chosen since the last feed; UnsupportedError: the session's task does not generate text, or the
    library that runs has no such function.
    """
    function = getattr(lib, "mm_x_session_logits", None)
    if function is None:
        raise fail(abi.MM_E_UNSUPPORTED, "this library has no mm_x_session_logits")
    function.restype, function.argtypes = PROTOTYPES["mm_x_session_logits"]
    scores, n, err = POINTER(c_float)(), c_size_t(), new_error()
    with session._ref.turn(), session._ref as s:
        check(function(s, byref(scores), byref(n), byref(err)), err)
        return _floats(cast(scores, c_void_p).value, n.value)
