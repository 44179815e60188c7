"""Our own documents' Markdown as blocks that a template shows: paragraphs, lists, code.

Law: text in, plain data out. Links lose their address, which leads out of the page.
"""

import re
from typing import Any, Final

_TEXT: Final = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\([^)]*\)")


def blocks(markdown: str) -> list[tuple[str, Any]]:
    """Our own documents' Markdown: paragraphs, lists, code; links lose their address, which leads out of here."""
    blocks: list[tuple[str, Any]] = []
    for index, part in enumerate(markdown.split("```")):
        if index % 2:
            blocks.append(("code", part.partition("\n")[2].strip()))
            continue
        for paragraph in re.split(r"\n\s*\n", part.strip()):
            if paragraph.startswith("- "):
                items = re.split(r"^- ", paragraph, flags=re.MULTILINE)[1:]
                blocks.append(("list", [_spans(item) for item in items]))
            elif paragraph:
                blocks.append(("text", _spans(paragraph)))
    return blocks


def _spans(text: str) -> list[tuple[str, str]]:
    spans, at = [], 0
    for match in _TEXT.finditer(text):
        spans.append(("text", text[at : match.start()]))
        code, bold, link = match.groups()
        spans.append(("code", code) if code else ("bold", bold) if bold else ("text", link.replace("`", "")))
        at = match.end()
    return [*spans, ("text", text[at:])]
