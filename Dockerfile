# Two stages: wheels are fetched and built in the first, the second holds what runs.
# Runs as 65532 on a read-only root file system; writes nothing.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sidecar sidecar
COPY config/demo.yaml config/demo.yaml
# No compiler: every dependency has wheels, and one that had none should fail here, not at run time.
RUN python3 -m venv /opt/sidecar \
    && /opt/sidecar/bin/pip install --no-cache-dir --only-binary :all: '.[fleet]' \
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
ENTRYPOINT ["sidecar"]
CMD ["run", "--config", "/etc/sidecar/sidecar.yaml"]
