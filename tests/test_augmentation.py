import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import _settings
from emfast.augmentation import (
    All,
    Artefact,
    Augmentation,
    Blur,
    Brightness,
    Clip,
    Contrast,
    CutOut,
    Elastic,
    Equalise,
    Flip,
    Gamma,
    Jitter,
    Lost,
    LowContrast,
    Misalign,
    Missing,
    MotionBlur,
    Noise,
    OneOf,
    OutOfFocus,
    PiecewiseAffine,
    Rotate,
    Scale,
    Shear,
    Slip,
    deepem,
    flips,
    gunpowder,
    plain,
    unet,
)
from emfast.augmentation._geometry import members
from emfast.sampling import Crop, Piece, cut, generator

MOVES = [
    Flip("xy8z"),
    Flip("cube"),
    Rotate(30),
    Rotate(180),
    Rotate(20, axes="zyx"),
    Scale(0.7, 1.3),
    Scale(0.8, 1.1, axes="zyx", each=True),
    Shear(10),
    Elastic((2, 6, 5), (0.5, 1.5, 1.0)),
    Elastic((0, 9, 9), (0, 2, 2)),
    PiecewiseAffine(4, 1.5),
    Misalign(0, 5),
    Misalign(1, 3, angle=20),
    Misalign(0, 4, rate=0.5),
    Misalign(2, 6, missing=True),
    Slip(0, 5),
    Slip(1, 3, rate=0.4, labels=True),
    Jitter(0.7),
    Lost(3),
    Lost(1, missing=True),
]
TONES = [
    Brightness(0.2, per="section"),
    Contrast(0.5, 1.5),
    Contrast(0.5, 1.5, about="black", per="either"),
    Gamma(0.5, 2, per="section"),
    Noise(0.01, 0.1),
    Clip(),
    Blur(0, 3, per="section"),
    Blur(1, 1, axes="zyx"),
    Equalise(),
    Missing(3, partial=0.5),
    Missing(rate=0.5, value="mean"),
    Missing(2, value="random"),
    OutOfFocus(2, partial=0.5),
    MotionBlur(2),
    LowContrast(2, partial=0.5),
    Artefact(2),
    CutOut(2, low=(1, 2, 2), high=(2, 4, 4)),
]
MIXTURES = [deepem(), gunpowder(), flips(), plain(), unet()]
SHAPE, SPACING = (6, 11, 14), (30.0, 8.0, 10.0)


def crop_of(shape, seed=0, channels=1, dtype="u1"):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (channels, *shape)).astype(dtype)
    labels = rng.integers(0, 9, shape).astype("u4")
    return Crop(image, {"cells": labels}, {"cells": np.ones(shape, bool)}, SPACING)


def with_margin(augmentation, shape=SHAPE, extra=0, **more):
    return crop_of(
        [n + 2 * (m + extra) for n, m in zip(shape, augmentation.margin(shape, SPACING), strict=True)], **more
    )


def equal(a, b):
    return (
        np.array_equal(a.image, b.image)
        and all(np.array_equal(a.labels[k], b.labels[k]) for k in a.labels)
        and all(np.array_equal(a.masks[k], b.masks[k]) for k in a.masks)
    )


def test_no_steps_cut_the_middle():
    crop = crop_of((8, 9, 10), dtype="u2")
    out = Augmentation().apply(crop, (4, 5, 6), generator(0, 0))
    assert out.image.dtype == np.float32 and np.array_equal(out.image, crop.image[:, 2:6, 2:7, 2:8])
    assert np.array_equal(out.labels["cells"], crop.labels["cells"][2:6, 2:7, 2:8])
    out.image[:], out.labels["cells"][:] = 0, 0  # arrays of its own
    assert crop.image.any() and crop.labels["cells"].any()


