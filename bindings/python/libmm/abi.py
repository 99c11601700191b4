"""libmm.h as ctypes sees it: constants, structs, callback types and functions, under their C names.

The rest of the package is written on top of this module and a program rarely needs it: `lib.mm_model_load(...)` is the C
function with the C rules (the comments of libmm.h hold), without any of the package's care for lifetimes and threads.

The library is looked for in this order: the file named by the environment variable LIBMM_LIBRARY, the one the wheel
carries, lib/libmm.so of the source tree this file lies in, and libmm.so.0 where the system's loader finds it.
"""
from __future__ import annotations

import ctypes
import os
from ctypes import (CFUNCTYPE, POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint32,
                    c_uint64, c_void_p)

# ---- constants ----

MM_VERSION_MAJOR = 0
MM_VERSION_MINOR = 2
MM_VERSION_PATCH = 0
MM_VERSION = MM_VERSION_MAJOR << 16 | MM_VERSION_MINOR << 8 | MM_VERSION_PATCH

MM_OK = 0
MM_END = 1
MM_E_ARG = -1
MM_E_STATE = -2
MM_E_SPACE = -3
MM_E_KEY = -4
MM_E_NOMEM = -5
MM_E_LIMIT = -6
MM_E_INTERNAL = -7
MM_E_IO = -101
MM_E_FORMAT = -102
MM_E_UNSUPPORTED = -103
MM_E_MEDIA = -104
MM_E_DEVICE = -201
MM_E_CANCELLED = -301
MM_E_CONTEXT = -302
MM_E_NUMERIC = -303

MM_LOG_ERROR = 1
MM_LOG_WARN = 2
MM_LOG_INFO = 3
MM_LOG_DEBUG = 4

MM_FILE_NONE = 0
MM_FILE_REGULAR = 1
MM_FILE_DIRECTORY = 2

MM_PRECISION_FAST = 0
MM_PRECISION_EXACT = 1

MM_TOKENIZE_AROUND = 1
MM_TOKENIZE_SPECIAL = 2

MM_PIXELS_RGB = 0
MM_PIXELS_RGBA = 1
MM_PIXELS_BGR = 2
MM_PIXELS_GREY = 3

MM_SAMPLES_F32 = 0
MM_SAMPLES_I16 = 1

MM_SESSION_RAW = 1
MM_SESSION_IGNORE_EOS = 2
MM_SESSION_LOGPROBS = 4

MM_EVENT_TEXT = 1
MM_EVENT_SEGMENT = 2
MM_EVENT_LANGUAGE = 3
MM_EVENT_VECTOR = 4
MM_EVENT_SCORES = 5
MM_EVENT_TENSOR = 6
MM_EVENT_END = 7

# ---- callbacks and structs ----

mm_log_fn = CFUNCTYPE(None, c_void_p, c_int32, c_char_p, c_char_p)
mm_progress_fn = CFUNCTYPE(c_int32, c_void_p, c_char_p, c_uint64, c_uint64)
mm_write_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_size_t)
mm_task_fn = CFUNCTYPE(None, c_void_p, c_uint32, c_uint32)
mm_alloc_fn = CFUNCTYPE(c_void_p, c_void_p, c_size_t, c_size_t)
mm_release_fn = CFUNCTYPE(None, c_void_p, c_void_p, c_size_t, c_size_t)
mm_files_kind_fn = CFUNCTYPE(c_int32, c_void_p, c_char_p)
mm_files_open_fn = CFUNCTYPE(c_int32, c_void_p, c_char_p, POINTER(c_void_p), POINTER(c_uint64))
mm_files_read_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_uint64, c_void_p, c_size_t)
mm_files_close_fn = CFUNCTYPE(None, c_void_p, c_void_p)
mm_files_list_fn = CFUNCTYPE(c_int32, c_void_p, c_char_p, c_uint32, c_void_p, c_size_t)
mm_run_fn = CFUNCTYPE(c_int32, c_void_p, c_void_p, c_void_p, c_uint32)


class mm_error(Structure):
    _fields_ = [("size", c_uint32), ("code", c_int32), ("os_code", c_int32), ("reserved", c_uint32), ("text", c_char * 496)]


class mm_allocator(Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_uint32), ("user", c_void_p), ("alloc", mm_alloc_fn), ("release", mm_release_fn)]


