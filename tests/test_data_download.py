"""Downloads against a server on this machine that does what networks do: all of the file comes, or a clear error."""

import errno
import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import cli
from emfast.data import Dataset, File, _download, _fetching, _registry
from emfast.data._download import Settings, fetch

DATA = np.random.default_rng(0).bytes(700_001)
SHA = hashlib.sha256(DATA).hexdigest()
QUICK = Settings(timeout=10, tries=3, pause=lambda k: 0.0)


class Site(ThreadingHTTPServer):
    """Files by path, and how each behaves; what was asked for is kept."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.how, self.asked = {}, {}, []

    def put(self, path, data=DATA, **how):
        self.files[path], self.how[path] = data, how
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        site, how = self.server, self.server.how.get(self.path, {})
        wanted = self.headers.get("Range")
        site.asked.append((self.path, wanted))
        data = site.files.get(self.path)
        if data is None or how.get("status"):
            self.send_error(how.get("status", 404))
            return
        if "moved" in how:
            self.send_response(302)
            self.send_header("Location", how["moved"])
            self.end_headers()
            return
        start, tag = 0, how.get("tag", '"one"')
        fits = not self.headers.get("If-Range") or self.headers["If-Range"] == tag
        if wanted and how.get("ranges", True) and fits:
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) + how.get("shift", 0)
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if how.get("length", True):
            self.send_header("Content-Length", str(len(data) - start))
        self.send_header("Content-Type", how.get("type", "application/octet-stream"))
        if tag:
            self.send_header("ETag", tag)
        if "packed" in how:
            self.send_header("Content-Encoding", how["packed"])
        self.end_headers()
        breaks = how.get("breaks", [])
        end = start + breaks.pop(0) if breaks else len(data)
        self.wfile.write(data[start:end])
        if end < len(data) and "waits" in how:
            self.wfile.flush()
            how["waits"].wait(60)

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def left(folder):
    return sorted(os.listdir(folder))


def test_a_file_comes_whole_and_leaves_nothing_beside_it(site, tmp_path):
    url = site.put("/a.bin")
    assert fetch(File("a.bin", (url,), SHA, len(DATA)), str(tmp_path / "a.bin"), QUICK) == SHA
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert left(tmp_path) == ["a.bin"]
    assert site.asked == [("/a.bin", None)]


def test_broken_connections_are_taken_up_where_they_broke(site, tmp_path):
    url = site.put("/a.bin", breaks=[100_000, 1, 300_000])
    fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert [asked for _, asked in site.asked] == [None, "bytes=100000-", "bytes=100001-", "bytes=400001-"]


def test_the_next_call_goes_on(site, tmp_path):
    url = site.put("/a.bin", breaks=[100_000, 0, 0, 0])
    with pytest.raises(OSError, match=r"a\.bin: the connection ended after 100000 of 700001 bytes, 3 times; the next"):
        fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK)
    assert left(tmp_path) == ["a.bin.part", "a.bin.part.json"]
    fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert site.asked[-1] == ("/a.bin", "bytes=100000-")


def test_a_server_without_ranges_is_asked_for_all_again(site, tmp_path):
    url = site.put("/a.bin", ranges=False, breaks=[100_000])
    fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_fetched_anew(site, tmp_path):
    url = site.put("/a.bin", b"old" * 1000, breaks=[1000, 0, 0, 0], tag='"old"')
    with pytest.raises(OSError, match="could not be fetched"):
        fetch(File("a.bin", (url,)), str(tmp_path / "a.bin"), QUICK)
    site.put("/a.bin", tag='"new"')
    assert fetch(File("a.bin", (url,)), str(tmp_path / "a.bin"), QUICK) == SHA


def test_without_checksum_and_mark_nothing_is_pieced_together(site, tmp_path):
    url = site.put("/a.bin", breaks=[100_000], tag="")
    assert fetch(File("a.bin", (url,)), str(tmp_path / "a.bin"), QUICK) == SHA
    assert [asked for _, asked in site.asked] == [None, None]


def test_a_wrong_piece_is_not_taken(site, tmp_path):
    url = site.put("/a.bin", breaks=[100_000], shift=7)
    assert fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK) == SHA
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize("shift", [7, -7])
def test_a_wrong_piece_is_not_taken_where_no_checksum_tells(site, tmp_path, shift):
    url = site.put("/a.bin", breaks=[100_000], shift=shift)
    assert fetch(File("a.bin", (url,)), str(tmp_path / "a.bin"), QUICK) == SHA


def test_halves_of_two_files_are_noticed_and_fetched_anew(site, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)  # of who knows what
    url = site.put("/a.bin")
    assert fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK) == SHA
    assert [asked for _, asked in site.asked] == ["bytes=1000-", None]


def test_a_part_that_is_all_there_is_taken(site, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(DATA)
    url = site.put("/a.bin")
    assert fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK) == SHA
    assert [asked for _, asked in site.asked] == [f"bytes={len(DATA)}-"]


def test_a_part_that_is_too_long_is_begun_anew(site, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(DATA + b"more")
    url = site.put("/a.bin")
    assert fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK) == SHA


@pytest.mark.parametrize(
    "how, words",
    [
        (dict(status=404), "HTTP 404"),
        (dict(status=403), "HTTP 403"),
        (dict(data=DATA[:-1] + b"?"), "its SHA-256 is"),
        (dict(data=DATA[:-1]), "it has 700000 bytes, not 700001"),
        (dict(data=DATA[:-1], length=False), "it has 700000 bytes, not 700001"),
        (dict(type="text/html; charset=utf-8"), "it sent a page, not the file"),
        (dict(packed="gzip"), "it packs the file as gzip"),
    ],
)
def test_other_mirrors_are_asked_in_turn(site, tmp_path, how, words):
    bad, good = site.put("/bad/a.bin", **how), site.put("/good/a.bin")
    path = str(tmp_path / "a.bin")
    with pytest.raises(OSError, match=words):
        fetch(File("a.bin", (bad,), SHA, len(DATA)), path, QUICK)
    assert fetch(File("a.bin", (bad, good), SHA, len(DATA)), path, QUICK) == SHA
    assert left(tmp_path) == ["a.bin"]


def test_a_server_that_is_busy_is_asked_again(site, tmp_path):
    url = site.put("/a.bin", status=503)
    with pytest.raises(OSError, match="HTTP 503 Service Unavailable, 3 times"):
        fetch(File("a.bin", (url,), SHA), str(tmp_path / "a.bin"), QUICK)
    assert len(site.asked) == 3
    assert left(tmp_path) == []


def test_a_host_that_does_not_answer_is_named_with_the_reason(tmp_path):
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9/a: .*refused"):
        fetch(File("a", ("http://127.0.0.1:9/a",)), str(tmp_path / "a"), QUICK)


def test_redirects_are_followed_but_not_out_of_http(site, tmp_path):
    there = site.put("/there")
    assert fetch(File("a", (site.put("/a", moved=there),)), str(tmp_path / "a"), QUICK) == SHA
    with pytest.raises(OSError, match="could not be fetched"):
        fetch(File("b", (site.put("/b", moved="file:///etc/hostname"),)), str(tmp_path / "b"), QUICK)


class Full:
    """A file on a disk that fills up."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, piece):
        self.room -= len(piece)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(piece)


