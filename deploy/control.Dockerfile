# Dispatcher, collector and Flower; and, with the compiler, workers of the CPU device.
FROM python:3.12-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 hipopt \
    && mkdir /data /cache \
    && chown hipopt:hipopt /data /cache

COPY pyproject.toml README.md LICENSE /src/
COPY hipopt /src/hipopt
COPY tasks /src/tasks
RUN pip install --no-cache-dir /src

ENV HIPOPT_CACHE_DIR=/cache PYTHONUNBUFFERED=1
USER hipopt
WORKDIR /home/hipopt
CMD ["hipopt", "--help"]
