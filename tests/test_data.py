"""Datasets: the registry and its page, samples that align by nanometres, own data, archives, and real files."""

import gzip
import io
import os
import stat
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import cli, data, open_volume
from emfast.data import _document, _loaders
from emfast.data._samples import fit
from emfast.data._unpack import unpack
from emfast.metrics import PROTOCOLS

# ---- what is known


def test_every_row_of_the_survey_is_there_once():
    rows = [d.row for d in data.DATASETS.values() if d.row is not None]
    assert sorted(rows) == list(range(1, 23))
    assert {"vnc", "mitoem2", "axonem", "nisb", "u-risc", "asem", "microns", "h01", "mitolab"} <= set(data.DATASETS)


@pytest.mark.parametrize("d", data.DATASETS.values(), ids=lambda d: d.name)
def test_records_are_whole(d):
    assert data.info(d.name) is d
    assert set(d.protocols) <= set(PROTOCOLS)
    assert d.spacing is None or (len(d.spacing) == 3 and min(d.spacing) > 0)
    assert d.files or d.by_hand
    assert all(getattr(d, f) for f in ("title", "about", "citation", "licence", "modality", "organism", "splits"))
    paths = [file.path for file in d.files]
    assert len(set(paths)) == len(paths)
    if data.NOT_VERIFIED in d.licence or "not verified" in d.licence:
        assert any("licence" in words for words in d.unverified)
    assert set(_loaders._LOADERS) <= set(data.DATASETS)


def test_the_page_shows_the_registry():
    if not _document.PAGE.exists():
        pytest.skip("docs/datasets.md is beside a checkout only")
    words = 'python -c "import emfast.data._document as d; d.write()" brings the table up to date'
    assert _document.PAGE.read_text(encoding="utf-8") == _document.page(), words


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"got 'cremy'; did you mean cremi\?"):
        data.info("cremy")
    with pytest.raises(ValueError, match=r"got 'luchi'; did you mean lucchi\?"):
        data.open("luchi")


