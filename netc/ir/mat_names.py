"""The names in a list of DeepLab's MatWrite and MatRead layers."""

from __future__ import annotations


def mat_names(data: bytes, strip: int) -> list[str]:
    r"""The first word of each line, without its last `strip` characters; lines without a word are skipped.

    Raises ValueError for a name that has no more characters than that, and for a list with a null character.

    >>> mat_names(b"2007_000033.jpg x\n\n2007_000042.jpg\n", 4)
    ['2007_000033', '2007_000042']
    """
    names = []
    for line in data.decode("utf-8-sig", "surrogateescape").split("\n"):
        word = next(iter(line.split()), "")
        if "\0" in word:
            raise ValueError("it is a binary file, not a list")
        if word and len(word) <= strip:
            raise ValueError(f"`{word}` has no more than the {strip} characters that `strip` removes")
        if word:
            names.append(word[: len(word) - strip])
    return names
