"""What goes in comes out in the same library, without copies where the layout allows."""

import sys

import numpy as np
import pytest

import emfast
from emfast._arrays import DeviceArray, Host, TorchDevice, _take_device, take


def test_numpy_is_taken_in_place():
    a = np.zeros((3, 4, 5), "u2")
    assert np.shares_memory(take(a, "a").array, a)
    f = np.asfortranarray(a)
    free = take(f, "a", order="any")
    assert np.shares_memory(free.array, f)
    assert free.axes == (2, 1, 0)
    assert free.permute(("z", "y", "x")) == ("x", "y", "z")
    assert free.give(free.array).strides == f.strides
    swapped = a.transpose(1, 0, 2)
    assert np.shares_memory(take(swapped, "a", order="any").array, a)
    assert not np.shares_memory(take(f, "a").array, f)


@pytest.mark.parametrize("make", [lambda a: a[::2], lambda a: a[:, ::-1], lambda a: a[..., 1:3]])
def test_other_strides_are_copied_once(make):
    a = np.arange(60, dtype="u4").reshape(3, 4, 5)
    taken = take(make(a), "a", order="any")
    assert taken.array.flags.c_contiguous
    assert np.array_equal(taken.give(taken.array), make(a))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"])
def test_torch_in_torch_out(dtype):
    torch = pytest.importorskip("torch")
    a = np.array([[1, 1, 0], [0, 0, 1]]).astype(dtype)
    tensor = torch.from_numpy(a)
    assert np.shares_memory(take(tensor, "a").array, a)
    out = emfast.connected_components(tensor, dtype="int64")
    assert isinstance(out, torch.Tensor)
    assert out.dtype == torch.int64
    assert out.tolist() == [[1, 1, 0], [0, 0, 2]]
    assert emfast.connected_components(tensor.T, dtype=torch.int32).tolist() == [[1, 0], [1, 0], [0, 2]]


def test_torch_that_requires_grad_is_read():
    torch = pytest.importorskip("torch")
    values = torch.tensor([[1.0, 1.5, 9.0]], requires_grad=True)
    assert emfast.connected_components(values, delta=1).tolist() == [[1, 1, 2]]


def test_torch_elsewhere_is_refused():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="labels must live on the CPU or a CUDA device, got a tensor on meta"):
        emfast.connected_components(torch.zeros((2, 2), dtype=torch.int32, device="meta"))


class Lender:
    """An array of some library that speaks DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_is_taken_in_place():
    a = np.array([[1, 0, 1]], "u4")
    assert np.shares_memory(take(Lender(a), "a").array, a)
    assert emfast.connected_components(Lender(a)).tolist() == [[1, 0, 2]]


class Standard(Lender):
    """… and of one that follows the array API standard, so that results can go back to it."""

    def __array_namespace__(self):
        return Standard

    @staticmethod
    def from_dlpack(array):
        return Standard(np.from_dlpack(array))


def test_array_api_results_go_back():
    out = emfast.connected_components(Standard(np.array([[1, 0, 1]], "u4")))
    assert isinstance(out, Standard)
    assert out.array.tolist() == [[1, 0, 2]]


def test_array_likes_become_numpy():
    assert emfast.connected_components([[1, 1], [0, 1]]).tolist() == [[1, 1], [0, 1]]
    with pytest.raises(TypeError, match=r"labels must be .* got"):
        emfast.connected_components([["a", "b"]])


def test_foreign_device_arrays_need_a_device():
    if emfast.cuda.is_available():
        pytest.skip("a device is here")
    far = DeviceArray(None, 4096, (2, 2), np.dtype("u4"))
    with pytest.raises(emfast.errors.DeviceUnavailable, match="no CUDA"):
        take(far, "labels")


class PretendDevice(TorchDevice):
    """torch's CPU tensors in the part of device tensors: the adaptor's own way, with _emu in the place of _cuda."""

    def __init__(self, tensor):
        self.torch, self.where, self.device, self.stream = sys.modules["torch"], tensor.device, 0, 0

    def native(self):
        return pytest.importorskip("emfast._emu")


@pytest.mark.parametrize("order", ["C", "any"])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_way_of_device_arrays(monkeypatch, axes, order):
    torch = pytest.importorskip("torch")
    as_host = property(lambda self: {**self.__cuda_array_interface__, "stream": None})
    monkeypatch.setattr(DeviceArray, "__array_interface__", as_host, raising=False)
    labels = np.random.default_rng(0).integers(0, 3, (4, 5, 6)).astype("u2").transpose(axes)
    tensor = torch.from_numpy(labels)
    taken = _take_device(tensor, PretendDevice(tensor), "labels", "iu", (3,), order)
    in_place = order == "any" or axes == (0, 1, 2)
    assert (taken.array.pointer == tensor.data_ptr()) == in_place
    out, count = taken.native.components(taken.library, taken.array, 6, 0, False, "i4")
    result = taken.give(out)
    assert isinstance(result, torch.Tensor)
    assert result.shape == tensor.shape
    if order == "C":
        expected, number = emfast.connected_components(labels, return_count=True)
        assert count == number
        assert np.array_equal(result.numpy(), expected)
    assert taken.library.to_numpy(taken.library.from_numpy(np.arange(3))).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="labels must be 2D, got 3D"):
        _take_device(tensor, PretendDevice(tensor), "labels", "iu", (2,), order)


def test_host_adaptor_makes_what_natives_ask_for():
    out = Host.empty((2, 3), "u4")
    assert out.shape == (2, 3)
    assert out.dtype == "uint32"


def test_cuda_status_never_raises():
    status = emfast.cuda.status()
    assert isinstance(status.available, bool)
    assert str(status).startswith("CUDA is ")
    if not status.available:
        assert status.reason
        with pytest.raises(emfast.errors.DeviceUnavailable):
            emfast.cuda.require()
