"""``python -m emfast.recipes`` prints docs/recipes.md; ``python -m emfast.recipes FILE`` writes it."""

from __future__ import annotations

import sys

from ._page import page


def main(arguments: list[str]) -> None:
    text = page()
    if arguments:
        with open(arguments[0], "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
