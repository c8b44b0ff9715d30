"""The files of one scene, written into the folder of its generation; nothing of them is visible yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from encdec_batch.commit.cells import write_cells
from encdec_batch.commit.cog import write_cog
from encdec_batch.commit.generation import OutputFolder
from encdec_batch.commit.geo import geo_of
from encdec_batch.commit.geojson import PixelSize, write_geojson
from encdec_batch.commit.marker import OutputFile
from encdec_batch.commit.ome_tiff import write_ome_tiff
from encdec_batch.commit.ome_zarr import write_ome_zarr
from encdec_batch.commit.parts import Parts, SceneTiles
from encdec_batch.commit.png import write_png, write_quicklook
from encdec_batch.models.card import ImageOutput
from encdec_batch.plan.output_size import largest_cog
from encdec_batch.plan.product import Product
from encdec_batch.plan.products import CELLS, OUTLINES, QUICKLOOK, ome_tiff_name, ome_zarr_name
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.spec.output import GeojsonFile, PngFile, QuicklookFile
from encdec_batch.store.store import Store
from encdec_batch.write.sink import Sink, Written

FILES_AT_ONCE = 4
"""Files of a scene that are written together: for small scenes the store's latency is most of a commit."""

_Fill = Callable[[Sink], Written]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOrder:
    """What files are to be made of."""

    recipe: Recipe
    scene: ScenePlan
    parts: Parts
    coarse: Parts | None
    """The levels that no block makes; None where the scene has none."""

    @property
    def main(self) -> Product:
        return self.recipe.products[0]

    def tiles(self, product: Product) -> SceneTiles:
        return SceneTiles(product, self.scene.grid().output_shape, self.parts, self.coarse)

    @property
    def pixel_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel of the output, micrometres."""
        size, scale = self.scene.header.pixel_size_um, self.scene.geometry.scale
        return None if size is None else (size[0] / scale, size[1] / scale)

    @property
    def pixel_size(self) -> PixelSize:
        """The same in pixels of the finest level."""
        height, width = (side / self.scene.geometry.scale for side in self.scene.header.level0_downsample)
        return PixelSize(height=height, width=width)

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Float images are shown between the ends of the card's range."""
        output = self.recipe.card.output
        return output.units_range if self.main.dtype == "float32" and isinstance(output, ImageOutput) else None


def write_files(store: Store, order: FileOrder, folder: OutputFolder) -> dict[str, OutputFile]:
    """Writes what the scene still lacks, several files at a time.

    Raises:
        PartMissing: parts are gone or damaged.
    """

    def write(file: tuple[str, int, _Fill]) -> tuple[str, OutputFile]:
        name, expected, fill = file
        written = write_object(store, folder.path + name, fill, expected_size=expected)
        return name, OutputFile(path=folder.path + name, size=written.size_bytes, sha256=written.sha256)

    files = [*_rasters(order), *_pictures(order), *_tables(order)]
    # A folder's objects are written one after the other: each is a pass over the tiles.
    folders = dict(_folders(store, order, folder))
    if len(files) == 1:
        return dict(map(write, files)) | folders
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        return dict(pool.map(write, files)) | folders


def write_object(store: Store, path: str, fill: _Fill, *, expected_size: int) -> Written:
    """Writes one object and says what it is.

    Args:
        store: the root of the output.
        path: of the object; its bytes are a function of it.
        fill: what writes them.
        expected_size: bytes at most, 0 for little: a multipart upload has 10,000 parts, and too small ones would end it
            short of a giant.
    """
    with store.open_writer(path, expected_size=expected_size) as writer:
        written = fill(writer)
        # False: the file is there already. Its bytes are a function of its name, so it is this one.
        writer.finish()
    return written


def file_options(recipe: Recipe) -> dict[str, str]:
    """What of the spec decides bytes of a file and is in no part: without it a folder's name would not name them."""
    files = recipe.spec.output.files
    sides = {f"{file.kind}.max_side": str(file.max_side) for file in files if isinstance(file, PngFile | QuicklookFile)}
    outlines = {file.kind: file.model_dump_json() for file in files if isinstance(file, GeojsonFile)}
    return sides | outlines


def file_notes(recipe: Recipe, scene: ScenePlan) -> Iterator[str]:
    """What was asked for and is not made, and why."""
    png, side = recipe.spec.output.file("png"), max(scene.grid().output_shape)
    if isinstance(png, PngFile) and side > png.max_side:
        name = recipe.products[0].name
        yield f"{name}.png is a quicklook: the scene's side of {side} px is above png.max_side {png.max_side}"


def _rasters(order: FileOrder) -> Iterator[tuple[str, int, _Fill]]:
    """Name, bytes at most, and writer of each file that is to be made."""
    scene, main = order.scene, order.main
    geo = geo_of(scene.header, scene.geometry.scale)
    for product in order.recipe.products:
        if f"{product.name}.tif" in scene.outputs:
            size = largest_cog(scene, product)
            yield f"{product.name}.tif", size, lambda sink, p=product: write_cog(sink, order.tiles(p), geo)  # type: ignore[misc]
    if (name := ome_tiff_name(main)) in scene.outputs:
        yield name, largest_cog(scene, main), lambda sink: write_ome_tiff(sink, order.tiles(main), order.pixel_um)


def _pictures(order: FileOrder) -> Iterator[tuple[str, int, _Fill]]:
    output, outputs, main, span = order.recipe.spec.output, order.scene.outputs, order.main, order.value_range
    png, quicklook = output.file("png"), output.file("quicklook")
    if f"{main.name}.png" in outputs and isinstance(png, PngFile):
        if max(order.scene.grid().output_shape) <= png.max_side:
            yield f"{main.name}.png", 0, lambda sink: write_png(sink, order.tiles(main), value_range=span)
        else:
            side = min(png.max_side, quicklook.max_side if isinstance(quicklook, QuicklookFile) else 2048)
            yield (
                f"{main.name}.png",
                0,
                lambda sink: write_quicklook(sink, order.tiles(main), max_side=side, value_range=span),
            )
    if QUICKLOOK in outputs and isinstance(quicklook, QuicklookFile):
        yield (
            QUICKLOOK,
            0,
            lambda sink: write_quicklook(sink, order.tiles(main), max_side=quicklook.max_side, value_range=span),
        )


def _tables(order: FileOrder) -> Iterator[tuple[str, int, _Fill]]:
    scene, main = order.scene, order.main
    geo, outlines = geo_of(scene.header, scene.geometry.scale), order.recipe.spec.output.file("geojson")
    if CELLS in scene.outputs:
        yield CELLS, 0, lambda sink: write_cells(sink, main, order.parts, geo, scene_id=scene.scene_id)
    if OUTLINES in scene.outputs and isinstance(outlines, GeojsonFile):
        yield OUTLINES, 0, lambda sink: write_geojson(sink, order.tiles(main), outlines, order.pixel_size)


def _folders(store: Store, order: FileOrder, folder: OutputFolder) -> Iterator[tuple[str, OutputFile]]:
    """Written already, but not visible: the marker names all of a folder's objects or none."""
    name, scene = ome_zarr_name(order.main), order.scene
    if name not in scene.outputs:
        return
    path, members = folder.path + name, dict[str, Written]()
    largest = largest_cog(scene, order.main)

    def put(member: str, fill: _Fill) -> None:
        size = 0 if member.endswith(".json") else largest
        members[member] = write_object(store, f"{path}/{member}", fill, expected_size=size)

    write_ome_zarr(put, order.tiles(order.main), order.pixel_um)
    yield name, OutputFile.of_folder(path, members)
