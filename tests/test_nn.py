"""Networks: parameters and costs against the literature, settings, and what each part is to do."""

from __future__ import annotations

import dataclasses
import itertools
import math
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emfast import _settings, nn  # noqa: E402
from emfast.nn._layers import Pool, StochasticPool, Style, Up  # noqa: E402

PLANE, HALF = (1, 3, 3), (1, 2, 2)


def flat(*widths, **changes):
    """A 2D network."""
    levels = tuple(nn.Level(width, kernel=PLANE, stride=HALF) for width in widths)
    return nn.UNet(**({"levels": levels, "norm": "none"} | changes))


def superhuman(*widths, first=None, **changes):
    """The residual symmetric network of Lee and others (2017), and its kin."""
    levels = tuple(nn.Level(width, stride=HALF) for width in widths)
    common = dict(activation="elu", skip="sum", up="nearest", head_kernel=(1, 5, 5))
    block = nn.Symmetric(first=first)
    return nn.UNet(levels=levels, block=block, stem=nn.Convolved(widths[0]), **(common | changes))


def parameters(network, channels=1, heads=2):
    return nn.cost(network, channels, {"out": heads}, network_shape(network)).parameters


def network_shape(network):
    with torch.device("meta"):
        return network.build(1, {"out": 1}).geometry.least


def test_parameters_of_the_literature():
    """U-Net's 31 million (two classes, padded), HighRes3DNet's 0.81, RSUNet's 2.2; 45.6 of V-Net as MONAI counts."""
    # Convolutions of 3² and their biases; transposed ones of 2²; the last.
    widths = [64, 128, 256, 512, 1024]
    down = sum(9 * (a * b + b * b) + 2 * b for a, b in zip([1, *widths], widths, strict=False))
    up = sum(9 * (2 * b * b + b * b) + 2 * b + 4 * 2 * b * b + b for b in widths[:-1])
    assert parameters(flat(*widths)) == down + up + 64 * 2 + 2 == 31_030_658
    assert round(parameters(nn.VNet(), heads=1) / 1e6, 1) == 45.6
    assert round(parameters(nn.HighRes3D()) / 1e6, 2) == 0.81
    assert round(parameters(superhuman(24, 32, 48, 72, 104), heads=12) / 1e6, 1) == 2.2


@pytest.mark.parametrize(
    ("network", "heads", "shape", "known"),
    [
        (superhuman(24, 32, 48, 72, 104), 12, (32, 160, 160), 360e3),
        (superhuman(28, 36, 48, 64, 80), 2, (32, 160, 160), 432e3),
        (superhuman(28, 36, 48, 64, 80, first=PLANE, decoders=(("a",), ("b",))), None, (32, 160, 160), 509e3),
    ],
)
def test_arithmetic_of_the_literature(network, heads, shape, known):
    """The figures leave open a few percent: 1³ convolutions before repeating instead of behind, and what is counted."""
    heads = {"a": 1, "b": 1} if heads is None else {"a": heads}
    assert nn.cost(network, 1, heads, shape).flops == pytest.approx(known, rel=0.02)


def test_cost_by_hand():
    network = flat(4, 6)
    first, below = 9 * (1 * 4 + 4 * 4), 9 * (4 * 6 + 6 * 6)  # products per voxel of that level
    back = 4 * 6 * 4 / 4  # each voxel is one of the four that a voxel below makes
    above = 9 * (8 * 4 + 4 * 4)
    cost = nn.cost(network, 1, {"a": 3}, (1, 8, 8))
    assert cost.flops == 2 * (first + below / 4 + back + above + 4 * 3)
    # What is kept: image, two of 4; pooled 4 and its places in 64 bits; two of 6; beside each other 4 + 4, two of 4.
    voxels = 64 * (1 + 4 + 4) + 16 * (4 + 2 * 4) + 16 * (6 + 6) + 64 * (8 + 4 + 4)
    assert cost.activations == 4 * voxels
    module = network.build(1, {"a": 3})
    assert nn.count(module, (1, 8, 8)) == cost
    with pytest.raises(ValueError, match="shape must be"):
        nn.count(module, (1, 7, 8))


