"""Networks made ready for inference say the same."""

from __future__ import annotations

import shutil

import pytest

torch = pytest.importorskip("torch")

from emfast import nn  # noqa: E402


def trained(network, channels=1):
    """With norms that have seen something."""
    torch.manual_seed(0)
    module = network.build(channels, {"a": 2})
    for _ in range(2):
        module.train()(torch.randn(2, channels, *network.geometry().least) * 3 + 1)
    return module.eval()


def network(kernel=(1, 3, 3), stride=(1, 2, 2), **changes):
    return nn.UNet(levels=tuple(nn.Level(8 * k, kernel=kernel, stride=stride) for k in (1, 2, 3)), **changes)


NORMS = ["none", "batch", "group", "instance"]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("block", [nn.Plain(), nn.PreActivated(), nn.Symmetric(excite=2)], ids=repr)
@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3)])
def test_the_same_outputs(norm, block, kernel):
    settings = network(kernel, norm=norm, block=block, activation="prelu", up="nearest")
    module = settings.build(1, {"a": 2}).train()
    module(torch.randn(2, 1, 4, 16, 16) * 3 + 1)
    before = {name: x.clone() for name, x in module.state_dict().items()}
    module.eval()
    image = torch.randn(2, 1, 3, 16, 24)
    with torch.no_grad():
        expected = module(image)["a"]
    for precision, tolerance in (("float32", 1e-5), ("bfloat16", 0.05), ("float16", 0.01)):
        ready = nn.ready(module, precision=precision)
        found = ready(image)["a"]
        assert found.dtype == torch.float32 and not found.requires_grad
        assert (found - expected).norm() <= tolerance * expected.norm()
        assert ready.geometry == module.geometry and ready.places == module.places
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("norm", NORMS)
def test_norms_in_few_bits(norm, precision, device):
    """Also of one voxel, and of batch norms that stand alone. Kernels of CUDA take group and layer norms with weights
    of the features' type alone."""
    dtype = getattr(torch, precision)
    module = network((3, 3, 3), (2, 2, 2), norm=norm, block=nn.PreActivated()).build(1, {"a": 2}).to(device)
    module.train()(torch.randn(2, 1, 8, 8, 8, device=device))
    ready = nn.ready(module, precision=precision)
    for part in ready.modules():
        if isinstance(part, torch.nn.GroupNorm | torch.nn.LayerNorm):
            assert part.weight.dtype == part.bias.dtype == dtype
    for side in (4, 8):
        image = torch.randn(1, 1, side, side, side, device=device)
        expected = nn.ready(module)(image)["a"]
        found = ready(image)["a"]
        assert found.dtype == torch.float32
        assert (found - expected).norm() <= {"bfloat16": 0.06, "float16": 0.01}[precision] * expected.norm()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_under_autocast(norm, device):
    """Nearly those of float32: numbers of 8 bits are off by half a percent, and some turn at rectifiers."""
    torch.manual_seed(0)
    module = network((3, 3, 3), (1, 2, 2), norm=norm).build(1, {"a": 2}).train().to(device)
    image = torch.randn(2, 1, 4, 16, 16, device=device)
    wanted = torch.rand(2, 2, 4, 16, 16, device=device)

    def gradients():
        module.zero_grad()
        found = module(image)["a"].float()
        torch.nn.functional.binary_cross_entropy_with_logits(found, wanted).backward()
        return torch.cat([p.grad.flatten() for p in module.parameters()])

    exact = gradients()
    with torch.autocast(device, torch.bfloat16):
        few = gradients()
    assert few.isfinite().all()
    assert (few - exact).norm() <= 0.3 * exact.norm()


def test_batch_norms_are_folded():
    ready = nn.ready(network().build(1, {"a": 1}))
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in ready.modules())
    assert ready.train().module.training is False


def test_unknown_precision():
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, float16, got 'int8'"):
        nn.ready(network().build(1, {"a": 1}), precision="int8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled():
    if shutil.which("c++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    module = network(norm="batch").build(1, {"a": 2}).eval()
    image = torch.randn(1, 1, 1, 16, 16)
    found = nn.ready(module, compile=True)(image)["a"]
    torch.testing.assert_close(found, nn.ready(module)(image)["a"], rtol=1e-4, atol=1e-4)
