import pytest

from smoacs.errors import InputError, without_passwords
from smoacs.request import DesignConfig
from smoacs.request.database_address import database_address, passwords_of

RIGHT = (
    "postgresql://me:s3cret@host/name",
    "postgresql://me:s3cret@host:5432/name?sslmode=require",
    "postgresql://me@host/name?sslmode=require&password=s3cret",
    "postgresql://me@host/name?password=s3cret&x=1",
)
WRONG = (
    "postgresql://me:s3cret/with@signs?in@host/name",
    "postgresql://me:s3cret@[::1/host",
    "postgresql://me:s3cret@host:port/name",
    "mysql://me:s3cret@host/name",
    "host=here user=me password=s3cret",
)


@pytest.mark.parametrize("address", WRONG)
def test_no_password_in_a_message(address):
    with pytest.raises(InputError, match="host") as caught:
        DesignConfig(targets=("density > 1",), database=address)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("address", RIGHT)
def test_no_password_in_a_file_or_repr(address):
    assert "s3cret" not in without_passwords(address)
    config = DesignConfig(targets=("density > 1",), database=address)
    assert "s3cret" not in repr(config)
    assert "s3cret" not in config.to_toml()
    assert "s3cret" not in config.model_dump_json()
    assert "s3cret" in config.database


@pytest.mark.parametrize("value", [["postgresql://me:s3cret@host/x"], {"a": RIGHT[0]}])
def test_no_password_of_a_value_of_the_wrong_kind(value):
    with pytest.raises(InputError) as caught:
        DesignConfig(targets=("density > 1",), database=value)
    assert "s3cret" not in str(caught.value)


def test_what_holds_no_password_stays():
    for text in ("postgresql://me@host/name", "a.db", "band_gap: 2.5 @ 300 K", "https://x.org/a:b"):
        assert without_passwords(text) == text


def test_a_password_that_is_escaped_is_known_in_both_forms():
    assert passwords_of("postgresql://me:a%40b@host/x") == ["a%40b", "a@b"]


@pytest.mark.parametrize("address", ["postgresql://me@[::1/x", "postgresql://me@host:port/x"])
def test_an_address_that_is_none(address):
    with pytest.raises(InputError, match="is no address"):
        database_address(address)
