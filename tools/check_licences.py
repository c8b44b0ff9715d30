"""Checks that every installed package is under a licence we may depend on.

Reads the metadata of the environment it runs in; a package without a known licence fails, so that a new
dependency is a decision. Exit code 1 and one line per offence.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, distributions

OWN_NAME = "encdec-batch"

ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC",
        "LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
        # Weak copyleft per file: we change none of their files.
        "MPL-2.0",
    }
)  # fmt: skip
"""SPDX identifiers; permissive unless a comment says otherwise."""

SPELLINGS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "new bsd": "BSD-3-Clause",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
"""What packages without an SPDX expression call the same licences, in lower case."""

EXCEPTIONS = {
    r"nvidia-.*|cuda-.*": "NVIDIA's own terms; come with the CUDA build of torch, never redistributed by us",
    "openslide-.*": "LGPL, as shared libraries; an extra, and another reader in tests; never redistributed by us",
}
"""Packages (regular expression on the normalised name) accepted for a reason of their own."""


def main() -> int:
    """Print each offence and return the exit code."""
    packages = sorted(distributions(), key=_name)
    offences = [offence for package in packages if (offence := find_offence(package))]
    for offence in offences:
        print(offence, file=sys.stderr)
    if not offences:
        print(f"licences: {len(packages)} packages, all on the allow-list of tools/check_licences.py")
    return 1 if offences else 0


def find_offence(package: Distribution) -> str | None:
    """What is wrong with the licence of a package, or None."""
    name = _name(package)
    if name == OWN_NAME or any(re.fullmatch(pattern, name) for pattern in EXCEPTIONS):
        return None
    stated = stated_licences(package)
    if not stated:
        return f"{name} {package.version}: states no licence; read its sources and add an exception with the reason"
    for licence in stated:
        unknown = [term for term in _terms(licence) if term not in ALLOWED]
        if unknown:
            return f"{name} {package.version}: {', '.join(unknown)} is not on the allow-list (stated: {licence!r})"
    return None


def stated_licences(package: Distribution) -> list[str]:
    """The licences in a package's metadata: its SPDX expression, else its classifiers, else the old free field."""
    # typeshed's message has no `in`; get_all is the one lookup that does not raise for a missing field.
    fields = package.metadata
    if expression := fields.get_all("License-Expression"):
        return list(expression)
    classifiers = [text for text in fields.get_all("Classifier") or [] if text.startswith("License :: ")]
    # "OSI Approved" and "DFSG approved" alone name no licence.
    named = [text.rsplit(" :: ", 1)[-1] for text in classifiers if not text.lower().endswith("approved")]
    if named:
        return named
    # Some packages put the whole text here: its first line is the title.
    return [text.strip().splitlines()[0] for text in fields.get_all("License") or [] if text.strip()]


def _terms(licence: str) -> list[str]:
    """SPDX identifiers of one expression; every one of them must be allowed, `OR` included, to keep this short."""
    if licence.lower() in SPELLINGS:
        return [SPELLINGS[licence.lower()]]
    if not re.search(r"\b(AND|OR|WITH)\b", licence):
        return [licence]
    return [term for term in re.split(r"\s+(?:AND|OR|WITH)\s+|[()]", licence) if term.strip()]


def _name(package: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", package.name).lower()


if __name__ == "__main__":
    sys.exit(main())