def test_certificates_are_asked_for_unless_a_checksum_stands_for_them():
    assert _download._context(False).verify_mode == ssl.CERT_REQUIRED
    assert _download._context(True).verify_mode == ssl.CERT_NONE
    assert {f.sha256 is None for d in emfast.data.DATASETS.values() for f in d.files if f.pinned} == {False}


def test_a_full_disk_keeps_what_is_there(site, tmp_path, monkeypatch):
    url, path = site.put("/a.bin"), str(tmp_path / "a.bin")
    with monkeypatch.context() as patch:
        whole = _download._open_part
        patch.setattr(_download, "_open_part", lambda p: Full(whole(p), 300_000))
        with pytest.raises(OSError, match=r"the disk of .*a\.bin is full; the next call goes on") as caught:
            fetch(File("a.bin", (url,), SHA), path, QUICK)
    assert caught.value.errno == errno.ENOSPC
    have = os.path.getsize(f"{path}.part")
    assert 0 < have <= 300_000
    fetch(File("a.bin", (url,), SHA), path, QUICK)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert site.asked[-1] == ("/a.bin", f"bytes={have}-")


def test_a_disk_that_is_too_small_is_told_before(site, tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(_download.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="needs 700001 bytes more, the disk has 1000"):
        fetch(File("a.bin", (site.put("/a.bin"),), SHA), str(tmp_path / "a.bin"), QUICK)


def test_two_at_once_do_not_mix(site, tmp_path):
    path = str(tmp_path / "a.bin")
    with _download._alone(path), pytest.raises(OSError, match="is being fetched by another process"):
        fetch(File("a.bin", (site.put("/a.bin"),), SHA), path, QUICK)


def test_progress_is_told(site, tmp_path):
    told = []
    settings = Settings(pause=QUICK.pause, told=lambda done, total: told.append((done, total)))
    fetch(File("a.bin", (site.put("/a.bin", breaks=[400_000]),), SHA), str(tmp_path / "a.bin"), settings)
    assert told == sorted(told)
    assert told[-1] == (len(DATA), len(DATA))


KILLED = """
import sys
from emfast.data import File, _download
_download.fetch(File("a.bin", (sys.argv[1],), sys.argv[2]), sys.argv[3])
"""


def test_a_process_that_is_killed_leaves_what_it_has(site, tmp_path):
    path, more = tmp_path / "a.bin", threading.Event()
    url = site.put("/a.bin", breaks=[300_000], waits=more)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-c", KILLED, url, SHA, str(path)]
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "a.bin.part").exists() or not os.path.getsize(f"{path}.part"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    more.set()
    have = os.path.getsize(f"{path}.part")
    assert not path.exists()
    fetch(File("a.bin", (url,), SHA), str(path), QUICK)
    assert path.read_bytes() == DATA
    assert site.asked[-1] == ("/a.bin", f"bytes={have}-")
    assert left(tmp_path) == ["a.bin"]


@given(breaks=st.lists(st.integers(0, 2000), max_size=6), known=st.booleans(), ranges=st.booleans(), tag=st.booleans())
def test_whatever_breaks_the_file_is_right_or_an_error_is_raised(site, tmp_path_factory, breaks, known, ranges, tag):
    folder = tmp_path_factory.mktemp("law")
    data = DATA[:3000]
    sha = hashlib.sha256(data).hexdigest()
    url = site.put("/law", data, breaks=list(breaks), ranges=ranges, tag='"x"' if tag else "")
    for _ in range(8):
        try:
            found = fetch(File("a", (url,), sha if known else None), str(folder / "a"), QUICK)
        except OSError:
            assert not (folder / "a").exists()
            continue
        assert found == sha
        break
    assert (folder / "a").read_bytes() == data


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(path="../a"), "path must lie below"),
        (dict(path="/a"), "path must lie below"),
        (dict(urls=("ftp://x/a",)), "urls must be http"),
        (dict(urls=()), "urls must be http"),
        (dict(sha256="ABC"), "64 hexadecimal digits"),
        (dict(pinned=True), "sha256 must be given"),
    ],
)
def test_files_are_checked_when_they_are_listed(options, words):
    with pytest.raises(ValueError, match=words):
        File(**{"path": "a", "urls": ("http://x/a",), **options})


