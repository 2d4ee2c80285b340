from rojak.train.batch import _shift


def test_labels_are_the_inputs_one_ahead_and_never_the_start_token() -> None:
    start, end = 10, 9
    inputs, labels = _shift([[start, 11, 12, 1, 2, end], [start, 11, 12, 3, end]], end)
    assert inputs.tolist() == [[start, 11, 12, 1, 2], [start, 11, 12, 3, end]]
    assert labels.tolist() == [[11, 12, 1, 2, end], [11, 12, 3, end, -100]]
    assert start not in labels.tolist()[0] + labels.tolist()[1]
