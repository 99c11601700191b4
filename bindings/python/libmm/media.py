"""Pictures and sound as Python programs have them, as pointers C can read.

Nothing is copied where the layout allows: uint8 arrays whose pixels lie side by side (any distance between rows), float32
or int16 samples that lie side by side. What does not is copied once. Pillow keeps pixels in blocks of its own, so its
pictures are copied once too.
"""
from __future__ import annotations

import array
import ctypes
import os
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_ssize_t, c_void_p, py_object, sizeof
from typing import Any, NamedTuple

from . import abi
from .errors import fail
from .events import numpy_or_none

_FORMATS = {"rgb": (abi.MM_PIXELS_RGB, 3), "rgba": (abi.MM_PIXELS_RGBA, 4), "bgr": (abi.MM_PIXELS_BGR, 3),
            "grey": (abi.MM_PIXELS_GREY, 1), "gray": (abi.MM_PIXELS_GREY, 1)}
_BY_CHANNELS = {1: "grey", 3: "rgb", 4: "rgba"}
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
_SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".mp3")


class Image:
    """A picture for a model.

    source: the path of a PNG, JPEG or BMP file; the bytes of such a file; a Pillow image; or uint8 pixels [height, width],
    [height, width, 1], [height, width, 3] or [height, width, 4], top row first, as a NumPy array or anything that has the
    buffer protocol or __array_interface__.
    format: "rgb", "rgba", "bgr" or "grey" of an array; None goes by the number of channels.
    """
    __slots__ = ("source", "format")

    def __init__(self, source: Any, format: str | None = None):
        if format is not None and format not in _FORMATS:
            raise fail(abi.MM_E_ARG, "format %r is none of %s" % (format, ", ".join(_FORMATS)))
        self.source, self.format = source, format

    def __repr__(self) -> str:
        return "libmm.Image(%s)" % _brief(self.source)


class Audio:
    """Sound for a model.

    source: the path of a WAV, FLAC, OGG or MP3 file; the bytes of such a file; or samples [frames] or [frames, channels] as
    a NumPy array, an array.array, anything that has the buffer protocol or __array_interface__, or a list: float32 or
    float64 in -1..1, or int16.
    rate: samples a second of an array, 1000 to 768000; not given for files.
    """
    __slots__ = ("source", "rate")

    def __init__(self, source: Any, rate: int | None = None):
        self.source, self.rate = source, rate

    def __repr__(self) -> str:
        return "libmm.Audio(%s%s)" % (_brief(self.source), ", %d" % self.rate if self.rate else "")


def _brief(source: Any) -> str:
    return repr(source) if isinstance(source, (str, os.PathLike)) else "<%s>" % type(source).__name__


def kind_of_path(path: Any) -> str | None:
    """ "image", "audio" or None, by the end of a file's name."""
    end = os.path.splitext(os.fspath(path))[1].lower()
    end = os.fsdecode(end) if isinstance(end, bytes) else end
    return "image" if end in _PICTURES else "audio" if end in _SOUNDS else None


def is_pillow(source: Any) -> bool:
    return type(source).__module__.split(".")[0] == "PIL" and hasattr(source, "tobytes") and hasattr(source, "mode")


# ---- arrays ----

class _Py_buffer(Structure):
    _fields_ = [("buf", c_void_p), ("obj", py_object), ("len", c_ssize_t), ("itemsize", c_ssize_t), ("readonly", c_int),
                ("ndim", c_int), ("format", c_char_p), ("shape", POINTER(c_ssize_t)), ("strides", POINTER(c_ssize_t)),
                ("suboffsets", POINTER(c_ssize_t)), ("internal", c_void_p)]


class Block(NamedTuple):
    """Memory that Python owns: `type` is the struct letter ("B", "f", "h", "d"), strides are in bytes, `owner` keeps it."""
    address: int
    type: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    owner: Any