# ---- datasets


def zipped(path, **members):
    import zipfile

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return path.read_bytes()


def dataset(*files):
    return Dataset(
        "toy", "Toy", None, "A toy.", "Nobody 2026", "CC0", "none", "none", (1, 1, 1), "4", ("a",), "none", "none",
        files=files,
    )  # fmt: skip


@pytest.fixture
def toy(site, tmp_path, monkeypatch):
    pack = zipped(tmp_path / "made.zip", im__0="zero", im__1="one")
    found = dataset(
        File("a.bin", (site.put("/a.bin"),), part="first"),
        File("sub/b.zip", (site.put("/b.zip", pack),), part="second", unpack=True),
        File("c.bin", (site.put("/c.bin", b"c"),), part="third", optional=True),
    )
    monkeypatch.setitem(_registry.DATASETS, "toy", found)
    monkeypatch.setenv("EMFAST_DATA", str(tmp_path / "home"))
    return tmp_path / "home" / "toy"


def test_get_fetches_unpacks_and_records(site, toy):
    assert emfast.data.get("toy", settings=QUICK) == str(toy)
    assert sorted(str(p.relative_to(toy)) for p in toy.rglob("*") if p.is_file()) == [
        "a.bin",
        "emfast-data.json",
        "sub/b.zip",
        "sub/im/0",
        "sub/im/1",
    ]
    said = json.loads((toy / "emfast-data.json").read_text())["files"]
    assert said["a.bin"] == {"sha256": SHA, "size": len(DATA)}
    assert said["sub/b.zip"]["members"]["sub/im/1"] == hashlib.sha256(b"one").hexdigest()
    asked = len(site.asked)
    emfast.data.get("toy", settings=QUICK)
    assert len(site.asked) == asked
    assert set(emfast.data.check("toy").values()) == {"sound"}


