"""Loaders: each reads its layout and steps over the trap of its dataset, as the files of ``layouts.py`` have it."""

import pickle
import tarfile
import zipfile

import numpy as np
import pytest

import emfast
import layouts
from emfast import cli, data
from emfast.volumes import Volume
from emfast.volumes._formats import FORMATS

pytest.importorskip("tifffile")
pytest.importorskip("h5py")
pytest.importorskip("PIL")
pytest.importorskip("numcodecs")


def needs_format(name, library):
    pytest.importorskip(library)
    assert name in FORMATS


def by_name(samples):
    return {sample.name: sample for sample in samples}


def same(volume, array):
    """Whether a volume holds an array: whole, in a part, and where it comes out of a pickle."""
    assert isinstance(volume, Volume)
    assert volume.shape == array.shape
    part = tuple(slice(n // 3, n - n // 4) for n in array.shape)
    again = pickle.loads(pickle.dumps(volume.crop(part)))
    return (
        np.array_equal(volume[...], array)
        and np.array_equal(volume[part], array[part])
        and np.array_equal(again[...], array[part])
        and np.array_equal(volume[..., ::2], array[..., ::2])
    )


def test_isbi2012(tmp_path):
    image, inside = layouts.write_isbi2012(tmp_path, 0)
    train, test = data.open("isbi2012", tmp_path)
    assert (train.split, test.split) == ("train", "test")
    assert (train.spacing, train.offset) == ((50, 4, 4), (0, 0, 0))
    assert same(train.raw, image)
    assert same(train.labels["interior"], inside // 255)
    assert same(test.raw, image[::-1])
    assert dict(test.labels) == {}
    cells = train.labels["cells"][...]
    for k in range(4):  # objects of one section are nobody's in another
        parts = emfast.connected_components(inside[k], connectivity=4)
        assert np.array_equal(cells[k], np.where(parts, parts.astype(int) + 65536 * k, 0))
    assert same(train.labels["cells"], cells)


def test_isbi2012_as_hdf5(tmp_path):
    image, inside, ids = layouts.write_isbi2012_hdf5(tmp_path, 0)
    [train] = data.open("isbi2012", tmp_path)
    assert same(train.raw, image)
    assert same(train.labels["interior"], inside)
    assert same(train.labels["neurons"], ids)
    assert train.labels["neurons"].spacing == (50, 4, 4)


def test_vnc(tmp_path):
    image, codes = layouts.write_vnc(tmp_path, 0)
    first, second = data.open("vnc", tmp_path)
    assert same(first.raw, image)
    order = [0, 32, 64, 96, 128, 159, 191, 223, 255]
    assert same(first.labels["classes"], np.searchsorted(order, codes).astype("u1"))
    assert same(first.labels["mitochondria"], (codes == 191).astype("u1"))  # code and folder agree
    assert np.array_equal(first.labels["mitochondria"][...], first.labels["classes"][...] == 6)
    assert same(first.labels["synapses"], (codes == 223).astype("u1"))
    assert same(first.labels["membrane"], (codes <= 128).astype("u1"))
    assert same(second.raw, image[::-1])
    assert not second.labels


def test_cremi(tmp_path):
    image, ids, clefts, marks = layouts.write_cremi(tmp_path, 0)
    samples = by_name(data.open("cremi", tmp_path))
    padded, test = samples["sample_A_padded_20160501"], samples["sample_A+_20160601"]
    assert (padded.split, test.split) == ("train", "test")
    assert not test.labels
    assert padded.spacing == (40, 4, 4)
    assert padded.labels["neurons"].offset == (80, 16, 16)
    both = padded.aligned("neurons")  # by nanometres, not by voxels
    assert same(both.raw, image[2:10, 4:44, 4:44])
    assert same(both.labels["neurons"], ids)
    assert padded.mask["neurons"][...].all()
    found = padded.labels["clefts"][...]
    assert (found[clefts == 2**64 - 1] == 0).all()
    assert (found[clefts == 7] == 7).all()
    assert (found[clefts == 0] == 2**64 - 3).all()  # id 0 is a cleft
    assert same(padded.mask["clefts"], clefts != 2**64 - 2)
    assert padded.mask["clefts"].dtype == bool
    expected = marks + np.array([80, 16, 16])
    assert np.array_equal(padded.points["partners"], expected[[[5, 0], [4, 1], [3, 2]]])
    crop = padded.labels["neurons"].crop((slice(1, 3), slice(5, 9), slice(None)))
    assert crop.offset == (120, 36, 16)
    assert np.array_equal(crop[...], ids[1:3, 5:9])


def test_cremi_stands_where_its_protocols_take_it(tmp_path):
    _, ids, clefts, _ = layouts.write_cremi(tmp_path, 0)
    [padded] = [s for s in data.open("cremi", tmp_path) if s.labels]
    both = padded.aligned()
    assert np.array_equal(both.labels["clefts"].origin[...], clefts)
    assert np.array_equal(padded.labels["clefts"].origin[3], clefts[3])
    scores = emfast.evaluate(both.labels["clefts"].origin, clefts, protocol="cremi-clefts", spacing=both.spacing)
    assert scores["cremi_clefts"] == 0
    mask = both.mask["neurons"]
    scores = emfast.evaluate(both.labels["neurons"], ids, protocol="cremi", spacing=both.spacing, mask=mask)
    assert scores["voi_split"] == scores["voi_merge"] == 0


def test_cremi_without_resolution_is_refused(tmp_path):
    layouts.hdf5(tmp_path / "sample_B.hdf", {"volumes/raw": np.zeros((2, 3, 4), "u1")})
    with pytest.raises(ValueError, match=r"sample_B\.hdf:volumes/raw must have the attribute resolution"):
        data.open("cremi", tmp_path)


def test_snemi3d(tmp_path):
    image, ids = layouts.write_snemi3d(tmp_path / "made", 0)
    with zipfile.ZipFile(tmp_path / "snemi.zip", "w") as archive:
        for path in (tmp_path / "made").rglob("*.tif"):
            archive.write(path, path.relative_to(tmp_path / "made"))
    data._fetching.unpack(str(tmp_path / "snemi.zip"), folder=str(tmp_path / "out"))
    train, test = data.open("snemi3d", tmp_path / "out")
    assert train.spacing == train.labels["neurons"].spacing == (30, 6, 6)
    assert same(train.raw, image)
    assert same(train.labels["neurons"], ids)
    assert (train.labels["neurons"][...] == 0).any()
    assert not test.labels
    first, second = train.cut(4)
    assert (first.split, second.split) == ("train", "validation")
    assert same(first.labels["neurons"], ids[:4])
    assert same(second.raw, image[4:])
    assert second.offset == second.labels["neurons"].offset == (120, 0, 0)


def test_snemi3d_as_hdf5_keeps_labels_of_the_test_away(tmp_path):
    image, ids = layouts.noise(0, (3, 4, 5)), layouts.noise(1, (3, 4, 5), 9, "u8")
    for name in ("train", "test"):
        layouts.hdf5(tmp_path / f"snemi_{name}.h5", {"volumes/raw": image, "volumes/labels/neuron_ids": ids})
    train, test = data.open("snemi3d", tmp_path)
    assert same(train.labels["neurons"], ids)
    assert not test.labels


def test_lucchi(tmp_path):
    image, inside = layouts.write_lucchi(tmp_path, 0)
    train, test = data.open("lucchi", tmp_path)
    assert train.spacing == (5, 5, 5)
    assert same(train.raw, image)
    assert same(train.labels["mitochondria"], inside // 255)
    assert same(test.labels["mitochondria"], inside[::-1] // 255)


def test_lucchi_pp(tmp_path):
    image, inside = layouts.write_lucchi_pp(tmp_path, 0)
    train, test = data.open("lucchi++", tmp_path)
    assert (train.split, test.split) == ("train", "test")
    assert same(train.raw, image)
    assert same(train.labels["mitochondria"], inside.astype("u1"))  # 2.png before 10.png
    assert same(test.raw, 255 - image)  # halves are not exchanged
    assert same(test.labels["mitochondria"], (~inside).astype("u1"))


def test_lucchi_pp_as_hdf5(tmp_path):
    image, inside = layouts.noise(0, (3, 5, 6)), layouts.noise(1, (3, 5, 6), 2)
    for k, half in enumerate(("train", "test")):
        layouts.hdf5(tmp_path / f"lucchi_{half}_im.h5", {"main": image + k})
        layouts.hdf5(tmp_path / f"lucchi_{half}_mito.h5", {"main": (inside ^ k) * 255})
    for k, sample in enumerate(data.open("lucchi++", tmp_path)):
        assert same(sample.raw, image + k)
        assert same(sample.labels["mitochondria"], inside ^ k)


def test_kasthuri_pp(tmp_path):
    image, kinds = layouts.write_kasthuri_pp(tmp_path, 0)
    train, test = data.open("kasthuri++", tmp_path)
    assert same(train.raw, image)
    assert same(train.labels["mitochondria"], (kinds == 1).astype("u1"))
    assert same(train.mask["mitochondria"], kinds != 2)  # (2, 2, 2) is not black
    assert same(test.labels["mitochondria"], (kinds[..., ::-1] == 1).astype("u1"))
    part = train.mask["mitochondria"].crop(np.s_[2:4, 3:9, :])
    assert part.origin.shape == (3, 2, 6, 16)  # in colours
    names = {v.uri for v in (train.labels["mitochondria"], train.mask["mitochondria"], test.mask["mitochondria"])}
    assert len(names) == 3  # by which journals tell volumes apart
    assert pickle.loads(pickle.dumps(train.mask["mitochondria"])).uri in names


def test_mitoem(tmp_path):
    image, ids = layouts.write_mitoem(tmp_path, 0)
    samples = by_name(data.open("mitoem", tmp_path))
    train, validation, test = (samples[f"rat/{name}"] for name in ("train", "validation", "test"))
    assert same(train.raw, image[:3])
    assert same(train.labels["mitochondria"], ids[:3])
    assert same(validation.raw, image[3:4])
    assert same(validation.labels["mitochondria"], ids[3:])
    assert validation.offset == validation.labels["mitochondria"].offset == (90, 0, 0)
    assert same(test.raw, image[4:])  # the section after the last with labels is the first
    assert not test.labels
    (tmp_path / "rat" / "im" / "im0001.png").unlink()
    with pytest.raises(ValueError, match=r"slice 1 of .* is missing"):
        data.open("mitoem", tmp_path)


def test_mitoem_submissions_come_back(tmp_path):
    human, rat = layouts.noise(0, (3, 5, 6), 900, "u2"), layouts.noise(1, (3, 5, 6), 900, "u2")
    data.write_submission(tmp_path / "out.zip", human=human, rat=rat)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["0_human_instance_seg_pred.h5", "1_rat_instance_seg_pred.h5"]
    assert [p.name for p in tmp_path.iterdir()] == ["out.zip"]
    found = data.read_submission(tmp_path / "out.zip", tmp_path / "out")
    assert same(found["human"], human)
    assert same(found["rat"], rat)
    with pytest.raises(ValueError, match="rat must be integers of three axes, got float32"):
        data.write_submission(tmp_path / "b.zip", human=human, rat=rat.astype("f4"))


def test_mitoem2(tmp_path):
    needs_format("nifti", "nibabel")
    image, ids = layouts.write_mitoem2(tmp_path, 0)
    samples = {s.split: s for s in data.open("mitoem2", tmp_path)}
    assert sorted(samples) == ["test", "train", "validation"]  # as split.json has it, not by the names
    for split, name in (("train", "train02"), ("validation", "train01"), ("test", "test01")):
        assert samples[split].name == f"Dataset002_ME2-Jurkat/me2-jurkat_{name}"
        assert same(samples[split].raw, image)
        assert same(samples[split].labels["mitochondria"], ids)
    assert samples["train"].labels["mitochondria"].spacing == samples["train"].spacing


def test_nucmm(tmp_path):
    blocks = layouts.write_nucmm(tmp_path, 0)
    samples = data.open("nucmm-z", tmp_path)
    assert len(samples) == len(blocks)
    for sample in samples:
        place = tuple(o / s for o, s in zip(sample.offset, (480, 512, 512), strict=True))
        part, image, ids = blocks.pop(place)
        assert sample.split == {"train": "train", "val": "validation"}[part]
        assert same(sample.raw, image)
        assert same(sample.labels["nuclei"], ids)
        assert sample.labels["nuclei"].offset == sample.offset


def test_fib25(tmp_path):
    image, stack, bodies = layouts.write_fib25(tmp_path, 0)
    samples = by_name(data.open("fib25", tmp_path))
    assert {name: s.split for name, s in samples.items()} == {"training_sample2": "train", "tstvol-520-1": "test"}
    for sample in samples.values():
        assert same(sample.raw, image)
        expected = np.vectorize(bodies.get)(stack).astype("u8")  # 2 becomes 5, not what 5 becomes; 7 stays
        assert same(sample.labels["neurons"], expected)


def test_segem(tmp_path):
    image, target = layouts.write_segem(tmp_path, 0)
    for sample in data.open("segem", tmp_path):
        assert same(sample.raw, image)
        assert same(sample.labels["interior"], (target == 1).astype("u1"))
        assert same(sample.mask["interior"], target != 0)
        both = sample.aligned()
        assert same(both.raw, image[4:8, 4:12, 4:12])
    assert len(data.open("segem", tmp_path)) == 2


def test_axonem(tmp_path):
    image, ids = layouts.write_axonem(tmp_path, 0)
    samples = by_name(data.open("axonem", tmp_path))
    both = samples["mouse/im_0-0-0_pad"].aligned()
    assert same(both.raw, image[2:6, 4:16, 4:20])
    assert same(both.labels["axons"], ids)
    assert not samples["mouse/im_675-800-800_pad"].labels


def test_nisb(tmp_path):
    image, ids = layouts.write_nisb(tmp_path, 0)
    samples = by_name(data.open("nisb", tmp_path))
    assert {n: s.split for n, s in samples.items()} == {"base/train/seed0": "train", "base/val/seed100": "validation"}
    train = samples["base/train/seed0"]
    assert same(train.raw, image[None])  # channels first, z, y, x
    assert same(train.labels["neurons"], ids)
    assert train.spacing == (20, 9, 9)


def test_openorganelle(tmp_path):
    image, mito = layouts.write_openorganelle(tmp_path, 0)
    [sample] = data.open("openorganelle", tmp_path)
    assert sample.name == "jrc_toy/crop1"
    assert sample.spacing == (4, 4, 4)
    assert sample.labels["mito"].spacing == (2, 2, 2)
    assert same(sample.labels["mito"], np.where(mito == 255, 0, mito))
    assert same(sample.mask["mito"], mito != 255)
    assert sample.mask["all"][...].all()
    both = sample.aligned("mito")
    assert same(both.raw, image[4:7, 6:10, 8:13])  # 16, 24, 32 nm
    assert same(both.labels["mito"], np.where(mito == 255, 0, mito))


def test_openorganelle_as_n5(tmp_path):
    tensorstore = pytest.importorskip("tensorstore")
    image, ids = layouts.noise(0, (6, 7, 8)), layouts.noise(1, (3, 4, 5), 9, "u8")
    base = tmp_path / "jrc_toy" / "jrc_toy.n5"
    for name, array in (("volumes/raw", image), ("volumes/labels/0003/crop7/labels/all", ids)):
        spec = {"driver": "n5", "kvstore": {"driver": "file", "path": str(base / name)}}
        made = tensorstore.open(spec, create=True, dtype=array.dtype.name, shape=array.T.shape).result()
        made[...] = array.T
    [sample] = data.open("openorganelle", tmp_path)
    assert sample.name == "jrc_toy/crop7"
    assert same(sample.raw, image)
    assert same(sample.labels["all"], ids)


def test_asem(tmp_path):
    image, mito = layouts.write_asem(tmp_path, 0)
    [sample] = data.open("asem", tmp_path)
    both = sample.aligned("mito")
    assert same(both.raw, image[2:4, 3:6, 4:8])
    assert same(both.labels["mito"], mito)


def test_urocell(tmp_path):
    needs_format("nifti", "nibabel")
    made = layouts.write_urocell(tmp_path, 0)
    samples = by_name(data.open("urocell", tmp_path))
    assert sorted(samples) == sorted(made)
    assert {n for n, s in samples.items() if s.split == "test"} == {"fib1-0-0-0"}
    assert samples["fib1-4-3-0"].split == "all"
    for name, (image, mito) in made.items():
        sample, first = samples[name], {"fib1-0-0-0": 12, "fib1-1-0-3": 54}.get(name, 0)
        low, high = image.min(), image.max()
        expected = np.rint((image - low) * (255 / (high - low))).astype("u1")  # the blank band counts for the range
        assert same(sample.raw, expected[:, first:])
        assert sample.offset == (0, 16 * first, 0)
        if "mitochondria" in sample.labels:
            assert same(sample.labels["mitochondria"], mito[:, first:].astype("u4"))
    assert not samples["fib1-4-3-0"].labels
    assert sorted(samples["fib1-0-0-0"].labels) == ["mitochondria"]
    assert sorted(samples["fib1-3-2-1"].labels) == ["mitochondria", "vesicles"]


def test_perez(tmp_path):
    made = layouts.write_perez(tmp_path, 0)
    samples = by_name(data.open("perez", tmp_path))
    assert sorted(samples) == sorted(made)
    for name, image in made.items():
        sample, task = samples[name], name.partition("/")[0]
        assert list(sample.labels) == [task]  # of the others nothing is known here
        assert sample.split == name.split("/")[1]
        assert same(sample.raw, image)
        assert same(sample.labels[task], (image > 128).astype("u1"))
        assert sample.spacing == (7.8, 7.8)


def test_platelet(tmp_path):
    image, classes = layouts.write_platelet(tmp_path, 0)
    train, validation, test = data.open("platelet", tmp_path)
    assert [s.split for s in (train, validation, test)] == ["train", "validation", "test"]
    assert same(train.raw, image)
    assert same(test.labels["classes"], classes)
    assert train.labels["error_weights"].dtype == np.float32
    assert list(validation.labels) == ["classes"]


def test_tiles_in_folders_and_in_a_tar(tmp_path):
    made = layouts.write_tiles(tmp_path / "tiles", 0)
    with tarfile.open(tmp_path / "cem500k.tar", "w") as archive:
        archive.add(tmp_path / "tiles", "cem500k")
    (tmp_path / "packed").mkdir()
    (tmp_path / "cem500k.tar").rename(tmp_path / "packed" / "cem500k.tar")
    for folder, before in (("tiles", ""), ("packed", "cem500k/")):
        samples = data.open("cem500k", tmp_path / folder)
        assert len(samples) == len(made)
        for sample in samples:
            image = made[sample.name.removeprefix(before)]
            assert not sample.labels
            assert same(sample.raw, image)
            fitted = data.fit(sample.raw, (224, 224))
            assert fitted.shape == (224, 224)
            assert fitted.any()
        assert [s.name for s in samples[1:]] == [samples[1].name, samples[2].name]


def test_mitolab(tmp_path):
    made = layouts.write_mitolab(tmp_path, 0)
    samples = by_name(data.open("mitolab", tmp_path))
    assert sorted(samples) == sorted(made)
    for name, (image, ids) in made.items():
        assert same(samples[name].raw, image)
        assert same(samples[name].labels["mitochondria"], ids)


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32", "uint16"])
@pytest.mark.parametrize("axes", [(1, 2, 3), (3, 2, 1), (2, 1, 3)])
def test_emd_8594(tmp_path, dtype, axes):
    needs_format("mrc", "mrcfile")
    image = layouts.noise(0, (3, 4, 5), 100).astype(dtype)
    layouts.write_mrc(tmp_path / "emd_8594.map", image, spacing=(10.0, 20.0, 30.0), axes=axes)
    [sample] = data.open("emd-8594", tmp_path)
    turned = image.transpose([axes[::-1].index(which) for which in (3, 2, 1)])  # the slowest is axes[2]; 3 is z
    assert same(sample.raw, turned)
    assert np.allclose(sample.spacing, (3.0, 2.0, 1.0), rtol=1e-6)  # Angstrom in the file; the header counts


# ---- any data


def test_what_was_brought_by_hand_is_checked_by_opening_it(tmp_path, capsys):
    layouts.write_nucmm(tmp_path, 0)
    assert cli.main(["data", "check", "nucmm-z", "--to", str(tmp_path)]) == 0
    assert "3 samples can be opened; no checksums are known" in capsys.readouterr().out
    assert cli.main(["data", "check", "xiao", "--to", str(tmp_path / "none")]) == 2


def test_stores_are_not_looked_into(tmp_path):
    layouts.write_zarr(tmp_path / "raw.zarr", layouts.noise(0, (2, 3, 4)))
    layouts.write_zarr(tmp_path / "seg.zarr", layouts.noise(1, (2, 3, 4)))
    (tmp_path / "raw.zarr" / "images").mkdir()
    layouts.png(tmp_path / "raw.zarr" / "images" / "0.png", layouts.noise(0, (3, 4)))
    [sample] = data.open("xiao", tmp_path)
    assert same(sample.raw, layouts.noise(0, (2, 3, 4)))
    assert same(sample.labels["mitochondria"], layouts.noise(1, (2, 3, 4)))


def test_two_folders_of_slices(tmp_path):
    image, ids = layouts.noise(0, (4, 5, 6)), layouts.noise(1, (4, 5, 6), 9, "u2")
    for k in range(4):
        layouts.png(tmp_path / "set" / "images" / f"{k + 9}.png", image[k])
        layouts.tiff(tmp_path / "set" / "labels" / f"l{k + 9}.tif", ids[k])
    [sample] = data.open("cdeep3m-s", tmp_path)
    assert same(sample.raw, image)
    assert same(sample.labels["mitochondria"], ids)
    assert sample.spacing == (24, 2.4, 2.4)
    (tmp_path / "set" / "images" / "10.png").unlink()
    with pytest.raises(ValueError, match=r"slice 10 of .*images is missing, between 9\.png and 11\.png"):
        data.open("cdeep3m-s", tmp_path)


def test_a_volume_with_labels_beside_it(tmp_path):
    image, ids = layouts.noise(0, (3, 5, 6)), layouts.noise(1, (3, 5, 6), 2)
    layouts.tiff(tmp_path / "SuppDataset.tif", image)
    [sample] = data.open("cardiac", tmp_path)
    assert same(sample.raw, image)
    assert not sample.labels
    layouts.tiff(tmp_path / "SuppDataset_labels.tif", ids)
    [sample] = data.open("cardiac", tmp_path)
    assert same(sample.labels["mitochondria"], ids)
    layouts.tiff(tmp_path / "SuppDataset_labels.tif", ids[1:])
    with pytest.raises(ValueError, match=r"labels\.tif must be as large as .*\(3, 5, 6\), got \(2, 5, 6\)"):
        data.open("cardiac", tmp_path)


def test_hdf5_with_labels_of_matlab(tmp_path):
    image, ids = layouts.noise(0, (3, 5, 6)), layouts.noise(1, (3, 5, 6), 9, "u2")
    layouts.hdf5(tmp_path / "HM_25_contra.h5", {"raw": image})
    layouts.hdf5(tmp_path / "HM_25_contra_mask.mat", {"final_lbl": ids, "other": np.zeros(3)})
    [sample] = data.open("deepacson", tmp_path)
    assert same(sample.raw, image)
    assert same(sample.labels["axons"], ids)
    assert sample.spacing == (50, 50, 50)


def test_several_volumes_are_paired_by_number(tmp_path):
    made = {k: (layouts.noise(k, (2, 3, 4)), layouts.noise(k, (2, 3, 4), 9)) for k in (2, 10)}
    for k, (image, ids) in made.items():
        np.save(tmp_path / f"im{k}.npy", image)
        np.save(tmp_path / f"seg{k}.npy", ids)
    for sample, (image, ids) in zip(data.open("xiao", tmp_path), made.values(), strict=True):
        assert same(sample.raw, image)
        assert same(sample.labels["mitochondria"], ids)
    (tmp_path / "seg10.npy").unlink()
    with pytest.raises(ValueError, match="must hold labels for each of 2 volumes, got 1"):
        data.open("xiao", tmp_path)


@pytest.mark.parametrize("name", sorted(data.DATASETS))
def test_an_empty_folder_is_told_what_it_must_hold(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold .*, got nothing"):
        data.open(name, tmp_path)
    with pytest.raises(FileNotFoundError, match=f"no such folder: .*emfast data get {name.replace('+', '[+]')}"):
        data.open(name, tmp_path / "no")
