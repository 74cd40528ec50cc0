"""Seeds that are left out are told by their reasons, not one by one."""

from smoacs.runs.skipped import skipped_notes


def test_a_few_are_told_one_by_one():
    assert list(skipped_notes(["a.cif: it has no atoms", "b.cif: cannot be read (x: y)"])) == [
        "seed left out: a.cif: it has no atoms",
        "seed left out: b.cif: cannot be read (x: y)",
    ]
    assert not list(skipped_notes([]))


def test_many_are_one_sentence_however_many_reasons_there_are():
    skipped = [f"{k}.cif: it has no atoms" for k in range(90)]
    skipped += [f"{k}.cif: the cell is flat" for k in range(20)]
    skipped += [f"{k}.cif: reason {k}" for k in range(7)]
    (sentence,) = skipped_notes(skipped)
    assert sentence.startswith(
        "117 seeds left out: 90 because it has no atoms; 20 because the cell is flat; "
        "1 because reason 0; 6 for other reasons (each"
    )
