# Two stages: packages are fetched, checked by hash and installed in the first, the second holds
# what runs. Runs as 65532 on a read-only root file system; writes nothing; needs no shell.
# Pin the base to what your registry has: --build-arg BASE=python:3.13-slim@sha256:…
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock ./
# No compiler: every dependency has wheels, and one that had none should fail here, not at run time.
RUN python3 -m venv /opt/sidecar \
    && /opt/sidecar/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
      -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY config/demo.yaml config/demo.yaml
# hatchling, at build time alone, comes from the index; the package itself brings nothing new.
RUN /opt/sidecar/bin/pip install --no-cache-dir --no-deps . \
    && /opt/sidecar/bin/pip check \
    && /opt/sidecar/bin/pip uninstall --yes pip

FROM ${BASE}
COPY --from=build /opt/sidecar /opt/sidecar
ENV PATH=/opt/sidecar/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
# data and admin are for loopback, health is for the kubelet
EXPOSE 4180 4181 4182
STOPSIGNAL SIGTERM
# By exec, without a shell; pip's records of what is installed stay in, for whoever makes an SBOM.
ENTRYPOINT ["/opt/sidecar/bin/python3", "-m", "sidecar"]
CMD ["run", "--config", "/etc/sidecar/sidecar.yaml"]
