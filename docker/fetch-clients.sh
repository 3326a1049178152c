#!/bin/bash
# fetch-clients.sh OUT SOURCE MAJOR...: lays pg_dump, pg_restore and psql of each major out under OUT.
#
# The packages depend on Perl for wrappers that are not used here, so they are unpacked, not installed; their
# descriptions go where scanners look for packages without a dpkg database. Debian's own postgresql-client-common
# carries the key of the PostgreSQL project's repository, so no key is fetched from anywhere else.
set -euo pipefail

out=$1 source_line=$2
shift 2
list=/etc/apt/sources.list.d/pgdg.list
keys=/usr/share/postgresql-common/pgdg
mkdir -p "$out/var/lib/dpkg/status.d" "$out/etc/apt/sources.list.d" "$out/usr/share/postgresql-common" /fetch
chown _apt /fetch # apt downloads as that user
cd /fetch

apt-get update
apt-get download postgresql-client-common
dpkg-deb -x postgresql-client-common_*.deb common
mkdir -p "$(dirname "$keys")"
cp -a "common$keys" "$keys"

echo "$source_line" > "$list"
apt-get update
for major in "$@"; do
  package=postgresql-client-$major
  apt-get download "$package"
  dpkg-deb -x "$package"_*.deb "$major"
  { dpkg-deb -f "$package"_*.deb; echo "Status: install ok installed"; } > "$out/var/lib/dpkg/status.d/$package"
  home=$out/usr/lib/postgresql/$major
  mkdir -p "$home/bin"
  cp -a "$major/usr/lib/postgresql/$major/bin/"{pg_dump,pg_restore,psql} "$home/bin/"
  # A package that brings a libpq of its own keeps it beside its programs; the project's packages do not.
  if ls "$major/usr/lib/postgresql/$major/lib/"libpq.so.* 2>/dev/null; then
    mkdir "$home/lib"
    cp -a "$major/usr/lib/postgresql/$major/lib/"libpq.so.* "$home/lib/"
  fi
done

# The last stage takes libpq from the same repository, then forgets the source.
cp -a "$list" "$out/etc/apt/sources.list.d/"
cp -a "$keys" "$out/usr/share/postgresql-common/"
