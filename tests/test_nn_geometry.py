"""What networks say of their geometry, against which voxels an input voxel reaches.

The oracle is NaN: it passes through convolutions, pools, norms in evaluation and activations, and stops where there is
no path. Networks are narrow: dependence is a matter of the graph.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from emfast import nn  # noqa: E402

BLOCKS = (
    nn.Plain(),
    nn.Plain(3, first=(3, 5, 5), share=0.5),
    nn.Residual(),
    nn.PreActivated(),
    nn.PreActivated(factorised=True, growth=1),
    nn.Symmetric(),
    nn.Symmetric(first=(1, 3, 3)),
    nn.Fusion(),
    nn.Dense(layers=2, growth=3),
    nn.Inception(),
    nn.Inception(join="cat"),
    nn.HVEC(),
    nn.Dilated(rates=(1, 2)),
)


def network(**changes):
    """Two levels, anisotropic, 4 channels."""
    levels = changes.pop("levels", (nn.Level(4, stride=(1, 2, 2)), nn.Level(8, kernel=(1, 3, 3))))
    return nn.UNet(levels=levels, **({"norm": "none"} | changes))


@torch.no_grad()
def reached(module, shape, axis, name="out"):
    """Which output voxels along an axis (columns) each input voxel (rows) reaches, whatever the other axes."""
    rows = []
    for at in range(shape[axis]):
        image = torch.zeros(1, 1, *shape)
        image.select(axis + 2, at).fill_(torch.nan)
        rows.append(module(image)[name][0, 0].isnan().movedim(axis, 0).flatten(1).any(1))
    return torch.stack(rows)


def check(settings, *, exact=True, more=1, around=0):
    """Geometry and every voxel's own reach, along each axis."""
    module = settings.build(1, {"out": 1}).eval()
    geometry = module.geometry
    if isinstance(settings, nn.UNet):
        assert geometry == settings.geometry()
    grid = module.grids["out"] if isinstance(settings, nn.UNet) else module.grid
    for axis, traced in enumerate(grid):
        shape = [n + around for n in geometry.least]
        shape[axis] += more * geometry.stride[axis]
        found = reached(module, shape, axis)
        assert found.shape[1] == geometry.output(shape)[axis]
        spans = set()
        for i in range(found.shape[1]):
            at = found[:, i].nonzero().flatten()
            first, last = int(at.min()), int(at.max())
            low, high = max(traced.low(i), 0), min(traced.high(i), shape[axis] - 1)
            assert (first, last) == (low, high) if exact else low <= first and last <= high, (axis, i)
            centre = i + geometry.margin[axis]
            spans |= {centre - traced.low(i), traced.high(i) - centre}
            if geometry.margin[axis]:  # nothing beyond the input is asked for
                assert traced.low(i) >= 0 and traced.high(i) < shape[axis]
        assert max(spans) <= geometry.context[axis]
        assert max(spans) == geometry.context[axis] or found.shape[1] < geometry.stride[axis]
    return module


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("block", BLOCKS, ids=repr)
def test_blocks(block, padding):
    check(network(block=block, padding=padding, up="nearest"))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("up", ["transposed", "nearest", "linear", "constant"])
@pytest.mark.parametrize("down", ["max", "mean", "strided", "both", "stochastic"])
def test_ups_and_downs(up, down, padding):
    check(network(up=up, down=down, padding=padding))


@pytest.mark.parametrize("stride", [(1, 3, 3), (2, 2, 3), (1, 4, 4)])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_strides(stride, padding):
    levels = (nn.Level(4, stride=stride), nn.Level(4, kernel=(1, 3, 3), stride=(1, 2, 1)), nn.Level(4))
    check(network(levels=levels, padding=padding, up="constant"))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    "stem",
    [
        nn.Convolved(4, (1, 5, 5)),
        nn.Convolved(4, (3, 4, 4)),
        nn.ZeroMean(4, (3, 3, 3)),
        nn.StridedOrPooled(3, (2, 2, 2)),
        nn.Slices(5),
        nn.Collapse(5, (3,)),
        nn.Collapse(7, (3, 4)),
    ],
    ids=repr,
)
def test_stems(stem, padding):
    flat = tuple(nn.Level(4, kernel=(1, 3, 3), stride=(1, 2, 2)) for _ in range(2))
    if getattr(stem, "kernel", ()) == (3, 4, 4) and padding == "valid":
        with pytest.raises(ValueError, match="margin must be equal on both sides"):
            network(levels=flat, stem=stem, padding=padding).geometry()
        return
    check(network(levels=flat, stem=stem, padding=padding, up="constant"))
    check(network(stem=stem, padding=padding, up="constant"))


def test_even_number_of_slices():
    check(network(stem=nn.Slices(4)))
    with pytest.raises(ValueError, match="margin must be equal on both sides"):
        network(stem=nn.Slices(4), padding="valid").geometry()


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_dilations_kernels_gates(padding):
    levels = (
        nn.Level(4, kernel=(1, 5, 5), stride=(1, 2, 2), dilation=(1, 2, 2)),
        nn.Level(4, kernel=(5, 3, 1), stride=(2, 1, 2), blocks=2, decoder_blocks=0),
        nn.Level(5, decoder_width=9, block=nn.Residual(3)),
    )
    for skip in ("cat", "sum", "none"):
        check(network(levels=levels, padding=padding, gate=True, skip=skip, up="nearest", head_kernel=(1, 3, 3)))


