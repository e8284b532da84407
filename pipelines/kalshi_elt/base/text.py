"""Texts for people: counts, sizes, and what others wrote made harmless."""

import re
import unicodedata

LONGEST_MESSAGE = 1_000


def visible(text: str) -> str:
    """A message as one harmless line: control and formatting characters (line breaks, escapes,
    right-to-left marks) as their escapes, and no longer than LONGEST_MESSAGE."""
    if len(text) > LONGEST_MESSAGE:
        text = text[: LONGEST_MESSAGE - 1] + "\N{HORIZONTAL ELLIPSIS}"
    if text.isprintable():
        return text
    return "".join(one if _is_harmless(one) else ascii(one)[1:-1] for one in text)


def _is_harmless(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 event`, `2 events`, and `2 series`, which has no other plural."""
    plural = noun if number == 1 or noun.endswith("s") else noun + "s"
    return f"{number:,} {plural}"


def size(number: int) -> str:
    """A number of bytes for people: `1.2 GB`; a kB has 1,000."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} GB"


URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s/]+@")
"""The password in a URL, up to its last @."""


def redacted(text: str, *secrets: str) -> str:
    """A text that others may see: passwords in URLs, and the given secrets, are replaced by ***."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    return URL_PASSWORD.sub(r"\1:***@", text)