def test_crops_smaller_than_the_patch_are_continued():
    crop = crop_of((3, 4, 5))
    out = Augmentation().apply(crop, (5, 4, 7), generator(0, 0))
    assert np.array_equal(out.image, np.pad(crop.image, [(0, 0), (1, 1), (0, 0), (1, 1)], "edge"))
    assert np.array_equal(out.masks["cells"], np.pad(crop.masks["cells"], [(1, 1), (0, 0), (1, 1)]))


def test_groups_are_groups():
    sizes = {"xyflips": 4, "flips": 8, "xy8": 8, "xy8z": 16, "cube": 48}
    for name, size in sizes.items():
        group = {m.astype(int).tobytes() for m in members(name)}
        assert len(group) == len(members(name)) == size
        assert np.array_equal(members(name)[0], np.eye(3))
        assert all((a @ b).astype(int).tobytes() in group for a, b in itertools.product(members(name), repeat=2))


@pytest.mark.parametrize("group", ["xyflips", "flips", "xy8", "xy8z", "cube"])
def test_flips_are_numpys(backend, group):
    """Every member comes as NumPy has it, and each about as often."""
    crop = replace(crop_of((5, 5, 5), channels=2), spacing=(8.0, 8.0, 8.0))
    seen = set()
    for k in range(300 if group == "cube" else 80):
        out = flips(group).apply(crop, (5, 5, 5), generator(0, k))
        found = [
            (order, turned)
            for order in itertools.permutations(range(3))
            for turned in itertools.product((1, -1), repeat=3)
            if np.array_equal(
                out.labels["cells"], crop.labels["cells"].transpose(order)[tuple(slice(None, None, t) for t in turned)]
            )
        ]
        assert len(found) == 1
        ((order, turned),) = found
        view = crop.image.transpose(0, *(1 + o for o in order))[(slice(None), *(slice(None, None, t) for t in turned))]
        assert np.array_equal(out.image, view) and out.masks["cells"].all()
        seen.add(found[0])
    assert len(seen) == len(members(group))


def test_axes_of_other_lengths_are_not_exchanged():
    """Voxels that differ along y and x: flips alone; along z alone: the symmetries of sections."""
    for spacing, sizes in (((30, 8, 10), (4, 8, 8)), ((30, 8, 8), (8, 16, 16)), ((8, 8.001, 8), (8, 16, 48))):
        for group, size in zip(("xy8", "xy8z", "cube"), sizes, strict=True):
            found = members(group, spacing)
            assert len(found) == size
            assert all(np.allclose(np.abs(matrix) @ spacing, spacing, rtol=0.01) for matrix in found)
    assert flips("xy8").margin((3, 10, 20), (30, 8, 8)) == (0, 5, 0)
    assert flips("xy8").margin((3, 10, 21), (30, 8, 8)) == (0, 6, 1)
    assert flips("cube").margin((3, 10, 20), (30, 8, 10)) == (0, 0, 0)
    crop = with_margin(flips("xy8"), (1, 3, 5))
    for k in range(20):
        labels = flips("xy8").apply(crop, (1, 3, 5), generator(0, k)).labels["cells"]
        assert np.array_equal(np.sort(labels, None), np.sort(crop.labels["cells"], None))


@pytest.mark.parametrize("step", MOVES, ids=repr)
def test_what_lies_beyond_the_margin_is_never_seen(step):
    augmentation = Augmentation((Flip("xy8z"), step, Rotate(10), Scale(0.9, 1.0)))
    for k in range(20):
        one, two = with_margin(augmentation, extra=2, seed=k), with_margin(augmentation, extra=2, seed=1000 + k)
        inner = tuple(slice(2, n - 2) for n in one.image.shape[1:])
        two.image[(slice(None), *inner)] = one.image[(slice(None), *inner)]  # other voxels around the same ones
        two.labels["cells"][inner] = one.labels["cells"][inner]
        one.masks["cells"][:], two.masks["cells"][:] = True, False
        two.masks["cells"][inner] = True
        a, b = (augmentation.apply(crop, SHAPE, generator(1, k)) for crop in (one, two))
        assert equal(a, b) and b.masks["cells"].all()


