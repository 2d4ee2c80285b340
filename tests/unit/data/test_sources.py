import json

import pytest

from rojak.data.manifests import CHUNK_CHARS, read_json_items, read_jsonl_items, read_table_items
from rojak.data.settings import PrepareSettings
from rojak.data.sources import open_source, recognise_kind
from rojak.data.survey import survey
from rojak.errors import InputError, ManifestError

ITEM = {"audio_filepath": "audio/a.wav", "text": "makan lah", "speaker_id": "s1", "mood": "happy"}


@pytest.fixture
def root(tmp_path):
    """A folder with two empty recordings; sources open none of them."""
    (tmp_path / "audio").mkdir()
    for name in ("a.wav", "b.mp3"):
        (tmp_path / "audio" / name).write_bytes(b"")
    return tmp_path


def items(path, **options):
    return list(open_source(path, PrepareSettings(**options)).read())


def write_json(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def test_object_and_list_give_the_same(root):
    write_json(root / "transcripts.json", {"a": ITEM})
    first = items(root)
    write_json(root / "transcripts.json", [{**ITEM, "audio_id": "a"}])
    second = items(root)
    assert first[0].fields == second[0].fields == {**ITEM, "audio_id": "a"}
    assert first[0].audio == (root / "audio" / "a.wav").resolve()
    assert first[0].fault is None


def test_split_folders(root):
    for folder, name in (("test", "t"), ("dev", "d"), ("train", "r")):
        (root / folder).mkdir()
        (root / folder / f"{name}.wav").write_bytes(b"")
        write_json(root / folder / "transcripts.json", {name: {"audio_filepath": f"{name}.wav", "text": "x"}})
    assert recognise_kind(root) == "split-folders"
    found = items(root)
    assert [(i.fields["audio_id"], i.fields["split"]) for i in found] == [
        ("r", "train"),
        ("d", "validation"),
        ("t", "test"),
    ]
    assert found[0].fields["audio_filepath"] == "train/r.wav"
    assert found[0].where == "train/transcripts.json, item r"


def test_jsonl_under_any_of_its_names(root):
    line = json.dumps({**ITEM, "offset": 0}) + "\n"
    for name in ("m.jsonl", "manifest.json"):
        (root / name).write_text(line * 2, encoding="utf-8")
        source = open_source(root / name)
        assert source.kind == "jsonl"
        assert [i.fields["text"] for i in source.read()] == ["makan lah"] * 2
        (root / name).unlink()
    (root / "dev.jsonl").write_text(line, encoding="utf-8")
    assert items(root)[0].fields["split"] == "validation"


def test_common_voice_table(root):
    (root / "audio").rename(root / "clips")
    (root / "validated.tsv").write_text("path\tsentence\nzzz\tall of them again\n", encoding="utf-8")
    for name in ("train", "test"):
        (root / f"{name}.tsv").write_text(
            'client_id\tpath\tsentence\tlocale\tage\nsp9\ta.wav\tdia kata "makan\tms-MY\t\n', encoding="utf-8"
        )
    found = items(root)
    assert [i.fields["split"] for i in found] == ["train", "test"]
    assert found[0].fields == {
        "audio_filepath": "clips/a.wav",
        "text": 'dia kata "makan',
        "speaker_id": "sp9",
        "language": "ms",
        "split": "train",
        "audio_id": "a",
    }


def test_csv_with_quotes_words_and_mapped_columns(root):
    (root / "list.csv").write_text(
        'file,verse,text,words\naudio/a.wav,"satu, dua",unused,"[{""word"": ""satu"", ""language"": ""ms""}]"\n',
        encoding="utf-8-sig",
    )
    found = items(root, columns={"text": "verse"})[0]
    assert found.fields["text"] == "satu, dua"
    assert found.fields["words"] == [{"word": "satu", "language": "ms"}]


def test_columns_that_cannot_be_meant_are_told(root):
    with pytest.raises(ValueError, match=r"'sentence' is no field of the record.*write text=sentence"):
        PrepareSettings(columns={"sentence": "text"})
    with pytest.raises(ValueError, match="'mood' is no field of the record, which come first, as in text=sentence"):
        PrepareSettings(columns={"mood": "feeling"})
    (root / "list.csv").write_text("file,says,mood\naudio/a.wav,satu,\naudio/b.mp3,,sad\n", encoding="utf-8")
    for columns, message in [
        ({"text": "verse"}, "no item has anything in the column 'verse', given as its text; the first one has"),
        ({"text": "says", "accent": "from"}, "the column 'from', given as its accent"),
    ]:
        settings = PrepareSettings(columns=columns)
        with pytest.raises(InputError, match=message):
            survey(open_source(root, settings), settings, counts_tokens=False)
    for content, message in [
        (
            "file,says\naudio/a.wav,satu\n",
            r"has the field text \(nor sentence.*the first one has says, audio_file",
        ),
        ("where,text\naudio/a.wav,satu\n", r"has the field audio_filepath.*--column audio_filepath=COLUMN"),
    ]:
        (root / "list.csv").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=message):
            survey(open_source(root), PrepareSettings(), counts_tokens=False)
    (root / "list.csv").write_text("file,says,mood\naudio/a.wav,satu,\naudio/b.mp3,,sad\n", encoding="utf-8")
    settings = PrepareSettings(columns={"text": "says", "domain": "mood"})
    assert survey(open_source(root, settings), settings, counts_tokens=False).num_items == 2


