"""``python -m benchmarks``: the table, a JSON file in results/, and the table of README.md (full runs of 256 and 512).

python -m benchmarks                               256³, about ten minutes
python -m benchmarks --size 512 --slow             the full table
python -m benchmarks --only components,distance    some of it; README.md stays as it is
python -m benchmarks --only components --write     renews a part of the table
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib
import json
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import emfast

from . import harness
from .inputs import Inputs

GROUPS = (
    "components",
    "distance",
    "labels",
    "statistics",
    "watershed",
    "region_graph",
    "agglomerate",
    "segments",
    "malis",
    "mutex",
    "multicut",
    "metrics",
    "matching",
    "networks",
    "sites",
    "skeletons",
    "surfaces",
    "targets",
    "augmentation",
    "blockwise",
    "volumes",
)
PEERS = (
    "connected-components-3d",
    "edt",
    "fastremap",
    "fill-voids",
    "scipy",
    "scikit-image",
    "monai",
    "surface-distance",
    "waterz",
    "bioimage-cpp",
    "mwatershed",
    "diplib",
    "fastmorph",
    "tensorstore",
    "zarr",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "cucim-cu12",
    "cucim-cu13",
)
HERE = Path(__file__).parent


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = {"emfast": emfast.__version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in PEERS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "threads": emfast.get_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def caption(about: dict[str, Any], size: int, repeat: int) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{size}³ voxels (real volumes: their own size), medians of {repeat}, {about['date']}, {about['processor']}, "
        f"{about['threads']} threads, {versions}."
    )


def write_between(path: Path, marker: str, text: str) -> None:
    """Replace what stands between <!-- marker --> and <!-- /marker --> in a file."""
    old = path.read_text()
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    if start not in old or end not in old:
        raise SystemExit(f"{path} has no {start} … {end}")
    head, rest = old.split(start, 1)
    path.write_text(f"{head}{start}\n{text}\n{end}{rest.split(end, 1)[1]}")


def renewed(rows: list[harness.Row], groups: list[str], size: int) -> list[harness.Row]:
    """The rows of the last full run, those of these groups new."""
    last = max((HERE / "results").glob(f"????-??-??-{size}.json"), default=None)
    kept = []
    for row in json.loads(last.read_text())["rows"] if last else []:
        if row["group"] not in groups:
            timings = [harness.Timing(**timing) for timing in row.pop("timings")]
            kept.append(harness.Row(**row, timings=timings))
    return sorted(kept + rows, key=lambda row: GROUPS.index(row.group))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="side of the cubes (default: 256)")
    parser.add_argument("--only", default="", help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--match", default="", help="only cases whose name contains this")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--slow", action="store_true", help="also the peers that take long")
    parser.add_argument("--write", action="store_true", help="renew these groups in the last full table of README.md")
    parser.add_argument("--no-memory", action="store_true", help="do not measure peak memory")
    parser.add_argument("--no-device", action="store_true", help="leave the GPU out")
    chosen = parser.parse_args()
    groups = [g for g in chosen.only.split(",") if g] or list(GROUPS)
    unknown = [g for g in groups if g not in GROUPS]
    if unknown or chosen.size < 16 or chosen.repeat < 1:
        parser.error(f"--only takes {', '.join(GROUPS)}; --size at least 16; --repeat at least 1")

    about = machine()
    inputs = Inputs(chosen.size)
    modules = {g: importlib.import_module(f"benchmarks.bench_{g}") for g in groups}
    rows: list[harness.Row] = []
    start = time.perf_counter()
    for group in groups:
        for case in modules[group].cases(inputs):
            if chosen.match not in case.name:
                continue
            row = harness.measure(case, repeat=chosen.repeat, memory=not chosen.no_memory, slow=chosen.slow)
            rows.append(row)
            parts = [f"{t.name}/{t.threads} {t.seconds:.3f}{'' if t.agrees else ' DISAGREES'}" for t in row.timings]
            print(f"{row.name:<36} " + "  ".join(parts), flush=True)

    device: list[harness.Row] = []
    if harness.cupy_or_none() is None:
        why = emfast.cuda.status().reason or "CuPy is not installed"
        print(f"No GPU in this run: {why}")
    elif not chosen.no_device:
        speed = harness.bandwidth()
        about["device"] = f"{emfast.cuda.status().details.splitlines()[-1].strip()}, copy {speed / 1e12:.2f} TB/s"
        for group in groups:
            for case in modules[group].device_cases(inputs):
                if chosen.match in case.name:
                    device.append(harness.measure_on_device(case, repeat=max(5, chosen.repeat), speed=speed))
                    print(f"{case.name:<36} {device[-1].timings}", flush=True)

    if chosen.write:
        rows = renewed(rows, groups, chosen.size)
    text = caption(about, chosen.size, chosen.repeat) + "\n\n" + harness.table(rows, about["threads"])
    device_text = harness.device_table(device) if device else ""
    if device:
        device_text = f"{chosen.size}³ voxels, {about['device']}.\n\n{device_text}"
    print(f"\n{text}\n\n{device_text}\nIn all {time.perf_counter() - start:.0f} s")
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    stamp = f"{about['date']}-{chosen.size}" + ("" if chosen.write or not chosen.only else "-" + "-".join(groups))
    data = {"about": about, "size": chosen.size, "repeat": chosen.repeat}
    data["rows"] = [dataclasses.asdict(row) for row in rows]
    data["device_rows"] = [dataclasses.asdict(row) for row in device]
    (results / f"{stamp}.json").write_text(json.dumps(data, indent=1) + "\n")
    if (chosen.write or not (chosen.only or chosen.match)) and chosen.size in (256, 512):
        write_between(HERE / "README.md", f"table-{chosen.size}", text)
        if device:
            write_between(HERE / "README.md", "table-device", device_text)
    wrong = [f"{row.name}: {t.name}" for row in rows + device for t in row.timings if not t.agrees]
    if wrong:
        print("Answers differ: " + "; ".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