@pytest.mark.parametrize("mixture", MIXTURES, ids=["deepem", "gunpowder", "flips", "plain", "unet"])
def test_margins_of_mixtures(mixture):
    for k in range(20):
        out = mixture.apply(with_margin(mixture, seed=k), SHAPE, generator(2, k))
        assert out.masks["cells"].all() and np.isfinite(out.image).all()
        assert out.image.shape == (1, *SHAPE) and out.labels["cells"].shape == SHAPE


def test_margins_are_no_larger_than_needed():
    def margin(*steps, shape=(9, 101, 101)):
        return Augmentation(steps).margin(shape, (30, 8, 8))

    assert margin() == margin(Flip("xy8z")) == margin(Noise()) == (0, 0, 0)
    assert margin(Flip("xy8z"), shape=(9, 101, 51)) == (0, 0, 25)
    assert margin(Flip("xy8z"), shape=(9, 101, 50)) == (0, 1, 26)  # no voxel is in the middle of both sides
    assert margin(Misalign(0, 17)) == (0, 9, 9) and margin(Slip(0, 17)) == (0, 17, 17) and margin(Lost(3)) == (2, 0, 0)
    assert margin(OneOf((Misalign(0, 17), Lost(1)))) == (1, 9, 9)
    assert margin(All((Slip(0, 2), Slip(0, 3)))) == (0, 5, 5)
    assert margin(Rotate(180)) == (0, 21, 21)  # 50 sqrt(2) = 70.7
    assert margin(Scale(0.5, 1)) == (0, 51, 51)  # 100 and what 32 bits may be off
    assert margin(Elastic((4, 40, 40), (0, 2, 2))) == (0, 7, 7)  # three deviations, and the same


@pytest.mark.parametrize("step", MOVES, ids=repr)
def test_moves_keep_constant_images_and_make_no_ids(step, backend):
    augmentation = Augmentation((step,))
    for k in range(5):
        crop = crop_of([n + 2 for n in SHAPE], seed=k)  # less than the margin of most
        crop.image[:] = 77
        crop.labels["cells"][crop.labels["cells"] == 3] = 100
        out = augmentation.apply(crop, SHAPE, generator(3, k))
        blank = {0.0, 77.0} if getattr(step, "missing", False) else {77.0}
        assert set(np.unique(out.image)) <= blank
        assert set(np.unique(out.labels["cells"])) <= {0, *np.unique(crop.labels["cells"])}
        assert not out.labels["cells"][~out.masks["cells"]].any()


@pytest.mark.parametrize("steps", [MOVES, TONES, *(m.steps for m in MIXTURES)], ids=lambda s: f"{len(s)} steps")
def test_one_sample_whatever_the_threads_and_the_backend(backend, steps):
    augmentation = Augmentation(tuple(steps))
    crop = crop_of([n + 6 for n in SHAPE], channels=2)
    for k in range(3):
        found = []
        for n in (1, 2, 5):
            emfast.set_threads(n)
            found.append(augmentation.apply(crop, SHAPE, generator(4, k)))
        emfast.set_threads(0)
        assert equal(found[0], found[1]) and equal(found[0], found[2])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(emfast._native, "host", emfast._core)
            assert equal(found[0], augmentation.apply(crop, SHAPE, generator(4, k)))
    assert not equal(found[0], augmentation.apply(crop, SHAPE, generator(5, 0)))


def test_a_quarter_turn_is_a_transposition():
    """Anisotropic voxels: what turns by 90 degrees changes its length in voxels, as the tissue has it."""
    line = np.zeros((1, 1, 21, 41), "u1")
    line[0, 0, 10, 10:31] = 200  # 21 voxels of 8 nm along x
    crop = Crop(line, {}, {}, (30.0, 16.0, 8.0))
    rotate = Augmentation((Rotate(90),))

    class Quarter:
        def uniform(self, low, high):
            return high

    out = rotate.apply(crop, (1, 21, 41), Quarter()).image[0, 0]
    column = out[:, 20]
    assert (column[6:15] > 199).all() and column[4] == 0 == column[16]  # 11 voxels of 16 nm along y, 5 to 15
    assert out[:, :19].max() == 0