def test_parts_are_chosen(site, toy):
    emfast.data.get("toy", only=["third"], settings=QUICK)
    assert left(toy) == ["c.bin", "emfast-data.json"]
    with pytest.raises(ValueError, match="only must be of first, second, third, got 'fourth'"):
        emfast.data.get("toy", only=["fourth"])
    assert emfast.data.check("toy") == {"c.bin": "sound", "a.bin": "missing", "sub/b.zip": "missing"}


def test_check_finds_what_changed(site, toy):
    emfast.data.get("toy", settings=QUICK, keep_archives=False)
    assert not (toy / "sub" / "b.zip").exists()
    emfast.data.get("toy", settings=QUICK, keep_archives=False)  # it is known to have been unpacked
    assert not (toy / "sub" / "b.zip").exists()
    (toy / "sub" / "im" / "0").write_text("none")
    (toy / "a.bin").unlink()
    (toy / "a.bin.part").touch()
    assert emfast.data.check("toy") == {"a.bin": "unfinished", "sub/im/0": "damaged", "sub/im/1": "sound"}


def test_what_is_missing_comes_again_with_the_same_checksum(site, toy):
    emfast.data.get("toy", settings=QUICK)
    (toy / "a.bin").unlink()
    site.put("/a.bin", DATA[::-1])
    with pytest.raises(OSError, match=f"its SHA-256 is .*, not {SHA}"):
        emfast.data.get("toy", settings=QUICK)
    site.put("/a.bin")
    (toy / "sub" / "im" / "1").unlink()
    emfast.data.get("toy", settings=QUICK)
    assert set(emfast.data.check("toy").values()) == {"sound"}


def test_files_brought_by_hand_are_taken(site, toy):
    toy.mkdir(parents=True)
    (toy / "a.bin").write_bytes(b"brought")
    emfast.data.get("toy", only=["first"], settings=QUICK)
    assert site.asked == []
    assert emfast.data.check("toy")["a.bin"] == "sound"


def test_a_damaged_record_is_named(toy):
    toy.mkdir(parents=True)
    (toy / "emfast-data.json").write_text('{"files": [1]}')
    with pytest.raises(emfast.errors.CorruptData, match=r"emfast-data\.json must be a record"):
        emfast.data.check("toy")


def test_licence_and_citation_come_before_the_files(site, toy, capsys):
    assert cli.main(["data", "get", "toy", "--only", "first"]) == 0
    text = capsys.readouterr().out
    places = [text.index(words) for words in ("licence: CC0", "cite: Nobody 2026", "1 file to", "all there")]
    assert places == sorted(places)
    assert cli.main(["data", "check", "toy"]) == 1
    assert "missing   sub/b.zip\n1 of 2 files are sound" in capsys.readouterr().out
    assert cli.main(["data", "get", "toy", "--drop-archives"]) == 0
    assert cli.main(["data", "check", "toy"]) == 0
    site.files.clear()
    assert cli.main(["data", "get", "toy", "--to", str(toy.parent / "other")]) == 2
    out, err = capsys.readouterr()
    assert "cite: Nobody 2026" in out
    assert "HTTP 404" in err


def test_what_cannot_be_fetched_is_told_with_the_way(tmp_path, capsys):
    assert cli.main(["data", "get", "nucmm-z", "--to", str(tmp_path / "no")]) == 2
    out, err = capsys.readouterr()
    assert "Lin et al. 2021" in out
    assert "must be fetched by hand" in err
    assert not (tmp_path / "no").exists()


def test_home_is_said_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("EMFAST_DATA", str(tmp_path))
    assert _fetching.home() == str(tmp_path)
    monkeypatch.delenv("EMFAST_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", "/x")
    assert _fetching.home() == "/x/emfast"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/h")
    assert _fetching.home() == "/h/.local/share/emfast"
