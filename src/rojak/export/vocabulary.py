"""Tokens as the bytes they stand for: Whisper's text tokens are byte-level, each character of one is one byte.

The alphabet is GPT-2's: printable Latin-1 stands for itself, the rest for the characters from U+0100 on.
"""

from functools import lru_cache


@lru_cache(maxsize=1)
def _alphabet() -> dict[str, int]:
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(0x100 + place): byte for place, byte in enumerate(hidden)}


def token_bytes(token: str) -> bytes:
    """Give the bytes of a text token; a token outside the alphabet (a control token) stands for its own letters."""
    alphabet = _alphabet()
    if all(char in alphabet for char in token):
        return bytes(alphabet[char] for char in token)
    return token.encode()