def test_enlarging_keeps_the_middle():
    crop = crop_of((1, 21, 21))
    out = Augmentation((Scale(2, 2),)).apply(crop, (1, 21, 21), generator(0, 0))
    assert np.array_equal(out.image[0, 0, ::2, ::2], crop.image[0, 0, 5:16, 5:16])
    assert np.array_equal(
        out.image[0, 0, 10, 1::2], (crop.image[0, 0, 10, 5:15] / 2.0 + crop.image[0, 0, 10, 6:16] / 2.0)
    )


def slices(crop, out, z):
    """The shifts (y, x) at which a section of the patch is a slice of the crop's section `from`."""
    _, height, width = out.shape
    found = []
    for section in range(len(crop)):
        for y, x in np.ndindex(crop.shape[1] - height + 1, crop.shape[2] - width + 1):
            if np.array_equal(crop[section, y : y + height, x : x + width], out[z]):
                found.append((section, y, x))
    return found


@given(seed=st.integers(0, 10**6))
def test_misalignments_are_slices(seed):
    augmentation = Augmentation((Misalign(1, 5),))
    crop = with_margin(augmentation, seed=1)
    out = augmentation.apply(crop, SHAPE, generator(seed, 0))
    places = [slices(crop.labels["cells"], out.labels["cells"], z) for z in range(SHAPE[0])]
    assert all(len(p) == 1 and p[0][0] == z for z, p in enumerate(places))
    shifts = np.array([p[0][1:] for p in places])
    steps = np.abs(np.diff(shifts, axis=0))
    moved = np.flatnonzero(steps.any(1))
    assert len(moved) == 1 and (steps[moved[0]] >= 1).all() and (steps[moved[0]] <= 5).all()
    for z, (y, x) in enumerate(shifts):
        box = (slice(y, y + SHAPE[1]), slice(x, x + SHAPE[2]))
        assert np.array_equal(out.image[0, z], crop.image[0, z][box])


def test_slips_and_their_labels():
    for labels in (False, True):
        augmentation = Augmentation((Slip(1, 4, labels=labels),))
        crop = with_margin(augmentation)
        inner = crop.inner((0, 4, 4))
        for k in range(20):
            out = augmentation.apply(crop, SHAPE, generator(k, 0))
            slipped = [z for z in range(SHAPE[0]) if not np.array_equal(out.image[:, z], inner.image[:, z])]
            assert len(slipped) == 1 and 0 < slipped[0] < SHAPE[0] - 1
            same = np.array_equal(out.labels["cells"], inner.labels["cells"])
            assert same != labels


def test_missing_sections_at_misalignments_have_labels_between():
    augmentation = Augmentation((Misalign(6, 6, missing=True),))
    crop = with_margin(augmentation)
    for k in range(20):
        out = augmentation.apply(crop, SHAPE, generator(k, 0))
        black = np.flatnonzero(~out.image[0].any((1, 2)))
        assert len(black) in (1, 2) and (np.diff(black) == 1).all()
        places = np.array([slices(crop.labels["cells"], out.labels["cells"], z)[0][1:] for z in range(SHAPE[0])])
        steps = np.abs(np.diff(places, axis=0))
        assert steps.max() == (3 if len(black) == 1 else 2)  # six voxels in two or three steps
        if black[0] > 0 and black[-1] < SHAPE[0] - 1:
            assert np.abs(places[-1] - places[0]).tolist() == [6, 6]


def test_lost_sections_are_left_out():
    augmentation = Augmentation((Lost(2),))
    crop = with_margin(augmentation)
    counts = set()
    for k in range(30):
        out = augmentation.apply(crop, SHAPE, generator(k, 0))
        sections = [slices(crop.labels["cells"], out.labels["cells"], z)[0][0] for z in range(SHAPE[0])]
        gaps = np.diff(sections) - 1
        assert (gaps != 0).sum() == 1
        counts.add(int(gaps.max()))
    assert counts == {1, 2}


