"""What an operator copies out of a message into a shell: names that anybody may have chosen stay names there."""

from __future__ import annotations

import shlex


def word(name: str) -> str:
    """Return *name* as one word of a command line, whatever is in it: `42`, `'a b'`; `$'a\\x0ab'` where it holds
    control characters, which bash and zsh read back."""
    if name.isprintable():
        return shlex.quote(name)
    return "$'" + "".join(map(_escaped, name)) + "'"


def argument(name: str) -> str:
    """Return *name* as the last argument of a command; one that begins with a dash comes after "--", which ends the
    options: `42`, `-- --16`."""
    return f"-- {word(name)}" if name.startswith("-") else word(name)


def _escaped(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
