# A worker on a node with AMD GPUs. The image's ROCm has to fit the host's driver (amdgpu): take the
# tag that `rocminfo` on the host agrees with. /dev/kfd and /dev/dri come from the host, and so do
# the numbers of the groups that own them: see docker-compose.yml.
ARG ROCM=6.4.1
FROM rocm/dev-ubuntu-24.04:${ROCM}-complete

RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 hipopt \
    && mkdir /cache \
    && chown hipopt:hipopt /cache

COPY pyproject.toml README.md LICENSE /src/
COPY hipopt /src/hipopt
COPY tasks /src/tasks
RUN python3 -m venv /opt/hipopt \
    && /opt/hipopt/bin/pip install --no-cache-dir /src

ENV PATH=/opt/hipopt/bin:/opt/rocm/bin:$PATH HIPOPT_CACHE_DIR=/cache PYTHONUNBUFFERED=1
USER hipopt
WORKDIR /home/hipopt
CMD ["hipopt", "worker"]
