"""From a CAD file to what a camera sees of it: mesh, camera, control maps, shape digest."""

from workers.geometry.cache import BlobCache, FolderCache, cached_maps, cached_mesh
from workers.geometry.camera import Camera, make_camera
from workers.geometry.digest import shape_digest
from workers.geometry.facts import describe
from workers.geometry.formats import detect_format
from workers.geometry.maps import ControlMaps, control_maps
from workers.geometry.mesh import Body, Mesh, Surface
from workers.geometry.tessellate import ReadFile, TessellationLimits, look_into, tessellate

__all__ = [
    "BlobCache",
    "Body",
    "Camera",
    "ControlMaps",
    "FolderCache",
    "Mesh",
    "ReadFile",
    "Surface",
    "TessellationLimits",
    "cached_maps",
    "cached_mesh",
    "control_maps",
    "describe",
    "detect_format",
    "look_into",
    "make_camera",
    "shape_digest",
    "tessellate",
]
