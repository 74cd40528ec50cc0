"""docs/training.md: its settings are valid, and it names all that there are."""

import re
import tomllib
from pathlib import Path

import pytest

from smoacs.training.config import HeadSettings, TrainConfig

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid_settings(example):
    assert TrainConfig(**tomllib.loads(example)).properties


def test_every_setting_and_default_is_there():
    assert len(EXAMPLES) >= 4
    table = TEXT[TEXT.index("## All settings") :]
    for name in TrainConfig.model_fields:
        assert f"`{name}`" in table, name
    for name in HeadSettings.model_fields:
        assert f"| `{name}` |" in TEXT, name
    defaults = TrainConfig(
        name="x", out="x.safetensors", data=["x"], properties=["band_gap"], epochs=1
    )
    for part in (defaults.noise, defaults.network):
        for name, value in vars(part).items():
            if (type(part).__name__, name) != ("NetworkSettings", "members"):
                shown = str(value).lower() if isinstance(value, bool) else f"{value:g}"
                assert f"`{name}` {shown}" in table, name
    for name in ("max_atoms", "members", "off_equilibrium_share"):
        assert f"| `{name}` | {getattr(defaults, name):g} |" in table, name
