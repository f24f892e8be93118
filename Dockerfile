# One image for every process of the engine; docker-compose.yml says which one a container runs.

FROM python:3.11-slim AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# Each file is checked against the lock as it arrives, and none needs a compiler.
COPY requirements.lock ./
RUN pip download --quiet --require-hashes --no-deps --only-binary :all: --dest wheels -r requirements.lock

# Nothing but those files can be installed, and of them only what production needs: the lock's
# extras `local` and `dev` stay behind in this stage.
COPY pyproject.toml README.md ./
COPY billing/ billing/
COPY schedules/ schedules/
COPY workers/ workers/
RUN python -m venv --without-pip /opt/billing \
    && pip --python /opt/billing install --quiet --no-index --find-links wheels .

FROM python:3.11-slim
# /state is for the sandbox: a new volume takes its owner from the folder it covers.
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin billing \
    && install --directory --owner=billing /state
COPY --from=build /opt/billing/ /opt/billing/
ENV PATH=/opt/billing/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Empty, and not writable: settings come from the environment alone.
WORKDIR /srv
USER 10001
CMD ["billing", "--help"]
