"""emfast.recipes: every recipe is settings that go to YAML and back, a network that builds, learns and is decoded.

A recipe that is added is tested by being there. What its objects are follows from its task: neurons are judged as
segments, anything else by its foreground, and by its segments too where the recipe parts what touches.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import emfast
from emfast import segmentation

torch = pytest.importorskip("torch")
yaml = pytest.importorskip("yaml")

import vision  # noqa: E402
from emfast import _settings, recipes  # noqa: E402
from emfast.augmentation import Augmentation  # noqa: E402
from emfast.inference._activation import activated  # noqa: E402
from emfast.inference._constants import constants_of  # noqa: E402
from emfast.recipes import Method  # noqa: E402
from emfast.sampling import Piece  # noqa: E402
from emfast.targets import Contour  # noqa: E402
from emfast.training import train  # noqa: E402
from emfast.training._schedule import optimiser_of  # noqa: E402
from emfast.training._supervised import Supervised, shape_of  # noqa: E402

NAMES = recipes.names()
FOREIGN = [name for name in NAMES if type(recipes.get(name).method.network).__module__.endswith(".nn.foreign")]
SUPERVISED = [name for name in NAMES if recipes.get(name).method.procedure is None]
# Those that part objects which touch; others give components.
PARTING = {"abdollahzadeh2021", "li2022_h", "li2022_r", "lin2021", "mekuc2022", "wei2020", "yuan2021"}
BY_CONTOUR = {"li2022_h", "li2022_r", "lin2021", "wei2020"}  # of these
TUBES = {"abdollahzadeh2021": (4, 8)}  # radius and distance
FLAT, CUBIC = (30.0, 16.0, 16.0), (16.0, 16.0, 16.0)
STEPS, EVERY = 600, 20  # of the run that overfits


@pytest.fixture(autouse=True)
def one_core():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def piece_of(recipe, method, shape=None):
    """A phantom with what a recipe learns from, larger than the patch; of 16 nm: several cells within 64 voxels."""
    sides = shape or [max(n + 16, 32) if n > 1 else 4 for n in shape_of(method.patch)]
    flat = method.patch[0] == 1 or (method.spacing is not None and method.spacing[0] > 2 * method.spacing[2])
    phantom = emfast.phantom.make(sides, seed=3, spacing=FLAT if flat else CUBIC)
    labels = phantom.labels if "neuron" in recipe.task else phantom.mitochondria
    if "organelle" in recipe.task or any(getattr(head.target, "classes", 0) > 1 for head in method.heads):
        labels = (labels > 0).astype(np.uint8)  # of class 1
    names = {head.labels or "labels" for head in method.heads}
    return Piece(phantom.image[None], dict.fromkeys(names, labels), spacing=phantom.spacing, name="phantom")


def truth_of(recipe, method, piece, box=...):
    """What decoding should give in a box of a piece."""
    head = method.heads[0]
    labels = piece.labels[head.labels or "labels"]
    if "envelope" in recipe.task:  # objects are not what it finds
        return head.target.make(labels, spacing=piece.spacing)[0][0][box]
    if "neuron" in recipe.task:  # what is one elsewhere is not seen to be one here
        return emfast.connected_components(np.ascontiguousarray(labels[box]))
    return labels[box]


def apart(truth, labels):
    """The adapted Rand error within the truth, from 0 to 1."""
    return emfast.contingency(truth, labels, ignore=(0,)).adapted_rand().error


def error(recipe, truth, labels):
    """From 0 to 1: the adapted Rand error of neurons, one less the IoU of the foreground for all else."""
    if "neuron" in recipe.task:
        return apart(truth, labels)
    return 1 - ((truth > 0) & (labels > 0)).sum() / ((truth > 0) | (labels > 0)).sum()


def touching(name, shape):
    """Two objects in the middle that touch, as recipe ``name`` means to part them: balls that share a disc, or tubes
    that cross."""
    z, y, x = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) // 2
    if name not in TUBES:
        ball = z**2 + y**2 + (abs(x) - 8) ** 2 <= 10**2
        return np.where(ball, 1 + (x >= 0), 0).astype(np.uint8)
    radius, way = TUBES[name]
    tubes = [(z + side * way / 2) ** 2 + across**2 <= radius**2 for side, across in ((1, y), (-1, x))]
    return np.where(tubes[0], 1, 2 * tubes[1]).astype(np.uint8)


def decoded(recipe, outputs, spacing):
    labels = np.asarray(recipe.decode(outputs, spacing=spacing))
    assert labels.dtype.kind in "iu"
    assert labels.shape == next(iter(outputs.values())).shape[1:]
    return labels


def perfect(recipe, method, piece):
    """What a network would say that has understood all."""
    targets = {head.name: (head.target, piece.labels[head.labels or "labels"]) for head in method.heads}
    return {name: target.make(labels, spacing=piece.spacing)[0] for name, (target, labels) in targets.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_what_it_is(name):
    recipe = recipes.get(name)
    assert recipe.name == name
    assert recipe.title and recipe.paper and recipe.task and recipe.unknown.strip()
    assert recipe.changed.strip() or not recipe.number, "what differs from the paper"
    assert recipe.small, "a variant for laptops"
    found = segmentation.ranges(recipe.decode)
    assert found
    for parameter, (low, high, default) in found.items():
        assert low <= default <= high, parameter


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_settings_go_to_yaml_and_back(name, small, tmp_path):
    recipe = recipes.get(name)
    method = recipe.shrunk() if small else recipe.method
    _settings.write(method, tmp_path / "method.yaml")
    assert _settings.read(Method, tmp_path / "method.yaml") == method


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", SUPERVISED)
def test_networks_build_and_take_their_patches(name, small):
    recipe = recipes.get(name)
    method = recipe.shrunk() if small else recipe.method
    with torch.device("meta"):
        module = method.network.build(method.channels, method.outputs()).train()
        outputs = module(torch.empty(2, method.channels, *method.patch))
    sides = module.geometry.output(method.patch)
    for head in method.heads:
        assert outputs.pop(head.name).shape == (2, head.outputs, *sides)
    weighed = {f"{head.name}@{k}" for head in method.heads for k in range(1, len(method.auxiliary) + 1)}
    assert weighed == set(outputs)


def doubling(widths, kernel, convolutions=2, channels=1, heads=1):
    """Weights and biases of a U-Net: so many convolutions per level, one of 2 x 2 up, one of 1 x 1 at the end."""

    def convolution(inputs, outputs, side):
        return inputs * outputs * side**2 + outputs

    total, inputs = 0, channels
    for width in widths:
        for _ in range(convolutions):
            total += convolution(inputs, width, kernel)
            inputs = width
    for below, width in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True):
        total += convolution(below, width, 2) + convolution(2 * width, width, kernel)
        total += (convolutions - 1) * convolution(width, width, kernel)
    return total + convolution(widths[0], heads, 1)


PARAMETERS = {
    "unet2d": doubling((64, 128, 256, 512, 1024), 3),
    "casser2018": doubling((16, 32, 64, 128, 256), 3),
    "franco2022": doubling((16, 32, 64, 128, 256), 3),
    "isensee2021_2d": 46.3e6,
    "isensee2021_3d": 31.2e6,
}


def test_the_formula_of_parameters():
    assert PARAMETERS["unet2d"] == 31_030_593  # 31 million, as is said of the U-Net
    assert PARAMETERS["casser2018"] == 1_940_817


@pytest.mark.parametrize("name", sorted(set(PARAMETERS) & set(NAMES)))
def test_networks_have_the_parameters_of_the_paper(name):
    method = recipes.get(name).method
    with torch.device("meta"):
        module = method.network.build(method.channels, method.outputs())
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(PARAMETERS[name], rel=0.005)


def test_decoders_of_transposed_convolutions_are_as_wide_as_is_said():
    method = recipes.get("cheng2017").method
    with torch.device("meta"):
        module = method.network.build(method.channels, method.outputs())
    parts = list(module.modules())
    ups = [k for k, part in enumerate(parts) if isinstance(part, torch.nn.ConvTranspose3d)]
    assert [(parts[k].in_channels, parts[k].out_channels) for k in ups] == [(104, 64), (64, 32), (32, 32)]
    for k, width in zip(ups, (64, 32, 32), strict=True):  # each with a norm and an activation behind
        assert isinstance(parts[k + 1], torch.nn.BatchNorm3d) and parts[k + 1].num_features == width
        assert isinstance(parts[k + 2], torch.nn.PReLU)


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_and_labels(name, tmp_path):
    if name in FOREIGN:
        vision.torchvision()
    recipe = recipes.get(name)
    recipe = replace(recipe, method=recipe.shrunk())
    method = recipe.method
    piece = piece_of(recipe, method)
    model = train(recipe, [piece], run=tmp_path, steps=2, progress=False, workers=0)
    assert model.recipe == name
    outputs = predicted(model.module, method, model.constants, piece)
    decoded(recipe, outputs, piece.spacing)


def predicted(module, method, constants, piece):
    """What the network says of the first patch of a piece, by head."""
    window = tuple(slice(n) for n in shape_of(method.patch))
    image = torch.from_numpy(constants.normalised(piece.image[(slice(None), *window)]))
    if method.procedure is not None:
        return method.procedure.infer(module.eval(), image.numpy())
    with torch.no_grad():
        logits = module.eval()(image[None])
    return {head.name: activated(head, logits[head.name])[0].numpy() for head in method.heads}


@pytest.mark.parametrize("name", SUPERVISED)
def test_perfect_outputs_decode_to_the_truth(name):
    recipe = recipes.get(name)
    method = recipe.shrunk()
    piece = piece_of(recipe, method, (8, 128, 128) if method.patch[0] == 1 else (32, 64, 64))
    labels = decoded(recipe, perfect(recipe, method, piece), piece.spacing)
    assert error(recipe, truth_of(recipe, method, piece), labels) <= 0.1


def of_two(recipe, method, shape):
    """A piece of two objects that touch, both of the first class where there are classes."""
    truth = labels = touching(recipe.name, shape)
    names = {head.labels or "labels" for head in method.heads}
    if any(getattr(head.target, "classes", 0) > 1 for head in method.heads):
        labels = (labels > 0).astype(np.uint8)
    image = (truth > 0).astype(np.float32)[None]
    return Piece(image, dict.fromkeys(names, labels), spacing=CUBIC, name="two")


OTHERS = [n for n in SUPERVISED if not any(word in recipes.get(n).task for word in ("neuron", "envelope"))]


@pytest.mark.parametrize("name", OTHERS)
def test_what_touches_is_parted_or_a_component(name):
    """By recipes that say so, with nothing lost; components do not."""
    recipe = recipes.get(name)
    method = recipe.shrunk()
    shape = (32, 64, 64)
    truth, piece = touching(name, shape), of_two(recipe, method, shape)
    labels = decoded(recipe, perfect(recipe, method, piece), piece.spacing)
    assert error(recipe, truth, labels) <= 0.1
    assert (apart(truth, labels) <= 0.1) == (name in PARTING)
    assert apart(truth, emfast.connected_components(truth > 0)) > 0.3


def probabilities(recipe, seed=0):
    """Outputs of a recipe that are more or less right; those of heads that are probabilities as bytes."""
    method = recipe.shrunk()
    piece = piece_of(recipe, method, (8, 48, 48))
    rng = np.random.default_rng(seed)
    outputs = {}
    for head in method.heads:
        values = perfect(recipe, method, piece)[head.name]
        if head.activation in ("sigmoid", "softmax"):
            values = np.rint(255 * (0.7 * values + 0.3 * rng.random(values.shape))).astype(np.uint8)
        outputs[head.name] = values
    return outputs, piece.spacing


BYTES = [n for n in SUPERVISED if {h.activation for h in recipes.get(n).method.heads} & {"sigmoid", "softmax"}]


@pytest.mark.parametrize("name", BYTES)
def test_bytes_are_shares_of_255(name):
    recipe = recipes.get(name)
    outputs, spacing = probabilities(recipe)
    shares = {k: v / np.float32(255) if v.dtype == np.uint8 else v for k, v in outputs.items()}
    wanted = decoded(recipe, shares, spacing)
    assert (decoded(recipe, outputs, spacing) == wanted).all()
    assert wanted.max() > 0


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 1, 9), (2, 7, 5), (1, 1, 1)])
@pytest.mark.parametrize("name", SUPERVISED)
def test_outputs_of_any_shape_are_decoded(name, shape):
    recipe = recipes.get(name)
    noise = np.random.default_rng(0).random((64, *shape), np.float32)
    for values in (noise * 0, noise * 0 + 1, noise):
        outputs = {head.name: values[: head.outputs] for head in recipe.method.heads}
        labels = decoded(recipe, outputs, (30.0, 8.0, 8.0))
        if name in OTHERS and not values.any():
            assert not labels.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", SUPERVISED)
def test_a_small_network_learns_a_crop_by_heart(name):
    recipe = recipes.get(name)
    method = replace(recipe.shrunk(), augmentation=Augmentation(), steps=STEPS)
    assert learnt(recipe, method, piece_of(recipe, method), error) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BY_CONTOUR))
def test_a_small_network_learns_to_part(name):
    """Two objects with a dark seam between them."""
    recipe = recipes.get(name)
    method = replace(recipe.shrunk(), augmentation=Augmentation(), steps=STEPS)
    piece = of_two(recipe, method, [n + 16 for n in method.patch])
    labels = next(iter(piece.labels.values()))
    seam, _ = Contour().make(labels)
    assert learnt(recipe, method, replace(piece, image=piece.image - 0.5 * seam), parted) <= 0.1


def parted(recipe, truth, labels):
    """The larger of the errors of the foreground and of the objects in it."""
    return max(error(recipe, truth, labels), apart(truth, labels))


def learnt(recipe, method, piece, judged):
    """The best error within so many steps on the crop in the middle."""
    torch.manual_seed(0)
    module = method.network.build(method.channels, method.outputs())
    teaching = Supervised(method, [piece], module.geometry, constants_of(method.normalisation.kind, [piece]), 0)
    corner = [(n - s) // 2 for n, s in zip(piece.shape, teaching.patch, strict=True)]
    box = tuple(
        slice(c + m, c + m + n) for c, m, n in zip(corner, module.geometry.margin, teaching.output, strict=True)
    )
    truth = truth_of(recipe, method, piece, box)
    sample = {name: torch.from_numpy(array)[None] for name, array in teaching.crop(piece, corner).items()}
    optimiser = optimiser_of(method.optimiser, module.parameters())
    for group in optimiser.param_groups:
        group["lr"] = method.optimiser.rate
    best = math.inf
    for step in range(1, STEPS + 1):
        loss, _ = teaching.loss(module.train()(sample["image"]), sample)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % EVERY == 0:
            with torch.no_grad():
                logits = module.eval()(sample["image"])
            outputs = {head.name: activated(head, logits[head.name])[0].numpy() for head in method.heads}
            best = min(best, judged(recipe, truth, decoded(recipe, outputs, piece.spacing)))
            if best <= 0.1:
                break
    return best


def test_names_and_mistakes():
    assert "casser2018" in recipes.names()
    with pytest.raises(ValueError, match="did you mean casser2018"):
        recipes.get("caser2018")


def test_the_page_of_recipes_is_made_of_them(tmp_path):
    from emfast.recipes.__main__ import main

    path = Path(__file__).parents[1] / "docs" / "recipes.md"
    if not path.parent.exists():
        pytest.skip("docs are beside a checkout only")
    main([str(tmp_path / "recipes.md")])
    made = (tmp_path / "recipes.md").read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8") == made, "python -m emfast.recipes docs/recipes.md"


BLOCKWISE = [name for name in NAMES if recipes.get(name).segment is not None]


@pytest.mark.parametrize("name", sorted(set(SUPERVISED) & set(BLOCKWISE)))
def test_block_by_block_is_what_is_decoded(name, tmp_path):
    recipe = recipes.get(name)
    method = recipe.shrunk()
    piece = piece_of(recipe, method, (8, 48, 48))
    outputs = perfect(recipe, method, piece)
    wanted = decoded(recipe, outputs, piece.spacing)
    defaults = {
        p.name: p.default
        for p in inspect.signature(recipe.decode).parameters.values()
        if p.default is not p.empty and p.name != "spacing"
    }
    for options in ({}, defaults):  # as emfast.segment gives them on
        found = recipe.segment(outputs, spacing=piece.spacing, block=(4, 24, 24), **options)
        assert (np.asarray(found[...]) == wanted).all()


@pytest.mark.parametrize("name", sorted(set(BYTES) & set(BLOCKWISE)))
def test_block_by_block_is_what_is_decoded_of_bytes(name):
    recipe = recipes.get(name)
    outputs, spacing = probabilities(recipe)
    found = recipe.segment(outputs, spacing=spacing, block=(4, 24, 24))
    assert (np.asarray(found[...]) == decoded(recipe, outputs, spacing)).all()
