"""Recipes with a procedure of their own: flood filling, detection; and decoders block by block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import emfast
import vision

torch = pytest.importorskip("torch")

from emfast import recipes  # noqa: E402
from emfast.inference._constants import Constants, constants_of  # noqa: E402
from emfast.nn import FloodFill, Geometry, Module, Place  # noqa: E402
from emfast.recipes import Detection, Flooding, Inference, Method  # noqa: E402
from emfast.recipes._blocks import segment_components, segment_nearest  # noqa: E402
from emfast.recipes._decoders import components, nearest_affinities, seeded_by  # noqa: E402
from emfast.recipes._detection import boxes_of  # noqa: E402
from emfast.recipes._flooding import visited  # noqa: E402
from emfast.sampling import Piece, Uniform  # noqa: E402
from emfast.training._schedule import optimiser_of  # noqa: E402
from networks import Identity, Tiny  # noqa: E402

GEOMETRY = Geometry((9, 9, 9), (1, 1, 1), (0, 0, 0), (1, 1, 1))
FLOOD = FloodFill(field=(5, 7, 7), step=(1, 2, 2), least=1)


class Alike(Module):
    """A voxel goes with the middle of the field of view if it is as bright."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Parameter(torch.zeros(1))
        self.geometry, self.places = GEOMETRY, {"object": Place((1, 1, 1), (0, 0, 0))}

    def forward(self, image):
        seen = image[:, :1]
        z, y, x = (n // 2 for n in seen.shape[2:])
        middle = seen[:, :, z : z + 1, y : y + 1, x : x + 1]
        return {"object": torch.where((seen - middle).abs() < 0.1, 4.0, -4.0) + self.head}


def say(seen):
    """Any function of what is seen that leaves some faces unlikely."""
    return seen[:, -1:] * 0.5 + 8 * torch.sin(5 * seen[:, :1])


# ---- flood filling


def visited_slowly(flood, image, faces):
    """One sample (c, z, y, x), move by move, as the policy of the network has it."""
    state = flood.begun(image.shape[1:], [n // 2 for n in image.shape[1:]])
    places = []
    for place in flood.visits(state, order=faces):
        box = flood.box(place)
        seen = np.concatenate([image[(slice(None), *box)], state[box][None]])
        state[box] = say(torch.from_numpy(seen)[None])[0, 0].numpy()
        places.append(place)
    return state, places


@pytest.mark.parametrize("faces", [(0, 1, 2, 3, 4, 5), (4, 2, 0, 5, 3, 1)])
def test_moves_of_a_batch_are_those_of_each_sample(faces):
    images = np.random.default_rng(0).random((6, 1, 7, 11, 11), np.float32)
    found = visited(FLOOD, say, torch.from_numpy(images), faces)
    gone = set()
    for k, image in enumerate(images):
        state, places = visited_slowly(FLOOD, image, faces)
        assert np.array_equal(found["state"][k, 0].numpy(), state)
        moved = found["places"][found["moved"][k] > 0].int().tolist()
        assert [tuple(place) for place in moved] == places
        gone.add(len(places))
    assert len(gone) > 1  # some go where others do not


def lessons(labels, image=None, mask=None):
    recipe = recipes.get("ffn")
    method = recipe.shrunk()
    flood = Flooding(FLOOD)
    method = replace(method, patch=(7, 11, 11), procedure=flood, sampler=Uniform())
    image = labels.astype(np.float32) if image is None else image
    masks = {} if mask is None else {"labels": mask}
    piece = Piece(image[None], {"labels": labels}, masks)
    return flood.teach(method, [piece], GEOMETRY, Constants(), 0), piece


def test_a_sample_is_the_object_of_its_middle():
    labels = np.zeros((7, 11, 22), np.uint8)
    labels[:, :, 4:9] = 5
    labels[:, :, 9:] = 7
    teaching, piece = lessons(labels)
    sample = teaching.crop(piece, (0, 0, 0))
    assert np.array_equal(sample["target/object"][0], labels[:, :, :11] == 5)
    assert sample["weight/object"].min() == 1
    nothing = teaching.crop(piece, (0, 0, -3))  # whose middle is background
    assert nothing["target/object"].max() == 0 and nothing["weight/object"].max() == 0


def test_the_loss_is_of_the_moves_that_are_made():
    labels = np.ones((7, 11, 11), np.uint8)
    teaching, piece = lessons(labels)
    batch = {name: torch.from_numpy(array)[None] for name, array in teaching.crop(piece, (0, 0, 0)).items()}

    def unsure(seen):
        return {"object": torch.zeros_like(seen[:, -1:])}

    outputs = teaching.outputs(unsure, batch)
    assert outputs["moved"].tolist() == [[1, 0, 0, 0, 0, 0, 0]]  # the state is 0.5 everywhere it was seen
    loss, by_name = teaching.loss(outputs, batch)
    # Cross entropy of 1/2 with anything is ln 2.
    assert float(loss) == pytest.approx(np.log(2)) == float(by_name["object"])

    def sure(seen):
        return {"object": torch.full_like(seen[:, -1:], 20.0)}

    outputs = teaching.outputs(sure, batch)
    assert outputs["moved"].tolist() == [[1] * 7]
    # -0.95 ln p - 0.05 ln (1 - p) with p = 1 / (1 + e^-20)
    assert float(teaching.loss(outputs, batch)[0]) == pytest.approx(0.05 * 20, abs=1e-5)


def test_a_network_that_cannot_see_the_seed_is_told(recwarn):
    lessons(np.ones((7, 11, 11), np.uint8))  # sees nine voxels of five to seven
    assert not recwarn.list
    method = replace(recipes.get("ffn").shrunk(), sampler=Uniform())
    piece = Piece(np.zeros((1, 15, 29, 29), np.float32), {"labels": np.ones((15, 29, 29), np.uint8)})
    with pytest.warns(UserWarning, match=r"sees \(9, 9, 9\) voxels, less than the field of view, \(9, 17, 17\)"):
        method.procedure.teach(method, [piece], GEOMETRY, Constants(), 0)


@pytest.mark.parametrize("small", [False, True])
def test_the_published_network_sees_the_seed(small):
    recipe = recipes.get("ffn")
    method = recipe.shrunk() if small else recipe.method
    with torch.device("meta"):
        seen = method.network.build(1, {"object": 1}).geometry.field
    assert all(n >= m for n, m in zip(seen, method.procedure.flood.field, strict=True))


def test_gradients_stay_within_a_move():
    images = torch.rand(1, 1, 7, 11, 11)
    weight = torch.tensor(1.0, requires_grad=True)
    found = visited(FLOOD, lambda seen: seen[:, -1:] * 0 + 9 * weight, images, range(6))
    assert not found["state"].requires_grad
    found["moves"][:, 1].sum().backward()
    assert float(weight.grad) == 9 * 5 * 7 * 7  # of one field of view


def test_patches_have_room_for_a_step():
    recipe = recipes.get("ffn")
    method = recipe.shrunk()
    piece = Piece(np.zeros((1, 8, 8, 8), np.float32), {"labels": np.ones((8, 8, 8), np.uint8)})
    with pytest.raises(ValueError, match=r"patch must be odd and at least"):
        Flooding(FloodFill()).teach(method, [piece], GEOMETRY, Constants(), 0)


@pytest.mark.parametrize("agreement", [False, True])
def test_objects_are_grown_to_the_borders(agreement):
    truth = np.ones((9, 24, 24), np.uint8)
    truth[:, :, 12:] = 2
    truth[:, 14:, 12:] = 3
    procedure = Flooding(FLOOD, separation=4.0, window=9, agreement=agreement)
    outputs = procedure.infer(Alike(), truth[None].astype(np.float32))
    labels = recipes.get("ffn").decode(outputs, below=1)
    table = emfast.contingency(truth, labels)
    assert table.adapted_rand().error == 0
    assert (labels > 0).all() and labels.max() == 3


def test_decoding_drops_small_objects():
    labels = np.array([[[[4, 4, 4, 0, 9]]]], np.uint32)
    assert recipes.get("ffn").decode({"object": labels}, below=2).tolist() == [[[1, 1, 1, 0, 0]]]


@pytest.mark.parametrize("place", [False, True])
def test_predict_goes_by_the_procedure(place, tmp_path):
    from emfast.inference import Model

    truth = np.ones((9, 16, 16), np.uint8)
    truth[:, 8:] = 2
    method = replace(recipes.get("ffn").shrunk(), procedure=Flooding(FLOOD, separation=4.0, window=9))
    model = Model(Alike(), method, Constants(), (1.0, 1.0, 1.0), recipes.get("ffn").decode, "ffn")
    target = str(tmp_path / "objects.zarr") if place else None
    found = emfast.predict(model, truth, target)
    assert list(found) == ["object"]
    labels = np.asarray(found["object"][...])
    assert labels.shape == (1, 9, 16, 16)
    assert emfast.contingency(truth, labels[0]).adapted_rand().error == 0
    for options in ({"heads": ["object"]}, {"dtype": "float16"}, {"settings": {"overlap": 0.1}}, {"batch": 2}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be left out for this model"):
            emfast.predict(model, truth, **options)


@pytest.mark.slow
def test_a_flood_learns_crops_by_heart():
    """Two objects with a wavy seam between them: from the middle of each, what is found where the moves go is that
    one alone."""
    recipe = recipes.get("ffn")
    method = recipe.shrunk()
    z, y, x = np.indices((15, 29, 41))
    seam = 20 + 3 * np.sin(y / 4) + 2 * np.sin(z / 3)
    labels = np.where(abs(x - seam) < 1, 0, np.where(x < seam, 1, 2)).astype(np.uint8)
    labels[abs(y - 14) > 11] = 0
    rng = np.random.default_rng(0)
    image = (np.where(labels > 0, 0.7, 0.3) + 0.05 * rng.standard_normal(labels.shape)).astype(np.float32)
    piece = Piece(image[None], {"labels": labels}, spacing=(16.0, 16.0, 16.0))
    torch.manual_seed(0)
    module = method.network.build(method.channels, method.outputs())
    teaching = method.procedure.teach(method, [piece], module.geometry, constants_of("standard", [piece]), 0)
    samples = [teaching.crop(piece, (0, 0, side)) for side in (0, 12)]
    batch = {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}
    sought = batch["target/object"] > 0
    optimiser = optimiser_of(method.optimiser, module.parameters())
    found = []
    for step in range(1, 401):
        loss, _ = teaching.loss(teaching.outputs(module.train(), batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 0:
            with torch.no_grad():
                outputs = teaching.outputs(module.eval(), batch)
            taken = torch.sigmoid(outputs["object"]) >= method.procedure.flood.take
            seen = torch.zeros_like(taken)
            for place, moved in zip(outputs["places"].int().tolist(), outputs["moved"].T > 0, strict=True):
                seen[(moved, 0, *method.procedure.flood.box(place))] = True
            each = [(a & b).sum() / (a | b).sum() for a, b in zip(taken & seen, sought & seen, strict=True)]
            found.append(float(min(each)))
            if found[-1] >= 0.9 and outputs["moved"].sum() >= 10:  # of the fourteen that there might be
                return
    pytest.fail(f"intersections over unions: {found}")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_flood_is_taught_in_any_precision(precision, tmp_path):
    recipe = recipes.get("ffn")
    made = emfast.phantom.make((40, 48, 48), spacing=(8, 8, 8))
    data = np.asarray(made.image), np.asarray(made.labels)
    options = {"settings": recipe.small, "steps": 2, "precision": precision, "device": "cpu", "progress": False}
    model = emfast.train("ffn", data, run=tmp_path, **options)
    assert all(torch.isfinite(p).all() for p in model.module.parameters())


# ---- detection


def test_boxes_of_a_section():
    numbers = torch.zeros(6, 8)
    numbers[1:3, 2:7] = 4
    numbers[5, 0] = 1
    found = boxes_of(numbers)
    assert found["boxes"].tolist() == [[0, 5, 1, 6], [2, 1, 7, 3]]
    assert found["labels"].tolist() == [1, 1]
    assert torch.equal(found["masks"], torch.stack([numbers == 1, numbers == 4]).to(torch.uint8))
    empty = boxes_of(torch.zeros(6, 8))
    assert empty["boxes"].shape == (0, 4) and empty["masks"].shape == (0, 6, 8)


class Detector(Module):
    """Finds what it is shown: each brightness of a section is an object; darker ones are likelier."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.geometry, self.places = GEOMETRY, {"object": Place((1, 1, 1), (0, 0, 0))}
        self.taught = []

    def detect(self, image):
        found = []
        for section in image.transpose(1, 2).flatten(0, 1)[:, 0]:
            ids = section[section > 0].unique()
            masks = (section == ids[:, None, None]).float()[:, None]
            found.append({"masks": masks, "scores": 1 / ids})
        return found

    def losses(self, image, targets):
        self.taught += targets
        return {"box": self.weight.sum(), "mask": 2 * self.weight.sum()}

    def forward(self, image):
        return {"object": (image[:, :1] > 0) * 20.0 - 10}


def test_the_likeliest_object_has_the_voxels():
    found = {"masks": np.zeros((3, 1, 2, 4), np.float32), "scores": np.array([0.6, 0.9, 0.4], np.float32)}
    found["masks"][0, 0, :, :3] = 1
    found["masks"][1, 0, 0] = 1
    found["masks"][2] = 1
    section = Detection(least=0.5).painted(found, np.zeros((2, 4), np.uint32))
    assert section.tolist() == [[1, 1, 1, 1], [2, 2, 2, 0]]


def test_detection_learns_boxes_and_is_judged_by_voxels():
    recipe = recipes.get("liu2020")
    labels = np.zeros((1, 128, 128), np.uint8)
    labels[0, 10:20, 30:60] = 3
    module = Detector()
    piece = Piece(labels[None].astype(np.float32), {"labels": labels})
    teaching = recipe.method.procedure.teach(recipe.shrunk(), [piece], GEOMETRY, Constants(), 0)
    batch = {name: torch.from_numpy(array)[None] for name, array in teaching.crop(piece, (0, 0, 0)).items()}
    loss, by_name = teaching.loss(teaching.outputs(module, batch), batch)
    assert float(loss.detach()) == 3 and list(by_name) == ["box", "mask"]
    assert module.taught[0]["boxes"].tolist() == [[30, 10, 60, 20]]
    loss.backward()
    with torch.no_grad():
        loss, by_name = teaching.loss(teaching.outputs(module, batch), batch)
    assert list(by_name) == ["object"] and float(loss) < 1e-3


def test_objects_of_sections_are_linked():
    truth = np.zeros((3, 16, 16), np.uint8)
    truth[:, 2:6, 2:6] = 1
    truth[1:, 9:14, 9:14] = 2
    outputs = Detection(least=0.1).infer(Detector(), truth[None].astype(np.float32))
    assert outputs["object"].shape == (1, 3, 16, 16)
    assert np.array_equal(recipes.get("liu2020").decode(outputs), truth)


@pytest.mark.slow
def test_detection_learns_a_section_by_heart():
    """Where objects are, and which: seven, of 2 to 346 voxels."""
    vision.torchvision()
    recipe = recipes.get("liu2020")
    method = recipe.shrunk()
    phantom = emfast.phantom.make((1, 144, 144), seed=3, spacing=(30, 16, 16))
    piece = Piece(phantom.image[None], {"labels": phantom.mitochondria}, spacing=phantom.spacing)
    torch.manual_seed(0)
    module = method.network.build(method.channels, method.outputs())
    teaching = method.procedure.teach(method, [piece], module.geometry, constants_of("standard", [piece]), 0)
    sample = {name: torch.from_numpy(array)[None] for name, array in teaching.crop(piece, (0, 8, 8)).items()}
    truth = phantom.mitochondria[:, 8:-8, 8:-8]

    def learnt():
        outputs = method.procedure.infer(module.eval(), sample["image"][0].numpy(), spacing=piece.spacing)
        labels = np.asarray(recipe.decode(outputs, spacing=piece.spacing))
        table = emfast.contingency(truth > 0, labels > 0)
        return table.binary(1).iou, emfast.contingency(truth, labels, ignore=(0,)).adapted_rand().error

    optimiser = optimiser_of(method.optimiser, module.parameters())
    found = []
    for _ in range(15):
        for _ in range(20):
            loss, _ = teaching.loss(teaching.outputs(module.train(), sample), sample)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        found.append(learnt())
        if found[-1][0] >= 0.8 and found[-1][1] <= 0.1:
            return
    pytest.fail(f"intersections over unions and adapted Rand errors: {found}")


# ---- block by block


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("below", [0, 60])
@pytest.mark.parametrize("place", [False, True])
def test_components_by_blocks(dtype, below, place, tmp_path):
    rng = np.random.default_rng(1)
    values = emfast.phantom.make((12, 48, 48), seed=1).mitochondria > 0
    values = (values * 0.7 + 0.3 * rng.random(values.shape))[None].astype("float32")
    values = (values * 255).astype("uint8") if dtype == "uint8" else values
    source, target = values, None
    if place:
        source, target = str(tmp_path / "p.zarr"), str(tmp_path / "out.zarr")
        with emfast.open_volume(source, mode="w", shape=values.shape, dtype=dtype, chunks=(1, 4, 16, 16)) as out:
            out[...] = values
    found = segment_components({"mask": source}, target, threshold=0.29, below=below, block=(4, 16, 16))
    expected = components({"mask": values}, threshold=0.29, below=below)
    assert expected.max() > 1
    assert np.array_equal(np.asarray(found[...]), expected)
    assert found.dtype == expected.dtype
    if place:
        assert {p.name for p in tmp_path.iterdir()} == {"p.zarr", "out.zarr"}


def test_distances_by_blocks():
    distance = np.random.default_rng(0).uniform(-1, 1, (1, 6, 16, 16)).astype("float32")
    distance[0, 0, 0, :3] = 0
    found = segment_components({"clefts": distance}, None, head="clefts", threshold=0.0, above=True, block=(3, 8, 8))
    assert np.array_equal(found, emfast.segmentation.distance_threshold(distance[0]))
    with pytest.raises(TypeError, match="outputs of mask must be floats"):
        segment_components({"mask": np.zeros((1, 2, 2, 2), "uint8")}, None, above=True)


def test_affinities_by_blocks():
    affinities = emfast.phantom.make((12, 48, 48), seed=1).affinities
    found = segment_nearest({"affinities": affinities}, None, threshold=0.4, score="quantile:0.5", block=(6, 24, 24))
    expected = nearest_affinities({"affinities": affinities}, threshold=0.4, score="quantile:0.5")
    assert np.array_equal(found, expected)


def test_a_class_is_decoded_by_its_number():
    recipe = recipes.get("heinrich2021")
    distances = np.random.default_rng(0).uniform(-1, 1, (3, 6, 16, 16)).astype("float32")
    outputs = {"organelles": distances}
    for organelle in (1, 2, 3):
        wanted = emfast.segmentation.distance_threshold(distances[organelle - 1], threshold=0.1)
        options = {"organelle": organelle, "threshold": 0.1, "below": 0}
        assert np.array_equal(recipe.decode(outputs, **options), wanted)
        assert np.array_equal(recipe.segment(outputs, block=(3, 8, 8), **options), wanted)
    for organelle in (0, 4):
        with pytest.raises(ValueError, match="organelle must be"):
            recipe.decode(outputs, organelle=organelle)
        with pytest.raises(ValueError, match=r"organelle must be|channel must be"):
            recipe.segment(outputs, organelle=organelle)


def test_several_classes_want_a_name():
    values = np.random.default_rng(0).random((4, 6, 16, 16), np.float32)
    for decode in (components, recipes.get("objects").decode, segment_components, recipes.get("mekuc2022").decode):
        with pytest.raises(ValueError, match=r"channel must be named where there are several classes, got none for 4"):
            decode({"mask": values})
    wanted = emfast.segmentation.threshold_components(values[2])
    assert wanted.max() > 1
    assert np.array_equal(components({"mask": values}, channel=2), wanted)
    assert np.array_equal(recipes.get("objects").decode({"mask": values}, channel=2), wanted)
    assert np.array_equal(segment_components({"mask": values}, channel=2, block=(3, 8, 8)), wanted)
    with pytest.raises(ValueError, match="channel must be from 0 to 3, got 4"):
        segment_components({"mask": values}, channel=4)


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.1])
def test_what_is_no_probability_is_refused_by_blocks_too(value):
    values = np.zeros((1, 4, 8, 8), np.float32)
    values[0, 3, 7, 7] = value
    with pytest.raises(ValueError, match="outputs of mask must be from 0 to 1"):
        components({"mask": values})
    with pytest.raises((ValueError, emfast.errors.BlocksFailed), match="outputs of mask must be from 0 to 1"):
        segment_components({"mask": values}, block=(2, 8, 8), retries=0)


def test_distances_must_be_finite_by_blocks_too():
    values = np.zeros((1, 4, 8, 8), np.float32)
    values[0, 3, 7, 7] = np.nan
    with pytest.raises((ValueError, emfast.errors.BlocksFailed), match="must be finite"):
        segment_components({"mask": values}, above=True, threshold=0.0, block=(2, 8, 8), retries=0)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_thresholds_are_checked_and_of_any_kind(dtype):
    values = (np.random.default_rng(0).random((1, 4, 8, 8)) * (255 if dtype == "uint8" else 1)).astype(dtype)
    for threshold in (1.5, -0.1):
        for decode in (components, segment_components):
            with pytest.raises(ValueError, match="threshold must be from 0 to 1"):
                decode({"mask": values}, threshold=threshold)
    for threshold in (np.float64(0.6), np.float32(0.25), np.linspace(0, 1, 11)[6]):  # the last is 0.6000000000000001
        found = segment_components({"mask": values}, threshold=threshold, block=(2, 8, 8))
        assert np.array_equal(found, components({"mask": values}, threshold=threshold))


# ---- decoders


def test_seeds_stay_in_their_object():
    """Two objects under one middle are two; one without a middle is one too."""
    mask = np.zeros((1, 5, 20), np.float32)
    mask[:, 1:4, 1:6] = mask[:, 1:4, 8:13] = mask[:, 1:4, 15:19] = 0.9
    middle = np.zeros_like(mask)
    middle[:, 2, 3:11] = 0.8
    labels = seeded_by(mask, middle, seed=0.5, inside=0.5, below=0)
    assert np.array_equal(labels, emfast.connected_components(mask > 0.5)) and labels.max() == 3


def test_parts_without_a_seed_are_their_own():
    """However near a seed of another part lies; seeds share the part that they lie in."""
    mask = np.zeros((1, 1, 24), np.float32)
    mask[..., :10] = mask[..., 12:15] = mask[..., 20:] = 0.9
    contour = np.ones_like(mask)
    contour[..., 1] = contour[..., 8:10] = contour[..., 21] = 0
    outputs = {"mask": mask[None], "contour": contour[None]}
    decode = recipes.get("li2022_r").decode
    wanted = [1] * 5 + [2] * 5 + [0] * 2 + [3] * 3 + [0] * 5 + [4] * 4
    assert decode(outputs)[0, 0].tolist() == wanted
    near = decode(outputs, radius=8.0, spacing=(1, 1, 4))[0, 0]  # two voxels from a seed, and parts without one
    assert near.tolist() == [1] * 4 + [0] * 2 + [2] * 4 + [0] * 2 + [3] * 3 + [0] * 5 + [4] * 4
    contour[:] = 1
    assert np.array_equal(decode(outputs), emfast.connected_components(mask > 0.5))


# ---- predicted, then decoded


@pytest.mark.parametrize("name", ["fakhry2017", "mekuc2022", "cao2020"])
def test_predictions_in_bytes_are_decoded_as_shares(name):
    from emfast.inference import Model
    from emfast.inference._segment import segment_image

    recipe = recipes.get(name)
    method = replace(recipe.method, network=Identity(), patch=(6, 12, 12), inference=Inference())
    module = method.network.build(1, method.outputs()).eval()
    of = Model(module, method, Constants(127.0, 20.0), (16.0, 8.0, 8.0), recipe.decode, name)
    image = emfast.phantom.make((6, 24, 24), spacing=(16, 16, 16)).image
    found = segment_image(of, image, dtype="uint8")
    said = {k: v / np.float32(255) for k, v in emfast.predict(of, image, dtype="uint8").items()}
    wanted = recipe.decode(said, spacing=(16.0, 8.0, 8.0))
    assert wanted.max() > 1
    assert np.array_equal(found, wanted)


def test_flips_within_sections_are_four():
    from emfast.inference import Model
    from emfast.inference._symmetry import group

    members = group("xyflips")
    assert {m.flips for m in members} == {(), (1,), (2,), (1, 2)} and not any(m.transposed for m in members)
    assert len(members) == 4
    assert recipes.get("wei2020").method.inference.symmetries == "xyflips"
    head = recipes.get("objects").method.heads[0]
    method = Method(Tiny(), (head,), (6, 12, 12))
    module = Tiny().build(1, method.outputs()).eval()
    of = Model(module, method, Constants(100.0, 50.0), (1.0, 1.0, 1.0))
    image = np.random.default_rng(0).integers(0, 255, (6, 12, 12), dtype=np.uint8)
    axes = [(), (1,), (2,), (1, 2)]
    each = [np.flip(emfast.predict(of, np.flip(image, a))["mask"][0], a) for a in axes]
    found = emfast.predict(of, image, settings={"symmetries": "xyflips"})["mask"][0]
    np.testing.assert_allclose(found, np.mean(each, 0), atol=1e-6)
    assert abs(each[0] - found).max() > 1e-3
