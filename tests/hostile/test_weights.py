"""100 weights files with headers that are wrong: each is refused in one sentence, and no more."""

from hostile.conftest import numbers
from hostile.mutations import weights_file


@numbers(100, part=0.1)
def test_headers_that_are_wrong_are_a_sentence(chosen, here, tiny, watch):
    data = tiny.read_bytes()
    options = ["--predictor", "wrong.safetensors", "--device", "cpu"]
    for number in chosen:
        (here / "wrong.safetensors").write_bytes(weights_file(number, data))
        watch(number, ["predict", "seed.cif", *options])
    assert not watch.faults, "\n".join(watch.faults)
    assert watch.refused > len(chosen) / 2
