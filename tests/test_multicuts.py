"""multicut against an oracle, laws and a peer."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles


@st.composite
def graphs(draw, most=10):
    """Edges between few nodes, in parallel and to themselves too, and small integer costs: ties are everywhere."""
    n, m = draw(st.integers(1, most)), draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = np.sort(rng.choice(1000, n, replace=False))
    levels = draw(st.sampled_from([1, 3, 1000]))
    return ids[rng.integers(0, n, (m, 2))].reshape(m, 2), rng.integers(-levels, levels + 1, m)


@given(data=graphs(), solver=st.sampled_from(["gaec", "greedy_fixation"]))
def test_equals_the_oracle(backend, data, solver):
    edges, costs = data
    found = emfast.multicut(edges, costs, solver=solver)
    assert dict(found.table) == oracles.multicut(edges, costs, solver == "greedy_fixation")
    cut = [found.table[a] != found.table[b] for a, b in edges.tolist()]
    assert found.energy == costs[cut].sum() if len(edges) else found.energy == 0
    assert found.bound == costs[costs < 0].sum() <= found.energy


@given(data=graphs(most=5), solver=st.sampled_from(["gaec", "greedy_fixation"]))
def test_is_never_below_the_best(data, solver):
    edges, costs = data
    nodes = np.unique(edges)
    places = np.searchsorted(nodes, edges).reshape(-1, 2)
    best = 0
    for parts in product(range(len(nodes)), repeat=len(nodes)):
        ends = np.array(parts, int)[places]
        best = min(best, costs[ends[:, 0] != ends[:, 1]].sum())
    found = emfast.multicut(edges, costs, solver=solver)
    assert found.bound <= best <= found.energy
    assert found.energy <= costs[edges[:, 0] != edges[:, 1]].sum()  # that of single nodes, where both begin


def _fragments():
    affinities = emfast.phantom.make((24, 64, 64), seed=1, spacing=(16, 8, 8)).affinities
    return emfast.watershed(affinities, low=0.1), affinities


@pytest.mark.parametrize("solver", ["gaec", "greedy_fixation"])
def test_a_region_graph_and_the_energy_of_a_peer(backend, solver):
    fragments, affinities = _fragments()
    graph = emfast.region_graph(affinities, fragments)
    found = emfast.multicut(graph, solver=solver)
    assert emfast.remap(fragments, found.table, missing=0).shape == fragments.shape
    assert 1 < found.table.new.max() < len(graph.nodes)
    peer = pytest.importorskip("bioimage_cpp").graph
    places = np.searchsorted(graph.nodes, graph.edges).astype(np.uint64)
    theirs = peer.UndirectedGraph.from_edges(len(graph.nodes), places)
    objective = peer.multicut.MulticutObjective(theirs, emfast.multicut_costs(graph.means))
    kind = {"gaec": "GreedyAdditiveMulticut", "greedy_fixation": "GreedyFixationMulticut"}[solver]
    labels = getattr(peer.multicut, kind)().optimize(objective)
    assert found.energy <= objective.energy(labels) + 1e-3 * abs(found.energy)  # ties may go either way


def test_costs_are_log_odds_with_bias_and_sizes():
    a = np.array([0.0, 0.25, 0.5, 0.9, 1.0])
    plain = emfast.multicut_costs(a)
    assert np.allclose(plain, -plain[::-1], atol=1.2) and plain[2] == 0
    assert np.isclose(emfast.multicut_costs(a, bias=0.9)[3], 0)
    assert np.allclose(emfast.multicut_costs(a, sizes=[1, 2, 3, 4, 4]), plain * np.array([1, 2, 3, 4, 4]) / 4)
    assert np.allclose(emfast.multicut_costs(a, sizes=[1, 2, 3, 4, 4], size_exponent=0), plain)


def test_scaled_costs_give_the_same_parts():
    rng = np.random.default_rng(0)
    edges, costs = rng.integers(0, 60, (400, 2)), rng.normal(size=400)
    plain = emfast.multicut(edges, costs)
    for scale in (2.0**-300, 2.0**40):
        scaled = emfast.multicut(edges, costs * scale)
        assert dict(scaled.table) == dict(plain.table)
        assert scaled.energy == plain.energy * scale


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (([[0, 1]], [1.0]), {"solver": "ilp"}, ValueError, "solver must be one of gaec, greedy_fixation, got 'ilp'"),
        (([[0, 1]],), {}, ValueError, "costs must be given"),
        (([[0, 1]], [1.0, 2.0]), {}, ValueError, "costs must be one per edge"),
        (([[0, 1]], [np.inf]), {}, ValueError, "costs must be finite, got inf at 0"),
        (([[0, 1], [1, 2]], [1e308, 1e308]), {}, ValueError, "costs must have a finite sum"),
        (([[0, 1, 2]], [1.0]), {}, ValueError, "graph must be a RegionGraph or"),
    ],
)
def test_errors_name_the_argument(arguments, options, error, match):
    with pytest.raises(error, match=match):
        emfast.multicut(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"affinities": [0.5, 1.5]}, "affinities must be from 0 to 1, got 1.5 at 1"),
        ({"affinities": [np.nan]}, "affinities must be from 0 to 1, got nan at 0"),
        ({"affinities": [[0.5]]}, "affinities must be 1D"),
        ({"bias": 1}, "bias must be between 0 and 1, got 1"),
        ({"limit": 0}, "limit must be between"),
        ({"sizes": [1, 2]}, "sizes must have the shape"),
        ({"sizes": [0]}, "sizes must be positive"),
    ],
)
def test_errors_of_costs(options, match):
    options = {"affinities": [0.5]} | options
    with pytest.raises(ValueError, match=match):
        emfast.multicut_costs(options.pop("affinities"), **options)
