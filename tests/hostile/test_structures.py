"""1,000 structure files that are damaged: each is refused in one sentence, or is read after all."""

from hostile.conftest import numbers
from hostile.mutations import structure_file


@numbers(1_000)
def test_files_that_are_damaged_are_a_sentence(chosen, here, watch):
    for number in chosen:
        name, data = structure_file(number)
        (here / name).write_bytes(data)
        code = watch(
            number, ["predict", name, "--predictor", "tiny.safetensors", "--device", "cpu"]
        )
        (here / name).unlink()
        if code not in {0, 2, 3, None}:
            watch.faults.append(f"{number}: exit code {code}")
    assert not watch.faults, "\n".join(watch.faults)
    assert watch.refused > len(chosen) / 4
