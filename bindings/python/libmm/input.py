"""Inputs: text, pictures, sound and messages in order."""
from __future__ import annotations

import base64
import binascii
import json
import os
from ctypes import byref, c_char, c_char_p, c_void_p, cast
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence, Union
from urllib.parse import unquote

from . import abi
from ._handle import Handle, Ref, encode, id_array
from .abi import lib
from .errors import check, fail, new_error
from .media import Audio, Image, is_pillow, kind_of_path, pixels, samples

if TYPE_CHECKING:
    from .engine import Engine
    from .model import Model

#: A message in the OpenAI layout: {"role": ..., "content": "..." or a list of parts}.
Message = Mapping[str, Any]
#: What `Session.feed()` takes.
Feedable = Union[str, Image, Audio, "os.PathLike[str]", Message, Sequence[Message], "Input", Any]

_IMAGE_PARTS = ("image_url", "image")
_AUDIO_PARTS = ("input_audio", "audio", "audio_url")


class Input(Handle):
    """An ordered list of text, pictures, sound and chat messages; reusable, for any session of the same engine.

    One thread at a time; a second gets StateError. Every method appends and returns the input, so calls can be chained. A
    failed one leaves the input as it was.
    """

    def __init__(self, engine: Engine | Model):
        self._create(engine._engine)

    def _create(self, engine: Ref) -> None:
        out, err = c_void_p(), new_error()
        with engine as e:
            check(lib.mm_input_create(e, byref(out), byref(err)), err)
            self._own(Ref.take("input", out.value, lib.mm_input_release, engine.keep))

    @classmethod
    def _of(cls, engine: Ref) -> Input:
        self = cls.__new__(cls)
        self._create(engine)
        return self

    def _call(self, function: Any, *arguments: Any) -> Input:
        err = new_error()
        with self._ref.turn(), self._ref as p:
            check(function(p, *arguments, byref(err)), err)
        return self

    def clear(self) -> Input:
        """Empties the input for another use."""
        return self._call(lib.mm_input_clear)

    def text(self, text: str) -> Input:
        """Text. "<image>" and "<audio>" in it each take the next medium of that kind of the same message at that place;
        media without a place come first."""
        raw = encode(text, "text")
        return self._call(lib.mm_input_text, raw, len(raw))

    def role(self, role: str) -> Input:
        """Starts a new message of this role ("system", "user", "assistant", "tool" ...)."""
        return self._call(lib.mm_input_role, encode(role, "role"))

    def image(self, source: Any, format: str | None = None) -> Input:
        """A picture: what `Image` takes, or an Image. Raises FileError, MediaError, LimitError."""
        image = source if isinstance(source, Image) else Image(source, format)
        source = _file_bytes(image.source)
        if isinstance(source, (str, os.PathLike)):
            return self._call(lib.mm_input_image_file, _path(source))
        if isinstance(source, (bytes, bytearray)):
            return self._call(lib.mm_input_image_encoded, _bytes(source), len(source))
        described, owner = pixels(image)
        return self._call(lib.mm_input_image, byref(described))

    def audio(self, source: Any, rate: int | None = None) -> Input:
        """Sound: what `Audio` takes, or an Audio. Raises FileError, MediaError, LimitError."""
        audio = source if isinstance(source, Audio) else Audio(source, rate)
        source = _file_bytes(audio.source)
        if isinstance(source, (str, os.PathLike)):
            return self._call(lib.mm_input_audio_file, _path(source))
        if isinstance(source, (bytes, bytearray)):
            return self._call(lib.mm_input_audio_encoded, _bytes(source), len(source))
        described, owner = samples(audio)
        return self._call(lib.mm_input_audio, byref(described))

    def messages(self, messages: Iterable[Message], base_dir: str | os.PathLike[str] | None = None) -> Input:
        """A conversation in the OpenAI layout. Pictures and sound are local files (resolved against base_dir) or data: URLs,
        or, as "image" and "audio" parts, anything `Image` and `Audio` take: {"type": "image", "image": array}.

        A message that carries such an object has no members beside role and content. Raises ModelFileError for a layout
        that is not understood, FileError, MediaError, UnsupportedError for a remote URL.
        """
        waiting: list[Message] = []
        for message in messages:
            if not isinstance(message, Mapping):
                raise TypeError("a message is a dict with \"role\" and \"content\", not %s" % type(message).__name__)
            if not _has_objects(message):
                waiting.append(message)
                continue
            self._json(waiting, base_dir)
            waiting = []
            self._parts(message, base_dir)
        return self._json(waiting, base_dir)

    def tokens(self, ids: Sequence[int]) -> Input:
        """Token ids as they are, in their place between texts and media. Only raw sessions that generate take them."""
        raw = id_array(ids)
        return self._call(lib.mm_input_tokens, raw.buffer_info()[0], len(raw))

    def add(self, *items: Feedable) -> Input:
        """Whatever `Session.feed()` takes, in order."""
        for item in items:
            self._add(item)
        return self

    def _add(self, item: Feedable) -> None:
        if isinstance(item, str):
            self.text(item)
        elif isinstance(item, Image) or is_pillow(item):
            self.image(item)
        elif isinstance(item, Audio):
            self.audio(item)
        elif isinstance(item, os.PathLike):
            kind = kind_of_path(item)
            if kind is None:
                raise fail(abi.MM_E_ARG, "%s: its name says neither picture nor sound; wrap it in libmm.Image or libmm.Audio" % item)
            self.image(item) if kind == "image" else self.audio(item)
        elif isinstance(item, Mapping):
            self.messages([item])
        elif isinstance(item, (list, tuple)) and item and all(isinstance(m, Mapping) for m in item):
            self.messages(item)
        elif isinstance(item, (bytes, bytearray, list, tuple)):
            raise TypeError("bytes and lists can mean several things; wrap them in libmm.Image or libmm.Audio")
        else:
            self.image(item)

    def _json(self, messages: list[Message], base_dir: Any) -> Input:
        if not messages:
            return self
        raw = dump(messages)
        return self._call(lib.mm_input_messages, raw, len(raw), _path(base_dir) if base_dir is not None else None)

    def _parts(self, message: Message, base_dir: Any) -> None:
        extra = sorted(set(message) - {"role", "content"})
        if extra:
            raise fail(abi.MM_E_ARG, "a message that carries a picture or sound as an object cannot have %r as well; "
                       "use a file or a data: URL" % extra[0])
        self.role(message["role"])
        for part in message["content"]:
            held = _held(part)
            if held is None:
                self._part(part, base_dir)
            elif part["type"] in _IMAGE_PARTS:
                self.image(held)
            else:
                self.audio(held)

    def _part(self, part: Mapping[str, Any], base_dir: Any) -> None:
        """A part that holds no object, in a message that has one elsewhere."""
        if part.get("type") == "text":
            self.text(part.get("text", ""))
            return
        # The C reader knows the layouts of parts; a message of its own would end the one being built, so media go by hand.
        source = part.get(part.get("type", ""))
        for key in ("image", "audio", "path", "url"):
            source = part.get(key) if source is None else source
        if isinstance(source, Mapping):
            source = source.get("data") and "data:," + source["data"] or source.get("url") or source.get("path")
        if not isinstance(source, str) or part.get("type") not in _IMAGE_PARTS + _AUDIO_PARTS:
            raise fail(abi.MM_E_UNSUPPORTED, "messages: a part of type %r is not supported here" % part.get("type"))
        medium: Any = _local(source, base_dir)
        self.image(medium) if part["type"] in _IMAGE_PARTS else self.audio(medium)