def test_list_and_info_print_what_is_known(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EMFAST_DATA", str(tmp_path))
    assert cli.main(["data", "list"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n{name} " in text for name in data.DATASETS)
    assert cli.main(["data", "info", "kasthuri++"]) == 0
    text = capsys.readouterr().out
    assert "licence     not stated" in text
    assert "(2, 2, 2) lies outside" in text
    assert "unverified  shapes" in text
    assert cli.main(["data", "info", "nothing"]) == 2
    assert "name must be one of isbi2012" in capsys.readouterr().err


# ---- samples


def volume(folder, name, array, spacing=None, offset=None):
    np.save(folder / f"{name}.npy", array)
    return open_volume(folder / f"{name}.npy", spacing=spacing, offset=offset)


@given(
    shift=st.tuples(*[st.integers(-6, 6)] * 3),
    sizes=st.tuples(*[st.integers(1, 9)] * 6),
    fine=st.sampled_from([1, 2]),
)
def test_aligned_is_what_both_cover(tmp_path_factory, shift, sizes, fine):
    """Voxels of the label are whole ones of the image, or halves: the oracle looks up each voxel's corner in nm."""
    folder = tmp_path_factory.mktemp("aligned")
    unit = np.array([40, 8, 4])
    image = np.arange(np.prod(sizes[:3]), dtype="u4").reshape(sizes[:3])
    label_shape = tuple(n * fine for n in sizes[3:])
    label = np.arange(np.prod(label_shape), dtype="u4").reshape(label_shape)
    start = unit * shift
    sample = data.Sample(
        "law",
        volume(folder, "image", image, unit),
        {"label": volume(folder, "label", label, unit / fine, start)},
    )
    inside = [range(max(0, s), min(n, s + m)) for s, n, m in zip(shift, sizes[:3], sizes[3:], strict=True)]
    if not all(inside):
        with pytest.raises(ValueError, match="must have volumes that share a box"):
            sample.aligned()
        return
    both = sample.aligned("label")
    assert np.array_equal(both.raw[...], image[np.ix_(*inside)])
    places = [[(i - s) * fine + k for i in r for k in range(fine)] for r, s in zip(inside, shift, strict=True)]
    assert np.array_equal(both.labels["label"][...], label[np.ix_(*places)])
    assert both.raw.offset == both.labels["label"].offset == tuple(u * r[0] for u, r in zip(unit, inside, strict=True))


def test_samples_are_cut_where_they_say(tmp_path):
    image = np.arange(60, dtype="u1").reshape(5, 3, 4)
    sample = data.Sample("a", volume(tmp_path, "image", image), {"x": volume(tmp_path, "x", image[::-1])})
    first, second = sample.cut(2)
    assert np.array_equal(first.raw[...], image[:2])
    assert np.array_equal(second.labels["x"][...], image[::-1][2:])
    assert (first.name, second.split) == ("a/train", "validation")
    for at in (0, 5, -1):
        with pytest.raises(ValueError, match="at must be a section inside a, from 1 to 4"):
            sample.cut(at)
    with pytest.raises(ValueError, match="names must be of x, got 'y'"):
        sample.aligned("y")
    other = data.Sample("b", sample.raw, {"x": volume(tmp_path, "y", image, (1, 1, 1))})
    with pytest.raises(ValueError, match="must have volumes that all say their spacing, or none"):
        other.aligned()
    with sample:
        pass
    with pytest.raises(ValueError, match="is closed"):
        sample.raw[0]


@given(
    have=st.lists(st.integers(1, 7), min_size=2, max_size=2), want=st.lists(st.integers(1, 7), min_size=2, max_size=2)
)
def test_fit_keeps_the_middle(have, want):
    array = np.arange(1, 1 + have[0] * have[1]).reshape(have)
    found = fit(array, want)
    assert found.shape == tuple(want)
    back = fit(found, have)
    assert ((back == array) | (back == 0)).all()
    assert (back != 0).sum() == min(have[0], want[0]) * min(have[1], want[1])


# ---- own data


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EMFAST_DATA", str(tmp_path / "home"))
    np.save(tmp_path / "em.npy", np.arange(24, dtype="u1").reshape(2, 3, 4))
    np.savez(tmp_path / "truth.npz", cells=np.ones((2, 3, 4), "u4"), known=np.ones((2, 3, 4), bool))
    return tmp_path


def test_own_data_come_back(home, capsys):
    pytest.importorskip("yaml")
    arguments = ["--raw", f"{home}/em.npy", "--labels", f"cells={home}/truth.npz:cells"]
    mask = ["--mask", f"cells={home}/truth.npz:known"]
    assert cli.main(["data", "add", "mine", *arguments, *mask, "--spacing", "30,8,8", "--split", "train"]) == 0
    assert cli.main(["data", "add", "mine", *arguments, "--sample", "second", "--about", "two of mine"]) == 0
    first, second = data.open("mine")
    assert (first.name, first.split, first.spacing) == ("1", "train", (30, 8, 8))
    assert np.array_equal(first.raw[...], np.arange(24).reshape(2, 3, 4))
    assert first.labels["cells"][...].all()
    assert first.mask["cells"][...].all()
    assert first.labels["cells"].spacing == (30, 8, 8)
    assert (second.name, second.spacing) == ("second", None)
    assert cli.main(["data", "list"]) == 0
    assert "mine" in capsys.readouterr().out.splitlines()[-1]
    assert cli.main(["data", "info", "mine"]) == 0
    assert cli.main(["data", "check", "mine"]) == 0
    assert "two of mine" not in capsys.readouterr().out
    assert os.listdir(home / "home" / "own") == ["mine.yaml"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["mine", "--raw", "{}/no.npy"], "no.npy"),
        (["mine"], "raw or labels must be given"),
        (["cremi", "--raw", "{}/em.npy"], "name must not be that of a public dataset, got 'cremi'"),
        (["../x", "--raw", "{}/em.npy"], "name must be letters, digits"),
        ([".x", "--raw", "{}/em.npy"], "name must be letters, digits"),
        (["mine", "--raw", "{}/em.npy", "--split", "half"], "split must be train, validation, test, all, got 'half'"),
        (["mine", "--raw", "{}/em.npy", "--mask", "{}/em.npy"], "mask must be of labels (none), got 'labels'"),
        (["mine", "--labels", "{}/em.npy", "--labels", "{}/em.npy"], "must have a name each"),
        (["mine", "--raw", "{}/em.npy", "--spacing", "1,2"], "spacing must be 3 positive finite numbers"),
    ],
)
def test_mistakes_in_own_data_are_told(home, capsys, arguments, words):
    pytest.importorskip("yaml")
    assert cli.main(["data", "add", *(a.format(home) for a in arguments)]) == 2
    assert words in capsys.readouterr().err
    assert not (home / "home" / "own").exists()


def test_a_sample_is_replaced_only_when_asked(home):
    pytest.importorskip("yaml")
    data.add("mine", home / "em.npy", sample="a")
    with pytest.raises(ValueError, match="sample must be a new name in mine, got 'a'"):
        data.add("mine", home / "em.npy", sample="a")
    data.add("mine", home / "em.npy", sample="a", split="test", replace_sample=True)
    [sample] = data.open("mine")
    assert sample.split == "test"
    with pytest.raises(ValueError, match="path must be None for mine"):
        data.open("mine", home)


def test_descriptions_that_were_edited_wrongly_are_told_with_the_place(home):
    pytest.importorskip("yaml")
    path = data.add("mine", home / "em.npy", sample="a")
    with open(path, "a", encoding="utf-8") as file:
        file.write("licens: none\n")
    with pytest.raises(ValueError, match=r"mine\.yaml: licens is no setting of these: .*did you mean licence\?"):
        data.open("mine")


# ---- archives


def made_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


def made_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_archives_are_unpacked_beside_themselves(tmp_path, name):
    members = [("x/1.txt", b"one"), ("./x/y/2.txt", b""), ("3.txt", b"three")]
    if name.endswith("zip"):
        made_zip(tmp_path / name, members)
    else:
        made_tar(tmp_path / name, members, "w:" + {"a.tar": "", "a.tgz": "gz"}.get(name, name[-3:].strip(".")))
    found = unpack(str(tmp_path / name))
    assert sorted(found) == ["3.txt", "x/1.txt", "x/y/2.txt"]
    assert (tmp_path / "x" / "1.txt").read_bytes() == b"one"
    assert (tmp_path / "x" / "y" / "2.txt").read_bytes() == b""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3.txt", name, "x"]


def test_a_packed_file_is_unpacked(tmp_path):
    (tmp_path / "emd.map.gz").write_bytes(gzip.compress(b"map"))
    assert list(unpack(str(tmp_path / "emd.map.gz"))) == ["emd.map"]
    assert (tmp_path / "emd.map").read_bytes() == b"map"


@pytest.mark.parametrize("bad", ["../out", "/out", "x/../../out", "a\\b", "C:/x"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_outside_of_the_folder_are_refused(tmp_path, kind, bad):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / f"a.{kind}"
    (made_zip if kind == "zip" else lambda p, m: made_tar(p, m, "w"))(path, [("good", b"good"), (bad, b"bad")])
    with pytest.raises(ValueError, match=r"must hold files below its folder, got"):
        unpack(str(path))
    assert [p.name for p in (tmp_path / "in").iterdir()] == [f"a.{kind}"]  # the good one neither
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_links_are_refused(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc")
    for name in ("a.tar", "a.zip"):
        with pytest.raises(ValueError, match=r"must hold plain files, got 'link', a link or the like"):
            unpack(str(tmp_path / name))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.gz"])
def test_damaged_archives_leave_nothing(tmp_path, name):
    noise = np.random.default_rng(0).bytes(50_000)
    whole = tmp_path / name
    if name == "a.gz":
        whole.write_bytes(gzip.compress(noise))
    elif name.endswith("zip"):
        made_zip(whole, [("x", noise), ("y", noise)])
    else:
        made_tar(whole, [("x", noise), ("y", noise)], "w:gz" if name.endswith("gz") else "w")
    content = whole.read_bytes()
    for cut in (content[: len(content) // 2], b"", b"nothing of this kind"):
        whole.write_bytes(cut)
        with pytest.raises(ValueError, match="must be an archive of its kind, got another file or a damaged one"):
            unpack(str(whole))
        assert [p.name for p in tmp_path.iterdir()] == [name]


@given(
    name=st.sampled_from(["a.zip", "a.tar", "a.gz", "a.tgz", "a.tar.bz2"]),
    at=st.integers(0, 400),
    byte=st.integers(0, 255),
)
def test_a_changed_byte_changes_nothing_outside(tmp_path_factory, name, at, byte):
    folder = tmp_path_factory.mktemp("law")
    if name == "a.gz":
        (folder / name).write_bytes(gzip.compress(b"content"))
    elif name == "a.zip":
        made_zip(folder / name, [("x/1", b"one"), ("x/2", b"two")])
    else:
        made_tar(folder / name, [("x/1", b"one"), ("x/2", b"two")], {"a.tgz": "w:gz", "a.tar": "w"}.get(name, "w:bz2"))
    content = bytearray((folder / name).read_bytes())
    content[at % len(content)] = byte
    (folder / name).write_bytes(content)
    try:
        found = unpack(str(folder / name))
    except ValueError:
        assert [p.name for p in folder.iterdir()] == [name]
    else:
        there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        assert there == {name, *found}


def test_archives_that_grow_beyond_measure_are_refused(tmp_path):
    made_zip(tmp_path / "a.zip", [("x", b"\0" * 1000)])
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for start in (content.find(b"PK\1\2") + 24, 22):
        content[start : start + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot hold 1 files of 2147483648 bytes"):
        unpack(str(tmp_path / "a.zip"))


# ---- the real files beside a developer's checkout

REAL = [
    ("fib25", "fib25_medulla_train.h5", (10, 10, 10), {"neurons": "groundtruth"}),
    ("isbi2012", "isbi2012_train20.h5", (50, 4, 4), {"interior": "cell_interior"}),
    ("vnc", "vnc_sstem_train14.h5", (50, 4.6, 4.6), {"mitochondria": "mitochondria", "membrane": "membrane"}),
    ("snemi3d", "snemi3d_ac4_dev.h5", (30, 6, 6), {"mitochondria": "mitochondria"}),
    ("cdeep3m-s", "cdeep3m_mito_train.h5", None, {"mitochondria": "mitochondria"}),
    ("lucchi", "lucchi_test_instances_dev.h5", (5, 5, 5), {"mitochondria": "groundtruth"}),
    ("urocell", "urocell_labels_dev.h5", (15, 16, 16), {"vesicles": "fusiform_vesicles"}),
]


@pytest.mark.parametrize("name, file, spacing, labels", REAL)
def test_real_files_are_read(shared_data, name, file, spacing, labels):
    h5py = pytest.importorskip("h5py")
    sample = data.open(name, shared_data / file)[0]
    assert sample.spacing == spacing
    window = np.s_[3:5, 40:90, 30:100]
    with h5py.File(shared_data / file) as archive:
        assert (sample.raw is None) == ("image" not in archive)
        if sample.raw is not None:
            assert np.array_equal(sample.raw[window], archive["image"][window])
        for ours, theirs in labels.items():
            assert np.array_equal(sample.labels[ours][window], archive[theirs][window])
    sample.close()


def test_real_codes_agree_with_their_folders(shared_data):
    """VNC: the mitochondria of the codes are those drawn by themselves but for a few voxels."""
    pytest.importorskip("h5py")
    [sample] = data.open("vnc", shared_data / "vnc_sstem_train14.h5")
    classes, drawn = sample.labels["classes"][...], sample.labels["mitochondria"][...]
    assert classes.max() == 8
    assert (classes[drawn == 0] != 6).all()
    assert ((classes == 6) != (drawn == 1)).sum() == 180


def test_the_corner_of_snemi3d_lies_in_the_image(shared_data):
    h5py = pytest.importorskip("h5py")
    whole, corner = data.open("snemi3d", shared_data / "snemi3d_ac4_dev.h5")
    assert corner.raw.shape == corner.labels["neurons"].shape == (32, 160, 160)
    assert np.array_equal(corner.raw[5], whole.raw[5, :160, :160])
    with h5py.File(shared_data / "snemi3d_ac4_dev.h5") as archive:
        ids = archive["corner/neurons"][...]
    assert np.array_equal(corner.labels["neurons"][...], np.where(ids == 1, 0, ids))


def test_real_tiles_of_cem500k_are_read(shared_data):
    pytest.importorskip("h5py")
    samples = data.open("cem500k", shared_data / "organelle_2d_examples.h5")
    shapes = {s.raw.shape for s in samples if "/cem500k/" in s.name}
    assert {(224, 224), (138, 224), (130, 224)} <= shapes
    assert all(fit(s.raw, (224, 224)).shape == (224, 224) for s in samples)


def test_real_samples_stand_where_scores_take_volumes(shared_data):
    pytest.importorskip("h5py")
    [sample] = data.open("fib25", shared_data / "fib25_medulla_train.h5")
    truth, found = (sample.labels[n].crop(np.s_[:20, :60, :60]) for n in ("neurons", "watershed"))
    table = emfast.contingency(truth, found)
    assert table == emfast.contingency(truth[...], found[...])
