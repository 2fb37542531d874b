# TokenHub in a container: the packages of requirements.txt by their hashes, a user without rights, one directory to write to.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/
RUN /opt/venv/bin/pip install --require-hashes -r /tmp/requirements.txt
WORKDIR /srv/tokenhub
COPY pyproject.toml README.md manage.py ./
COPY fixtures/config fixtures/config
COPY vault vault
COPY registry registry
COPY accounts accounts
COPY gateway gateway
COPY tokenhub_site tokenhub_site
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation -e .
# The image never changes, so its bytecode need not be checked against file times that copying may alter.
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib /srv/tokenhub \
    && chmod -R a+rX /srv/tokenhub

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 tokenhub \
    && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin tokenhub \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/tokenhub /srv/tokenhub
RUN ln -s /opt/venv/bin/tokenhub /tokenhub
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TOKENHUB_DATA_DIR=/data \
    TOKENHUB_ENV_FILE=
WORKDIR /srv/tokenhub
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/health/live', timeout=2)"]
CMD ["/tokenhub"]
