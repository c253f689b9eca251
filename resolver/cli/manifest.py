"""Zip files with a signed manifest of their parts' digests."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resolver.audit.signing import Signer, is_signed

JSON = dict[str, Any]
_MANIFEST, _SIGNATURE = "manifest.json", "manifest.json.sig"
_LARGEST = 256 * 1024 * 1024


class Checked(NamedTuple):
    manifest: JSON
    """Empty if the signature is invalid: then nothing in the file counts."""
    problems: list[str]


def write(path: Path, parts: Mapping[str, bytes], about: JSON, signer: Signer) -> None:
    """Write the file. Raises OSError."""
    digests = {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}
    manifest = json.dumps({**about, "parts": digests}, indent=2).encode()
    signature = signer.sign(_signed_text(manifest)).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in {**parts, _MANIFEST: manifest, _SIGNATURE: signature}.items():
            archive.writestr(name, part)


def checked(path: Path, public_keys: Iterable[str]) -> Checked:
    """Verify a file, and list every problem."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _checked(archive, public_keys)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        return Checked({}, [f"this is no evidence, or a broken one ({type(error).__name__})"])


def _checked(archive: zipfile.ZipFile, public_keys: Iterable[str]) -> Checked:
    if sum(entry.file_size for entry in archive.infolist()) > _LARGEST:
        return Checked({}, ["larger than any evidence file"])
    manifest, signature = archive.read(_MANIFEST), archive.read(_SIGNATURE).decode("ascii")
    if not any(is_signed(_signed_text(manifest), signature, key) for key in public_keys):
        return Checked({}, [f"{_MANIFEST}: signed with none of the keys that count, or changed since"])
    listed: JSON = json.loads(manifest)
    return Checked(listed, _different(archive, listed["parts"]))


def _different(archive: zipfile.ZipFile, digests: Mapping[str, str]) -> list[str]:
    """Compare the parts with their digests. A repeated name is a problem too: readers differ in which of the
    two entries they show."""
    names = [name for name in archive.namelist() if name not in (_MANIFEST, _SIGNATURE)]
    problems = [f"{name}: missing" for name in digests if name not in names]
    problems += [f"{name}: not in the manifest" for name in names if name not in digests]
    if len(set(archive.namelist())) != len(archive.namelist()):
        problems.append("a name occurs twice")
    return problems + [
        f"{name}: changed since it was signed"
        for name, digest in digests.items()
        if name in names and hashlib.sha256(archive.read(name)).hexdigest() != digest
    ]


def _signed_text(manifest: bytes) -> bytes:
    return b"vnr evidence\n" + manifest
