"""Volumes in Neuroglancer, served by this machine to itself: nothing is fetched from elsewhere.

Volumes are read piece by piece as the page asks for them, so they may be larger than memory.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ._files import beside
from ._options import spacing_of

__all__ = ["KINDS", "Layer", "browser_of", "screenshot", "view"]

KINDS = ("image", "labels", "affinities")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MESHED = 1 << 28  # voxels: Neuroglancer reads the whole volume to make meshes
_RGB = "void main() { emitRGB(vec3(toNormalized(getDataValue(0)), %s, %s)); }"


class Layer:
    """What Neuroglancer reads of a volume: pieces in a dtype that it knows.

    Parameters
    ----------
    name : str
    volume : array, or what can be sliced, (z, y, x), (y, x) or (c, z, y, x)
    kind : {"image", "labels", "affinities"}, optional
        Default: affinities where there are channels; else images are uint8 or floats, and other integers labels.
    spacing : nanometres per voxel, optional
        Default: the volume's own (``volume.spacing``), else one.
    offset : nanometres, optional
        Of the first voxel. Default: the volume's own, else none.
    """

    def __init__(
        self,
        name: str,
        volume: Any,
        *,
        kind: str | None = None,
        spacing: Sequence[float] | None = None,
        offset: Sequence[float] | None = None,
    ) -> None:
        self.name, self.shape = name, tuple(volume.shape)
        dtype = np.dtype(volume.dtype)
        dims = len(self.shape)
        if dims not in (2, 3, 4) or dtype.kind not in "biuf":
            raise ValueError(f"{name} must be numbers (z, y, x), (y, x) or (c, z, y, x), got {dtype} of {self.shape}")
        if kind is None:
            kind = "affinities" if dims == 4 else "image" if dtype.kind == "f" or dtype == np.uint8 else "labels"
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if (dims == 4) != (kind == "affinities"):
            raise ValueError(f"{name} must have {'four axes' if dims < 4 else 'no channels'} to be {kind}, got {dims}")
        if kind == "labels" and dtype.kind == "f":
            raise TypeError(f"{name} must be integers to be labels, got {dtype}")
        self.kind, self._volume, self.dtype = kind, volume, _shown(dtype, kind)
        axes = min(dims, 3)
        plain = isinstance(volume, np.ndarray)  # a mapped one has an offset of another kind
        own = (None, None) if plain else (getattr(volume, "spacing", None), getattr(volume, "offset", None))
        given = spacing if spacing is not None else own[0]
        self.has_spacing = given is not None
        self.spacing = spacing_of((1.0,) * axes if given is None else given, axes)
        self.offset = tuple(float(v) for v in (offset if offset is not None else own[1] or (0.0,) * axes))
        if len(self.offset) != axes:
            raise ValueError(f"offset must have one number per axis ({axes}), got {offset!r}")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def transpose(self) -> np.ndarray:
        """The whole, as Neuroglancer wants it for meshes."""
        return self[...].T

    def __getitem__(self, window: Any) -> np.ndarray:
        part = np.asarray(self._volume[window])
        if part.dtype.kind == "i" and self.dtype.kind == "u":
            part = part.view(part.dtype.str.replace("i", "u"))
        return part.astype(self.dtype, copy=False)


def _shown(dtype: np.dtype, kind: str) -> np.dtype:
    """The nearest dtype that Neuroglancer has; ids keep their bits."""
    if dtype.kind == "f":
        return np.dtype(np.float32)
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if kind == "labels":
        return np.dtype(f"u{max(4, dtype.itemsize)}") if dtype.kind == "u" else np.dtype(f"u{dtype.itemsize}")
    return dtype.newbyteorder("=") if dtype.itemsize < 8 else np.dtype(np.float32)


def view(
    layers: Mapping[str, Any] | Sequence[Layer],
    *,
    spacing: Sequence[float] | None = None,
    port: int = 0,
) -> Any:
    """Show volumes in Neuroglancer; open the printed address in a browser on this machine.

    Parameters
    ----------
    layers : mapping of names to volumes, or sequence of Layer
        Arrays, or what can be sliced, (z, y, x) or (y, x); with channels in front, affinities.
    spacing : nanometres per voxel, in axis order, optional
        Default: the volumes' own.
    port : int
        Of the server; 0 is any that is free. It listens to this machine alone.

    Returns
    -------
    neuroglancer.Viewer
        Its text is the address. The page is served as long as the process lives.

    Examples
    --------
    >>> import emfast
    >>> phantom = emfast.phantom.make((16, 64, 64))
    >>> layers = {"image": phantom.image, "labels": phantom.labels}
    >>> viewer = emfast.viewing.view(layers, spacing=(30, 8, 8))  # doctest: +SKIP
    >>> print(viewer)  # doctest: +SKIP
    http://127.0.0.1:40431/v/5e7c7bc6d1b0/
    """
    if isinstance(layers, Mapping):
        layers = [Layer(name, volume, spacing=spacing) for name, volume in layers.items()]
    if not layers:
        raise ValueError("layers must be at least one volume, got none")
    neuroglancer = _neuroglancer()
    neuroglancer.set_server_bind_address("127.0.0.1", port)
    viewer = neuroglancer.Viewer()
    with viewer.txn() as state:
        finest = min(layers, key=lambda layer: min(layer.spacing))
        names = "zyx"[3 - len(finest.spacing) :]
        state.dimensions = neuroglancer.CoordinateSpace(names=list(names), units="nm", scales=list(finest.spacing))
        sides = finest.shape[-len(names) :]
        state.position = [o / s + n / 2 for o, s, n in zip(finest.offset, finest.spacing, sides, strict=True)]
        has_image = any(layer.kind == "image" for layer in layers)
        for layer in layers:
            _add(neuroglancer, state, layer, visible=not (has_image and layer.kind == "affinities"))
        # The scales count voxels as wide as the finest spacing: the longest side fills a panel of 420 pixels.
        longest = max(n * s for n, s in zip(sides, finest.spacing, strict=True)) / min(finest.spacing)
        state.cross_section_scale, state.projection_scale = longest / 420, 2 * longest
        state.display_dimensions = list(names[::-1])  # x to the right, y down
        state.layout = "xy" if len(names) == 2 else "4panel"
    return viewer


def _add(neuroglancer: Any, state: Any, layer: Layer, *, visible: bool) -> None:
    channels = layer.ndim - len(layer.spacing)
    names = ["c^"] * channels + list("zyx"[3 - len(layer.spacing) :])
    units = [""] * channels + ["nm"] * len(layer.spacing)
    dimensions = neuroglancer.CoordinateSpace(names=names, units=units, scales=[1] * channels + list(layer.spacing))
    kind = "segmentation" if layer.kind == "labels" else "image"
    volume = neuroglancer.LocalVolume(layer, dimensions=dimensions, volume_type=kind)
    if layer.kind == "labels" and np.prod(layer.shape, dtype=float) > _MESHED:
        volume._get_mesh_generator = _no_meshes(neuroglancer)
    shift = [0.0] * channels + [o / s for o, s in zip(layer.offset, layer.spacing, strict=True)]
    matrix = [[float(i == j) for j in range(layer.ndim)] + [shift[i]] for i in range(layer.ndim)]
    transform = neuroglancer.CoordinateSpaceTransform(output_dimensions=dimensions, matrix=matrix)
    source = neuroglancer.LayerDataSource(url=volume, transform=transform)
    if layer.kind == "labels":
        shown = neuroglancer.SegmentationLayer(source=source, selected_alpha=0.4, not_selected_alpha=0.25)
    else:
        shader = _of_channels(layer.shape[0]) if layer.kind == "affinities" else _grey(layer)
        shown = neuroglancer.ImageLayer(source=source, shader=shader)
    state.layers.append(name=layer.name, layer=shown, visible=visible)


def _no_meshes(neuroglancer: Any) -> Any:
    def refuse() -> Any:
        raise neuroglancer.local_volume.MeshesNotSupportedForVolume()

    return refuse


def _of_channels(count: int) -> str:
    values = [f"toNormalized(getDataValue({k}))" if k < count else "0.0" for k in (1, 2)]
    return _RGB % tuple(values)


def _grey(layer: Layer) -> str:
    """Grey values from the range of the middle section: floats and 16 bits fill theirs seldom."""
    if layer.dtype == np.uint8:
        return "#uicontrol invlerp normalized\nvoid main() { emitGrayscale(normalized()); }"
    middle = layer[layer.shape[0] // 2] if layer.ndim == 3 else layer[:]
    known = middle[np.isfinite(middle)]
    low, high = (float(v) for v in np.percentile(known, (1, 99))) if known.size else (0.0, 1.0)
    ends = f"range=[{low:g}, {high if high > low else low + 1:g}]"
    return f"#uicontrol invlerp normalized({ends})\nvoid main() {{ emitGrayscale(normalized()); }}"


def screenshot(
    viewer: Any, path: str | os.PathLike[str], *, size: tuple[int, int] = (1280, 960), seconds: float = 120
) -> None:
    """Write what the viewer shows as PNG, by a browser without a window; all pieces have been loaded by then.

    Parameters
    ----------
    viewer : of :func:`view`
    path : str or path
    size : (int, int)
        Width and height in pixels.
    seconds : float
        How long it may take.
    """
    before = viewer.config_state.state
    with viewer.config_state.txn() as state:
        state.show_ui_controls = False
        state.viewer_size = list(size)
    try:
        with _browsing(str(viewer), size):
            picture = _picture(viewer, size, time.monotonic() + seconds)
    finally:
        viewer.config_state.set_state(before)
    with beside(path) as part, open(part, "wb") as file:
        file.write(picture)


def _picture(viewer: Any, size: tuple[int, int], until: float) -> bytes:
    """What the page shows once it has the size and all pieces."""
    while True:
        done = threading.Event()
        found: list[Any] = []

        def take(reply: Any, done: threading.Event = done, found: list[Any] = found) -> None:
            found.append(reply.screenshot)
            done.set()

        viewer.async_screenshot(take)
        if not done.wait(max(0.0, until - time.monotonic())):
            raise TimeoutError("the browser has shown no picture in time")
        if (found[0].width, found[0].height) == size:
            picture: bytes = found[0].image
            return picture


def browser_of() -> str:
    """The Chromium or Chrome of this machine."""
    for name in _BROWSERS:
        if place := shutil.which(name):
            return place
    raise FileNotFoundError(f"screenshots need one of {', '.join(_BROWSERS)} on PATH, got none")


@contextmanager
def _browsing(address: str, size: tuple[int, int]) -> Iterator[None]:
    """A browser without a window at an address; it reaches this machine alone."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            browser_of(),
            "--headless=new",
            "--no-sandbox",
            "--no-first-run",
            "--disable-background-networking",
            "--use-gl=angle",
            "--use-angle=swiftshader",
            "--enable-unsafe-swiftshader",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            address,
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _neuroglancer() -> Any:
    try:
        return importlib.import_module("neuroglancer")
    except ModuleNotFoundError as error:
        if error.name != "neuroglancer":
            raise
        raise ModuleNotFoundError("view needs neuroglancer: pip install 'emfast[view]'", name="neuroglancer") from None
