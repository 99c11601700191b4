"""Builds the wheel and the source archive of libmm with nothing but the standard library, make and binutils (PEP 517, 660).

The wheel holds libmm.so and every shared library it needs beyond the C library's own, in libmm/_libs, with a list of them in
the order they must be loaded. Its tag names the oldest C library they work with, read from their symbol versions. Where the
system is Debian's, the copyright notices of the libraries go along.

The source of the library is the tree this folder lies in (../..), or native/ in a source archive. Config settings:
library=FILE takes a built libmm.so instead of running make.
"""
from __future__ import annotations

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: The C library's own and the compiler's, which every glibc system has.
SYSTEM = re.compile(r"(libc|libm|libdl|librt|libpthread|libresolv|libutil|libgcc_s|libstdc\+\+|ld-linux[\w-]*)\.so\.\d+$")
FIRST = (1980, 1, 1, 0, 0, 0)


def _root() -> str:
    for place in (os.path.join(HERE, "native"), os.path.dirname(os.path.dirname(HERE))):
        if all(os.path.exists(os.path.join(place, name)) for name in ("Makefile", "include/libmm.h", "src")):
            return place
    raise SystemExit("libmm: the source of the library is not around %s; build from the source tree, with pip 21.3 or later" % HERE)


def _version(root: str) -> str:
    with open(os.path.join(root, "include", "libmm.h"), encoding="utf-8") as header:
        return ".".join(re.findall(r"^#define MM_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header.read(), re.M))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ, LC_ALL="C")).stdout


def _library(root: str, settings: dict) -> str:
    """A built libmm.so."""
    if settings.get("library"):
        return os.path.abspath(settings["library"])
    target = "lib/libmm.so." + _version(root)
    if shutil.which("make"):
        subprocess.run(["make", "-C", root, "-j%d" % (os.cpu_count() or 1), target], check=True, stdout=2)
    elif not os.path.exists(os.path.join(root, target)):
        raise SystemExit("libmm: make is needed to build %s/%s" % (root, target))
    return os.path.join(root, target)


# ---- what a shared library needs ----

def _facts(path: str) -> tuple[str, list[str], list[tuple[int, ...]]]:
    """Its name, the names of what it needs, and the versions of glibc its symbols ask for."""
    text = _run("objdump", "-p", path)
    name = re.search(r"^\s*SONAME\s+(\S+)", text, re.M)
    versions = [tuple(map(int, v.split("."))) for v in re.findall(r"\bGLIBC_(\d+(?:\.\d+)+)", text)]
    return name.group(1) if name else os.path.basename(path), re.findall(r"^\s*NEEDED\s+(\S+)", text, re.M), versions


def _closure(library: str) -> tuple[list[tuple[str, str]], tuple[int, ...]]:
    """(name, path) of the library and all it needs, each after its own needs; and the glibc they work with."""
    places = dict(re.findall(r"^\s*(\S+) => (/\S+)", _run("ldd", library), re.M))
    done: list[tuple[str, str]] = []
    glibc: tuple[int, ...] = (2, 17)

    def visit(path: str) -> None:
        nonlocal glibc
        name, needs, versions = _facts(path)
        if any(name == n for n, _ in done):
            return
        glibc = max([glibc, *(v[:2] for v in versions)])
        for need in needs:
            if SYSTEM.match(need):
                continue
            if need not in places:
                raise SystemExit("libmm: %s needs %s, which is not installed" % (path, need))
            visit(os.path.realpath(places[need]))
        done.append((name, path))
    visit(os.path.realpath(library))
    return done, glibc


def _notices(paths: list[str]) -> dict[str, str]:
    """Copyright notices by Debian package, of those that come from one."""
    found = {}
    for path in paths:
        for asked in (path, path[4:] if path.startswith("/usr/") else "/usr" + path):
            owner = subprocess.run(["dpkg", "-S", asked], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) \
                if shutil.which("dpkg") else None
            notice = "/usr/share/doc/%s/copyright" % owner.stdout.split(":")[0] if owner and owner.stdout else ""
            if os.path.exists(notice):
                found[notice.split("/")[-2]] = notice
    return found


# ---- archives ----

class _Wheel:
    """A wheel being written; remembers what goes into RECORD."""

    def __init__(self, folder: str, version: str, tag: str):
        self.name = "libmm-%s-%s.whl" % (version, tag)
        self.info = "libmm-%s.dist-info" % version
        self._zip = zipfile.ZipFile(os.path.join(folder, self.name), "w", zipfile.ZIP_DEFLATED)
        self._record: list[str] = []
        self.add(self.info + "/METADATA", _metadata(version))
        self.add(self.info + "/WHEEL", "Wheel-Version: 1.0\nGenerator: libmm_build\nRoot-Is-Purelib: false\nTag: %s\n" % tag)

    def add(self, name: str, data: str | bytes, mode: int = 0o644) -> None:
        raw = data.encode() if isinstance(data, str) else data
        entry = zipfile.ZipInfo(name, FIRST)
        entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
        self._zip.writestr(entry, raw)
        digest = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
        self._record.append("%s,sha256=%s,%d\n" % (name, digest, len(raw)))

    def close(self) -> str:
        record = self.info + "/RECORD"
        self.add(record, "".join(self._record) + record + ",,\n")
        self._zip.close()
        return self.name


def _read(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()


def _metadata(version: str) -> str:
    return ("Metadata-Version: 2.1\nName: libmm\nVersion: %s\nSummary: Multimodal models inside your own process\n"
            "Requires-Python: >=3.9\nDescription-Content-Type: text/markdown\n\n%s"
            % (version, _read(os.path.join(HERE, "README.md")).decode()))


def _modules() -> list[str]:
    folder = os.path.join(HERE, "libmm")
    return sorted(n for n in os.listdir(folder) if n.endswith(".py") or n == "py.typed")


def build_wheel(wheel_directory: str, config_settings: dict | None = None, metadata_directory: str | None = None) -> str:
    root = _root()
    library = _library(root, config_settings or {})
    parts, glibc = _closure(library)
    wheel = _Wheel(wheel_directory, _version(root), "py3-none-manylinux_%d_%d_%s" % (*glibc[:2], platform.machine()))
    for name in _modules():
        wheel.add("libmm/" + name, _read(os.path.join(HERE, "libmm", name)))
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in parts:
            bare = os.path.join(scratch, name)
            _run("objcopy", "--strip-debug", path, bare)
            wheel.add("libmm/_libs/" + name, _read(bare), 0o755)
    wheel.add("libmm/_libs/order.txt", "".join(name + "\n" for name, _ in parts))
    for package, notice in sorted(_notices([path for _, path in parts]).items()):
        wheel.add("%s/licenses/%s.txt" % (wheel.info, package), _read(notice))
    return wheel.close()


def build_editable(wheel_directory: str, config_settings: dict | None = None, metadata_directory: str | None = None) -> str:
    root = _root()
    _library(root, config_settings or {})
    wheel = _Wheel(wheel_directory, _version(root), "py3-none-any")
    wheel.add("libmm.pth", HERE + "\n")
    return wheel.close()


def build_sdist(sdist_directory: str, config_settings: dict | None = None) -> str:
    root = _root()
    base = "libmm-" + _version(root)

    def clean(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if os.path.basename(entry.name) in ("__pycache__", "_libs"):
            return None
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        return entry
    with tarfile.open(os.path.join(sdist_directory, base + ".tar.gz"), "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name in ("pyproject.toml", "README.md", "backend", "libmm"):
            archive.add(os.path.join(HERE, name), base + "/" + name, filter=clean)
        for name in ("Makefile", "include", "shaders", "src"):
            archive.add(os.path.join(root, name), base + "/native/" + name, filter=clean)
        with tempfile.NamedTemporaryFile() as info:
            info.write(_metadata(_version(root)).encode())
            info.flush()
            archive.add(info.name, base + "/PKG-INFO", filter=clean)
    return base + ".tar.gz"


def get_requires_for_build_wheel(config_settings: dict | None = None) -> list[str]:
    return []


get_requires_for_build_sdist = get_requires_for_build_editable = get_requires_for_build_wheel
