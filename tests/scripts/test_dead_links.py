"""`scripts/dead_links.py` finds what leads nowhere, and nothing else."""

from scripts.dead_links import dead_links


def test_links_of_a_site(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1><a href="#top"></a><a href="sub/page.html#there"></a>'
        '<a href="https://example.org/#any"></a><img src="picture.png">'
        '<a href="sub/page.html#gone"></a>'
    )
    (tmp_path / "sub/page.html").write_text(
        '<p id="there"></p><a href="../index.html#top"></a><a href="other.html"></a>'
    )
    (tmp_path / "picture.png").touch()
    assert dead_links(tmp_path) == [
        "index.html: sub/page.html#gone",
        "sub/page.html: other.html",
    ]
