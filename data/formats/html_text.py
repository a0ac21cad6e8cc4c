"""Texts in HTML: the words of a fragment, as JSON of Teams and Skype holds it, without what is quoted in it."""

from html.parser import HTMLParser

_BREAKS = frozenset({"br", "p", "div", "li", "tr", "blockquote", "h1", "h2", "h3", "pre"})
VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())  # noqa: SIM905
_NOT_SAID = frozenset({"blockquote", "quote", "legacyquote", "attachment", "e_m", "script", "style", "head", "title"})
DEEPEST = 200  # elements in one another; nobody writes more


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.mentioned: list[str] = []
        self._open: list[str] = []
        self._quoted = 0  # how many of the open elements hold what somebody else said
        self._mention = 0  # how deep the mention is that is open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in _BREAKS and self.parts:
            self.parts.append("\n")
        if tag in VOID or len(self._open) >= DEEPEST:
            return
        self._open.append(tag)
        self._quoted += tag in _NOT_SAID
        if tag == "at" and not self._mention:
            self._mention = len(self._open)
            self.mentioned.append("")
            if not self._quoted:
                self.parts.append("@\u2068")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in _BREAKS and self.parts:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._open:
            return
        while self._open:
            last = self._open.pop()
            self._quoted -= last in _NOT_SAID
            if last == tag:
                break
        if len(self._open) < self._mention:
            self._mention = 0
            if not self._quoted:
                self.parts.append("\u2069")
        if tag in _BREAKS and self.parts:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if self._mention:
            self.mentioned[-1] += data.removeprefix("@")
            data = data.removeprefix("@")
        if not self._quoted:
            self.parts.append(data)


def words(fragment: str) -> tuple[str, list[str]]:
    """Return the text of an HTML fragment, without what it quotes, and the names that it mentions (`<at>`)."""
    parser = _Words()
    parser.feed(fragment)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(filter(None, lines)), parser.mentioned
