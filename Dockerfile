# docker build --target cpu -t thinkbudget:cpu .      (or --target gpu -t thinkbudget:gpu)
FROM python:3.11-slim AS base
# Triton and vLLM compile kernels when they start; wget is what KubeRay's own probes call.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libnuma1 wget \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 thinkbudget && install -d -o 10001 -g 10001 /data /keys /scrape
WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt constraints-cpu.txt thinkbudget.py ./
COPY policies policies
COPY workers workers
COPY scheduler scheduler
COPY training training
COPY deploy deploy
ENV HF_HOME=/data/huggingface PYTHONUNBUFFERED=1
EXPOSE 8000
ENTRYPOINT ["thinkbudget"]
CMD ["serve", "--config", "/app/deploy/compose/thinkbudget.toml"]
HEALTHCHECK --interval=10s --timeout=8s --start-period=300s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/health"]

FROM base AS cpu
# torchvision and its kin of the other index do not match torch's CPU build.
RUN pip install --no-cache-dir '.[cpu,otel,postgres]' -c constraints.txt -c constraints-cpu.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu \
    && pip uninstall -q -y torchvision torchaudio torchcodec
USER 10001

FROM base AS gpu
RUN pip install --no-cache-dir '.[gpu,otel,postgres]' -c constraints.txt
USER 10001
