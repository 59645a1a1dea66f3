"""compat.skimage's scores against scikit-image itself."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emfast.compat import skimage

pairs = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 4, (2, 3, 5)))
shapes = hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)


@pytest.fixture(scope="module")
def peer():
    return pytest.importorskip("skimage.metrics")


@given(images=pairs, ignore=st.sampled_from([(), (0,), (1, 3)]))
def test_variation_of_information(peer, images, ignore):
    ours = skimage.variation_of_information(*images, ignore_labels=ignore)
    if np.isin(images[0], ignore).all():
        assert np.isnan(ours).all()
        return
    assert ours == pytest.approx(peer.variation_of_information(*images, ignore_labels=ignore), abs=1e-12)
    table = skimage.contingency_table(*images, ignore_labels=ignore, normalize=True)
    assert skimage.variation_of_information(table=table) == pytest.approx(ours, abs=1e-12)


@given(images=pairs, ignore=st.sampled_from([(), (0,), (1, 3)]), alpha=st.sampled_from([0, 0.5, 0.8]))
def test_adapted_rand_error(peer, images, ignore, alpha):
    ours = skimage.adapted_rand_error(*images, ignore_labels=ignore, alpha=alpha)
    with np.errstate(all="ignore"):
        theirs = peer.adapted_rand_error(*images, ignore_labels=ignore, alpha=alpha)
    assert [v for v in ours if not math.isnan(v)] == pytest.approx([v for v in theirs if np.isfinite(v)], abs=1e-12)
    table = skimage.contingency_table(*images, ignore_labels=ignore)
    assert skimage.adapted_rand_error(table=table, alpha=alpha) == pytest.approx(ours, nan_ok=True, abs=1e-12)


@given(images=pairs, ignore=st.sampled_from([None, (0,)]), kind=st.sampled_from(["matrix", "array"]))
def test_contingency_table(peer, images, ignore, kind):
    for normalize in (False, True):
        if normalize and ignore and not images[0].any():
            continue
        options = {"ignore_labels": ignore, "normalize": normalize, "sparse_type": kind}
        ours, theirs = skimage.contingency_table(*images, **options), peer.contingency_table(*images, **options)
        assert type(ours) is type(theirs)
        assert np.array_equal(ours.toarray(), theirs.toarray()) or np.allclose(ours.toarray(), theirs.toarray(), 1e-15)


@given(shape=shapes, data=st.data(), method=st.sampled_from(["standard", "modified"]))
def test_hausdorff(peer, shape, data, method):
    a, b = (data.draw(hnp.arrays(bool, shape)) for _ in range(2))
    distance = skimage.hausdorff_distance(a, b, method)
    assert distance == pytest.approx(peer.hausdorff_distance(a, b, method), rel=1e-12)
    if not (a.any() and b.any()):
        with pytest.warns(UserWarning, match="One or both of the images is empty"):
            assert skimage.hausdorff_pair(a, b) == ((), ())
        return
    p, q = skimage.hausdorff_pair(a, b)
    assert a[tuple(p)] and b[tuple(q)]
    theirs = peer.hausdorff_pair(a, b)
    assert np.linalg.norm(p - q) == pytest.approx(np.linalg.norm(theirs[0] - theirs[1]))


def test_errors_are_the_peer_s(peer):
    image = np.array([[1]])
    for module in (skimage, peer):
        with pytest.raises(ValueError, match="unrecognized method"):
            module.hausdorff_distance(image, image, "mean")
        with pytest.raises(ValueError, match="sparse_type"):
            module.contingency_table(image, image, sparse_type="list")
    with pytest.raises(ValueError, match="must not be negative"):
        skimage.contingency_table(-image, image)
