# Airflow with ktcomponent's operators, and TensorFlow for searches that run in the workers themselves. From the top of the
# repository:
#
#     DOCKER_BUILDKIT=1 docker build -f docker/airflow.Dockerfile -t ktcomponent-airflow .
ARG BASE=apache/airflow:3.3.2-python3.11
FROM ${BASE}
ARG EXTRAS=docker,kubernetes,gcs,s3,tensorflow-cpu,sklearn
WORKDIR /build
COPY --chown=50000:0 pyproject.toml constraints.txt README.md LICENSE ./
COPY --chown=50000:0 ktcomponent ktcomponent
COPY --chown=50000:0 operators operators
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,uid=50000 --mount=type=secret,id=ca,target=/run/ca.crt,uid=50000 \
    if [ -s /run/ca.crt ]; then export PIP_CERT=/run/ca.crt; fi \
    && pip install -q --no-cache-dir -c constraints.txt ".[${EXTRAS}]"
WORKDIR /opt/airflow
LABEL org.opencontainers.image.title="ktcomponent Airflow" \
      org.opencontainers.image.licenses="Apache-2.0"
