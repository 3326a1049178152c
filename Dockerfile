# supaneon-sync: the tool, and PostgreSQL's clients of every major a primary or a standby may have.
#
#   docker build -t supaneon-sync .
#   docker run --rm -e SUPABASE_DATABASE_URL -e NEON_API_KEY supaneon-sync backup
#
# The GitHub runner decides about user, working directory, mounts, networks and signals, so none of that is
# set here. Written for the old builder too: no heredocs, no COPY --chmod, no RUN --mount.

ARG BASE=debian:trixie-slim

# --- what the other stages share: certificates, before anything is fetched -----------------------------
FROM ${BASE} AS base
ARG DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*

# --- the clients: pg_dump, pg_restore and psql of each major, and nothing else of their packages --------
FROM base AS clients
ARG POSTGRES_MAJORS="15 16 17 18"
ARG PGDG_SOURCE="deb [signed-by=/usr/share/postgresql-common/pgdg/apt.postgresql.org.gpg] https://apt.postgresql.org/pub/repos/apt trixie-pgdg main"
COPY docker/fetch-clients.sh /fetch/fetch-clients.sh
# hadolint ignore=SC2086 # the majors are several words
RUN /bin/bash /fetch/fetch-clients.sh /out "${PGDG_SOURCE}" ${POSTGRES_MAJORS}

# --- Python packages, exactly those of the lock file ----------------------------------------------------
FROM base AS packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-pip \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*
COPY requirements.lock /fetch/requirements.lock
RUN pip install --no-cache-dir --no-compile --require-hashes --only-binary=:all: \
      --target /out/usr/local/lib/python3.13/dist-packages -r /fetch/requirements.lock \
 && rm -rf /out/usr/local/lib/python3.13/dist-packages/bin
COPY supaneon_sync /out/usr/local/lib/python3.13/dist-packages/supaneon_sync
COPY entrypoint.py LICENSE /out/opt/supaneon-sync/
# Compiled against the file's content, not its date: the same sources give the same image.
RUN find /out -name __pycache__ -prune -exec rm -rf {} + \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /out

# --- the image -------------------------------------------------------------------------------------------
FROM base AS image
ARG POSTGRES_MAJORS="15 16 17 18"
COPY --from=clients /out/ /
RUN apt-get update \
 && apt-get install -y --no-install-recommends libpq5 liblz4-1 libreadline8t64 libzstd1 python3 tzdata \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
      /etc/apt/sources.list.d/pgdg.list \
 && for major in ${POSTGRES_MAJORS}; do \
      for program in pg_dump pg_restore psql; do \
        "/usr/lib/postgresql/${major}/bin/${program}" --version; done; done
COPY --from=packages /out/ /
RUN /usr/bin/python3 -I -c "import psycopg2, requests, supaneon_sync, tenacity, yaml; print(supaneon_sync.__version__)"

ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="supaneon-sync" \
      org.opencontainers.image.description="Your Supabase database as proved, connectable Neon branches" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

ENV SUPANEON_CLIENTS=/usr/lib/postgresql \
    SUPANEON_IMAGE="${VERSION}@${REVISION}"
# -I: nothing in the caller's environment or working directory decides what Python loads. -u: live logs.
ENTRYPOINT ["/usr/bin/python3", "-I", "-u", "/opt/supaneon-sync/entrypoint.py"]
