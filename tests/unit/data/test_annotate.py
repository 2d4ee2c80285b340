from rojak.data.annotate import annotate
from rojak.records import CodeSwitch, Utterance, Word


def utterance(**fields):
    return Utterance(
        **{"audio_id": "a", "audio_filepath": "a.wav", "text": "saya nak beli 水果 lah", "duration": 2.0, **fields}
    )


def test_everything_absent_is_filled_in():
    record = annotate(utterance(snr_db=20.0))
    assert [(word.word, word.language) for word in record.words] == [
        ("saya", "ms"),
        ("nak", "ms"),
        ("beli", "ms"),
        ("水", "zh"),
        ("果", "zh"),
        ("lah", "particle"),
    ]
    assert record.language == "mixed"
    assert record.code_switches == (CodeSwitch(start_word=3, end_word=5, language="zh"),)
    assert record.quality_score == 3
    assert record.model_extra == {"particles": ["lah"], "cmi": 40.0}
    assert Utterance.from_dict(record.to_dict(), "here") == record


def test_nothing_present_is_touched():
    words = (Word(word="beli", language="en", start=0.1, end=0.4), Word(word="laa", language="particle"))
    record = utterance(words=words, language="ta", code_switches=(), quality_score=1, snr_db=40.0, cmi=7.0, mood="x")
    done = annotate(record)
    assert (done.words, done.language, done.code_switches, done.quality_score) == (words, "ta", (), 1)
    assert done.model_extra == {"cmi": 7.0, "mood": "x", "particles": ["lah"]}


def test_an_empty_list_of_words_is_none():
    record = Utterance(
        audio_id="a", audio_filepath="", text="saya nak makan lah", duration=1.0, words=(), code_switches=()
    )
    done = annotate(record)
    assert [word.language for word in done.words] == ["ms", "ms", "ms", "particle"]
    assert (done.language, done.model_extra["particles"]) == ("ms", ["lah"])


def test_language_follows_given_words():
    words = (Word(word="beli", language="en"), Word(word="lah", language="particle"))
    assert annotate(utterance(words=words)).language == "en"


def test_no_snr_no_quality():
    assert annotate(utterance()).quality_score is None
