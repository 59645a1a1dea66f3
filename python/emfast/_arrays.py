"""Arrays in and out: NumPy, torch, CuPy, anything with DLPack or ``__cuda_array_interface__``.

``take`` turns what a user passes into an ``Operand``: a C-contiguous array the native modules can read, the adaptor of
its library, and the way back. No copy is made where the layout allows. Results are made by the library that owns the
input (``torch.empty``, ``cupy.empty`` …), so they live where the input lives, and on a device scratch memory comes from
the same place: nothing is allocated behind the framework's back, and its caching allocator serves both.

Libraries are recognised by name; none is imported here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from . import _native, cuda

_KINDS = {"b": "bool", "i": "signed integers", "u": "unsigned integers", "f": "floats"}


class Host:
    """NumPy and every library whose arrays NumPy can look at in place."""

    device, stream, lends_memory = -1, 0, True

    @staticmethod
    def empty(shape: Sequence[int], dtype: str) -> np.ndarray:
        return np.empty(tuple(shape), dtype)

    def native(self) -> ModuleType:
        return _native.host

    def give(self, array: np.ndarray) -> Any:
        return array

    @staticmethod
    def from_numpy(array: np.ndarray) -> np.ndarray:
        """A small host table brought to where the library's arrays live."""
        return array

    @staticmethod
    def to_numpy(array: np.ndarray) -> np.ndarray:
        return array


class TorchHost(Host):
    def give(self, array: np.ndarray) -> Any:
        return sys.modules["torch"].from_numpy(array)


class DlpackHost(Host):
    """A CPU array of a library that speaks DLPack and the array API standard: results go back the same way."""

    def __init__(self, namespace: Any) -> None:
        self.namespace = namespace

    def give(self, array: np.ndarray) -> Any:
        return self.namespace.from_dlpack(array)


@dataclass
class DeviceArray:
    """A piece of device memory and its owner, described as the native modules read it."""

    owner: Any
    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype
    stream: int = 0

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": None,
            "stream": self.stream or None,
        }

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def reshape(self, *shape: int) -> DeviceArray:
        return DeviceArray(self.owner, self.pointer, tuple(shape), self.dtype, self.stream)


class Device:
    """Common to the libraries on a device. ``device`` is its number, ``stream`` the caller's current stream."""

    lends_memory = True
    device: int
    stream: int

    def native(self) -> ModuleType:
        cuda.require()
        return _native.cuda_module()

    def empty(self, shape: Sequence[int], dtype: str) -> DeviceArray:
        raise NotImplementedError

    def is_dense(self, array: Any) -> bool:
        """Whether one of the library's own arrays is C-contiguous."""
        raise NotImplementedError

    def dense(self, array: Any) -> Any:
        raise NotImplementedError

    def give(self, array: DeviceArray) -> Any:
        return array.owner.reshape(array.shape)


class TorchDevice(Device):
    def __init__(self, tensor: Any) -> None:
        self.torch = sys.modules["torch"]
        self.where = tensor.device
        self.device = int(tensor.device.index or 0)
        self.stream = int(self.torch.cuda.current_stream(tensor.device).cuda_stream)

    def describe(self, tensor: Any) -> DeviceArray:
        name = str(tensor.dtype).removeprefix("torch.")
        return DeviceArray(tensor, tensor.data_ptr(), tuple(tensor.shape), np.dtype(name))

    def empty(self, shape: Sequence[int], dtype: str) -> DeviceArray:
        kind = getattr(self.torch, np.dtype(dtype).name)
        try:
            return self.describe(self.torch.empty(tuple(shape), dtype=kind, device=self.where))
        except self.torch.cuda.OutOfMemoryError as error:
            raise MemoryError(str(error)) from error

    def is_dense(self, tensor: Any) -> bool:
        return bool(tensor.is_contiguous())

    def dense(self, tensor: Any) -> Any:
        return tensor.contiguous()

    def from_numpy(self, array: np.ndarray) -> DeviceArray:
        return self.describe(self.torch.from_numpy(np.ascontiguousarray(array)).to(self.where))

    def to_numpy(self, array: DeviceArray) -> np.ndarray:
        return array.owner.cpu().numpy().reshape(array.shape)


