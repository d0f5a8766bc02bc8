"""A bundle in an OCI registry: one artifact whose only layer is the .coachz file.

The image manifest (OCI image specification 1.1, "Guidelines for Artifact Usage") holds no date, so the same bundle has
the same digest wherever it is pushed. Any OCI client gets the file back. Credentials are those of `docker login`.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tempfile
from dataclasses import dataclass
from typing import Any

from coachc.errors import ToolchainError, UsageError
from coachc.runtime.bundle.archive import Contents

SCHEME = "oci://"
ARTIFACT_TYPE = "application/vnd.coachc.bundle.v1"
LAYER_TYPE = "application/vnd.coachc.bundle.v1+zip"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"
TIMEOUT_S = 60.0

# OCI distribution specification 1.1, "Pulling manifests". A first part without dot or colon would be Docker Hub's.
_REGISTRY = r"(?P<registry>\[[0-9A-Fa-f:]+\]:[0-9]+|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?::[0-9]+)?)"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_ADDRESS = re.compile(
    rf"oci://{_REGISTRY}/(?P<repository>{_PART}(?:/{_PART})*):(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Reference:
    """Where to push: oci://REGISTRY/REPOSITORY:TAG."""

    registry: str
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}:{self.tag}"


def parse_reference(text: str) -> Reference:
    """Read oci://REGISTRY/REPOSITORY:TAG.

    Raises
    ------
    UsageError
        It is something else.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not ({".", ":"} & set(found["registry"])):
        raise UsageError(
            f"'{text}' is not an address in a registry",
            context=[
                "expected  oci://REGISTRY/REPOSITORY:TAG, REGISTRY with a dot or a port, REPOSITORY in small letters"
            ],
            hint="for example oci://registry.example.com/vision/resnet101:7",
        )
    return Reference(found["registry"], found["repository"], found["tag"])


def artifact_manifest(path: str, title: str, contents: Contents) -> dict[str, Any]:
    """The image manifest of a bundle's artifact; same archive and title, same manifest."""
    with open(path, "rb") as stream:
        digest, size = hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": _descriptor(EMPTY_TYPE, hashlib.sha256(EMPTY).hexdigest(), len(EMPTY)),
        "layers": [
            {**_descriptor(LAYER_TYPE, digest, size), "annotations": {"org.opencontainers.image.title": title}},
        ],
        "annotations": {
            "org.opencontainers.image.version": str(contents.manifest.revision),
            "vnd.coachc.bundle.id": contents.bundle_id,
        },
    }


def push_oci(path: str, title: str, contents: Contents, reference: Reference, *, plain_http: bool = False) -> str:
    """Push an archive, and the artifact that names it.

    Parameters
    ----------
    path : str
        The archive.
    title : str
        The file name that clients give it.
    contents : Contents
    reference : Reference
    plain_http : bool
        For registries without TLS.

    Returns
    -------
    str
        Digest of the artifact.

    Raises
    ------
    ToolchainError
        oras is not installed, or the registry cannot be reached or refuses.
    """
    try:
        import requests
        from oras.auth import AuthenticationException
        from oras.container import Container
    except ImportError as exc:
        raise ToolchainError("pushing to a registry needs the library oras", hint="pip install '.[ship]'") from exc

    manifest = artifact_manifest(path, title, contents)
    container = Container(str(reference))
    step = "asking who may write"
    try:
        registry = _registry(container, plain_http)
        with tempfile.NamedTemporaryFile() as empty:
            empty.write(EMPTY)
            empty.flush()
            for step, blob, layer in (
                ("sending the bundle", path, manifest["layers"][0]),
                ("sending the empty configuration", empty.name, manifest["config"]),
            ):
                _check(registry.upload_blob(blob, container, layer), step, reference)
        step = "sending the manifest"
        answer = registry.upload_manifest(manifest, container)
    except (requests.RequestException, AuthenticationException, ValueError, OSError) as exc:
        raise _failed(
            reference,
            step,
            [str(exc)[:300]],
            "check the address and the network; docker login; --plain-http without TLS",
        ) from exc
    _check(answer, step, reference)
    digest = "sha256:" + hashlib.sha256(answer.request.body).hexdigest()
    stated = answer.headers.get("Docker-Content-Digest", digest)
    if stated != digest:
        raise _failed(
            reference, step, [f"expected  {digest}", f"found     {stated}"], "the registry stored something else"
        )
    return digest


def _registry(container: Any, plain_http: bool) -> Any:
    """oras' client for one repository, with the credentials there are for it."""
    from oras.logger import logger
    from oras.provider import Registry

    class Impatient(Registry):
        """oras tries everything six times, over two minutes; whoever pushes is told at once instead."""

        do_request = Registry.do_request.__wrapped__

    def client(auth_backend: str) -> Any:
        made = Impatient(insecure=plain_http, auth_backend=auth_backend)
        request = made.session.request
        made.session.request = lambda *words, **options: request(*words, **{"timeout": TIMEOUT_S, **options})
        return made

    logger.logger.disabled = True  # it repeats on stderr what the errors say
    found = client("token")
    greeting = found.session.get(f"{found.prefix}://{container.registry}/v2/")
    if greeting.headers.get("Www-Authenticate", "").lower().startswith("basic"):
        # The other backend would ask the realm, which is any text here, for a token.
        found = client("basic")
        found.auth._basic_auth = None
    found.auth.load_configs(container)
    return found


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _check(answer: Any, step: str, reference: Reference) -> None:
    if answer.status_code in (200, 201, 202):
        return
    said = ["expected  HTTP 201", f"found     HTTP {answer.status_code} {answer.reason or ''}".rstrip()]
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        said += [f"{error.get('code')}: {error.get('message')}"[:300] for error in answer.json().get("errors", [])]
    raise _failed(reference, step, said, "check that the repository exists and that docker login let you write to it")


def _failed(reference: Reference, step: str, context: list[str], hint: str) -> ToolchainError:
    return ToolchainError(f"pushing to {reference} failed while {step}", context=context, hint=hint)
