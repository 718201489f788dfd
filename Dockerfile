# The two images, a target each: docker build --target phalanx-scheduler . `make image` follows the same last stages without a daemon
# (hack/release), so they may use what it knows: LABEL, COPY --from, USER, ENTRYPOINT.
#
# Bases are pinned by the digests of their indices of all platforms, with the tag beside them. The digests were read in several public
# repositories that pin the same tag: from where this was written no registry could be reached. Dependabot moves them.
ARG VERSION=v0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z

# The scheduler is static, so any machine can build it for any other.
FROM --platform=$BUILDPLATFORM golang:1.26.8-trixie@sha256:bdca99a00bc16590cb1a0bb4e698f5fc5d6a64e4d5eef13d9f18a0ee08e5fa65 AS build-scheduler
ARG VERSION TARGETARCH
WORKDIR /src
COPY . .
RUN make ship-scheduler DIST=/out VERSION=$VERSION ARCH=$TARGETARCH && mv /out/phalanx-scheduler-linux-$TARGETARCH /phalanx-scheduler

# The reporter is not: it is built on the platform that it is for, emulated if need be, with that one's C compiler and glibc.
FROM golang:1.26.8-trixie@sha256:bdca99a00bc16590cb1a0bb4e698f5fc5d6a64e4d5eef13d9f18a0ee08e5fa65 AS build-reporter
ARG VERSION TARGETARCH
WORKDIR /src
COPY . .
RUN make ship-reporter DIST=/out VERSION=$VERSION ARCH=$TARGETARCH && mv /out/phalanx-reporter-linux-$TARGETARCH /phalanx-reporter

FROM gcr.io/distroless/static-debian13:nonroot@sha256:1c2c046bc09ed40fad370b599a0b1ae7987f55b01e247cf27a7c27cd97e5bbc7 AS phalanx-scheduler
ARG VERSION REVISION CREATED
LABEL org.opencontainers.image.title="phalanx-scheduler" \
      org.opencontainers.image.description="kube-scheduler with gangs that start all at once or not at all" \
      org.opencontainers.image.source="https://github.com/phalanx-scheduler/phalanx" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build-scheduler /phalanx-scheduler /phalanx-scheduler
USER 65532:65532
ENTRYPOINT ["/phalanx-scheduler"]

# glibc, and neither a shell nor OpenSSL. NVML comes from the node, mounted by the container runtime, and is looked for at run time.
FROM gcr.io/distroless/base-nossl-debian13:nonroot@sha256:8c563c1fb5e120606f0d85733049775faed6192e2bd2223ef283a5393eec22b9 AS phalanx-reporter
ARG VERSION REVISION CREATED
LABEL org.opencontainers.image.title="phalanx-reporter" \
      org.opencontainers.image.description="Says what a node's GPUs are: their health, memory and links" \
      org.opencontainers.image.source="https://github.com/phalanx-scheduler/phalanx" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=build-reporter /phalanx-reporter /phalanx-reporter
USER 65532:65532
ENTRYPOINT ["/phalanx-reporter"]