def test_bottlenecks_nested_and_chained():
    check(network(bottleneck=nn.ASPP((2, 4), 3)))
    check(network(bottleneck=nn.ASPP((2, 3), 3), padding="valid"))
    check(network(bottleneck=nn.Pyramid((1, 2))))
    check(network(nested=True, levels=(nn.Level(4), nn.Level(4), nn.Level(4))))
    check(network(nested=True, units=2))
    check(network(units=2))
    check(network(down="strided", down_kernel=(3, 3, 3), up_kernel=(1, 2, 2), up="linear"))
    check(network(down="both", down_kernel=(1, 3, 3)))


@pytest.mark.parametrize(
    ("changes", "local"),
    [
        ({}, True),
        ({"norm": "batch"}, True),
        ({"norm": "group"}, False),
        ({"norm": "instance"}, False),
        ({"block": nn.Residual(excite=2)}, False),
        ({"bottleneck": nn.ASPP((2,), 2, pooled=True)}, False),
    ],
)
def test_statistics_of_the_whole_input(changes, local):
    """Where there are any, a voxel reaches all others."""
    settings = network(**changes)
    module = settings.build(1, {"out": 1}).eval()
    assert module.geometry.local is local
    shape = (1, 32, 32)
    assert bool(reached(module, shape, 2).all()) is not local


@pytest.mark.parametrize("strides", [[(2, 2, 2), (3, 3, 3)], [(1, 3, 3), (1, 3, 3)], [(1, 2, 2), (2, 2, 2)]])
@pytest.mark.parametrize("equivariant", [False, True])
def test_shifted_inputs(strides, equivariant):
    """An input shifted by the stride shifts the output alike, bit for bit in whole numbers; not so by less."""
    levels = tuple(nn.Level(2, stride=stride, blocks=1, block=nn.Plain(1)) for stride in (*strides, (1, 1, 1)))
    settings = network(levels=levels, up="constant", padding="valid", equivariant=equivariant)
    module = settings.build(1, {"out": 1}).eval()
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data = torch.randint(-2, 3, parameter.shape).to(parameter.dtype)
    geometry = module.geometry
    shape = geometry.least
    if equivariant:
        assert all(n % step == 0 for n, step in zip(geometry.output(shape), geometry.stride, strict=True))
    image = torch.randint(-4, 5, (1, 1, *(n + step for n, step in zip(shape, geometry.stride, strict=True)))).float()
    with torch.no_grad():
        whole = module(image)["out"]
        for corner in [(0, 0, 0), geometry.stride, (geometry.stride[0], 0, geometry.stride[2])]:
            box = tuple(slice(c, c + n) for c, n in zip(corner, shape, strict=True))
            tile = module(image[(..., *box)])["out"]
            place = tuple(slice(c, c + n) for c, n in zip(corner, tile.shape[2:], strict=True))
            assert torch.equal(tile, whole[(..., *place)])


def test_places_of_auxiliary_outputs():
    """Where an auxiliary voxel lies: the middle of what it sees, without padding."""
    levels = (nn.Level(2), nn.Level(2), nn.Level(2))
    for padding in ("same", "valid"):
        module = network(levels=levels, padding=padding, auxiliary=2).build(1, {"a": 1, "b": 2})
        assert list(module.places) == ["a", "b", "a@1", "b@1", "a@2", "b@2"]
        image = torch.zeros(1, 1, *(n + s for n, s in zip(module.geometry.least, module.geometry.stride, strict=True)))
        found = module.train()(image)
        assert list(found) == list(module.places)
        for name, place in module.places.items():
            assert place.step[0] == 2 ** int(name[2:] or 0)
            room = [n - 2 * c for n, c in zip(image.shape[2:], place.corner, strict=True)]
            assert [n * s for n, s in zip(found[name].shape[2:], place.step, strict=True)] == room
        assert list(module.eval()(image)) == ["a", "b"]


def test_shapes_that_do_not_fit():
    geometry = network().geometry()
    assert geometry.output((3, 4, 6)) == (3, 4, 6)
    with pytest.raises(ValueError, match=r"shape must be \(1, 2, 2\) and multiples of \(1, 2, 2\) more, got"):
        geometry.output((3, 4, 5))


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_networks_in_a_row(padding):
    check(nn.HighRes3D((2, 2), (1, 2), 1, 3, norm="none", padding=padding))
    check(nn.HighRes3D((2, 2), (1, 2), 1, 3, norm="none", padding=padding, zero_mean=True, kernel=(1, 3, 3)))
    layers = (nn.FCNLayer(2, pool=(1, 2, 2)), nn.FCNLayer(2, (1, 4, 4), pool=(2, 2, 2)), nn.FCNLayer(2, (2, 3, 3)))
    check(nn.FCN(layers, padding=padding, dense=True), more=8, around=8)  # more than kernels leap
    overlapping = (nn.FCNLayer(2, pool=(1, 2, 2), pool_kernel=(1, 3, 3)), nn.FCNLayer(2, pool=(1, 2, 2), mean=True))
    check(nn.FCN(overlapping, padding="same", up="nearest"))
    even = (nn.FCNLayer(2, (1, 3, 3), pool=(1, 2, 2), pool_kernel=(2, 2, 2)), nn.FCNLayer(2, pool_kernel=(2, 1, 4)))
    module = check(nn.FCN(even, padding="same", up="nearest"))
    assert module(torch.zeros(1, 1, 3, 4, 4))["out"].shape[2:] == module.geometry.output((3, 4, 4)) == (3, 4, 4)
    check(nn.FCN((nn.FCNLayer(2), nn.FCNLayer(2, pool_kernel=(3, 1, 3))), padding="valid"))


def test_deeplab():
    """Along x alone, so that lines are short."""
    narrow = dict(widths=(2,) * 4, blocks=(1,) * 4, rates=(1, 2), pyramid=2, low=2, decoder=2, norm="none")
    check(nn.DeepLab(kernel=(1, 1, 3), stride=(1, 1, 2), **narrow))
