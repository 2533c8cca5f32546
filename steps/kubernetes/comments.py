"""Cut comments out of source text: beside a Secret, they may repeat what is secret in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from steps.core.limits import REWRITTEN_COMMENTS
from steps.kubernetes.objects import Reader, Unreadable, decoded, read_documents
from steps.kubernetes.rewrite import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"

# libyaml ends a line at each of these.
_COMMENT = re.compile("#[^\r\n\x85\u2028\u2029]*")


class _CommentReader(Reader):
    """Builds the documents, and notes where comments are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.comments: list[tuple[int, int]] = []
        self._done = 0

    def _scalar(self, event: Any) -> None:
        super()._scalar(event)
        start, end = event.start_mark.index, event.end_mark.index
        self._note(self._done, start)
        if event.style in {"|", ">"}:  # a comment may follow the indicator
            header_end = self.text.find("\n", start, end)
            self._note(start, end if header_end < 0 else header_end)
        self._done = max(self._done, end)

    def finish(self) -> None:
        """Note the comments behind the last value."""
        self._note(self._done, len(self.text))

    def _note(self, start: int, end: int) -> None:
        for match in _COMMENT.finditer(self.text, start, end):
            self.comments.append(match.span())
            if len(self.comments) > REWRITTEN_COMMENTS:
                raise Unreadable("contains too many comments")


def comments_in(text: str) -> list[str]:
    """Return the comments of YAML text. Raises Unreadable."""
    return [text[start:end] for start, end in _read(text).comments]


def without_comments(content: bytes) -> bytes:
    """Return the content without comments, and with the same data.

    Raises Unreadable, also if a merged mapping has values that its data does not show.
    """
    text = decoded(content, MAX_BYTES)
    reader = _read(text)
    if reader.has_hidden_values:
        raise Unreadable("merges a mapping with a key that is also outside it")
    if not reader.comments:
        return content
    parts: list[str] = []
    done = 0
    for start, end in _cuts(text, reader.comments):
        parts.append(text[done:start])
        done = end
    result = "".join([*parts, text[done:]])
    if repr(read_documents(result, Reader())) != repr(reader.documents):
        raise Unreadable("the text without comments has other values")
    encoded = result.encode()
    return _BOM + encoded if content.startswith(_BOM) else encoded


def _read(text: str) -> _CommentReader:
    reader = _CommentReader(text)
    read_documents(text, reader)
    reader.finish()
    return reader


def _cuts(text: str, comments: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what to cut: the comment with the blanks before it, or its whole line."""
    done = 0
    for start, end in comments:
        before = done + len(text[done:start].rstrip(" \t"))
        is_line = before == 0 or text[before - 1] in "\r\n"
        done = end
        if is_line and text[end : end + 1] == "\n":
            yield before, end + 1
        elif is_line and text[end : end + 2] == "\r\n":
            yield before, end + 2
        else:
            yield before, end