class mm_files(Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_uint32), ("user", c_void_p), ("kind", mm_files_kind_fn),
                ("open", mm_files_open_fn), ("read", mm_files_read_fn), ("close", mm_files_close_fn), ("list", mm_files_list_fn)]


class mm_executor(Structure):
    _fields_ = [("size", c_uint32), ("n_threads", c_uint32), ("user", c_void_p), ("run", mm_run_fn)]


class mm_engine_options(Structure):
    _fields_ = [("size", c_uint32), ("n_threads", c_uint32), ("allocator", POINTER(mm_allocator)), ("log", mm_log_fn),
                ("log_user", c_void_p), ("device", c_char_p), ("precision", c_int32), ("log_level", c_int32),
                ("memory_limit", c_uint64), ("files", POINTER(mm_files)), ("executor", POINTER(mm_executor))]


class mm_model_options(Structure):
    _fields_ = [("size", c_uint32), ("reserved", c_uint32), ("progress", mm_progress_fn), ("progress_user", c_void_p),
                ("bytes", c_void_p), ("n_bytes", c_size_t)]


class mm_image(Structure):
    _fields_ = [("size", c_uint32), ("width", c_uint32), ("height", c_uint32), ("stride", c_uint32), ("format", c_uint32),
                ("reserved", c_uint32), ("pixels", c_void_p)]


class mm_audio(Structure):
    _fields_ = [("size", c_uint32), ("rate", c_uint32), ("channels", c_uint32), ("format", c_uint32), ("frames", c_uint64),
                ("samples", c_void_p)]


class mm_session_options(Structure):
    _fields_ = [("size", c_uint32), ("n_ctx", c_uint32), ("max_tokens", c_uint32), ("top_k", c_uint32), ("seed", c_uint64),
                ("temperature", c_float), ("top_p", c_float), ("min_p", c_float), ("repeat_penalty", c_float),
                ("top_logprobs", c_uint32), ("flags", c_uint32)]


class mm_logprob(Structure):
    _fields_ = [("id", c_int32), ("logprob", c_float)]


class mm_event(Structure):
    _fields_ = [("size", c_uint32), ("kind", c_uint32), ("index", c_uint32), ("id", c_int32), ("data", c_void_p), ("len", c_size_t),
                ("values", c_void_p), ("n_values", c_size_t), ("ids", c_void_p), ("n_ids", c_size_t), ("top", POINTER(mm_logprob)),
                ("n_top", c_size_t), ("t0", c_double), ("t1", c_double), ("value", c_double), ("dims", c_int64 * 4),
                ("n_dims", c_uint32), ("prompt_tokens", c_uint32)]


# ---- functions ----

_err = POINTER(mm_error)
_text = [c_void_p, c_size_t, POINTER(c_size_t), _err]  # buf, cap, need, err
_out = POINTER(c_void_p)

