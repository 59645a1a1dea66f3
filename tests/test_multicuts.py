"""multicut against an oracle, laws and a peer."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
import oracles
from emfast import multicuts


@st.composite
def graphs(draw, most=10):
    """Edges between few nodes, in parallel and to themselves too, and small integer costs: ties are everywhere."""
    n, m = draw(st.integers(1, most)), draw(st.integers(0, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ids = np.sort(rng.choice(1000, n, replace=False))
    levels = draw(st.sampled_from([1, 3, 1000]))
    return ids[rng.integers(0, n, (m, 2))].reshape(m, 2), rng.integers(-levels, levels + 1, m)


KL = {"solver": "kernighan_lin"}
FAR = {"lifted": [[0, 1]], "lifted_costs": [1.0]}


def energy_of(edges, costs, table):
    return sum(int(c) for (a, b), c in zip(edges.tolist(), costs, strict=True) if table[a] != table[b])


def split(edges, costs, data):
    """The same graph with some of its last edges lifted, those that do not bring new nodes."""
    nodes, fits = set(edges[: len(edges) - data].ravel().tolist()), len(edges) - data
    kept = [k for k in range(len(edges)) if k < fits or set(edges[k].tolist()) <= nodes]
    edges, costs = edges[kept], costs[kept]
    return edges, costs, len(kept) - fits


@st.composite
def lifted_graphs(draw, most=10):
    """Edges, costs and how many of the last edges are lifted."""
    edges, costs = draw(graphs(most))
    return split(edges, costs, draw(st.sampled_from([0, len(edges) // 2, len(edges) * 2 // 3])))


def solve(edges, costs, lifted, **options):
    plain = len(edges) - lifted
    far = {"lifted": edges[plain:], "lifted_costs": costs[plain:]} if lifted else {}
    return emfast.multicut(edges[:plain], costs[:plain], **far, **options)


@given(data=graphs(), solver=st.sampled_from(["gaec", "greedy_fixation"]))
def test_equals_the_oracle(backend, data, solver):
    edges, costs = data
    found = emfast.multicut(edges, costs, solver=solver)
    assert dict(found.table) == oracles.multicut(edges, costs, solver == "greedy_fixation")
    assert found.energy == energy_of(edges, costs, found.table)
    assert found.bound == costs[costs < 0].sum() <= found.energy


@given(data=graphs())
def test_rounds_equal_the_oracle(backend, data):
    edges, costs = data
    found = emfast.multicut(edges, backend(costs), solver="rounds")
    assert dict(found.table) == oracles.multicut_rounds(edges, costs)
    assert found.energy == energy_of(edges, costs, found.table)


@given(data=lifted_graphs())
def test_lifted_gaec_equals_the_oracle(backend, data):
    edges, costs, lifted = data
    found = solve(edges, costs, lifted)
    assert dict(found.table) == oracles.multicut(edges, costs, lifted=lifted)
    assert found.energy == energy_of(edges, costs, found.table)


@given(data=lifted_graphs(), patience=st.sampled_from([1, 2, 5, 64]), parts=st.integers(0, 4), rng=st.randoms())
def test_kernighan_lin_equals_the_oracle(backend, monkeypatch, data, patience, parts, rng):
    edges, costs, lifted = data
    monkeypatch.setattr(multicuts, "_PATIENCE", patience)
    nodes = np.unique(edges).tolist()
    start = {v: rng.randrange(parts) for v in nodes} if parts else None
    found = solve(edges, costs, lifted, solver="kernighan_lin", start=start)
    assert dict(found.table) == oracles.kernighan_lin(edges, costs, patience, lifted, start)
    assert found.energy == energy_of(edges, costs, found.table)


@given(data=lifted_graphs(most=5), solver=st.sampled_from(multicuts._SOLVERS), cycles=st.sampled_from([0, 3, 9]))
def test_is_never_below_the_best(data, solver, cycles):
    edges, costs, lifted = data
    if solver in ("greedy_fixation", "rounds"):
        edges, costs, lifted = edges[: len(edges) - lifted], costs[: len(edges) - lifted], 0
    nodes = np.unique(edges).tolist()
    found = solve(edges, costs, lifted, solver=solver, cycles=cycles)
    best = min(
        energy_of(edges, costs, dict(zip(nodes, parts, strict=True)))
        for parts in product(range(len(nodes)), repeat=len(nodes))
    )
    assert found.bound <= best <= found.energy
    assert found.energy <= costs[edges[:, 0] != edges[:, 1]].sum()  # that of single nodes, where all begin


@given(data=lifted_graphs(), longest=st.integers(3, 8))
def test_bound_equals_the_oracle(backend, data, longest):
    edges, costs, lifted = data
    found = solve(edges, costs, lifted, cycles=longest)
    assert found.bound == oracles.multicut_bound(edges, costs, longest)
    assert found.bound >= solve(edges, costs, lifted, cycles=longest - 1).bound
    assert solve(edges, costs, lifted, cycles=2).bound == costs[costs < 0].sum()


@given(data=lifted_graphs(), parts=st.integers(1, 5), rng=st.randoms())
def test_kernighan_lin_never_ends_above_its_start(data, parts, rng):
    edges, costs, lifted = data
    found = solve(edges, costs, lifted, solver="kernighan_lin")
    assert found.energy <= solve(edges, costs, lifted).energy
    again = solve(edges, costs, lifted, solver="kernighan_lin", start=found.table)
    assert (dict(again.table), again.energy) == (dict(found.table), found.energy)
    start = {v: rng.randrange(parts) for v in np.unique(edges).tolist()}
    plain = solve(edges, costs, 0, solver="kernighan_lin", start=start)
    assert plain.energy <= energy_of(edges, costs, start)


@given(data=lifted_graphs(), solver=st.sampled_from(["gaec", "kernighan_lin"]))
def test_parts_hang_together_by_plain_edges(data, solver):
    edges, costs, lifted = data
    table = dict(solve(edges, costs, lifted, solver=solver).table)
    plain = {(a, b) for a, b in edges[: len(edges) - lifted].tolist()}
    plain |= {(b, a) for a, b in plain}
    for part in set(table.values()):
        assert len(oracles.pieces({v for v in table if table[v] == part}, plain)) == 1


def _random_problem():
    rng = np.random.default_rng(2)
    edges, costs = rng.integers(0, 2000, (9000, 2)), rng.normal(size=9000)
    nodes = np.unique(edges)
    return edges, costs, {"lifted": rng.choice(nodes, (500, 2)), "lifted_costs": rng.normal(size=500)}


@given(data=graphs(), wide=st.sampled_from([1, 10**6, -1]))
def test_ids_may_be_anything(data, wide):
    edges, costs = data
    plain = emfast.multicut(edges, costs)
    other = emfast.multicut(edges * wide if wide > 0 else edges - 500, costs)
    assert list(other.table.new) == list(plain.table.new)
    assert other.energy == plain.energy


@pytest.mark.parametrize("end", [3, 10**9])
def test_nodes_of_a_graph_must_have_all_ends(end):
    graph = SimpleNamespace(edges=np.array([[1, 2], [2, end]]), nodes=np.array([-5, 1, 2, 4]))
    with pytest.raises(ValueError, match="graph must have every end of an edge among its nodes"):
        emfast.multicut(graph, [1.0, 1.0])
    graph.edges[1, 1] = 4
    assert dict(emfast.multicut(graph, [1.0, -1.0]).table) == {-5: 1, 1: 2, 2: 2, 4: 3}


def test_no_lifted_edges_change_nothing():
    edges, costs, _ = _random_problem()
    for solver in ("gaec", "kernighan_lin"):
        plain = emfast.multicut(edges, costs, solver=solver)
        none = emfast.multicut(edges, costs, solver=solver, lifted=np.zeros((0, 2), int), lifted_costs=[])
        assert dict(none.table) == dict(plain.table)
        assert none.energy == plain.energy


@pytest.mark.parametrize("solver", ["rounds", "kernighan_lin"])
def test_threads_change_nothing(threads, solver):
    edges, costs, lifted = _random_problem()
    far = lifted if solver == "kernighan_lin" else {}
    found = emfast.multicut(edges, costs, solver=solver, **far)
    emfast.set_threads(1)
    assert dict(found.table) == dict(emfast.multicut(edges, costs, solver=solver, **far).table)


def _fragments():
    affinities = emfast.phantom.make((24, 64, 64), seed=1, spacing=(16, 8, 8)).affinities
    return emfast.watershed(affinities, low=0.1), affinities


@pytest.mark.parametrize("solver", multicuts._SOLVERS)
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
    kind = {
        "gaec": "GreedyAdditiveMulticut",
        "greedy_fixation": "GreedyFixationMulticut",
        "rounds": "GreedyAdditiveMulticut",
        "kernighan_lin": "KernighanLinMulticut",
    }[solver]
    labels = getattr(peer.multicut, kind)().optimize(objective)
    allowed = 0.02 if solver == "rounds" else 1e-3  # ties may go either way, and rounds take more than the best
    assert found.energy <= objective.energy(labels) + allowed * abs(found.energy)


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
        (([[0, 1]], [1.0]), {"solver": "ilp"}, ValueError, "solver must be one of gaec, .*, got 'ilp'"),
        (([[0, 1]],), {}, ValueError, "costs must be given"),
        (([[0, 1]], [1.0]), {"cycles": -1}, ValueError, r"cycles must be an integer from 0 to 2\*\*32 - 1, got -1"),
        (([[0, 1]], [1.0]), {"cycles": 3.5}, ValueError, "cycles must be an integer"),
        (([[0, 1]], [1.0]), {"start": [0, 1]}, ValueError, "start is for the solver kernighan_lin, got solver 'gaec'"),
        (
            ([[0, 1]], [1.0]),
            KL | {"start": [0]},
            ValueError,
            r"start must be one integer per node, of shape \(2,\), got",
        ),
        (([[0, 1]], [1.0]), KL | {"start": [0.5, 1]}, ValueError, "start must be one integer per node, .* got float64"),
        (([[0, 1]], [1.0]), KL | {"start": {0: 1}}, ValueError, "start must have every node of graph, got none for 1"),
        (
            ([[0, 1]], [1.0]),
            FAR | {"lifted_costs": []},
            ValueError,
            r"lifted_costs must be one per edge, .* got \(0,\)",
        ),
        (([[0, 1]], [1.0]), FAR | {"lifted": [[0, 2]]}, ValueError, "lifted must name nodes of graph only, got 2"),
        (([[0, 1]], [1.0]), FAR | {"lifted": [0, 1]}, ValueError, r"lifted must be an \(m, 2\) array of integers, got"),
        (([[0, 1]], [1.0]), FAR | {"lifted": None}, ValueError, "lifted and lifted_costs must be given together"),
        (([[0, 1]], [1.0]), FAR | {"solver": "greedy_fixation"}, ValueError, "lifted edges need the solver gaec or"),
        (([[0, 1]], [1.0]), FAR | {"solver": "rounds"}, ValueError, "lifted edges need the solver gaec or"),
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
        ({"sizes": [np.inf]}, "sizes must be positive and finite"),
        ({"sizes": [1], "size_exponent": np.nan}, "size_exponent must be a number, got nan"),
        ({"sizes": [1], "size_exponent": np.inf}, "size_exponent must be from -1000 to 1000, got inf"),
        ({"bias": np.nan}, "bias must be a number, got nan"),
    ],
)
def test_errors_of_costs(options, match):
    options = {"affinities": [0.5]} | options
    with pytest.raises(ValueError, match=match):
        emfast.multicut_costs(options.pop("affinities"), **options)


@pytest.mark.parametrize("name", ["affinities", "sizes"])
def test_masked_costs_are_refused(name):
    options = {"affinities": [0.5, 0.25], "sizes": [1, 2]} | {name: np.ma.array([0.5, 0.25], mask=[True, False])}
    with pytest.raises(TypeError, match=f"{name} must be a plain array, got a masked one"):
        emfast.multicut_costs(options.pop("affinities"), **options)


def test_ids_of_any_size_in_lists():
    """Small ids and such from 2**63 on, which NumPy turns to floats together."""
    most = 2**64 - 1
    assert dict(emfast.multicut([[1, most]], [1.0]).table) == {1: 1, most: 1}
    far = emfast.multicut([[1, 2**63], [2**63, most]], [1.0, 2.0], lifted=[[1, most]], lifted_costs=[-1.5])
    assert dict(far.table) == {1: 1, 2**63: 2, most: 2}
    again = emfast.multicut([[1, most]], [1.0], solver="kernighan_lin", start=[1, 2**63])
    assert again.energy == 0


def test_lifted_edges_of_huge_ids():
    base = 2**60
    edges = np.array([[1, 2], [2, 3], [3, 4]], "u8") + np.uint64(base)
    found = emfast.multicut(edges, [1.0, 1.0, 1.0], lifted=[[base + 1, base + 4]], lifted_costs=[-9.0])
    assert len(set(dict(found.table).values())) == 2
    for wrong in ([[base + 1, base + 9]], [[base + 1, -4]]):
        with pytest.raises(ValueError, match="lifted must name nodes of graph only"):
            emfast.multicut(edges, [1.0, 1.0, 1.0], lifted=wrong, lifted_costs=[-9.0])
