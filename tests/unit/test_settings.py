"""Settings come from the environment, or the error says which variable and what it should be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamapp.errors import ConfigurationError
from streamapp.settings import Security, Settings, unknown_variables

NAMES = st.text("abcxyz.-_0189", min_size=1, max_size=20)
SETTINGS = st.builds(
    Settings,
    bootstrap_servers=NAMES,
    topic_prefix=NAMES | st.just(""),
    partitions=st.integers(0, 1000),
    partitioner=st.sampled_from(["murmur2", "crc32"]),
    commit_interval_ms=st.integers(1, 10**9),
    click_window_ms_by_surface=st.dictionaries(
        st.sampled_from(["search", "live", "home_page"]), st.integers(1, 10**9)
    ),
    negative_keep_rate=st.floats(0.0001, 1),
    estimate_interval_ms=st.integers(0, 10**9),
    skip=st.frozensets(st.tuples(NAMES, st.integers(0, 99), st.integers(0, 10**12))),
    check_crcs=st.booleans(),
    security=st.builds(
        Security,
        security_protocol=st.sampled_from(["PLAINTEXT", "SASL_SSL"]),
        sasl_username=NAMES,
        sasl_password=NAMES,
    ),
)


def test_an_empty_environment_gives_the_defaults():
    assert Settings.from_env({}) == Settings()
    assert Settings.from_env({"STREAMAPP_APP_ID": "  "}) == Settings()


@given(SETTINGS)
def test_the_variables_made_from_settings_give_these_settings_again(settings):
    assert Settings.from_env(settings.to_env()) == settings


def test_only_what_differs_from_the_defaults_is_made_into_variables():
    assert Settings().to_env() == {}
    assert Settings(partitions=4).to_env() == {"STREAMAPP_PARTITIONS": "4"}


def test_a_surface_may_have_a_click_window_of_its_own():
    settings = Settings.from_env(
        {"STREAMAPP_CLICK_WINDOW_MS": "1000", "STREAMAPP_CLICK_WINDOW_MS_SEARCH": "50"}
    )
    assert settings.click_window("search") == 50
    assert settings.click_window("home") == 1000


def test_records_to_skip_are_named_by_topic_partition_and_offset():
    settings = Settings.from_env({"STREAMAPP_SKIP": "events.clicks:3:17, events.watches:0:5"})
    assert settings.skip == {("events.clicks", 3, 17), ("events.watches", 0, 5)}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PARTITIONS", "many", "expected a whole number"),
        ("PARTITIONS", "-1", "at least 0"),
        ("NEGATIVE_KEEP_RATE", "1.5", "at most 1"),
        ("NEGATIVE_KEEP_RATE", "nan", "at least 0"),
        ("PARTITIONER", "random", "expected one of murmur2, crc32"),
        ("CHECK_CRCS", "perhaps", "expected true or false"),
        ("SKIP", "events.clicks:3", "is not topic:partition:offset"),
        ("CLICK_WINDOW_MS_LIVE", "0", "at least 1"),
        ("SECURITY_PROTOCOL", "SASL_SSL", "needs STREAMAPP_SASL_USERNAME"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_its_variable(name, value, expected):
    with pytest.raises(ConfigurationError, match=f"STREAMAPP_{name}.*{expected}"):
        Settings.from_env({f"STREAMAPP_{name}": value})


def test_secrets_show_neither_in_the_table_nor_in_the_representation():
    settings = Settings(security=Security(sasl_password="hunter2", ssl_key_password="hunter3"))  # noqa: S106
    shown = f"{settings} {settings!r} {settings.table()}"
    assert "hunter" not in shown
    masked = {row.variable for row in settings.table() if row.text == "********"}
    assert masked == {"STREAMAPP_SASL_PASSWORD", "STREAMAPP_SSL_KEY_PASSWORD"}


def test_every_variable_is_documented():
    assert all(row.doc for row in Settings().table())


def test_a_misspelt_variable_is_named_with_the_one_it_resembles():
    env = {
        "STREAMAPP_COMIT_INTERVAL_MS": "1",
        "STREAMAPP_SERVICE_HOST": "10.0.0.1",
        "STREAMAPP_CLICK_WINDOW_MS_LIVE": "5",
        "STREAMAPP_TEST_BOOTSTRAP": "x",
        "STREAMAPP_APP_ID": "a",
        "PATH": "/bin",
    }
    assert unknown_variables(env) == [
        ("STREAMAPP_COMIT_INTERVAL_MS", "STREAMAPP_COMMIT_INTERVAL_MS"),
        ("STREAMAPP_SERVICE_HOST", None),
    ]


def test_names_on_the_brokers_are_made_from_prefix_app_id_role_and_processor():
    settings = Settings(topic_prefix="new.", app_id="shop")
    assert settings.topic("signals.items") == "new.signals.items"
    assert settings.role_id("ingest") == "shop-ingest"
    assert settings.changelog("ingest", "viewers") == "new.shop-ingest-viewers-changelog"