#: name -> (result, arguments) of every function of the header. Handles are void pointers.
PROTOTYPES = {
    "mm_status_name": (c_char_p, [c_int32]),
    "mm_status_at": (c_int32, [c_uint32, POINTER(c_int32), POINTER(c_char_p), POINTER(c_char_p)]),
    "mm_version": (c_uint32, []),
    "mm_build_info": (c_int32, [c_char_p] + _text),
    "mm_device_info": (c_int32, [c_uint32, c_char_p] + _text),
    "mm_engine_options_init": (None, [c_void_p, c_size_t]),
    "mm_engine_create": (c_int32, [POINTER(mm_engine_options), _out, _err]),
    "mm_engine_release": (None, [c_void_p]),
    "mm_engine_set": (c_int32, [c_void_p, c_char_p, c_char_p, _err]),
    "mm_engine_info": (c_int32, [c_void_p, c_char_p] + _text),
    "mm_model_options_init": (None, [c_void_p, c_size_t]),
    "mm_model_load": (c_int32, [c_void_p, c_char_p, POINTER(mm_model_options), _out, _err]),
    "mm_model_release": (None, [c_void_p]),
    "mm_model_info": (c_int32, [c_void_p, c_char_p] + _text),
    "mm_model_tokenize": (c_int32, [c_void_p, c_char_p, c_size_t, c_uint32, c_void_p, c_size_t, POINTER(c_size_t), _err]),
    "mm_model_detokenize": (c_int32, [c_void_p, c_void_p, c_size_t, c_uint32] + _text),
    "mm_model_apply_template": (c_int32, [c_void_p, c_char_p, c_size_t, c_int32] + _text),
    "mm_input_create": (c_int32, [c_void_p, _out, _err]),
    "mm_input_release": (None, [c_void_p]),
    "mm_input_clear": (c_int32, [c_void_p, _err]),
    "mm_input_text": (c_int32, [c_void_p, c_char_p, c_size_t, _err]),
    "mm_input_image": (c_int32, [c_void_p, POINTER(mm_image), _err]),
    "mm_input_image_file": (c_int32, [c_void_p, c_char_p, _err]),
    "mm_input_image_encoded": (c_int32, [c_void_p, c_void_p, c_size_t, _err]),
    "mm_input_audio": (c_int32, [c_void_p, POINTER(mm_audio), _err]),
    "mm_input_audio_file": (c_int32, [c_void_p, c_char_p, _err]),
    "mm_input_audio_encoded": (c_int32, [c_void_p, c_void_p, c_size_t, _err]),
    "mm_input_role": (c_int32, [c_void_p, c_char_p, _err]),
    "mm_input_messages": (c_int32, [c_void_p, c_char_p, c_size_t, c_char_p, _err]),
    "mm_input_tokens": (c_int32, [c_void_p, c_void_p, c_size_t, _err]),
    "mm_session_options_init": (None, [c_void_p, c_size_t]),
    "mm_session_create": (c_int32, [c_void_p, POINTER(mm_session_options), _out, _err]),
    "mm_session_release": (None, [c_void_p]),
    "mm_session_set": (c_int32, [c_void_p, c_char_p, c_char_p, _err]),
    "mm_session_feed": (c_int32, [c_void_p, c_void_p, _err]),
    "mm_session_count": (c_int32, [c_void_p, c_void_p, POINTER(c_uint64), _err]),
    "mm_session_next": (c_int32, [c_void_p, POINTER(mm_event), _err]),
    "mm_session_cancel": (None, [c_void_p]),
    "mm_session_reset": (c_int32, [c_void_p, _err]),
    "mm_session_truncate": (c_int32, [c_void_p, c_uint64, _err]),
    "mm_session_fork": (c_int32, [c_void_p, _out, _err]),
    "mm_session_save": (c_int32, [c_void_p, mm_write_fn, c_void_p, _err]),
    "mm_session_save_file": (c_int32, [c_void_p, c_char_p, _err]),
    "mm_session_load": (c_int32, [c_void_p, c_void_p, c_size_t, _out, _err]),
    "mm_session_load_file": (c_int32, [c_void_p, c_char_p, _out, _err]),
    "mm_session_stat": (c_int32, [c_void_p, c_char_p, POINTER(c_double), _err]),
}


def _find() -> list[str]:
    """Files to load, libmm.so last."""
    here = os.path.dirname(os.path.abspath(__file__))
    bundled, tree = os.path.join(here, "_libs"), os.path.normpath(os.path.join(here, "..", "..", "..", "lib", "libmm.so"))
    if os.environ.get("LIBMM_LIBRARY"):
        return [os.environ["LIBMM_LIBRARY"]]
    if os.path.isdir(bundled):
        # What libmm.so needs comes before it; the loader then finds these by their names.
        with open(os.path.join(bundled, "order.txt"), encoding="ascii") as order:
            return [os.path.join(bundled, name) for name in order.read().split()]
    return [tree if os.path.exists(tree) else "libmm.so.%d" % MM_VERSION_MAJOR]


def _open() -> ctypes.CDLL:
    try:
        return [ctypes.CDLL(path) for path in _find()][-1]
    except OSError as e:
        raise ImportError("libmm.so cannot be loaded (%s); run make in the source tree, install the library, or name the file in "
                          "LIBMM_LIBRARY" % e) from e


lib = _open()
for _name, (_result, _arguments) in PROTOTYPES.items():
    try:
        _function = getattr(lib, _name)
    except AttributeError:
        raise ImportError("%s lacks %s: it is older than this package (%d.%d)"
                          % (lib._name, _name, MM_VERSION_MAJOR, MM_VERSION_MINOR)) from None
    _function.restype, _function.argtypes = _result, _arguments
if lib.mm_version() >> 16 != MM_VERSION_MAJOR:
    raise ImportError("%s has version %#x, this package is made for major version %d"
                      % (lib._name, lib.mm_version(), MM_VERSION_MAJOR))
