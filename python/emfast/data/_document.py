"""The table of docs/datasets.md, from the registry: ``python -c "import emfast.data._document as d; d.write()"``."""

from __future__ import annotations

from pathlib import Path

from ._records import Dataset
from ._registry import DATASETS

START, END = "<!-- table of the registry: begin -->", "<!-- table of the registry: end -->"
PAGE = Path(__file__).parents[3] / "docs" / "datasets.md"


def table() -> str:
    """All datasets, a row each."""
    head = "| row | dataset | voxel nm (z, y, x) | labels | split | protocol | licence | cite | command |"
    lines = [head, "|" + "---|" * head.count(" | ") + "---|"]
    lines += [_row(dataset) for dataset in DATASETS.values()]
    return "\n".join(lines)


def _row(d: Dataset) -> str:
    spacing = "differ" if d.spacing is None else " x ".join(f"{v:g}" for v in d.spacing)
    title = f"[{d.title}]({d.home})" if d.home else d.title
    how = f"`emfast data get {d.name}`" if d.files else f"by hand: `emfast data info {d.name}`"
    protocols = ", ".join(f"`{p}`" for p in d.protocols) or "none"
    labels = ", ".join(d.labels) or "none"
    cells = (
        "" if d.row is None else str(d.row),
        title,
        spacing,
        labels,
        d.splits,
        protocols,
        d.licence,
        d.citation,
        how,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page() -> str:
    """The page with the table as it should be."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{table()}\n{END}{rest.partition(END)[2]}"


def write() -> None:
    """Bring the page up to date."""
    PAGE.write_text(page(), encoding="utf-8")


__all__ = ["page", "table", "write"]
