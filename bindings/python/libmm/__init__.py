"""libmm: multimodal models inside your own process.

    import libmm

    with libmm.load("llava") as model:
        for piece in model.chat("What is in the picture?", images="cat.jpg"):
            print(piece, end="", flush=True)

Pictures, sound and text in; text and vectors out. `load()` opens a model; its methods chat(), generate(), embed(), score()
and transcribe() are the short way, session() the long one. Errors are exceptions of class `Error`. The work happens in C
without the GIL; one model serves any number of threads, each with sessions of its own. Arrays come as NumPy arrays where
NumPy can be imported, as lists else.
"""
from . import abi
from .engine import Engine, Files, MappingFiles, build_info, device_info, devices, version
from .errors import (ArgumentError, Cancelled, ContextError, DeviceError, Error, FileError, InternalError, LimitError, MediaError,
                     ModelFileError, NotFound, NumericError, OutOfMemory, StateError, Status, UnknownKey, UnsupportedError,
                     statuses)
from .events import End, Event, Language, Logprob, Scores, Segment, Tensor, Text, Vector
from .input import Input
from .media import Audio, Image
from .model import Model, load
from .session import Answer, Session, SessionOptions, Transcription

__version__ = "%d.%d.%d" % (abi.MM_VERSION_MAJOR, abi.MM_VERSION_MINOR, abi.MM_VERSION_PATCH)

__all__ = [
    "Answer", "ArgumentError", "Audio", "Cancelled", "ContextError", "DeviceError", "End", "Engine", "Error", "Event", "FileError",
    "Files", "Image", "Input", "InternalError", "Language", "LimitError", "Logprob", "MappingFiles", "MediaError", "Model",
    "ModelFileError", "NotFound", "NumericError", "OutOfMemory", "Scores", "Segment", "Session", "SessionOptions", "StateError",
    "Status", "Tensor", "Text", "Transcription", "UnknownKey", "UnsupportedError", "Vector", "abi", "build_info", "device_info",
    "devices", "load", "statuses", "version",
]
