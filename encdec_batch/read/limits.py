"""What a scene may ask of this process before anything of it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that are checked against a scene's header. A header is a claim, not a fact."""

    max_decoded_bytes: int = 256 * MIB
    """Of one tile or strip with all the bands that lie in it, and of a thumbnail's source. A decoder allocates this
    much for a file of a few kilobytes."""
    max_pixels: int = 1 << 37
    """Of a scene with windows: 370,000 px a side."""
    max_whole_pixels: int = 1 << 26
    """Of a scene without windows (PNG, JPEG, WebP): 8192 px a side. Decoded, a pixel has 1 to 8 bytes, 3 in most."""
    max_whole_bytes: int = 256 * MIB
    """Encoded size of a scene without windows, which is fetched by one get and held until it is decoded."""
    max_bands: int = 2048
    """GDAL takes 20 s to open a file that claims 65,535."""
    max_ifds: int = 256
    """Images in one TIFF: overviews, masks, pages."""
    max_header_bytes: int = 64 * MIB
    """Read to learn where the pixels lie; 2 million tiles need 32 MiB."""
    max_growth_bytes: int | None = None
    """That decoding may add to a process, whatever the header says; None: no limit of the system. See memory.py."""
    small_file_bytes: int = 8 * MIB
    """Up to this size a TIFF is read by one get."""
    kept_bytes: int = 32 * MIB
    """Encoded tiles kept for the next window of a run."""
    max_thumbnail_bytes: int = 64 * MIB
    """Encoded bytes that a thumbnail may cost."""
    max_volume_bytes: int = 512 * MIB
    """Of a volume whose slices can only be had together (.nii.gz, or slices across what lies in a row): a process keeps
    one. 512 x 512 px in 16 bits have 1024 slices."""
    max_planes: int = 1 << 17
    """Images in one object: slices times points in time."""
    max_objects: int = 1 << 19
    """Of a scene that is a folder (OME-Zarr). A listed one weighs about 400 bytes, and a listing has 1000 a request."""
    max_chunks: int = 1 << 20
    """Of one plane of an OME-Zarr, those that are missing included."""


DEFAULT_LIMITS = Limits()
