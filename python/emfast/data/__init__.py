"""Public datasets of electron microscopy: what is known of each, fetching them, and reading them as lazy volumes.

Nothing is fetched unless ``get`` is called. What is not verified is said to be so.
"""

import os as _os
from collections.abc import Sequence as _Sequence

from ._fetching import check, get, home, info
from ._loaders._mitochondria import read_submission, write_submission
from ._own import add
from ._records import NOT_VERIFIED, Dataset, File
from ._registry import DATASETS
from ._samples import Provenance, Sample, fit

__all__ = [
    "DATASETS",
    "NOT_VERIFIED",
    "Dataset",
    "File",
    "Provenance",
    "Sample",
    "add",
    "check",
    "fit",
    "get",
    "home",
    "info",
    "open",
    "read_submission",
    "write_submission",
]


def open(name: str, path: str | _os.PathLike[str] | None = None) -> _Sequence[Sample]:
    """The samples of a dataset: images with labels and masks as lazy volumes. Nothing but headers is read.

    Parameters
    ----------
    name : str
        Of a public dataset or of one of the user's (:func:`add`).
    path : path, optional
        The folder with its files, or an excerpt in one HDF5 file (default: where :func:`get` puts it).

    Returns
    -------
    sequence of Sample

    Examples
    --------
    >>> import emfast, numpy as np, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> for name in ("training", "training_groundtruth"):
    ...     with emfast.open_volume(f"{folder}/{name}.tif", mode="w", shape=(4, 5, 6), dtype="uint8") as volume:
    ...         volume[:, 2:] = 255
    >>> [sample] = emfast.data.open("lucchi", folder)
    >>> sample.split, sample.spacing, int(sample.labels["mitochondria"][0, 3, 0])
    ('train', (5.0, 5.0, 5.0), 1)
    """
    from . import _loaders, _own
    from ._fetching import place_of

    if name not in DATASETS:
        if path is not None:
            raise ValueError(f"path must be None for {name}, a dataset of the user's: its description has the places")
        return _own.load(name)
    return _loaders.load(DATASETS[name], place_of(name, path))