def _packed(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def _address(view: memoryview) -> int:
    """Where a memoryview's first element lies; works for read-only memory as well, which ctypes' own way does not."""
    raw = _Py_buffer()
    request = 0x0118  # PyBUF_STRIDES | PyBUF_INDIRECT
    ctypes.pythonapi.PyObject_GetBuffer(py_object(view), byref(raw), request)
    address = raw.buf or 0
    ctypes.pythonapi.PyBuffer_Release(byref(raw))
    return address


def _from_view(view: memoryview, owner: Any) -> Block:
    letter = view.format.lstrip("@=<") if view.format else "B"
    if view.suboffsets:
        raise fail(abi.MM_E_ARG, "an array of pointers to rows is not supported; copy it into one block")
    return Block(_address(view), letter, tuple(view.shape or ()), tuple(view.strides or ()), (view, owner))


def _from_interface(facts: dict[str, Any], owner: Any) -> Block:
    letters = {"|u1": "B", "<f4": "f", "<f8": "d", "<i2": "h", "|i1": "b"}
    shape, letter = tuple(facts["shape"]), letters.get(facts["typestr"], facts["typestr"])
    data = facts.get("data")
    if not isinstance(data, tuple):
        return _from_view(memoryview(owner if data is None else data), owner)
    sizes = {"B": 1, "b": 1, "h": 2, "f": 4, "d": 8}
    strides = facts.get("strides") or _packed(shape, sizes.get(letter, 1))
    return Block(data[0], letter, shape, tuple(strides), owner)


def block(source: Any, what: str) -> Block:
    """The memory of an array-like object."""
    if isinstance(source, (list, tuple)):
        try:
            source = array.array("f", source)
        except (TypeError, OverflowError) as e:
            raise fail(abi.MM_E_ARG, "%s: a list must hold numbers (%s)" % (what, e)) from None
    try:
        return _from_view(memoryview(source), source)
    except (TypeError, ValueError, BufferError):
        pass
    facts = getattr(source, "__array_interface__", None)
    if isinstance(facts, dict):
        return _from_interface(facts, source)
    numpy = numpy_or_none()
    if numpy is not None and hasattr(source, "__array__"):
        return _from_view(memoryview(numpy.asarray(source)), source)
    raise TypeError("%s: %s is no path, bytes, array or picture" % (what, type(source).__name__))


def _packed_copy(b: Block) -> Block:
    """The same elements side by side."""
    itemsize = {"B": 1, "b": 1, "h": 2, "f": 4, "d": 8}[b.type]
    rows, n = [b.address], len(b.shape)
    for axis in range(n - 1):
        rows = [r + i * b.strides[axis] for r in rows for i in range(b.shape[axis])]
    count, step = (b.shape[-1], b.strides[-1]) if n else (1, itemsize)
    if step == itemsize:
        raw = b"".join(ctypes.string_at(r, count * itemsize) for r in rows)
    else:
        raw = b"".join(ctypes.string_at(r + i * step, itemsize) for r in rows for i in range(count))
    copy = ctypes.create_string_buffer(raw, max(len(raw), 1))
    return Block(ctypes.addressof(copy), b.type, b.shape, _packed(b.shape, itemsize), copy)


# ---- pictures ----

def pixels(image: Image) -> tuple[abi.mm_image, Any]:
    """The mm_image of a picture that is no file, and what must live as long as it is used."""
    source, name = image.source, image.format
    if is_pillow(source):
        if source.mode not in ("RGB", "RGBA", "L"):
            source = source.convert("RGBA" if "A" in source.getbands() or "transparency" in source.info else "RGB")
        width, height = source.size
        raw = source.tobytes()
        fmt, channels = _FORMATS[{"RGB": "rgb", "RGBA": "rgba", "L": "grey"}[source.mode]]
        address = ctypes.cast(c_char_p(raw), c_void_p).value
        return abi.mm_image(sizeof(abi.mm_image), width, height, width * channels, fmt, 0, address), raw
    b = block(source, "picture")
    if b.type != "B" or len(b.shape) not in (2, 3):
        raise fail(abi.MM_E_ARG, "picture: uint8 pixels [height, width] or [height, width, channels] are needed, not %s%s"
                   % (b.type, list(b.shape)))
    height, width = b.shape[:2]
    channels = b.shape[2] if len(b.shape) == 3 else 1
    name = name or _BY_CHANNELS.get(channels)
    if name is None or _FORMATS[name][1] != channels:
        raise fail(abi.MM_E_ARG, "picture: %d channels are no %s" % (channels, name or "grey, rgb or rgba"))
    beside = b.strides[1] == channels and (len(b.shape) == 2 or channels == 1 or b.strides[2] == 1)
    if not (beside and width * channels <= b.strides[0] < 1 << 32) and height * width:
        b = _packed_copy(b)
    if max(width, height) >= 1 << 32:
        raise fail(abi.MM_E_LIMIT, "picture: %d x %d pixels are too many" % (width, height))
    stride = b.strides[0] if height * width else 0
    return abi.mm_image(sizeof(abi.mm_image), width, height, stride, _FORMATS[name][0], 0, b.address or None), b


# ---- sound ----

def samples(audio: Audio) -> tuple[abi.mm_audio, Any]:
    """The mm_audio of sound that is no file, and what must live as long as it is used."""
    b = block(audio.source, "sound")
    if audio.rate is None:
        raise fail(abi.MM_E_ARG, "sound: samples need their rate: libmm.Audio(samples, rate)")
    rate = int(audio.rate)
    if not 0 < rate < 1 << 32:
        raise fail(abi.MM_E_ARG, "sound: rate %d is outside 1000..768000" % rate)
    if b.type not in ("f", "d", "h") or len(b.shape) not in (1, 2):
        raise fail(abi.MM_E_ARG, "sound: float32, float64 or int16 samples [frames] or [frames, channels] are needed, not %s%s"
                   % (b.type, list(b.shape)))
    frames, channels = b.shape[0], b.shape[1] if len(b.shape) == 2 else 1
    if channels < 1 or channels > 8:
        raise fail(abi.MM_E_ARG, "sound: %d channels are outside 1..8; the axes are [frames, channels]" % channels)
    itemsize = {"f": 4, "d": 8, "h": 2}[b.type]
    if b.strides != _packed(b.shape, itemsize) and frames:
        b = _packed_copy(b)
    if b.type == "d":
        narrow = array.array("f", (ctypes.c_double * (frames * channels)).from_address(b.address)) if frames else array.array("f")
        b = Block(narrow.buffer_info()[0], "f", b.shape, (), narrow)
    fmt = abi.MM_SAMPLES_F32 if b.type == "f" else abi.MM_SAMPLES_I16
    return abi.mm_audio(sizeof(abi.mm_audio), rate, channels, fmt, frames, b.address or None), b