def _path(path: str | os.PathLike[str]) -> bytes:
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise fail(abi.MM_E_ARG, "a path holds a NUL character")
    return raw


def _bytes(data: bytes | bytearray) -> Any:
    if isinstance(data, bytes):
        return cast(c_char_p(data), c_void_p)
    return byref((c_char * len(data)).from_buffer(data)) if data else None


def _file_bytes(source: Any) -> Any:
    """A flat view of bytes can only be the content of a file."""
    flat = isinstance(source, memoryview) and source.ndim == 1 and source.format == "B"
    return bytes(source) if flat else source


def _local(url: str, base_dir: Any) -> bytes | str:
    if url.startswith("data:"):
        kind, _, content = url.partition(",")
        if not kind.endswith(";base64"):
            raise fail(abi.MM_E_UNSUPPORTED, "messages: a data URL is not in base64; write data:TYPE;base64,BYTES")
        try:
            return base64.b64decode(content)
        except binascii.Error as e:
            raise fail(abi.MM_E_FORMAT, "messages: a data URL is no base64 (%s)" % e) from None
    if url.startswith("file://"):
        url = unquote(url[16:] if url.startswith("file://localhost/") else url[7:])
    elif "://" in url:
        raise fail(abi.MM_E_UNSUPPORTED, "messages: \"%.80s\" is not a local file" % url)
    return os.path.join(os.fspath(base_dir), url) if base_dir is not None else url


def _held(part: Any) -> Any:
    """The object a part carries in place of a path or URL, or None."""
    if not isinstance(part, Mapping) or part.get("type") not in _IMAGE_PARTS + _AUDIO_PARTS:
        return None
    for key in (part["type"], "image", "audio", "path"):
        source = part.get(key)
        if source is not None:
            return None if isinstance(source, (str, Mapping, os.PathLike)) else source
    return None


def _has_objects(message: Message) -> bool:
    content = message.get("content")
    return isinstance(content, (list, tuple)) and any(_held(part) is not None for part in content)


def _default(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError("%s cannot be part of a message" % type(value).__name__)


def dump(value: Any) -> bytes:
    """JSON for C."""
    return encode(json.dumps(value, ensure_ascii=False, default=_default), "JSON")


def as_messages(messages: str | Message | Iterable[Message], images: Iterable[Any] = (), audio: Iterable[Any] = ()) -> list[Message]:
    """A list of messages; a plain text becomes one of the user. Media are put before the text of the last message."""
    if isinstance(messages, str):
        whole: list[Message] = [{"role": "user", "content": messages}]
    else:
        whole = [messages] if isinstance(messages, Mapping) else list(messages)
    parts: list[Any] = [{"type": "image", "image": i} for i in _each(images)]
    parts += [{"type": "audio", "audio": a} for a in _each(audio)]
    if parts and not whole:
        raise fail(abi.MM_E_ARG, "there is no message that the pictures or the sound could belong to")
    if parts:
        content = whole[-1].get("content", "")
        parts += [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
        whole[-1] = {**whole[-1], "content": parts}
    return whole


def _each(media: Any) -> list[Any]:
    """One medium, several, or None."""
    if media is None:
        return []
    return list(media) if isinstance(media, (list, tuple)) else [media]
