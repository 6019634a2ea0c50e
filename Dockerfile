# The HTTP server, without a local engine of its own: engines run beside it, or elsewhere.
#   docker build -t ziggie-image-mcp .
FROM python:3.11-slim

LABEL io.modelcontextprotocol.server.name="io.github.OWNER/ziggie-image-mcp"

ENV HOME=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ZIGGIE_IMAGE_OUTPUT__DIRECTORY=/pictures

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ziggie_image_mcp ziggie_image_mcp
COPY providers providers
COPY tools/packages/ziggie-image-mcp.1 tools/packages/
RUN pip install --no-cache-dir -c constraints.txt ".[replicate,postgres,s3]" \
    && mkdir -p /data /pictures \
    && chown 1000:1000 /data /pictures

WORKDIR /data
USER 1000:1000
VOLUME ["/data", "/pictures"]
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8765/healthz', timeout=4)"]
ENTRYPOINT ["ziggie-image-mcp"]
CMD ["serve", "--http", "--host", "0.0.0.0", "--allowed-host", "localhost", "--allowed-host", "127.0.0.1"]
