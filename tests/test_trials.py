"""Whatever the blocks, workers, engine, order and kills: an operation in blocks gives what it gives in memory.

300 trials; ``python tests/trials.py 10000`` does as many as one likes, with fresh numbers.
"""

import os

import pytest

import trials

pytest.importorskip("zarr")
pytestmark = [
    pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="children of unsanitized processes are killed"),
    pytest.mark.filterwarnings("default"),  # those of Dask are its own
]
EACH = 50


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with trials.Runs(tmp_path_factory.mktemp("trials")) as runs:
        yield runs


@pytest.mark.parametrize("operation", trials.OPERATIONS)
def test_trials(runs, operation):
    for number in range(EACH):
        trial = trials.trial_of(number, operation, cluster=False)
        assert runs.run(trial), trial


def test_some_were_killed(runs):
    """By now; else the trials above try less than they say."""
    if runs.counts["all"] < EACH * len(trials.OPERATIONS):
        pytest.skip("not all trials were asked for")
    assert runs.counts["kills"] > runs.counts["all"] // 10


@pytest.mark.slow
def test_trials_on_a_cluster(runs):
    pytest.importorskip("distributed")
    numbers = (n for n in range(10**6) if trials.trial_of(n).engine == "cluster")
    for _ in range(20):
        trial = trials.trial_of(next(numbers))
        assert runs.run(trial), trial


def test_a_trial_can_fail(runs, monkeypatch):
    trial = trials.trial_of(1, "components", cluster=False)
    monkeypatch.setattr(trials, "wanted", lambda trial: trial.sources["labels"] + 1)
    assert not runs.run(trial)
