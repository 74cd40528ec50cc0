import pytest

from smoacs.errors import short


@pytest.mark.parametrize("value", ["", "CaTiO3", "¾ Å — ± 3", 3, None, ["a", "b"]])
def test_what_is_short_stays(value):
    assert short(value) == (value if isinstance(value, str) else repr(value))


@pytest.mark.parametrize("value", ["a" * 5_000, "\0" * 1_000, "\n" * 79, 10**4_000, ["x"] * 999])
def test_what_is_long_is_cut_to_one_printable_line(value):
    text = short(value)
    assert len(text) <= 80
    assert text.isprintable()
    assert " ... " in text


def test_both_ends_are_kept():
    text = short("begin" + "x" * 500 + "end", 40)
    assert text.startswith("begin")
    assert text.endswith("end")