def test_text_files(root):
    (root / "audio" / "a.txt").write_text("makan lah\n", encoding="utf-8")
    (root / "audio" / "alone.txt").write_text("no sound", encoding="utf-8")
    found = {i.fields["audio_id"]: i for i in items(root)}
    assert found["audio/a"].fields["text"] == "makan lah"
    assert found["audio/b"].fault.reason == "no_transcript"
    assert found["audio/alone"].fault.reason == "missing_file"
    (root / "audio" / "a.txt").unlink()
    with pytest.raises(InputError, match=r"no recording has a \.txt file of the same name"):
        survey(open_source(root), PrepareSettings(), counts_tokens=False)


@pytest.mark.parametrize("name", ["../secret.wav", "/etc/hostname", "audio/link.wav", "../corpus-2/a.wav"])
def test_paths_may_not_leave_the_root(tmp_path, name):
    root = tmp_path / "corpus"
    (root / "audio").mkdir(parents=True)
    (tmp_path / "corpus-2").mkdir()
    for outside in ("secret.wav", "corpus-2/a.wav"):
        (tmp_path / outside).write_bytes(b"x")
    (root / "audio" / "link.wav").symlink_to(tmp_path / "secret.wav")
    write_json(root / "transcripts.json", {"a": {"audio_filepath": name, "text": "x"}})
    item = items(root)[0]
    assert item.fault.reason == "outside_root"
    assert item.audio is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [("audio/none.wav", "missing_file"), ("audio", "missing_file"), (None, "bad_record"), ("", "bad_record"),
     (5, "bad_record"), ("a\0b", "bad_record"), ("x" * 5000, "bad_record")],
)  # fmt: skip
def test_paths_that_lead_nowhere(root, path, reason):
    write_json(root / "transcripts.json", [{"audio_filepath": path, "text": "x"}])
    assert items(root)[0].fault.reason == reason


def test_sources_that_cannot_be_used(root):
    with pytest.raises(InputError, match="does not exist"):
        open_source(root / "nothing")
    (root / "empty").mkdir()
    with pytest.raises(InputError, match="is empty"):
        open_source(root / "empty")
    (root / "empty" / "x.bin").write_bytes(b"")
    with pytest.raises(InputError, match="holds no corpus"):
        open_source(root / "empty")
    with pytest.raises(InputError, match="not a corpus"):
        open_source(root / "audio" / "a.wav")
    for name in ("x.csv", "y.csv"):
        (root / name).write_text("text\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"several manifests \(x.csv, y.csv\)"):
        open_source(root)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"a": {"text": "x"},\n "b": {"text": }}', "line 2, column 16: expecting value"),
        ('{"a": {"text": "x"}\n "b": 1}', "line 2, column 2: ',' or '}' expected"),
        ('{"a": {"text": "x"}', "line 1, column 20: ',' or '}' expected, found the end"),
        ("[{}] x", "line 1, column 6: text after the end"),
        ("nonsense", "line 1, column 1"),
        ("", "line 1, column 1"),
        ('{"a": {"text": "open', "line 1, column 16: unterminated string"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_json_names_the_place(tmp_path, text, place):
    path = tmp_path / "transcripts.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        list(read_json_items(path))
    assert place in str(caught.value)
    assert str(path) in str(caught.value)


def test_malformed_json_far_into_a_large_file(tmp_path):
    path = tmp_path / "transcripts.json"
    line = json.dumps({"text": "x" * 100}) + ",\n"
    num_lines = 3 * CHUNK_CHARS // len(line)
    path.write_text("[" + line * num_lines + "{nope}]", encoding="utf-8")
    with pytest.raises(ManifestError, match=f"line {num_lines + 1}, column 2: expecting property name"):
        list(read_json_items(path))
    path.write_text("[" + line * num_lines + "{}]", encoding="utf-8")
    assert sum(1 for _ in read_json_items(path)) == num_lines + 1


def test_other_manifests_name_the_place_too(tmp_path):
    def fails(name, data, reader, message):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ManifestError, match=message):
            list(reader(tmp_path / name))

    fails("a.jsonl", b'{"a": 1}\n\n{"a" 1}\n', read_jsonl_items, "line 3, column 6")
    fails("b.jsonl", b"[1]\n", read_jsonl_items, "line 1 is not a JSON object")
    fails("c.jsonl", b'{"a": "\xff"}\n', read_jsonl_items, "line 1 is not UTF-8")
    fails("d.csv", b"a,b\n1,2\n1,2,3\n", read_table_items, "line 3 has 3 cells but the header names 2")
    fails("h.csv", b'a,b\n1,"2\n3,4\n5,"6"\n', read_table_items, "line 4")
    fails("e.csv", b"", read_table_items, "is empty")
    fails("f.json", b'{"a": "\xff"}', read_json_items, "not UTF-8")
    fails("g.json", b'{"a": 1}', read_json_items, "item a is not an object")