def test_elastic_fields_have_their_deviation():
    """At control points, over many samples; and none between sections that move alike."""
    from emfast.augmentation._motion import Motion

    fields = []
    for k in range(200):
        motion = Motion((9, 33, 33), (1, 1, 1), 8)
        Elastic((0, 16, 16), (0, 2, 3)).move(motion, generator(k, 0))
        fields.append(motion.displacements)
    fields = np.array(fields)
    assert fields.shape == (200, 9, 3, 6, 6) and not fields[:, :, 0].any()
    assert (fields == fields[:, :1]).all() and np.abs(fields).max() <= 9
    for axis, sigma in ((1, 2), (2, 3)):
        at_points = fields[:, 0, axis, ::2, ::2]
        # 200 samples of 9 points, each of which shares with its neighbours; the ends at three deviations take little.
        assert abs(at_points.std() / sigma - 1) < 0.08


@pytest.mark.parametrize("distance", [4, 6, 12, 18, 20, 31])
def test_near_control_points_are_as_strong(distance):
    """What is between nodes is linear, and close enough to the splines at the pitch the step asks for."""
    from emfast.augmentation._motion import Motion

    step, found = Elastic((0, distance, distance), (0, 1, 1)), []
    points = np.arange(0, 3 * distance, distance)
    for k in range(300):
        motion = Motion((1, 3 * distance, 3 * distance), (1, 1, 1), step.pitch())
        step.move(motion, generator(k, 0))
        rows, columns = motion.nodes()
        field = motion.displacements[0, 1]
        along = np.array([np.interp(points, columns, row) for row in field])
        found.append([np.interp(points, rows, column) for column in along.T])
    assert abs(np.std(found) - 1) < 0.08
    assert Elastic((0, 32, 40)).pitch() == Elastic((0, 256, 256)).pitch() == 8 and Elastic((0, 1, 9)).pitch() == 1


def test_tones_do_what_they_say():
    crop = crop_of(SHAPE)
    image = crop.image.astype(np.float32)

    def made(*steps, **more):
        return Augmentation(tuple(steps), **more).apply(crop, SHAPE, generator(0, 0)).image

    brighter = made(Brightness(0.1)) - image
    assert np.ptp(brighter) < 1e-4 and 0 < abs(brighter.mean()) <= 25.5
    each = (made(Brightness(0.1, per="section")) - image).mean((0, 2, 3))
    assert len(np.unique(np.round(each, 3))) == SHAPE[0] and np.abs(each).max() <= 25.5
    assert np.allclose(made(Contrast(2, 2)).mean((0, 2, 3)), image.mean((0, 2, 3)), atol=1e-3)
    assert np.allclose(made(Contrast(2, 2)).std((0, 2, 3)), 2 * image.std((0, 2, 3)), rtol=1e-5)
    assert np.array_equal(made(Contrast(2, 2, about="black")), 2 * image)
    assert np.array_equal(made(Contrast(2, 2, about="black"), Clip()), np.minimum(2 * image, 255))
    # One after another in their order, though one native pass makes several.
    both = made(Contrast(2, 2, about="black"), Clip(), Contrast(0.5, 0.5, about="black"))
    assert np.array_equal(both, np.minimum(2 * image, 255) / 2)
    assert np.allclose(made(Gamma(2, 2)), (image / 255) ** 2 * 255, atol=1e-3)
    assert np.allclose(made(Gamma(2, 2), Gamma(0.5, 0.5)), image, atol=1e-2)
    assert np.allclose(made(Gamma(2, 2), black=-255.0, white=255.0), ((image + 255) / 510) ** 2 * 510 - 255, atol=1e-3)
    noise = made(Noise(0.1, 0.1), Noise(0.1, 0.1)) - image
    assert abs(noise.std() / (25.5 * math.sqrt(2)) - 1) < 5 / math.sqrt(2 * image.size)
    assert made(Equalise(1, 1)).std() != image.std() and np.allclose(made(Equalise(0, 0)), image, atol=1e-4)


