from rojak.train.validate import ValidationResult


def test_a_measure_that_could_not_be_taken_is_the_worst_either_way() -> None:
    nothing = ValidationResult({}, {}, [])
    poor = ValidationResult({"wer": 2.0, "switch_f1": 0.0}, {}, [])
    for metric in ("wer", "switch_f1"):
        assert nothing.badness(metric) > poor.badness(metric)
