"""Serve postgresql-client-15 to -18 as a small apt repository on loopback, for builds with no way out.

The packages hold the programs of the wheels that the sandbox uses, under the paths of the PostgreSQL
project's own packages. Usage: ``stand_in_repository.py DIRECTORY``; prints the address and serves until
it is ended.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from supaneon_sync.sandbox import binaries

PROGRAMS = ("pg_dump", "pg_restore", "psql")
FIELDS = """\
Package: postgresql-client-{major}
Version: {version}-stand-in
Architecture: {architecture}
Maintainer: nobody <nobody@localhost>
Description: stand-in for the PostgreSQL project's package
"""


def main() -> None:
    """Make what is missing in the directory, then serve it."""
    directory = Path(sys.argv[1]).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    architecture = _output("dpkg", "--print-architecture")
    stanzas = [_stanza(_package(directory, major, architecture)) for major in binaries.MAJORS]
    (directory / "Packages").write_text("\n".join(stanzas))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(directory))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def _package(directory: Path, major: int, architecture: str) -> Path:
    version = binaries.VERSIONS[major]
    package = directory / f"postgresql-client-{major}_{version}_{architecture}.deb"
    if package.exists():
        return package
    tree = binaries._unpacked(major, binaries.default_cache())
    if not tree.exists():
        binaries._fetch(major, tree)
    root = directory / f"tree-{major}"
    shutil.rmtree(root, ignore_errors=True)
    home = root / f"usr/lib/postgresql/{major}"
    (home / "bin").mkdir(parents=True)
    (root / "DEBIAN").mkdir()
    control = FIELDS.format(major=major, version=version, architecture=architecture)
    (root / "DEBIAN/control").write_text(control)
    for program in PROGRAMS:
        shutil.copy2(tree / "bin" / program, home / "bin" / program)
    (home / "lib").mkdir()
    shutil.copy2(tree / "lib/libpq.so.5", home / "lib/libpq.so.5")
    _output("dpkg-deb", "--build", "--root-owner-group", str(root), str(package))
    shutil.rmtree(root)
    return package


def _stanza(package: Path) -> str:
    control = _output("dpkg-deb", "--field", str(package))
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    return f"{control}\nFilename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