class CupyDevice(Device):
    def __init__(self, array: Any) -> None:
        self.cupy = sys.modules["cupy"]
        self.device = int(array.device.id)
        with self.cupy.cuda.Device(self.device):
            self.stream = int(self.cupy.cuda.get_current_stream().ptr)

    def describe(self, array: Any) -> DeviceArray:
        return DeviceArray(array, array.data.ptr, tuple(array.shape), np.dtype(array.dtype))

    def empty(self, shape: Sequence[int], dtype: str) -> DeviceArray:
        with self.cupy.cuda.Device(self.device):
            return self.describe(self.cupy.empty(tuple(shape), dtype))

    def is_dense(self, array: Any) -> bool:
        return bool(array.flags.c_contiguous)

    def dense(self, array: Any) -> Any:
        with self.cupy.cuda.Device(self.device):
            return self.cupy.ascontiguousarray(array)

    def from_numpy(self, array: np.ndarray) -> DeviceArray:
        with self.cupy.cuda.Device(self.device):
            return self.describe(self.cupy.asarray(array))

    def to_numpy(self, array: DeviceArray) -> np.ndarray:
        return self.cupy.asnumpy(array.owner).reshape(array.shape)


@dataclass
class Operand:
    """An array ready for the native modules, and how results go back.

    ``array`` is C-contiguous. ``axes`` is the permutation that made it so (the identity with ``order="C"``): an
    operation that treats all axes alike runs on the memory as it lies and permutes its per-axis arguments instead.
    """

    array: Any
    library: Any
    axes: tuple[int, ...]
    dtype: np.dtype = field(default_factory=lambda: np.dtype("u1"))

    @property
    def native(self) -> ModuleType:
        return self.library.native()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of ``array``, i.e. in the order of memory."""
        return tuple(self.array.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def meets(self, other: Operand) -> bool:
        """Whether one native call may read both: on the host, or on one device and stream."""
        ours, theirs = self.library, other.library
        return bool(ours.device == theirs.device and ours.stream == theirs.stream)

    def permute(self, per_axis: Sequence[Any]) -> tuple[Any, ...]:
        """Per-axis values given in the caller's order, in the order of memory."""
        return tuple(per_axis[a] for a in self.axes)

    def give(self, result: Any, *, plain: bool = False) -> Any:
        """A native result in the caller's library; of the input's shape unless ``plain``."""
        out = self.library.give(result)
        if plain or self.axes == tuple(range(len(self.axes))):
            return out
        back = tuple(int(a) for a in np.argsort(self.axes))
        return out.permute(*back) if hasattr(out, "permute") else out.transpose(back)


def take(
    array: Any,
    name: str,
    *,
    kinds: str = "biu",
    dims: Sequence[int] | None = (2, 3),
    order: str = "C",
) -> Operand:
    """Make an Operand of what the user passed as ``name``.

    ``kinds`` are NumPy's kind letters that are welcome, ``dims`` the welcome numbers of axes (None: any).
    ``order="C"`` makes memory follow the axes (a copy where it does not); ``"any"`` lets any dense layout pass.
    """
    root = type(array).__module__.partition(".")[0]
    if root == "torch":
        array = array.detach()
        if array.is_cuda:
            return _take_device(array, TorchDevice(array), name, kinds, dims, order)
        if array.device.type != "cpu":
            raise TypeError(f"{name} must live on the CPU or a CUDA device, got a tensor on {array.device}")
        return _take_host(array.numpy(), TorchHost(), name, kinds, dims, order)
    if root == "cupy":
        return _take_device(array, CupyDevice(array), name, kinds, dims, order)
    refuse_masked(array, name)
    if isinstance(array, np.ndarray):
        return _take_host(array, Host(), name, kinds, dims, order)
    if hasattr(array, "__cuda_array_interface__"):
        return _take_foreign(array, name, kinds, dims, order)
    if hasattr(array, "__dlpack__") and hasattr(array, "__array_namespace__"):
        return _take_host(np.from_dlpack(array), DlpackHost(array.__array_namespace__()), name, kinds, dims, order)
    if hasattr(array, "__dlpack__"):
        return _take_host(np.from_dlpack(array), Host(), name, kinds, dims, order)
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise TypeError(f"{name} must be an array: {error}") from error
    return _take_host(array, Host(), name, kinds, dims, order)


