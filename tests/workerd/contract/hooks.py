# Bodies for uploads: whole images, and bytes that are none.
import base64

import schemathesis
from hypothesis import strategies as st

PIXELS = {
    "image/png": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==",
    "image/gif": "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
}
IMAGES = st.sampled_from([base64.b64decode(pixel) for pixel in PIXELS.values()])
ANYTHING = IMAGES | st.binary(max_size=2_000)

for media_type in [
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/svg+xml",
    "image/avif",
    "image/heic",
    "application/octet-stream",
]:
    schemathesis.openapi.media_type(media_type, ANYTHING)
