"""The voxel graph: which neighbouring voxels are connected, as a bit field per voxel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import take
from ._options import connectivity_of


def voxel_graph(labels: Any, *, connectivity: int = 6) -> Any:
    """For every voxel a bit per neighbour, set where the two have the same label.

    Parameters
    ----------
    labels : array of integers or bool, shape (z, y, x) or (y, x)
        0 is a label like any other here.
    connectivity : {6, 18, 26}, in 2D {4, 8}

    Returns
    -------
    array of uint8 (4, 8, 6) or uint32 (18, 26), shape of ``labels``
        The bits are those of ``cc3d.voxel_connectivity_graph``. In a volume bits 0 and 1 are the next and the previous
        voxel along axis 0, bits 2 and 3 along axis 1, bits 4 and 5 along axis 2; then edges, then corners. Bits of
        neighbours outside the array are set.

    See Also
    --------
    components_of_graph : the components of such a graph

    Examples
    --------
    >>> import emfast, numpy as np
    >>> emfast.voxel_graph(np.array([[5, 5, 3]]), connectivity=4).tolist()
    [[15, 11, 7]]
    """
    operand = take(labels, "labels")
    connectivity = connectivity_of(connectivity, len(operand.shape))
    return operand.give(operand.native.voxel_graph(operand.library, operand.array, connectivity))


def components_of_graph(graph: Any, *, connectivity: int = 6, return_count: bool = False) -> Any:
    """Label the components of a voxel graph.

    Parameters
    ----------
    graph : array of uint8 or uint32, shape (z, y, x) or (y, x)
        Bits as :func:`voxel_graph` makes them, edited as you like. An edge has a bit in each of its two voxels; where
        they disagree the bit of the voxel that comes later in C order decides, as in cc3d. To cut an edge, clear both.
    connectivity : {6, 18, 26}, in 2D {4, 8}
        The bits that are looked at; 18 and 26 need uint32.
    return_count : bool
        Return the number of components as well.

    Returns
    -------
    array of uint32, shape of ``graph``
        Components from 1 on, in order of first appearance (uint64 from 2^32 voxels on). Every voxel has one.
    int, with ``return_count=True``

    Examples
    --------
    >>> import emfast, numpy as np
    >>> graph = emfast.voxel_graph(np.ones((1, 4), np.uint8), connectivity=4)
    >>> graph[0, 1] &= 0b1011  # the next voxel along axis 1
    >>> graph[0, 2] &= 0b0111  # and the way back
    >>> emfast.components_of_graph(graph, connectivity=4).tolist()
    [[1, 1, 2, 2]]
    """
    operand = take(graph, "graph", kinds="u")
    connectivity = connectivity_of(connectivity, len(operand.shape))
    if operand.dtype not in (np.uint8, np.uint32):
        raise TypeError(f"graph must be uint8 or uint32, got {operand.dtype}")
    if connectivity > 8 and operand.dtype != np.uint32:
        raise TypeError(f"graph must be uint32 for connectivity {connectivity}, got {operand.dtype}")
    labels, count = operand.native.voxel_graph_components(operand.library, operand.array, connectivity)
    return (operand.give(labels), int(count)) if return_count else operand.give(labels)


__all__ = ["components_of_graph", "voxel_graph"]