def refuse_masked(array: Any, name: str) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a plain array, got a masked one; give masked places a value with .filled(…)")


def fetch(array: Any, name: str) -> tuple[np.ndarray, Any]:
    """The array on the host, and the adaptor of the library that it came from."""
    refuse_masked(array, name)
    if not hasattr(array, "__cuda_array_interface__"):
        return np.asarray(array), Host()
    given = take(array, name, kinds="biuf", dims=None)
    return given.library.to_numpy(given.array), given.library


def over_items(call: Callable[[Any], Any], array: Any, name: str) -> Any:
    """The results of ``call`` on the items of a leading batch axis, stacked by the caller's library."""
    if not hasattr(array, "shape"):
        array = np.asarray(array)
    shape = tuple(array.shape)
    if len(shape) not in (3, 4):
        raise ValueError(f"{name} with batch=True must be a 3D or 4D stack of pictures or volumes, got {len(shape)}D")
    if shape[0] == 0:
        raise ValueError(f"{name} with batch=True must hold at least one item, got shape {shape}")
    results = [call(array[i]) for i in range(shape[0])]
    root = type(results[0]).__module__.partition(".")[0]
    library: Any = sys.modules[root] if root in ("numpy", "torch", "cupy") else results[0].__array_namespace__()
    return library.stack(results)


def _check(name: str, dtype: np.dtype, shape: tuple[int, ...], kinds: str, dims: Sequence[int] | None) -> None:
    if dtype.kind not in kinds:
        wanted = ", ".join(_KINDS[k] for k in kinds)
        raise TypeError(f"{name} must be an array of {wanted}, got {dtype}")
    if not dtype.isnative:
        raise TypeError(f"{name} must be in native byte order, got {dtype.str}; convert with .astype({dtype.name!r})")
    if dims is not None and len(shape) not in dims:
        wanted = " or ".join(f"{d}D" for d in dims)
        raise ValueError(f"{name} must be {wanted}, got {len(shape)}D of shape {shape}")


def _axes_of(strides: Sequence[int], shape: Sequence[int]) -> tuple[int, ...]:
    """The axes from the slowest to the fastest in memory."""
    return tuple(sorted(range(len(shape)), key=lambda a: (-abs(strides[a]) if shape[a] > 1 else 0, a)))


def _take_host(
    array: np.ndarray, library: Any, name: str, kinds: str, dims: Sequence[int] | None, order: str
) -> Operand:
    _check(name, array.dtype, array.shape, kinds, dims)
    axes = tuple(range(array.ndim))
    if order == "any" and not array.flags.c_contiguous:
        candidate = _axes_of(array.strides, array.shape)
        if array.transpose(candidate).flags.c_contiguous:
            axes = candidate
    array = array.transpose(axes)
    if not array.flags.c_contiguous:
        array = np.ascontiguousarray(array)
    return Operand(array, library, axes, array.dtype)


def _take_device(array: Any, library: Any, name: str, kinds: str, dims: Sequence[int] | None, order: str) -> Operand:
    described = library.describe(array)
    _check(name, described.dtype, described.shape, kinds, dims)
    axes = tuple(range(described.ndim))
    strides = tuple(array.stride()) if hasattr(array, "stride") else tuple(array.strides)
    if order == "any" and not library.is_dense(array):
        axes = _axes_of(strides, described.shape)
    if axes != tuple(range(described.ndim)):
        array = array.permute(*axes) if hasattr(array, "permute") else array.transpose(axes)
    return Operand(library.describe(library.dense(array)), library, axes, described.dtype)


def _take_foreign(array: Any, name: str, kinds: str, dims: Sequence[int] | None, order: str) -> Operand:
    """A device array of another library: read in place through CuPy or torch, whichever the program already uses."""
    cuda.require()
    if "cupy" in sys.modules:
        ours = sys.modules["cupy"].asarray(array)
        return _take_device(ours, CupyDevice(ours), name, kinds, dims, order)
    if "torch" in sys.modules:
        ours = sys.modules["torch"].as_tensor(array, device="cuda")
        return _take_device(ours, TorchDevice(ours), name, kinds, dims, order)
    raise TypeError(
        f"{name} is a device array of {type(array).__module__}: import cupy or torch as well, "
        "so that results can be made in one of them"
    )
