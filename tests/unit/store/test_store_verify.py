"""`verify` finds each kind of planted damage, and nothing in a sound store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from store_tables import bars, write

from tftctl.store import Store
from tftctl.store.gc import collect_garbage
from tftctl.store.verify import verify


@pytest.fixture
def sound(store: Store) -> Store:
    """A store with base, delta and tombstone segments and a history."""
    write(store, bars((symbol, t, float(t)) for symbol in "AB" for t in range(200)))
    with store.write("changes") as change:
        change.upsert("bars", "1h", bars([("A", 3, -1.0), ("A", 900, 1.0)]))
        change.delete("bars", "1h", bars([("B", 5, None)]))
        change.replace("macro", "1mo", bars([("m2", 1, 1.0)]))
        change.commit()
    return store


def problems(store: Store) -> str:
    """All problems; the verdict must agree with them."""
    found = verify(store)
    assert found.verdict == ("FAIL" if found.problems else "PASS")
    assert all("\n" not in problem for problem in found.problems)
    return "\n".join(found.problems)


def segment(store: Store, kind: str = "base") -> dict[str, Any]:
    document = json.loads((store.root / "_manifests" / "manifest-00000002.json").read_text())
    return next(item for item in document["tables"]["bars"]["segments"] if item["kind"] == kind)


def edit(store: Store, change: Callable[[dict[str, Any]], None], number: int = 2) -> None:
    path = store.root / "_manifests" / f"manifest-{number:08d}.json"
    document = json.loads(path.read_text())
    change(document)
    signed = {key: value for key, value in document.items() if key != "sha256"}
    document["sha256"] = hashlib.sha256(json.dumps(signed, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(document))


def forge(store: Store, rows: pl.DataFrame, **claims: object) -> None:
    """Put other rows into the base segment, with a size, times and a checksum that agree."""
    path = store.root / segment(store)["path"]
    rows.write_parquet(path)
    content = path.read_bytes()
    claims |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    claims |= {"first": rows["timestamp"].min(), "last": rows["timestamp"].max()}
    for number in (1, 2):
        edit(store, lambda document: document["tables"]["bars"]["segments"][0].update(claims), number)


def base_rows(store: Store) -> pl.DataFrame:
    return pl.read_parquet(store.root / segment(store)["path"], hive_partitioning=False)


def test_sound_stores_pass(sound: Store, tmp_path: Path) -> None:
    assert problems(sound) == ""
    assert problems(Store(tmp_path / "none")) == ""


def test_a_changed_byte_a_short_file_and_a_missing_one(sound: Store) -> None:
    path = sound.root / segment(sound)["path"]
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    assert "checksum" in problems(sound)
    path.write_bytes(content[:-1])
    assert f"has {len(content) - 1} bytes" in problems(sound)
    path.unlink()
    assert "cannot be read: No such file" in problems(sound)
    path.write_bytes(content)
    assert problems(sound) == ""


def test_damage_in_an_older_snapshot_is_found_too(sound: Store) -> None:
    write(sound, bars([("A", 1, 1.0)]))
    (sound.root / segment(sound, "delta")["path"]).unlink()
    assert "(snapshot 2)" in problems(sound)


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        (lambda rows: rows.head(-1), "has 399 rows, the manifest says 400"),
        (lambda rows: rows.with_columns(close=pl.lit(0.0)), "row hash"),
        (lambda rows: rows.with_columns(pl.col("symbol").replace("B", "C")), "symbols are not"),
        (lambda rows: rows.with_columns(symbol=pl.lit("A")), "a key repeats"),
        (lambda rows: rows.reverse(), "not sorted"),
        (lambda rows: rows.with_columns(pl.col("timestamp") * 2), "row hash"),
    ],
)
def test_rows_that_are_not_those_that_were_written(
    sound: Store, forged: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    forge(sound, forged(base_rows(sound)))
    assert message in problems(sound)


def test_a_repeated_key_is_found_even_where_all_sums_agree(sound: Store) -> None:
    from tftctl.store.rowhash import hash_rows, total

    rows = base_rows(sound).with_columns(timestamp=(pl.col("timestamp") // 2) * 2)
    forge(sound, rows, row_hash=str(total(hash_rows(rows))))
    assert "a key repeats, at A 0" in problems(sound)


def test_another_type_than_the_manifests(sound: Store) -> None:
    edit(sound, lambda document: document["tables"]["macro"]["periods"]["1mo"]["columns"].update(close="Float32"))
    assert "macro 1mo: " in problems(sound)


def test_rows_that_readers_see_must_be_the_manifests(sound: Store) -> None:
    edit(sound, lambda document: document["tables"]["bars"]["segments"].pop(1))
    assert "readers see 399 rows, the manifest says 400" in problems(sound)


def test_claims_about_time_are_checked(sound: Store) -> None:
    """A reader passes over a file by its first and last timestamp."""
    for number in (1, 2):
        edit(sound, lambda document: document["tables"]["bars"]["segments"][0].update(last=50), number)
    assert "first or last timestamp" in problems(sound)


def test_any_changed_character_of_a_manifest_is_found(sound: Store) -> None:
    path = sound.root / "_manifests" / "manifest-00000002.json"
    text = path.read_text()
    for place in range(1, len(text) - 1, 7):
        old = text[place]
        new = "7" if old != "7" else "8"
        path.write_text(text[:place] + new + text[place + 1 :])
        if json.loads(text) != _loaded(path):
            assert "manifest-00000002.json" in problems(sound), (place, old)
    path.write_text(text)
    assert problems(sound) == ""


def _loaded(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def test_files_of_interrupted_writers_are_named_and_no_damage(sound: Store) -> None:
    assert verify(sound).leftovers == ()
    (sound.root / "_tmp" / "half.parquet").write_bytes(b"PAR1")
    (sound.root / "bars" / "period=1h" / "orphan.parquet").write_bytes(b"PAR1")
    (sound.root / "_manifests" / "manifest-00000003.json").write_text("{half")
    assert problems(sound) == ""
    found = ("bars/period=1h/orphan.parquet", "_tmp/half.parquet", "_manifests/manifest-00000003.json")
    assert verify(sound).leftovers == found
    collect_garbage(sound, sound.root.parent, keep=9)
    assert verify(sound).leftovers == ()


def test_current_and_manifests(sound: Store) -> None:
    current = sound.root / "CURRENT"
    current.write_text("9\n")
    assert "there is no snapshot 9" in problems(sound)
    current.write_text("two")
    assert "cannot read" in problems(sound)
    current.unlink()
    assert "CURRENT is missing" in problems(sound)
    current.write_text("2\n")
    (sound.root / "_manifests" / "manifest-00000001.json").write_text("{}")
    assert "manifest-00000001.json is damaged" in problems(sound)
    edit(sound, lambda document: document.update(number=7))
    assert "calls itself 7" in problems(sound)
