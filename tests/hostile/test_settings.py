"""1,000 files of settings that are wrong: each is refused in one sentence, or right after all."""

import pytest

from hostile.conftest import numbers
from hostile.mutations import settings_file


@pytest.mark.usefixtures("no_work")
@numbers(1_000)
def test_settings_that_are_wrong_are_a_sentence(chosen, here, watch):
    for number in chosen:
        (here / "settings.toml").write_bytes(settings_file(number))
        watch(number, ["design", "settings.toml", "--out", "new"])
        assert not (here / "new").exists()
    assert not watch.faults, "\n".join(watch.faults)
    assert watch.refused > len(chosen) / 2
