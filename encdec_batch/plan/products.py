"""Which rasters and files a card and a spec make of a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import nan

from encdec_batch.errors import SpecError
from encdec_batch.models.card import Card, ClassesOutput, ImageOutput
from encdec_batch.plan.product import MARGIN, Product, quantum_levels
from encdec_batch.spec.output import OutputSpec

QUICKLOOK = "quicklook.png"
CELLS = "cells.parquet"
OUTLINES = "outlines.geojson"


def products_of(card: Card, output: OutputSpec) -> tuple[Product, ...]:
    """The rasters of each scene; the first is the main one, `mask` or `image`."""
    if isinstance(card.output, ImageOutput):
        return (_image(card.output),)
    return _class_products(card.output, output)


def wanted_outputs(products: tuple[Product, ...], output: OutputSpec) -> tuple[str, ...]:
    """Names of the files that a scene is to have in its folder."""
    names: list[str] = []
    kinds = [file.kind for file in output.files]
    if "cog" in kinds:
        names += [f"{product.name}.tif" for product in products]
    if "png" in kinds:
        names.append(f"{products[0].name}.png")
    if "quicklook" in kinds:
        names.append(QUICKLOOK)
    if "cells" in kinds:
        names.append(CELLS)
    if "geojson" in kinds:
        names.append(OUTLINES)
    if "ome_tiff" in kinds:
        names.append(ome_tiff_name(products[0]))
    if "ome_zarr" in kinds:
        names.append(ome_zarr_name(products[0]))
    return tuple(names)


def ome_tiff_name(main: Product) -> str:
    """`mask.ome.tif` or `image.ome.tif`."""
    return f"{main.name}.ome.tif"


def ome_zarr_name(main: Product) -> str:
    """`mask.ome.zarr` or `image.ome.zarr`: a folder."""
    return f"{main.name}.ome.zarr"


def needed_products(products: tuple[Product, ...], outputs: tuple[str, ...]) -> tuple[Product, ...]:
    """The rasters that these files are made from; all files but the COGs of the others come from the main one."""
    main, *others = products
    of_others = {f"{product.name}.tif" for product in others}
    from_main = any(name not in of_others for name in outputs)
    return tuple(p for p in products if (p is main and from_main) or (p is not main and f"{p.name}.tif" in outputs))


def outlined_ids(mask: Product, names: Sequence[str] | None) -> tuple[int, ...]:
    """Ids of the classes that are outlined, in the card's order; those of id 0 are ground, unless they are named.

    Raises:
        SpecError: a name is that of no class.
    """
    if names is None:
        return tuple(number for number in mask.class_ids if number != 0)
    if unknown := [name for name in names if name not in mask.class_names]:
        raise SpecError(
            f"geojson in output.files names {', '.join(unknown)}, the classes are {', '.join(mask.class_names)}",
            hint="correct its classes",
        )
    return tuple(number for number, name in zip(mask.class_ids, mask.class_names, strict=True) if name in names)


def check_products(main: Product) -> tuple[Product, ...]:
    """What a check window leaves: classes and how sure they are; of an image the network's own values."""
    return (main, MARGIN) if main.kind == "classes" else (replace(main, dtype="float32", nodata=nan),)


def _class_products(classes: ClassesOutput, output: OutputSpec) -> tuple[Product, ...]:
    ids = tuple(item.id for item in classes.classes)
    names = tuple(item.name for item in classes.classes)
    # 255 stands for nodata unless a class has that id or a higher one; then ids are 16 bits wide.
    wide = max(ids) > 254
    made = [
        Product(
            name="mask",
            kind="classes",
            dtype="uint16" if wide else "uint8",
            band_names=("class",),
            nodata=65535 if wide else 255,
            class_ids=ids,
            class_names=names,
            class_colors=tuple(item.color for item in classes.classes),
        )
    ]
    if output.probability:
        made.append(Product(name="probability", kind="image", dtype="uint8", band_names=names, nodata=255))
    if output.entropy:
        made.append(Product(name="entropy", kind="image", dtype="uint8", band_names=("entropy",), nodata=255))
    return tuple(made)


def _image(image: ImageOutput) -> Product:
    if image.dtype == "float32" or (image.scale, image.offset) == (1.0, 0.0):
        nodata = nan if image.dtype == "float32" else 0
        return Product(name="image", kind="image", dtype=image.dtype, band_names=image.band_names, nodata=nodata)
    (low, high), levels = image.units_range, quantum_levels(image.dtype)
    step = (high - low) / levels
    # Stored 1 is the least value, as 0 is nodata.
    return Product(
        name="image",
        kind="image",
        dtype=image.dtype,
        band_names=image.band_names,
        nodata=0,
        scale=step,
        offset=low - step,
    )
