"""Container images of vLLM: which run it by their own entrypoint, and whose tag is vLLM's own version."""

from __future__ import annotations

import re
from functools import lru_cache

from servelint.engines.images import Releases, split

# Repositories whose image starts vLLM's API server itself, by their last path element; sources: docker/Dockerfile* of vLLM
# 0.7.3-0.33.0 (ENTRYPOINT of the openai, cpu, rocm and xpu targets) and images built on them.
# Patterns stay text: most runs need one or two of them, and each costs start-up time to compile.
_OWN_ENTRYPOINT = (
    r"(llmd-)?vllm-openai(-(cpu|rocm|xpu|gaudi|arm64|s390x|ppc64le|nonroot|ubi9))*"
    r"|vllm-(cpu-)?openai-ubi9|vllm-cpu-release-repo|(odh-)?vllm-(cuda|rocm|cpu|gaudi|spyre)-(rhel|ubi)\d+"
)
_OWN_ENTRYPOINT_PATHS = (
    r"opea/vllm(-gaudi|-rocm)?|opendatahub/vllm"
    r"|llm-d/llm-d(-(cuda|xpu|cpu|hpu|rocm|aws|gke))?(-dev)?"  # ENTRYPOINT of docker/Dockerfile.* in llm-d/llm-d
)

# Repositories whose tags are vLLM's own releases: the project's on Docker Hub (and mirrors that keep its path), the CPU
# images its installation guide names (docs/getting_started/installation/cpu), and AWS Deep Learning Containers, whose tags begin
# with the framework's version (aws/deep-learning-containers, available_images.md).
RELEASES = Releases(
    "vLLM",
    r"(.*/)?(vllm/vllm-openai(-(cpu|rocm|xpu|nonroot))?|q9t5s3a7/vllm-cpu-release-repo"
    r"|763104351884\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/vllm|deep-learning-containers/vllm)",
    r"v?(\d+\.\d+\.\d+)(\.\d+)?((rc|\.post)\d+)*([-+].*)?",
    "pin vllm/vllm-openai:vX.Y.Z, or set engine_versions: {vllm: X.Y.Z} in servelint.yaml",
    usual="vllm/vllm-openai",
)


@lru_cache(maxsize=256)
def owns_image(image: str) -> bool:
    """True if ``image`` is known to start vLLM's server by its own entrypoint."""
    repository = split(image)[0].lower()
    parts = repository.split("/")
    if parts[-1] == "vllm-openai":  # most images: no pattern needs compiling for it
        return True
    own = re.fullmatch(_OWN_ENTRYPOINT, parts[-1]) or re.fullmatch(_OWN_ENTRYPOINT_PATHS, "/".join(parts[-2:]))
    return own is not None
