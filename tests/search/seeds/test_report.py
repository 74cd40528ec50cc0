"""What is said of many searches is short, and counted."""

from smoacs.search.seeds.report import joined_report


def report(method, note, **numbers):
    return {"method": method, "note": note, **numbers}


def test_a_few_notes_are_all_told_once():
    reports = [
        report("gradient", "a: x"),
        report("exhaustive", "b", relaxed=2),
        report("gradient", "a: x"),
    ]
    assert joined_report(reports, ["s1", "s2", "s3"]) == {
        "method": "exhaustive and gradient",
        "note": "a: x; b",
        "relaxed": 2,
    }


def test_of_five_hundred_notes_there_is_one_of_each_kind_with_its_number():
    reports = [
        report("gradient", f"search by gradients: {k} does not fit", relaxed=1) for k in range(300)
    ] + [report("exhaustive", f"exhaustive search: {k} decorations") for k in range(150)]
    reports += [report("gradient", "")] * 50
    names = [f"seed {k}" for k in range(500)]
    joined = joined_report(reports, names)
    assert joined["note"] == (
        "300 of 500 searches: search by gradients: 0 does not fit; "
        "150 of 500 searches: exhaustive search: 0 decorations"
    )
    assert len(joined["notes"]) == 450
    assert joined["notes"][301] == "seed 301: exhaustive search: 1 decorations"
    assert joined["relaxed"] == 300
