"""topics/ and the record types say the same, and a wheel carries both."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import yaml

from streamapp import topics
from streamapp.engine.roles import ROLES
from streamapp.errors import ConfigurationError
from streamapp.settings import Settings

DIRECTORY = Path(__file__).parents[2] / "topics"
FILES = sorted(path for path in DIRECTORY.glob("*.yaml") if path.name != topics.CHANGELOG)
KEY_FIELDS = {
    "events.impressions": "viewer_id",
    "events.clicks": "viewer_id",
    "events.watches": "viewer_id",
    "catalog.items": "item_id",
    "control.parameters": "name",
    "privacy.erasures": "viewer_id",
    "activity.items": "item_id",
    "activity.trending": "name",
    "activity.queries": "query",
    "activity.pairs": "shard",
    "signals.items": "item_id",
    "signals.queries": "query",
    "signals.viewers": "viewer_id",
    "candidates.similar": "item_id",
    "candidates.trending": "name",
    "training.examples": "segment",
    "models.versions": "model",
}


def test_every_file_describes_the_topic_it_is_named_after():
    assert [topics.read(path).name for path in FILES] == [path.stem for path in FILES]


def test_every_topic_has_record_types_and_every_record_type_a_topic():
    assert set(topics.catalogue()) == set(topics.RECORDS)


def test_every_topic_a_role_reads_or_writes_is_described():
    used = {t for r in ROLES.values() for t in (*r.inputs, *r.outputs, *r.broadcasts)}
    assert used == set(topics.catalogue())


def test_the_schema_files_are_as_the_record_types_are():
    assert topics.stale_schemas(DIRECTORY / "schemas") == {}, "run `make schemas`"


def test_every_schema_file_is_named_by_its_topic_and_none_is_left_over():
    named = {topic.schema for topic in topics.catalogue().values()}
    assert named == {path.name for path in (DIRECTORY / "schemas").iterdir()}


def test_a_schema_that_is_out_of_date_is_noticed(tmp_path):
    for path, text in topics.stale_schemas(tmp_path).items():
        path.write_bytes(text)
    changed = tmp_path / "signals.items.json"
    changed.write_bytes(changed.read_bytes().replace(b"item_id", b"itemid"))
    assert list(topics.stale_schemas(tmp_path)) == [changed]


@pytest.mark.parametrize(("name", "field"), KEY_FIELDS.items())
def test_the_key_is_a_required_field_of_the_record(name, field):
    assert topics.catalogue()[name].key == field
    (kind,) = topics.RECORDS[name]
    assert field in {known.encode_name for known in msgspec.structs.fields(kind)}


def test_what_is_the_truth_is_compacted_and_what_is_a_log_has_retention():
    compacted = {name for name, topic in topics.catalogue().items() if topic.cleanup == "compact"}
    assert compacted == {
        "catalog.items",
        "signals.items",
        "signals.queries",
        "signals.viewers",
        "candidates.similar",
        "candidates.trending",
        "models.versions",
        "models.weights",
        "models.factors",
    }


def test_output_schemas_carry_version_and_both_times():
    signals = ("signals.items", "signals.queries", "signals.viewers", "candidates.trending")
    for name in (*signals, "candidates.similar", "training.examples", "models.versions"):
        (kind,) = topics.RECORDS[name]
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        assert {"schema", "as_of_ms", "computed_at_ms"} <= fields, name


def test_schemas_are_valid_json_with_the_topic_as_title():
    for path in (DIRECTORY / "schemas").iterdir():
        assert json.loads(path.read_text())["title"] == path.stem


def test_prefix_partitions_and_replication_come_from_the_settings():
    settings = Settings(topic_prefix="new.", partitions=5, replication=3)
    made = topics.wanted(settings, ["new.app-changelog"])
    assert {(topic.partitions, topic.replication) for topic in made} == {(5, 3)}
    assert all(topic.name.startswith("new.") for topic in made)
    assert made[-1].name == "new.app-changelog"
    assert made[-1].config["cleanup.policy"] == "compact"


def test_without_a_setting_the_partitions_are_those_of_the_files():
    assert {topic.partitions for topic in topics.wanted(Settings(), ["c"])} == {12}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"cleanup": "purge"}, "cleanup is delete, with retention_ms, or compact, without"),
        ({"retention_ms": None}, "cleanup is delete, with retention_ms, or compact, without"),
        ({"partitions": "many"}, "partitions"),
        ({"retentoin_ms": 1}, "retentoin_ms"),
    ],
)
def test_a_topic_file_that_cannot_work_is_refused_by_name(tmp_path, change, complaint):
    good = yaml.safe_load((DIRECTORY / "events.clicks.yaml").read_text())
    path = tmp_path / "events.clicks.yaml"
    path.write_text(yaml.safe_dump({**good, **change}))
    with pytest.raises(ConfigurationError, match=rf"^events\.clicks\.yaml: .*{complaint}"):
        topics.read(path)


def test_an_installed_package_reads_its_own_copy(tmp_path, monkeypatch):
    package = tmp_path / "streamapp"
    (package / "_topics").mkdir(parents=True)
    monkeypatch.setattr(topics, "__file__", str(package / "topics.py"))
    assert topics.directory() == package / "_topics"
