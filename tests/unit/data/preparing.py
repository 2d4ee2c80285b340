"""How tests prepare a corpus and look at what came out."""

import json

from rojak.data.prepare import prepare
from rojak.data.settings import PrepareSettings
from rojak.data.shards import open_prepared
from rojak.records import SPLITS


def run(source, out, workers=0, count_tokens=None, **settings):
    return prepare(source, out, settings=PrepareSettings(**settings), workers=workers, count_tokens=count_tokens)


def records(out):
    return {r.audio_id: r for split in SPLITS for r in open_prepared(out, split).records()}


def quarantine(path):
    return {line["audio_id"]: line for line in map(json.loads, path.read_text("utf-8").splitlines())}


def change(root, **items):
    """Change or add entries of a corpus's transcripts.json."""
    path = root / "transcripts.json"
    found = json.loads(path.read_text("utf-8"))
    for audio_id, fields in items.items():
        found[audio_id] = {**found.get(audio_id, {}), **fields}
    path.write_text(json.dumps(found), encoding="utf-8")


def files_of(out):
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}
