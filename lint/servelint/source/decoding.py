"""Bytes to text and back: Unicode encodings, byte order marks, and what is no text at all."""

from __future__ import annotations

from servelint.finding import ReadError
from servelint.source.text import SourceText


def decode(path: str, data: bytes) -> SourceText | ReadError:
    """Bytes to text: UTF-8, or UTF-16 or UTF-32 with a byte order mark. NUL and invalid bytes are one error."""
    encoding, skip = "utf-8", 0
    if data[:1] in (b"\xef", b"\xff", b"\xfe", b"\x00"):
        for mark, codec in (
            (b"\xef\xbb\xbf", "utf-8"),
            (b"\xff\xfe\x00\x00", "utf-32-le"),
            (b"\x00\x00\xfe\xff", "utf-32-be"),
            (b"\xff\xfe", "utf-16-le"),
            (b"\xfe\xff", "utf-16-be"),
        ):
            if data.startswith(mark):
                encoding, skip = codec, len(mark)
                break
    body = data[skip:] if skip else data
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        before = body[: error.start].decode(encoding, "replace")
        wrong = " ".join(f"0x{byte:02X}" for byte in body[error.start : error.start + 1])
        return _at(path, before, f"the byte {wrong} is not valid {encoding.upper()}; save the file as UTF-8")
    if "\0" in text:
        return _at(
            path,
            text[: text.index("\0")],
            "a NUL character: this is a binary file, or UTF-16 without a byte order mark; save it as UTF-8",
        )
    return SourceText(path, text, had_bom=bool(skip), encoding=encoding)


def _at(path: str, before: str, message: str) -> ReadError:
    place = SourceText(path, before).position(len(before))
    return ReadError(path, place.line, place.column, message)


def encode(source: SourceText, text: str) -> bytes:
    """The bytes of ``text`` in the encoding, and with the byte order mark, that ``source`` was read in."""
    return (("\ufeff" + text) if source.had_bom else text).encode(source.encoding)