def kinds():
    plain = flat(4, 8)
    yield plain
    for block in (
        nn.Plain(3, first=(3, 3, 3), share=0.5, excite=2),
        nn.Residual(3, excite=2),
        nn.PreActivated(3, factorised=True, growth=2),
        nn.Symmetric(first=PLANE, excite=2),
        nn.Fusion(),
        nn.Dense(2, 3),
        nn.Inception(),
        nn.Inception("cat", 2),
        nn.HVEC(),
        nn.Dilated((1, 2)),
    ):
        yield dataclasses.replace(plain, block=block)
    norms, activations = ("batch", "group", "instance"), ("leaky", "elu", "prelu", "silu", "gelu")
    for norm, activation in itertools.product(norms, activations):
        yield dataclasses.replace(plain, norm=norm, activation=activation)
    for stem in (
        nn.Convolved(4),
        nn.StridedOrPooled(4, stride=HALF),
        nn.ZeroMean(4, PLANE),
        nn.Slices(3),
        nn.Collapse(5, (3, 4)),
    ):
        yield dataclasses.replace(plain, stem=stem)
    yield flat(4, 8, 8, gate=True, skip="sum", down="both", up="linear", auxiliary=2, bottleneck=nn.ASPP((1,), 4))
    yield flat(4, 8, 8, down="stochastic", decoders=(("a",), ("b",)), bottleneck=nn.Pyramid((1, 2)))
    yield flat(4, 8, 8, units=3, auxiliary=1)
    yield flat(4, 8, 8, nested=True, norm="batch")
    yield flat(4, 8, 8, nested=True, units=2)
    yield flat(4, 8, 8, nested=True, block=nn.PreActivated())
    yield flat(4, 8, 8, auxiliary=2, norm="batch", block=nn.PreActivated())
    yield superhuman(4, 5, 6)
    yield nn.FCN((nn.FCNLayer(4, PLANE, HALF, (1, 3, 3)), nn.FCNLayer(4, PLANE, HALF, mean=True)), padding="same")
    yield nn.FCN((nn.FCNLayer(4, PLANE, HALF, (2, 2, 2)), nn.FCNLayer(4, pool_kernel=(1, 2, 3))), padding="same")
    yield nn.FCN((nn.FCNLayer(4, PLANE, HALF), nn.FCNLayer(4, PLANE, HALF)), dense=True)
    yield nn.HighRes3D((4, 4), (1, 2), 1, 5, zero_mean=True)
    yield nn.VNet(1, PLANE, HALF)
    yield nn.DeepLab((4, 4, 4, 4), (1, 1, 1, 1), (1, 2), pyramid=4, low=2, decoder=4)


