"""docs/scale.md: what it says about the engine runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
SECTIONS = (
    "The engine",
    "The journal",
    "On a Dask cluster",
    "What can go wrong",
    "From affinities to segments",
    "Operations in blocks",
    "Labels, distances, objects and lines",
)


@pytest.mark.skipif(not PAGE.exists(), reason="docs/scale.md is beside a checkout only")
@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="Dask brings unsanitized threads and processes")
def test_the_page_runs(tmp_path):
    pytest.importorskip("distributed")
    parts = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    blocks = [code for name in SECTIONS for code in re.findall(r"```python\n(.*?)```", sections[name], re.DOTALL)]
    assert len(blocks) >= 9
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "EMFAST_THREADS": "2"}
    done = subprocess.run(  # as -c: the processes of a cluster do not run it again
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    plan = re.search(r"^# (\d+ blocks of .*), at most", "\n".join(blocks), re.MULTILINE)
    assert plan is not None and plan[1] in done.stdout
