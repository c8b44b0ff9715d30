"""What an OME-TIFF says of itself: sizes, pixels in micrometres, names of bands and classes; nothing of its source.

Source: OME-XML 2016-06; OME-TIFF specification 6.0.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from encdec_batch.plan.product import Product

_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TYPES = {"uint8": "uint8", "uint16": "uint16", "float32": "float"}


def ome_xml(product: Product, shape: tuple[int, int], size_um: tuple[float, float] | None) -> bytes:
    """ASCII, ended by a zero as TIFF's texts are.

    Args:
        product: in the file's first directory, bands interleaved by pixel.
        shape: height and width of the full size.
        size_um: height and width of a pixel, micrometres; None: not known.
    """
    names, bands = product.band_names, product.num_bands
    physical = ""
    if size_um is not None:
        sides = {"X": size_um[1], "Y": size_um[0]}
        physical = "".join(
            f' PhysicalSize{axis}="{side!r}" PhysicalSize{axis}Unit="µm"' for axis, side in sides.items()
        )
    bits = 8 * np.dtype(product.dtype).itemsize
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/ome.xsd">'
        f'<Image ID="Image:0" Name={quoteattr(product.name)}>'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="{_TYPES[product.dtype]}" SignificantBits="{bits}" '
        f'BigEndian="false" Interleaved="{"true" if bands > 1 else "false"}" '
        f'SizeX="{shape[1]}" SizeY="{shape[0]}" SizeC="{bands}" SizeZ="1" SizeT="1"{physical}>'
        # Interleaved bands are one channel of so many samples.
        f'<Channel ID="Channel:0:0" Name={quoteattr(", ".join(names))} SamplesPerPixel="{bands}"/>'
        '<TiffData IFD="0" PlaneCount="1"/></Pixels>'
        f"{_annotated(product)}</OME>"
    )
    # TIFF's texts have 7 bits; XML has names for all else, but for control characters, which it forbids.
    return _FORBIDDEN.sub("?", text).encode("ascii", "xmlcharrefreplace") + b"\0"


def _annotated(product: Product) -> str:
    """What ids or stored values stand for; closes the image."""
    if product.kind == "classes":
        space, pairs = "class-names", [*zip(map(str, product.class_ids), product.class_names, strict=True)]
    elif (product.scale, product.offset) != (1.0, 0.0):
        space, pairs = "value", [("scale", repr(product.scale)), ("offset", repr(product.offset))]
    else:
        return "</Image>"
    values = "".join(f'<M K="{key}">{escape(value)}</M>' for key, value in pairs)
    return (
        '<AnnotationRef ID="Annotation:0"/></Image><StructuredAnnotations>'
        f'<MapAnnotation ID="Annotation:0" Namespace="encdec-batch/{space}">'
        f"<Value>{values}</Value></MapAnnotation></StructuredAnnotations>"
    )
