#!/usr/bin/env bash
# The whole journey on this machine: a Supabase-shaped primary, a Neon-compatible API over real PostgreSQL, and
# every verb in the order in which an operator meets it. `make demo` calls it with the tool on the PATH.
set -euo pipefail
here=$(dirname "$0")
cd "$here/.."

work=$(mktemp -d "${TMPDIR:-/tmp}/supaneon-demo.XXXXXX")
chmod 711 "$work" # as root, the servers run as another user
# Whatever the caller has set for the real services must not reach the demo, nor the other way round.
for name in $(compgen -e); do case $name in NEON_* | SUPABASE_* | SUPANEON_CLIENTS | INPUT_* | GITHUB_*) unset "$name" ;; esac; done

finish() {
  code=$?
  supaneon-sync sandbox down --state "$work/sandbox" >/dev/null 2>&1 || code=1
  rm -rf "$work"
  if [ "$code" -ne 0 ]; then printf '\nThe demo failed (exit code %s).\n' "$code" >&2; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

bold=""; plain=""
if [ -t 1 ]; then bold=$'\033[1m'; plain=$'\033[0m'; fi
title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
show() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; "$@"; }
has() { supaneon-sync --help | grep -qE "^  $1 "; }
# uri: the connection URI of the newest healthy backup into BACKUP_URI; never on a command line.
uri() {
  local answer
  answer=$(supaneon-sync resolve --json)
  BACKUP_URI=$(python -c 'import json, sys; print(json.load(sys.stdin)["outputs"]["connection-uri"])' <<< "$answer")
  export BACKUP_URI
}

title "A sandbox: a Supabase-shaped primary, and Neon's API over local PostgreSQL"
printf "%s$ eval \"\$(supaneon-sync sandbox up)\"%s\n" "$bold" "$plain"
variables=$(supaneon-sync sandbox up --state "$work/sandbox") # a failure stops here; inside eval it would not
eval "$variables"

if has validate-config; then
  title "The doctor: is everything in order?"
  show supaneon-sync validate-config
fi

title "The first backup: everything is new"
show supaneon-sync backup-run

title "Where would the application be pointed?"
show supaneon-sync list
uri
echo "The rows, through the URI that resolve gives:"
python demo/look.py rows BACKUP_URI

title "A working day passes on the primary"
python demo/look.py day
sleep 1 # a backup's name has whole seconds
title "The second backup"
show supaneon-sync backup-run
uri
python demo/look.py rows BACKUP_URI

if has restore-test; then
  title "The drill: is the newest backup really usable?"
  show supaneon-sync restore-test
fi

if has prune; then
  title "The retention policy: what would go, and why does the rest stay?"
  show supaneon-sync prune --keep-last 1 --minimum 1
  show supaneon-sync prune --keep-last 1 --minimum 1 --yes
fi

if has failover; then
  title "The rehearsal: how long would a failover take?"
  show supaneon-sync failover --rehearse --yes
fi

title "At the end"
show supaneon-sync list
printf '\nDone. The sandbox is taken down; nothing is left behind.\n'
