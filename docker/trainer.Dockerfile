# The image that trials run in: ktcomponent and TensorFlow, no Airflow. Built from the top of the repository:
#
#     DOCKER_BUILDKIT=1 docker build -f docker/trainer.Dockerfile -t ktcomponent-trainer .
#     ... --build-arg BASE=python:3.12-slim        on CPUs
#
# The base needs Python 3.11 or newer and apt. Where packages come from an index of your own, or through a proxy with
# its own certificates, give them as secrets; they don't stay in the image:
#
#     ... --secret id=pip,src=/etc/pip.conf --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt
ARG BASE=tensorflow/tensorflow:2.21.0-gpu
FROM ${BASE}

# An init process passes signals on and reaps what trainings leave. Nothing is installed that the base has: Ubuntu's
# python3-venv would replace a newer Python of the base by its own.
RUN missing=; \
    command -v tini >/dev/null || missing=tini; \
    python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"; \
    if [ -n "$missing" ]; then \
        apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing ca-certificates >/dev/null \
        && rm -rf /var/lib/apt/lists/*; \
    fi

# TensorFlow and other dependencies: the large layer, which changes with pyproject.toml and constraints.txt only.
# TensorFlow of the base is used where it has one.
ARG TENSORFLOW=tensorflow-cpu
ARG EXTRAS="gcs s3"
WORKDIR /build
COPY pyproject.toml constraints.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/ca.crt \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt SSL_CERT_FILE=/run/ca.crt; fi \
    && python3 -m venv --system-site-packages /opt/ktcomponent \
    && python3 -m venv /tmp/uv && /tmp/uv/bin/pip install -q --no-cache-dir uv \
    && if python3 -c 'import importlib.util as u, sys; sys.exit(u.find_spec("tensorflow") is None)'; \
        then tensorflow=; else tensorflow=${TENSORFLOW}; fi \
    && for extra in ${EXTRAS} ${tensorflow}; do options="${options:-} --extra ${extra}"; done \
    && /tmp/uv/bin/uv pip install -q --no-cache --compile-bytecode --python /opt/ktcomponent/bin/python \
        -c constraints.txt -r pyproject.toml ${options} \
    && rm -rf /tmp/uv

COPY README.md LICENSE ./
COPY ktcomponent ktcomponent
COPY operators operators
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/ca.crt \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt; fi \
    && /opt/ktcomponent/bin/python -m pip install -q --no-cache-dir --no-deps . \
    && rm -rf /build/* \
    && printf '#!/bin/sh\nexec tini -- /opt/ktcomponent/bin/ktcomponent "$@"\n' > /usr/local/bin/ktcomponent \
    && chmod 755 /usr/local/bin/ktcomponent

LABEL org.opencontainers.image.title="ktcomponent trainer" \
      org.opencontainers.image.description="Runs one batch of trials of a durable hyperparameter search." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/usr/local/bin:/opt/ktcomponent/bin:${PATH} \
    HOME=/tmp PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=2
# User code is found here: it is the working directory.
WORKDIR /app
USER 1000:1000
ENTRYPOINT ["ktcomponent"]
CMD ["--help"]
