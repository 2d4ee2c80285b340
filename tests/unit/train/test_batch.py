from rojak.model.micro import build_tokenizer
from rojak.model.whisper import SpeechTokens
from rojak.records import Utterance, Word
from rojak.train.batch import UNKNOWN, _shift, token_times


def test_labels_are_the_inputs_one_ahead_and_never_the_start_token() -> None:
    start, end = 10, 9
    inputs, labels = _shift([[start, 11, 12, 1, 2, end], [start, 11, 12, 3, end]], end)
    assert inputs.tolist() == [[start, 11, 12, 1, 2], [start, 11, 12, 3, end]]
    assert labels.tolist() == [[11, 12, 1, 2, end], [11, 12, 3, end, -100]]
    assert start not in labels.tolist()[0] + labels.tolist()[1]


def utterance(text: str, words: list[tuple[str, float, float]] | None) -> Utterance:
    timed = [Word(word=word, language="ms", start=start, end=end) for word, start, end in words or []]
    return Utterance(audio_id="a", audio_filepath="a", text=text, duration=2.0, words=tuple(timed) or None)


def test_a_token_s_time_is_its_characters_share_of_its_word() -> None:
    tokens = SpeechTokens.of(build_tokenizer(["nasi 你好"] * 5, 256))
    timed = utterance("ab cd你", [("ab", 0.2, 0.4), ("cd", 0.4, 0.8), ("你", 1.0, 1.3)])
    times = token_times(timed, tokens.places(timed.text), 10.0)
    assert len(times) == len(tokens.encode(timed.text))
    starts = sorted({round(start, 2) for start, _ in times if start >= 0})
    assert starts[:4] == [10.2, 10.3, 10.4, 10.6]
    assert all(end > start for start, end in times if start >= 0)
    assert max(end for _, end in times) < 11.31


def test_without_times_or_with_other_words_nothing_is_claimed() -> None:
    tokens = SpeechTokens.of(build_tokenizer(["nasi"] * 5, 256))
    for words in (None, [("other", 0.0, 0.1)]):
        assert set(token_times(utterance("nasi", words), tokens.places("nasi"), 0.0)) == {UNKNOWN}
