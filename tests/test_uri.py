"""What is shown of a URI holds no credential, and still says which object is meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.errors import SpecError
from encdec_batch.uri import has_userinfo, public_text, public_uri, public_values

AWS = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20261128&X-Amz-Expires=60&X-Amz-Signature=abc"
PLAIN = "https://host/a/b.tif"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (f"{PLAIN}?{AWS}", PLAIN),
        (f"{PLAIN}?versionId=3&{AWS}", PLAIN),
        (f"{PLAIN}?sv=2024-01-01&se=2026&sr=b&sig=abc%3D", PLAIN),
        (f"{PLAIN}?GoogleAccessId=me&Expires=1&Signature=abc", PLAIN),
        (f"{PLAIN}?Policy=p&Key-Pair-Id=k", PLAIN),
        (f"{PLAIN}?token=abc", PLAIN),
        (f"{PLAIN}?abc", PLAIN),
        (f"{PLAIN}?", PLAIN),
        (f"{PLAIN}#sig=abc", PLAIN),
        (f"{PLAIN}?id=7;sig=abc", PLAIN),
        ("HTTPS://me:secret@host/b.tif?sig=abc", "HTTPS://host/b.tif"),
        ("https://me:secret@host?sig=a/b", "https://host"),
        ("https://user:pw@h.org/a@b.tif", "https://h.org/a@b.tif"),
        ("https://h.org/a@b.tif", "https://h.org/a@b.tif"),
        ("/x/a@b.tif", "/x/a@b.tif"),
        ("s3://me:secret@bucket/b.tif", "s3://bucket/b.tif"),
        ("abfs://container@account.dfs.core.windows.net/b.tif", "abfs://container@account.dfs.core.windows.net/b.tif"),
        ("abfs://me:secret@account/b.tif", "abfs://account/b.tif"),
        ("ftp://me@host/b.tif", "ftp://host/b.tif"),
        ("https://host/uc?id=7&Format=tif", "https://host/uc?id=7&Format=tif"),
        ("s3://bucket/a?sig=b@c.tif", "s3://bucket/a?sig=b@c.tif"),
        ("file:///a?sig=b.tif", "file:///a?sig=b.tif"),
        ("/a?sig=b.tif", "/a?sig=b.tif"),
    ],
)
def test_what_is_shown(uri, shown):
    assert public_uri(uri) == shown
    assert public_uri(shown) == shown


@given(st.text(alphabet="abs:/@?&=#;%.", max_size=30))
def test_what_is_shown_of_anything_is_shown_as_it_is(rest):
    shown = public_uri(f"https://{rest}")
    assert public_uri(shown) == shown
    assert not has_userinfo(shown)


def test_messages():
    said = f"403, message='Forbidden', url='{PLAIN}?{AWS}' (see {PLAIN}?sig=a)"
    assert public_text(said) == f"403, message='Forbidden', url='{PLAIN}' (see {PLAIN})"
    assert public_text(f"{PLAIN}?{AWS}: no image.") == f"{PLAIN}: no image."
    assert str(SpecError(f"{PLAIN}?{AWS}: no image", hint="x")) == f"{PLAIN}: no image; x"


def test_a_spec():
    spec = {"source": {"uris": [f"{PLAIN}?{AWS}", "s3://a/b"], "bands": None}, "tiling": {"core": 64}}
    assert public_values(spec) == {"source": {"uris": [PLAIN, "s3://a/b"], "bands": None}, "tiling": {"core": 64}}
