"""Settings: dataclasses, YAML and messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emfast import _settings

pytest.importorskip("yaml")


@dataclass(frozen=True)
class Inner:
    low: float = 0.1
    rule: Literal["strict", "waterz"] = "strict"
    mask: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.low <= 1:
            raise ValueError(f"low must be from 0 to 1, got {self.low}")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    thresholds: tuple[float, ...] = (0.5,)
    block: tuple[int, ...] | Literal["auto"] = "auto"
    dust: int = 0
    fast: bool = False
    other: Inner | None = None


inners = st.builds(
    Inner, st.floats(0, 1), st.sampled_from(["strict", "waterz"]), st.none() | st.text(st.characters(codec="utf-8"))
)
outers = st.builds(
    Outer,
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Z"))),
    inners,
    st.lists(st.floats(allow_nan=False)).map(tuple),
    st.just("auto") | st.lists(st.integers()).map(tuple),
    st.integers(),
    st.booleans(),
    st.none() | inners,
)


@given(outers)
@example(Outer("a\x85b", Inner(mask="\u2028"), other=Inner(mask="\x85")))
def test_what_is_written_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, settings: Outer) -> None:
    path = tmp_path_factory.mktemp("settings") / "a.yaml"
    _settings.write(settings, path, comment="of a run\nof today")
    assert _settings.read(Outer, path) == settings
    assert path.read_text(encoding="utf-8").startswith("# of a run\n# of today\n")
    assert _settings.from_dict(Outer, _settings.to_dict(settings)) == settings


def test_defaults_and_kinds() -> None:
    read = _settings.from_dict(Outer, {"name": "x", "inner": {"low": 1}, "block": [1, 2]})
    assert read == Outer("x", Inner(1.0), block=(1, 2))
    assert type(read.inner.low) is float
    assert _settings.from_dict(Inner, {"low": "1e-3"}) == Inner(0.001)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "name must be given"),
        ({"name": "x", "thresholdz": [1]}, "thresholdz is no setting of these: name, .*; did you mean thresholds"),
        ({"name": "x", "inner": {"lo": 1}}, "inner.lo is no setting of these: low, rule, mask; did you mean low"),
        ({"name": "x", "inner": {"low": 2}}, "inner.low must be from 0 to 1, got 2"),
        ({"name": "x", "inner": {"low": "2"}}, "inner.low must be a number, got '2'"),
        ({"name": "x", "inner": {"low": True}}, "inner.low must be a number, got True"),
        ({"name": "x", "inner": {"rule": "lax"}}, "inner.rule must be 'strict' or 'waterz', got 'lax'"),
        ({"name": "x", "inner": 3}, "inner must be settings by name, got 3"),
        ({"name": "x", "thresholds": [0.5, "a"]}, r"thresholds\[1\] must be a number, got 'a'"),
        ({"name": "x", "thresholds": "abc"}, "thresholds must be a list, each a number, got 'abc'"),
        ({"name": "x", "block": 3}, "block must be a list, each an integer or 'auto', got 3"),
        ({"name": "x", "dust": 1.5}, "dust must be an integer, got 1.5"),
        ({"name": "x", "dust": True}, "dust must be an integer, got True"),
        ({"name": "x", "fast": 1}, "fast must be true or false, got 1"),
        ({"name": 3}, "name must be a string, got 3"),
        ({3: 4}, "3 is no setting of these"),
    ],
)
def test_a_mistake_names_its_place(values: dict, words: str, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{words}"):
        _settings.from_dict(Outer, values)
    path = tmp_path / "a.yaml"
    path.write_text(__import__("yaml").safe_dump(values))
    with pytest.raises((TypeError, ValueError), match=f"a.yaml: {words}"):
        _settings.read(Outer, path)


def test_files_that_are_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00: [")
    with pytest.raises(ValueError, match=r"a\.yaml must be YAML"):
        _settings.read(Outer, path)
    path.write_text("[1, 2]")
    with pytest.raises(TypeError, match="must be settings by name, got"):
        _settings.read(Outer, path)
    path.write_text("")
    assert _settings.read(Inner, path) == Inner()


def test_override() -> None:
    settings = Outer("x")
    assert _settings.override(settings, "inner.low", 0.5) == Outer("x", Inner(0.5))
    assert _settings.override(settings, "dust", 3) == Outer("x", dust=3)
    with pytest.raises(ValueError, match=r"^lo is no setting .* did you mean low"):
        _settings.override(settings, "inner.lo", 1)
    with pytest.raises(TypeError, match="dust must be an integer"):
        _settings.override(settings, "dust", "3")


def test_misspelt_words_are_refused_wherever_an_object_is_made() -> None:
    """All kinds there are, with the fields that are one of some words; UNet with what it must be given."""
    from emfast import augmentation, sampling, targets

    bases: list[type] = [augmentation.Step, sampling.Sampler, targets.Target]
    given: dict[str, dict] = {"OneOf": {"steps": (augmentation.Clip(),)}}
    try:
        from emfast import nn, recipes
        from emfast.nn import losses
    except ModuleNotFoundError:
        pass
    else:
        bases += [nn.Network, losses.Loss, recipes.Head, recipes.Optimiser, recipes.Normalisation, recipes.Inference]
        given |= {name: {"levels": (nn.Level(4),)} for name in ("UNet", "VNet")}
        given["Head"] = {"name": "mask", "target": targets.Semantic(), "terms": ()}
    seen = set()
    while bases:
        kind = bases.pop()
        bases += kind.__subclasses__()
        if not kind.__module__.startswith("emfast."):
            continue
        for name, words in _settings._words_by_field(kind).items():
            try:
                kind(**given.get(kind.__name__, {}))
            except TypeError:  # what must be given is not of interest here
                continue
            with pytest.raises(ValueError, match=f"^{name} must be one of {', '.join(words)}, got 'lax'"):
                kind(**given.get(kind.__name__, {}), **{name: "lax"})
            seen.add(f"{kind.__name__}.{name}")
    assert {"Membrane.unit", "Flip.group", "Scale.axes", "Uniform.by", "Missing.value", "Contrast.about"} <= seen
    assert len(given) == 1 or {"Head.activation", "Optimiser.schedule", "Inference.blend"} <= seen


def test_kinds_of_a_function_are_made_without_a_look_at_their_words() -> None:
    @dataclass(frozen=True)
    class Local:
        rule: str = "strict"

    @dataclass(frozen=True)
    class Other(_settings.Kind):
        local: Local = field(default_factory=Local)

    assert Other().local == Local()
