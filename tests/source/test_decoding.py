from __future__ import annotations

import codecs

import pytest

from servelint.finding import ReadError
from servelint.source.reader import decode, encode
from servelint.source.text import SourceText

TEXT = "a: Ä\U0001f600\r\nb: 1\n"


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_unicode_encodings_round_trip(mark: bytes, codec: str) -> None:
    data = mark + TEXT.encode(codec)
    source = decode("f", data)
    assert isinstance(source, SourceText)
    assert (source.text, source.had_bom, source.encoding) == (TEXT, bool(mark), codec)
    assert encode(source, source.text) == data


@pytest.mark.parametrize(
    ("data", "line", "column", "words"),
    [
        (b"a: 1\r\nb: \xff\n", 2, 4, "0xFF"),
        ("Ä: ".encode() + b"\xc3", 1, 4, "0xC3"),
        (b"a: 1\rb: \x00", 2, 4, "NUL"),
        (codecs.BOM_UTF16_LE + b"a", 1, 1, "UTF-16"),
        ("a: 1\n".encode("utf-16-le"), 1, 2, "NUL"),
    ],
)
def test_what_is_no_text_is_one_error_with_its_place(data: bytes, line: int, column: int, words: str) -> None:
    error = decode("f", data)
    assert isinstance(error, ReadError)
    assert (error.path, error.line, error.column) == ("f", line, column)
    assert words in error.message
