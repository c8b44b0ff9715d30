"""What whole jobs are made of."""

from __future__ import annotations

from jobs_made import archive, job, other_package, package, undisturbed

__all__ = ["archive", "job", "other_package", "package", "undisturbed"]