@pytest.mark.parametrize("network", list(kinds()), ids=lambda network: repr(network)[:60])
def test_every_kind(network):
    """Reads back from plain values; runs and teaches every weight; the same in a compute of fewer bits."""
    assert _settings.from_dict(nn.Network, _settings.to_dict(network)) == network
    torch.manual_seed(1)
    module = network.build(2, {"a": 1, "b": 3})
    least = module.geometry.least
    shape = [n + step * max(1, -(-8 // step)) for n, step in zip(least, module.geometry.stride, strict=True)]
    image = torch.randn(2, 2, *shape)
    outputs = module.train()(image)
    assert list(outputs)[:2] == ["a", "b"] and list(outputs) == list(module.places)
    assert outputs["b"].shape == (2, 3, *module.geometry.output(shape))
    sum((x * torch.randn_like(x)).sum() for x in outputs.values()).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
    module.eval()
    with torch.no_grad():
        exact = module(image)
        assert list(exact) == ["a", "b"]
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype):
                few = module(image)
            for name, x in exact.items():
                assert (few[name].float() - x).norm() <= 0.1 * x.norm() + 0.1 * math.sqrt(x.numel())


@pytest.mark.parametrize(
    "changes", [{"auxiliary": 2, "block": nn.PreActivated()}, {"nested": True, "block": nn.Dilated()}], ids=repr
)
def test_auxiliary_heads_see_what_blocks_leave_open_closed(changes):
    """Pre-activated blocks leave the activation to what follows, at every depth; here it leaves nothing below 0."""
    module = flat(4, 4, 4, **changes).build(1, {"a": 1, "b": 1}).train()
    heads, seen = module.units[0].heads[0], []
    for head in (*heads.heads.values(), *(head for level in heads.auxiliary for head in level)):
        head.register_forward_pre_hook(lambda _, given: seen.append(float(given[0].min().detach())))
    outputs = module(torch.randn(1, 1, 1, 8, 8))
    assert len(seen) == len(outputs) > 2 and min(seen) == max(seen) == 0


def test_pools_are_those_of_boxes():
    """Padding counts for nothing; with a stride of 1 it keeps the size, with an even kernel more of it behind."""
    x = torch.randn(1, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    for mean, kernel, stride in itertools.product(
        (False, True), ((2, 2, 2), (1, 3, 4), (2, 4, 1)), ((1, 1, 1), (1, 2, 2), (2, 1, 4))
    ):
        if any(k < s for k, s in zip(kernel, stride, strict=True)):
            continue
        found = Pool(3, stride, kernel, mean=mean)(x)
        assert found.shape[2:] == tuple(n // s for n, s in zip(x.shape[2:], stride, strict=True))
        for at in np.ndindex(*found.shape[2:]):
            box = []
            for i, k, s in zip(at, kernel, stride, strict=True):
                first = i * s - ((k - 1) // 2 if s == 1 else (k - s + 1) // 2)
                box.append(slice(max(first, 0), first + k))
            values = x[(..., *box)]
            expected = values.mean((2, 3, 4)) if mean else values.amax((2, 3, 4))
            torch.testing.assert_close(found[(..., *at)], expected)


def test_layers_keep_the_variance():
    """Of what a rectifier leaves of normal numbers: 1/2 is its mean square, and He's weights have twice that over the
    number of inputs."""
    torch.manual_seed(0)
    x = torch.randn(4, 64, 6, 6, 6).relu()
    for layer in (Style().convolution(64, 512, (3, 3, 3), padded=False), Up(3, (1, 2, 2), "transposed", 64, 512)):
        assert float(layer(x).detach().square().mean()) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("norm", ["group", "instance"])
@pytest.mark.parametrize("axes", [2, 3])
def test_a_norm_of_one_value_is_its_bias(norm, axes):
    """As of any values that are all alike, also beside others of its batch and in training."""
    layer = Style(axes, norm).normalised(4)
    torch.nn.init.normal_(layer.norm.weight)
    torch.nn.init.normal_(layer.norm.bias)
    for n, side, dtype in itertools.product((1, 3), (1, 4), (torch.float32, torch.bfloat16)):
        layer.to(dtype)
        x = torch.randn(n, 4, *[1] * axes).expand(-1, -1, *[side] * axes).to(dtype).requires_grad_()
        found = layer(x)
        bias = layer.norm.bias.view(-1, *[1] * axes).expand_as(found)
        assert found.dtype == dtype
        assert torch.equal(found, bias) if side == 1 else torch.allclose(found, bias, atol=1e-4)
        found.sum().backward()
        assert side > 1 or not x.grad.any()


def test_what_fits_runs():
    """Also where the coarsest level is one voxel and the batch one image."""
    for norm in ("none", "group", "instance"):
        network = nn.UNet(levels=tuple(nn.Level(4) for _ in range(5)), norm=norm)
        assert network.geometry().least == (16, 16, 16)
        module = network.build(1, {"a": 1})
        image = torch.randn(1, 1, 16, 16, 16)
        module.train()(image)["a"].sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
        assert module.eval()(image)["a"].isfinite().all()


def test_cost_of_a_network_that_sees_more_than_the_image():
    """The state of a flood, beside it."""
    network = nn.FloodFilling(depth=1, width=2)
    assert nn.cost(network, 3, {"a": 1}, (4, 5, 6)).flops == 2 * (27 * 4 * 2 + 27 * 2 * 2 + 2)
    assert network.build(3, {"a": 1}).inputs == 4 and flat(4).build(3, {"a": 1}).inputs is None


def test_weights_are_those_of_the_random_state():
    network = superhuman(4, 5)
    torch.manual_seed(3)
    one = network.build(1, {"a": 2}).state_dict()
    torch.manual_seed(3)
    two = network.build(1, {"a": 2}).state_dict()
    assert all(torch.equal(x, two[name]) for name, x in one.items())


def test_sections_are_by_themselves():
    """A 2D network gives each section of a volume what it gives it alone, through convolutions in 2D."""
    module = flat(4, 8).build(1, {"a": 2}).eval()
    assert not any(isinstance(part, torch.nn.Conv3d) for part in module.modules())
    image = torch.randn(2, 1, 3, 8, 8)
    with torch.no_grad():
        whole = module(image)["a"]
        for z in range(3):
            alone = module(image[:, :, z : z + 1])["a"]
            torch.testing.assert_close(whole[:, :, z : z + 1], alone)


def test_zero_mean_stem_sees_no_brightness():
    module = flat(4, 8, stem=nn.ZeroMean(4, PLANE)).build(1, {"a": 1}).eval().double()
    image = torch.randn(1, 1, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(module(image)["a"], module(image + 100)["a"])
    plain = flat(4, 8).build(1, {"a": 1}).eval().double()
    assert not torch.allclose(plain(image)["a"], plain(image + 100)["a"])


def test_slices_are_neighbours():
    layer, channels = nn.Slices(3).make(Style(padded=True), 2)
    image = torch.arange(2 * 4.0).reshape(1, 2, 4, 1, 1)
    found = layer(image)[0, :, :, 0, 0]
    assert channels == 6
    assert found.T.tolist()[1] == [0, 1, 2, 4, 5, 6]  # of section 1: sections 0 to 2 of each channel
    assert found.T.tolist()[0] == [0, 0, 1, 0, 4, 5]


def test_stochastic_pool():
    pool = StochasticPool(2, (1, 2, 2), 4)
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert torch.equal(pool.eval()(x), torch.nn.functional.avg_pool2d(x, 2))
    torch.manual_seed(0)
    seen = set()
    for _ in range(40):
        rows = (pool.train()(x)[0, 0, :, 0] // 8).int().tolist()
        assert rows == sorted(set(rows)) and [r // 4 for r in rows] == [0, 0, 1, 1]
        seen.add(tuple(rows[:2]))
    assert seen == set(itertools.combinations(range(4), 2))


def test_chain_refines_what_it_said():
    """The second unit sees image and probabilities; the first one's outputs are auxiliary."""
    module = flat(2, 2, units=2).build(1, {"a": 1}).train()
    image = torch.randn(1, 1, 1, 4, 4)
    found = module(image)
    first = module.units[0](image)["a"]
    assert torch.equal(found["a@1"], first)
    assert torch.equal(found["a"], module.units[1](torch.cat([image, first.sigmoid()], 1))["a"])


def test_dense_classifier_is_the_patch_classifier():
    """At every voxel it says what the network says of the patch around it."""
    layers = (nn.FCNLayer(3, (1, 5, 5), HALF), nn.FCNLayer(2, PLANE, HALF), nn.FCNLayer(2, (1, 2, 2)))
    dense = nn.FCN(layers, dense=True).build(1, {"a": 2}).eval()
    margin = dense.geometry.margin[1]
    image = torch.randn(1, 1, 1, 24, 24)
    with torch.no_grad():
        whole = dense(image)["a"]
        x = image[:, :, 0]
        side = 2 * margin  # 16: 12, 6, 4, 2, 1
        for at in ((0, 0), (3, 5)):
            y = x[..., at[0] : at[0] + side, at[1] : at[1] + side]
            chains = [part for part in dense.body.parts if hasattr(part, "parts")]
            for layer, chain in zip(layers, chains, strict=True):
                convolution = chain.parts[0].convolution
                y = torch.relu(torch.nn.functional.conv2d(y, convolution.weight, convolution.bias))
                y = torch.nn.functional.max_pool2d(y, 2) if max(layer.pool) > 1 else y
            assert y.shape[2:] == (1, 1)
            y = dense.heads["to_a"](y)
            torch.testing.assert_close(whole[0, :, 0, at[0], at[1]], y[0, :, 0, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.UNet(levels=()), "levels must be at least one"),
        (lambda: nn.Level(0), "width must be at least 1, got 0"),
        (lambda: nn.Level(4, kernel=(3, 3)), r"kernel must be three numbers of at least 1, got \(3, 3\)"),
        (lambda: nn.Level(4, dropout=1.0), "dropout must be at least 0 and below 1, got 1.0"),
        (lambda: flat(4, 8, auxiliary=2), "auxiliary must be below the number of levels, 2, got 2"),
        (lambda: flat(4, 8, equivariant=True), "equivariant must be false where padding is same"),
        (lambda: flat(4, 8, units=2, padding="valid"), "padding must be same for a chain or nested decoders"),
        (lambda: flat(4, 8, nested=True, skip="sum"), "nested must come with skip cat"),
        (lambda: flat(6, 6, block=nn.HVEC()).build(1, {"a": 1}), "width must be a multiple of 4 for HVEC, got 6"),
        (lambda: flat(4, 8, decoders=(("b",),)).build(1, {"a": 1}), "decoders must have each of the heads"),
        (lambda: nn.Collapse(4), "depth must be odd and hold 2 kernels, got 4"),
        (lambda: nn.Plain(0), "convolutions must be at least 1, got 0"),
        (lambda: nn.ASPP(rates=()), "rates must be some numbers"),
        (lambda: nn.FCN((nn.FCNLayer(4, mean=True),), dense=True), "dense must come with pools of the largest"),
        (lambda: flat(4).build(1, {}), r"heads must be at least one, of at least one channel each, got {}"),
        (lambda: nn.HighRes3D().build(1, {"a": 0}), r"heads must be at least one, of at least one channel each, got"),
        (lambda: nn.MaskRCNN().build(2, {"a": 1}), "channels must be 1 or 3 for Mask R-CNN, got 2"),
        (lambda: nn.Monai("NoSuch").build(1, {"a": 1}), "name must be a network of monai.networks.nets, got 'NoSuch'"),
        (lambda: nn.Monai("VNet", {"nonsense": 1}).build(1, {"a": 1}), "options must be those of VNet"),
    ],
)
def test_errors(make, message):
    if "monai" in message or "VNet" in message:
        pytest.importorskip("monai")
    with pytest.raises(ValueError, match=message):
        make()


def test_monai():
    """Geometry found by trial, and that of a network whose field is known: 3³ kernels at strides 1, 2, 2."""
    pytest.importorskip("monai")
    three, two = ((3, 3, 3),) * 3, ((2, 2, 2),) * 2
    options = {"kernel_size": three, "strides": ((1, 1, 1), *two), "upsample_kernel_size": two, "filters": (2, 2, 2)}
    network = nn.Monai("DynUNet", options, stride=(4, 4, 4))
    assert _settings.from_dict(nn.Network, _settings.to_dict(network)) == network
    module = network.build(1, {"a": 2, "b": 1}).eval()
    outputs = module(torch.zeros(1, 1, 8, 8, 8))
    assert [x.shape[1] for x in outputs.values()] == [2, 1]
    geometry = module.geometry
    assert geometry.stride == geometry.least == (4, 4, 4) and not geometry.local
    # Ours of the same graph: two convolutions a level, of which the first has the stride.
    strided = dict(down="strided", down_kernel=(3, 3, 3), block=nn.Plain(2))
    middle = nn.Level(2, block=nn.Plain(1), decoder_block=nn.Plain(2))
    levels = (nn.Level(2), middle, nn.Level(2, block=nn.Plain(1)))
    assert geometry.field == nn.UNet(levels=levels, **strided).geometry().field


def without_torchvision(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)


def test_detection_needs_torchvision(monkeypatch):
    without_torchvision(monkeypatch)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ModuleNotFoundError, match="Mask R-CNN needs torchvision: pip install torchvision"):
        nn.MaskRCNN().build(1, {"object": 1})


def test_a_torchvision_of_another_torch_is_said(monkeypatch, tmp_path):
    without_torchvision(monkeypatch)
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError, match=r"torchvision does not fit torch .*: operator torchvision::nms .*Install"):
        nn.MaskRCNN().build(1, {"object": 1})