def test_ends_of_grey_values_are_asked_for_where_they_matter():
    dark, bright = (replace(crop_of(SHAPE), image=np.full((1, *SHAPE), v, np.float32)) for v in (-3, 170))
    for step in (Brightness(), Gamma(), Noise(), Clip(), Equalise(), Missing(value="random"), Artefact()):
        with pytest.raises(ValueError, match="white must be given for float images that reach 170"):
            Augmentation((step,)).apply(bright, SHAPE, generator(0, 0))
        Augmentation((step,), white=200.0).apply(bright, SHAPE, generator(0, 0))
    for step in (Contrast(about="black"), Missing(), CutOut(value="black"), Lost(missing=True), Clip()):
        with pytest.raises(ValueError, match="black must be given for float images that reach -3"):
            Augmentation((step,)).apply(dark, SHAPE, generator(0, 0))
        Augmentation((step,), black=-4.0).apply(dark, SHAPE, generator(0, 0))
    still = (Flip(), Contrast(), Misalign(), Lost(), OutOfFocus(), LowContrast(), Missing(value="mean"), CutOut())
    for crop in (dark, bright):
        Augmentation(still).apply(crop, SHAPE, generator(0, 0))
    with pytest.raises(ValueError, match="black must be below white, got 300 and 255 for images of uint8"):
        Augmentation((Gamma(2, 2),), black=300.0).apply(crop_of(SHAPE), SHAPE, generator(0, 0))


