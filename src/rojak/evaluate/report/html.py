"""HTML built from Python so that text is always escaped: only `Html` passes through as it is.

Hypotheses, file names and notes are text that others wrote. They reach the page as `str`, and `str` is escaped.
"""

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is HTML already. Anything made of it by string methods is plain `str` again, and escaped again."""

    __slots__ = ()


Child = str | None
Attribute = str | float | bool | None

_VOID = {"meta", "input", "br", "col", "wbr"}


def escape(text: str) -> Html:
    """Escape text for the inside of an element or of a quoted attribute; `Html` is left alone."""
    return text if isinstance(text, Html) else Html(html.escape(text, quote=True))


def element(name: str, *children: Child, **attributes: Attribute) -> Html:
    """Build an element.

    Args:
        name: Of the element.
        *children: Text is escaped, `Html` is not, None is nothing.
        **attributes: Underscores become hyphens and one at the end goes (`class_`, `stroke_width`); None and False
            leave an attribute out, True gives it without a value; numbers are written short.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = join(children)
    return Html(f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{inside}</{name}>")


def join(parts: Iterable[Child]) -> Html:
    """Put pieces one after the other, escaping those that are text."""
    return Html("".join(escape(part) for part in parts if part is not None))


def document(title: str, body: str, *, style: str, allowed: str) -> str:
    """Give a whole page: a head that lets nothing be loaded or run but what it names, and a body that is HTML.

    Args:
        title: Of the page.
        body: HTML.
        style: CSS; the page has no other.
        allowed: More directives of the content security policy, such as `media-src data:`.
    """
    policy = f"default-src 'none'; style-src 'unsafe-inline'; {allowed}; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}\n</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def section_links(sections: Sequence[tuple[str, str, Html]]) -> Html:
    """Link the sections of a page, each an anchor, a heading and its content."""
    return join(element("a", name, href=f"#{anchor}") for anchor, name, _ in sections)


def section_bodies(sections: Sequence[tuple[str, str, Html]]) -> Html:
    """Lay the sections of a page out under their headings."""
    return join(element("section", element("h2", name), content, id=anchor) for anchor, name, content in sections)


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {key}"
    text = value if isinstance(value, str) else f"{value:.5g}"
    return f' {key}="{escape(text)}"'
