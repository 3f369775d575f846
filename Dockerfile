# Two images: `sidecar`, which pods get, and `operator`, which has its control plane and the `tcpservice` command.
#   docker build --target sidecar -t tcpservice-sidecar .
#   docker build --target operator -t tcpservice-operator .
# Packages are those of requirements.txt; a base image can be pinned by its digest: --build-arg PYTHON=python@sha256:...
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS source
WORKDIR /source
COPY requirements.txt ./
RUN pip install --quiet --no-cache-dir --root-user-action ignore --constraint requirements.txt cython setuptools wheel
COPY pyproject.toml setup.py README.md ./
COPY sidecar sidecar
COPY operator operator
COPY cli cli

# The sidecar's core is compiled; the operator passes no messages, and needs no compiler.
FROM source AS compiled
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN BUILD_EXTENSION=yes pip wheel --quiet --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM source AS plain
RUN BUILD_EXTENSION=no pip wheel --quiet --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM compiled AS sidecar-installed
RUN python -m venv --without-pip /opt/tcpservice \
    && pip --python /opt/tcpservice/bin/python install --quiet --no-cache-dir --constraint requirements.txt \
       "$(ls /wheels/*.whl)[sidecar]" \
    && rm -r /opt/tcpservice/lib/python3*/site-packages/tcpservice_operator \
             /opt/tcpservice/lib/python3*/site-packages/tcpservice_cli \
             /opt/tcpservice/lib/python3*/site-packages/tcpservice_local \
             /opt/tcpservice/lib/python3*/site-packages/tcpservice_traces \
             /opt/tcpservice/bin/tcpservice /opt/tcpservice/bin/tcpservice-operator \
    && /opt/tcpservice/bin/python -c 'from tcpservice.implementation import running; assert running() == "compiled"'

FROM plain AS operator-installed
RUN python -m venv --without-pip /opt/tcpservice \
    && pip --python /opt/tcpservice/bin/python install --quiet --no-cache-dir --constraint requirements.txt \
       "$(ls /wheels/*.whl)[operator]" \
    && rm /opt/tcpservice/bin/tcpservice-sidecar

FROM ${PYTHON} AS operator
COPY --from=operator-installed /opt/tcpservice /opt/tcpservice
ENV PATH=/opt/tcpservice/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 15810 15811
ENTRYPOINT ["tcpservice-operator"]

FROM ${PYTHON} AS sidecar
COPY --from=sidecar-installed /opt/tcpservice /opt/tcpservice
ENV PATH=/opt/tcpservice/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 15801 15820 15890
ENTRYPOINT ["tcpservice-sidecar"]
