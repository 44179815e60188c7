"""What may be said of octets that others wrote."""


def latin(text: str) -> bool:
    """Whether it is one line of printable ASCII, or nothing."""
    return all(" " <= character <= "~" for character in text)


def sentence(text: str, most: int = 4000) -> bool:
    """Whether a person can read it: something, printable, of bounded length; several lines where there is much to say."""
    return bool(text.strip()) and len(text) <= most and all(line.isprintable() for line in text.split("\n"))
