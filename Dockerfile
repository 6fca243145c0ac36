# One image for every service: `docker run dimse-mesh run SERVICE --config FILE`.
# Where no registry can be reached: --build-arg BASE=... (deploy/image/build.sh makes one with mmdebstrap).
ARG BASE=python:3.12.12-slim-bookworm

# --- wheels: everything that pip downloads or builds, each file by the hash in requirements/ --------------------
FROM ${BASE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python3 -m venv /opt/build && python3 -m venv --without-pip /opt/venv
COPY requirements/build.lock requirements/operator.lock requirements/
# Without a network: what pip would download, put into deploy/image/wheels beforehand. Behind a proxy: its CA as the
# secret `ca`.
COPY deploy/image/wheels /wheels
RUN --mount=type=secret,id=ca set -eu; \
    if [ -e /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if ls /wheels/*.whl >/dev/null 2>&1; then set -- --no-index --find-links /wheels; fi; \
    /opt/build/bin/pip install "$@" --require-hashes --requirement requirements/build.lock; \
    /opt/build/bin/pip wheel "$@" --require-hashes --no-build-isolation --no-deps --wheel-dir /ready \
        --requirement requirements/operator.lock
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY schemas schemas
COPY services services
RUN set -eu; \
    /opt/build/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /ready .; \
    /opt/build/bin/pip --python /opt/venv/bin/python install --no-index --no-deps /ready/*.whl; \
    /opt/venv/bin/python -m compileall -q /opt/venv/lib

# --- base of what runs -------------------------------------------------------------------------------------
FROM ${BASE} AS runtime
RUN groupadd --gid 10001 mesh && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin mesh
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp

# --- development: sources where Tilt may write them; restarts in place on SIGHUP -----------------------------
FROM runtime AS dev
COPY --chown=10001:10001 common /src/common
COPY --chown=10001:10001 schemas /src/schemas
COPY --chown=10001:10001 services /src/services
COPY deploy/dev/reload.py /opt/reload.py
ENV PYTHONPATH=/src/common:/src/schemas:/src/services
ENTRYPOINT ["python3", "/opt/reload.py", "dimse-mesh"]

# --- the image (last stage: the default) -------------------------------------------------------------------
FROM runtime AS service
EXPOSE 11112 9090
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${DIMSE_MESH_OBSERVABILITY__HTTP__PORT:-9090} && printf 'GET /readyz HTTP/1.1\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dimse-mesh"]
CMD ["--help"]
