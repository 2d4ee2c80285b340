from rojak.export.bench.bench import word_error_rate


def test_word_errors_count_only_clips_with_a_reference() -> None:
    assert word_error_rate(["satu dua tiga", None, "empat"], ["satu Dua!", "apa pun", "empat lima"]) == 0.5
    assert word_error_rate([None], ["x"]) is None
