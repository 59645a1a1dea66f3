"""Recipes with a procedure of their own: flood filling, detection; and decoders block by block."""

from __future__ import annotations

import numpy as np
import pytest

import emfast

torch = pytest.importorskip("torch")

from emfast import recipes  # noqa: E402
from emfast.inference._constants import Constants  # noqa: E402
from emfast.nn import FloodFill, Geometry, Module, Place  # noqa: E402
from emfast.recipes import Detection, Flooding  # noqa: E402
from emfast.recipes._blocks import segment_components, segment_nearest  # noqa: E402
from emfast.recipes._decoders import components, nearest_affinities  # noqa: E402
from emfast.recipes._detection import boxes_of  # noqa: E402
from emfast.recipes._flooding import visited  # noqa: E402
from emfast.sampling import Piece  # noqa: E402

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
    from dataclasses import replace

    from emfast.sampling import Uniform

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
    from dataclasses import replace

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


def test_what_is_missing_is_said():
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ModuleNotFoundError, match="pip install torchvision"):
            recipes.get("liu2020").shrunk().network.build(1, {"object": 1})
    else:
        assert recipes.get("liu2020").shrunk().network.build(1, {"object": 1}).places


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
    with pytest.raises(TypeError, match="outputs must be floats"):
        segment_components({"mask": np.zeros((1, 2, 2, 2), "uint8")}, None, above=True)


def test_affinities_by_blocks():
    affinities = emfast.phantom.make((12, 48, 48), seed=1).affinities
    found = segment_nearest({"affinities": affinities}, None, threshold=0.4, score="quantile:0.5", block=(6, 24, 24))
    expected = nearest_affinities({"affinities": affinities}, threshold=0.4, score="quantile:0.5")
    assert np.array_equal(found, expected)