def test_grey_values_of_images():
    """A thousandth of the voxels is below and above; integers are values that are there."""
    rng = np.random.default_rng(0)
    image = rng.permutation(np.arange(30000) // 10 + 500).reshape(1, 30, 20, 50).astype("u2")
    image[0, 0, 0, 0] = 65535
    found = plain().of_images([image[:, :10], image[:, 10:]])
    # The 16th value of sixteen sections, with a deviation of four places of 3000 / 16000 each; of eight the 8th.
    assert abs(found.black - 503) <= 4 and abs(found.white - 3496) <= 4
    assert found.steps == plain().steps and {found.black, found.white} <= set(image.ravel().tolist())
    assert found == plain().of_images([image[:, :10], image[:, 10:]])
    floats = plain().of_images([np.where(image > 65000, np.nan, image / 10).astype("f4")])
    assert abs(floats.black - 50.3) <= 0.5 and abs(floats.white - 349.6) <= 0.5
    flat = plain().of_images([np.full((1, 1, 4, 4), 7, "i4")])
    assert (flat.black, flat.white) == (7, 8)
    for same, images in (
        (plain(), [image.astype("u1")]),
        (Augmentation((Clip(),), black=3.0), [image]),
        (Augmentation(), [image]),
        (plain(), [image > 1000]),
    ):
        assert same.of_images(images) is same


def test_blur_is_gaussian():
    point = np.zeros((1, 1, 33, 33), np.float32)
    point[0, 0, 16, 16] = 1
    crop = Crop(point, {}, {}, SPACING)
    out = Augmentation((Blur(2, 2),)).apply(crop, (1, 33, 33), generator(0, 0)).image[0, 0].astype(float)
    at = np.arange(33) - 16
    assert abs(out.sum() - 1) < 1e-6 and np.allclose(out, out.T, atol=1e-9)
    # What is cut off beyond three deviations has a share of 2 (3 phi(3) + 1 - Phi(3)) = 2.9 per cent of the variance.
    assert 3.8 < (out.sum(0) * at**2).sum() < 4.0
    flat = Augmentation((MotionBlur(1, low=5, high=9), OutOfFocus(1))).apply(
        Crop(np.full((1, 3, 9, 9), 5, np.float32), {}, {}, SPACING), (3, 9, 9), generator(0, 0)
    )
    assert np.allclose(flat.image, 5, atol=1e-5)


def test_defects_spoil_as_many_sections_as_they_say():
    crop = crop_of((12, 9, 9))
    image = crop.image.astype(np.float32)
    for step in (
        Missing(4),
        OutOfFocus(4, low=1),
        MotionBlur(4),
        LowContrast(4),
        Artefact(4),
        Missing(4, value="mean"),
    ):
        seen = set()
        for k in range(40):
            out = Augmentation((step,)).apply(crop, (12, 9, 9), generator(k, 0)).image
            seen.add(int((out != image).any((0, 2, 3)).sum()))
        assert seen <= {1, 2, 3, 4} and len(seen) > 2, step
    counts = [
        (Augmentation((Missing(rate=0.25),)).apply(crop, (12, 9, 9), generator(k, 0)).image == 0).all((0, 2, 3)).sum()
        for k in range(100)
    ]
    assert abs(np.mean(counts) - 3) < 5 * math.sqrt(12 * 0.25 * 0.75 / 100)


def test_partial_defects_leave_the_rest():
    crop = crop_of((3, 40, 40))
    for step in (Missing(1, partial=1), OutOfFocus(1, partial=1, low=2), LowContrast(1, partial=1)):
        shares = []
        for k in range(60):
            out = Augmentation((step,)).apply(crop, (3, 40, 40), generator(k, 0)).image
            shares.append((out != crop.image).any((0,)).reshape(3, -1).mean(1).max())
        assert 0.3 < np.mean(shares) < 0.7  # half of the four parts, of random sizes


def test_mean_values_are_means():
    crop = crop_of((3, 8, 8))
    out = Augmentation((Missing(1, value="mean"),)).apply(crop, (3, 8, 8), generator(0, 0)).image[0]
    (z,) = np.flatnonzero((out == out[:, :1, :1]).all((1, 2)))
    assert math.isclose(out[z, 0, 0], crop.image[0, z].mean(), rel_tol=1e-6)


def test_cut_outs_can_be_unknown():
    crop = crop_of(SHAPE)
    for known in (True, False):
        step = CutOut(1, low=(2, 3, 4), high=(2, 3, 4), value="black", known=known)
        out = Augmentation((step,)).apply(crop, SHAPE, generator(0, 0))
        assert (out.image[0] != crop.image[0]).sum() > 12
        assert (~out.masks["cells"]).sum() == (0 if known else 24)
        assert crop.masks["cells"].all()


def test_banks_of_artefacts(tmp_path):
    picture = np.full((1, 5, 4), 255, "u1")
    picture[0, 1, 2] = 0  # one dark voxel
    np.save(tmp_path / "bank.npy", picture)
    crop = Crop(np.full((1, 4, 9, 9), 200, "u1"), {}, {}, SPACING)
    step = Artefact(1, bank=str(tmp_path / "bank.npy"), strength=1.0)
    places = set()
    for k in range(30):
        out = Augmentation((step,)).apply(crop, (4, 9, 9), generator(k, 0)).image[0]
        assert (out == 0).sum() == 1 and (out == 200).sum() == out.size - 1
        places.add(tuple(np.argwhere(out == 0)[0].tolist()))
    assert len(places) > 20
    np.save(tmp_path / "flat.npy", picture[0])
    with pytest.raises(ValueError, match=r"bank must be pictures \(n, y, x\), got shape \(5, 4\)"):
        Augmentation((Artefact(1, bank=str(tmp_path / "flat.npy")),)).apply(crop, (4, 9, 9), generator(0, 0))


def test_probabilities_and_weights():
    crop = crop_of((2, 3, 3))

    def share(step):
        made = [Augmentation((step,)).apply(crop, (2, 3, 3), generator(k, 0)).image for k in range(400)]
        return np.mean([not np.array_equal(image, crop.image) for image in made])

    slack = 5 * math.sqrt(0.25 / 400)
    dark = Missing(2)
    assert share(dark) == 1 and share(Missing(2, probability=0.0)) == 0
    assert abs(share(Missing(2, probability=0.3)) - 0.3) < slack
    assert abs(share(OneOf((dark, Clip()), (1.0, 3.0))) - 0.25) < slack
    assert abs(share(All((dark, dark), probability=0.5)) - 0.5) < slack


def test_pictures():
    """Depth 1: sections have no neighbours to be misaligned with."""
    for augmentation in MIXTURES:
        shape = (1, 12, 12)
        margin = augmentation.margin(shape, SPACING)
        crop = crop_of([n + 2 * m for n, m in zip(shape, margin, strict=True)])
        for k in range(10):
            assert augmentation.apply(crop, shape, generator(k, 0)).image.shape == (1, *shape)


def test_crops_of_pieces_are_read_in_place():
    """A crop is a view of the piece, which stays as it is."""
    rng = np.random.default_rng(0)
    image, labels = rng.integers(0, 255, (1, 12, 40, 44), "u1"), rng.integers(0, 9, (12, 40, 44)).astype(">i8")
    piece = Piece(image, {"a": labels.copy(), "b": labels.astype("u1")}, {"b": labels > 3}, SPACING)
    augmentation = Augmentation((Rotate(30), *TONES))
    corner = (2, 8, 8)
    crop = cut(piece, corner, (8, 24, 24))
    dense = Crop(
        crop.image.copy(),
        {name: array.copy() for name, array in crop.labels.items()},
        {name: np.ascontiguousarray(array) for name, array in crop.masks.items()},
        crop.spacing,
    )
    assert crop.image.base is not None
    a, b = (augmentation.apply(c, (8, 14, 14), generator(0, 0)) for c in (crop, dense))
    assert equal(a, b) and np.array_equal(piece.labels["a"], labels)


@pytest.mark.parametrize(
    "augmentation", [*MIXTURES, Augmentation((*MOVES, *TONES), black=3.0)], ids=lambda a: str(len(a.steps))
)
def test_settings_read_back_equal(augmentation):
    plain_values = _settings.to_dict(augmentation)
    assert _settings.from_dict(Augmentation, plain_values) == augmentation


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Flip(probability=1.5), "probability must be from 0 to 1, got 1.5"),
        (lambda: flips("xyz"), "group must be one of xyflips, flips, xy8, xy8z, cube, got 'xyz'"),
        (lambda: Scale(axes="xyz"), "axes must be one of yx, zyx, got 'xyz'"),
        (lambda: Brightness(per="sections"), "per must be one of volume, section, either, got 'sections'"),
        (lambda: Missing(value="white"), "value must be one of black, mean, random, got 'white'"),
        (lambda: Contrast(about="white"), "about must be one of mean, black, got 'white'"),
        (lambda: Rotate(200), "angle must be from 0 to 180, got 200"),
        (lambda: Scale(1.2, 1.1), r"high must be from low \(1.2\) to 10, got 1.1"),
        (lambda: Elastic((4, 0.5, 40)), "distance must be at least 1 voxel along y and x"),
        (lambda: Elastic(sigma=(1, 2)), "sigma must be 3 numbers"),
        (lambda: OneOf(()), "steps must be one or more, got none"),
        (lambda: OneOf((Clip(), Clip()), (1.0,)), "weights must be 2, one for each of steps, got 1"),
        (lambda: OneOf((Clip(),), (0.0,)), "weights must not be negative and not all 0"),
        (lambda: Misalign(rate=0.1, missing=True), "rate must be 0 with angle or missing, got 0.1"),
        (lambda: Missing(0), "sections must be from 1"),
        (lambda: CutOut(low=(9, 9, 9)), r"high must not be below low \(\(9, 9, 9\)\)"),
        (lambda: Augmentation(black=1.0, white=1.0), r"white must be above black \(1\), got 1.0"),
    ],
)
def test_mistakes_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
