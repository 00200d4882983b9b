# docs/install.md says how to run it. `make image` builds it.
ARG PYTHON=3.13-slim-trixie

FROM python:${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/build.txt requirements/image.txt requirements/
RUN python -m venv /build \
    && /build/bin/pip install --quiet --require-hashes -r requirements/build.txt \
    && python -m venv --without-pip /opt/strongroom \
    && /build/bin/pip --python /opt/strongroom/bin/python install --quiet --require-hashes -r requirements/image.txt
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY deploy/man deploy/man
COPY deploy/systemd deploy/systemd
COPY docs docs
COPY src src
RUN /build/bin/python -m hatchling build --target wheel \
    && /build/bin/pip --python /opt/strongroom/bin/python install --quiet --no-deps dist/*.whl \
    && /opt/strongroom/bin/python -m compileall -q /opt/strongroom/lib

FROM python:${PYTHON}
# The first process of a container needs no shell, and the data folder is open to this user alone.
RUN groupadd --gid 10001 strongroom \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/strongroom --no-create-home --shell /usr/sbin/nologin strongroom \
    && install -d -m 0755 /etc/strongroom \
    && install -d -m 0700 -o strongroom -g strongroom /var/lib/strongroom
COPY --from=build /opt/strongroom /opt/strongroom
# The data folder is in the volume and not the volume itself, because a volume may come with rights for a whole group.
ENV PATH=/opt/strongroom/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    STRONGROOM_DATA=/var/lib/strongroom/data
VOLUME /var/lib/strongroom
WORKDIR /etc/strongroom
USER 10001:10001
EXPOSE 4599
# By an option, because STRONGROOM_LISTEN does not move the server away from this port either: see below.
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 \
    CMD ["strongroom", "ready", "--listen", "127.0.0.1:4599"]
ENTRYPOINT ["strongroom"]
# An option and not a variable, because other commands would refuse the settings of a server that others reach without TLS.
CMD ["serve", "--listen", "0.0.0.0:4599"]
