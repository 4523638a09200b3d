"""The parts of a Gemini content, as requests, answers and streams all write them.

    {"role": "model", "parts": [{"text": …}, {"functionCall": {"name": …, "args": {…}, "id"?: …}}]}

Which kind a part is, the one member says that is there. Image data stays raw until it is needed:
requests that keep their format are only looked at.
"""

from __future__ import annotations

import msgspec

from sidecar.errors import WireError
from sidecar.wire.decode import decode
from sidecar.wire.neutral import ImagePart

_NULL = msgspec.Raw(b"null")
_TEXT = msgspec.json.Decoder(str)
_URL_SAFE = str.maketrans("-_", "+/")
_WEB = ("https://", "http://")
_GOOGLES_OWN = (
    "https://generativelanguage.googleapis.com/",
    "https://www.youtube.com/",
    "https://youtu.be/",
)


class Blob(msgspec.Struct, rename="camel", gc=False):
    """Bytes in base64, of either alphabet."""

    mime_type: str = ""
    data: msgspec.Raw = _NULL


class FileData(msgspec.Struct, rename="camel", gc=False):
    """A file by its address: of Google's store, or anywhere on the web."""

    mime_type: str = ""
    file_uri: str = ""


class FunctionCall(msgspec.Struct, gc=False):
    """A call; ``id`` is left out by older models."""

    name: str = ""
    args: msgspec.Raw = _NULL
    id: str | None = None


class ResponsePart(msgspec.Struct, rename="camel"):
    """What a function may return beside JSON."""

    inline_data: Blob | None = None
    file_data: FileData | None = None


class FunctionResponse(msgspec.Struct):
    """What a function returned: any object; ``output`` and ``error`` are its usual members."""

    name: str = ""
    response: msgspec.Raw = _NULL
    id: str | None = None
    parts: list[ResponsePart] | None = None


class Part(msgspec.Struct, rename="camel", gc=False):
    """One part; the raw members are kinds that only Google's own tools make."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: msgspec.Raw = _NULL
    code_execution_result: msgspec.Raw = _NULL
    tool_call: msgspec.Raw = _NULL
    tool_response: msgspec.Raw = _NULL


class Content(msgspec.Struct, gc=False):
    """A turn, or a system instruction."""

    parts: list[Part] | None = None
    role: str | None = None


def is_null(raw: msgspec.Raw) -> bool:
    """Return whether a member is missing or ``null``."""
    return bytes(raw) == b"null"


def is_text(part: Part) -> bool:
    """Return whether there is nothing but text in ``part``."""
    return (
        part.inline_data is None
        and part.file_data is None
        and part.function_call is None
        and part.function_response is None
        and part.executable_code is _NULL
        and part.code_execution_result is _NULL
        and part.tool_call is _NULL
        and part.tool_response is _NULL
    )


def foreign_kind(part: Part) -> str | None:
    """Return the name of a part's kind that no other format has, None if others have it."""
    for blob in (part.inline_data, part.file_data):
        if blob is not None:
            return None if _is_shared_image(blob) else _name_of(blob)
    raws = {
        "executableCode": part.executable_code,
        "codeExecutionResult": part.code_execution_result,
        "toolCall": part.tool_call,
        "toolResponse": part.tool_response,
    }
    return next((name for name, raw in raws.items() if not is_null(raw)), None)


def read_image(blob: Blob | FileData, path: str) -> ImagePart:
    """Return the image; data in the alphabet that every other format wants.

    Raises:
        WireError: the data is not a string.
    """
    if isinstance(blob, FileData):
        return ImagePart(url=blob.file_uri)
    if is_null(blob.data):
        raise WireError("Object missing required field `data`", path)
    data = decode(_TEXT, blob.data, f"{path}.data").translate(_URL_SAFE).rstrip("=")
    return ImagePart(media_type=blob.mime_type, data=data + "=" * (-len(data) % 4))


def _is_shared_image(blob: Blob | FileData) -> bool:
    """Return whether others can see it: images, and of files those that anybody can fetch."""
    if not blob.mime_type.startswith("image/"):
        return False
    if isinstance(blob, Blob):
        return True
    return blob.file_uri.startswith(_WEB) and not blob.file_uri.startswith(_GOOGLES_OWN)


def _name_of(blob: Blob | FileData) -> str:
    return "inlineData" if isinstance(blob, Blob) else "fileData"
