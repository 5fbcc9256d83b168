# Everything in one container: docker run -p 127.0.0.1:8000:8000 -v turnwise:/data --shm-size 256m turnwise
# The same image serves each pod of ray-cluster.yaml, where the commands come from KubeRay.

FROM python:3.12-slim AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The packages first: a change of our own code then leaves this layer, by far the largest, alone.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
        > requirements.txt \
    && pip install --prefix=/install --constraint constraints.txt --requirement requirements.txt
COPY README.md serve_app.py scheduler.py ./
COPY actors actors
RUN pip install --prefix=/install --no-deps .

FROM python:3.12-slim
# tini passes SIGTERM on and collects the processes that Ray leaves behind to process 1;
# wget is what KubeRay asks a worker's HTTP proxy with, to see whether the pod is ready.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home turnwise \
    && install --directory --owner turnwise --group turnwise /data
# In /usr/local, not in a virtual environment: a login shell (KubeRay can be told to use one) sets
# PATH anew, and would not find `ray`.
COPY --from=build /install /usr/local

# Inside a container the loopback address reaches nobody; what is published is decided outside.
ENV PYTHONUNBUFFERED=1 \
    BIND_ADDRESS=0.0.0.0 \
    DATA_DIR=/data
# By number: Kubernetes can tell that it is not root (runAsNonRoot).
USER 10001
WORKDIR /home/turnwise
# The journal, as long as REDIS_URL names no Redis elsewhere.
VOLUME /data
# HTTP alone. Ray's dashboard listens on the container's loopback address and stays there.
EXPOSE 8000

# Ray's object store lies in /dev/shm, of which Docker gives 64 MB; Ray's least is about 80 MB, so
# start with --shm-size 256m (compose.yaml does), else Ray takes the slower /tmp.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:%s/readyz' % (os.environ.get('PORT') or 8000), timeout=4)"]
# With REDIS_URL it uses that Redis, without it starts its own in /data.
ENTRYPOINT ["tini", "--", "turnwise", "run"]
