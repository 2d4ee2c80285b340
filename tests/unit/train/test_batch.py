import torch

from rojak.train.batch import _shift, replace_tokens


def test_labels_are_the_inputs_one_ahead_and_never_the_start_token() -> None:
    start, end = 10, 9
    inputs, labels = _shift([[start, 11, 12, 1, 2, end], [start, 11, 12, 3, end]], end)
    assert inputs.tolist() == [[start, 11, 12, 1, 2], [start, 11, 12, 3, end]]
    assert labels.tolist() == [[11, 12, 1, 2, end], [11, 12, 3, end, -100]]
    assert start not in labels.tolist()[0] + labels.tolist()[1]


def test_token_noise_touches_text_only_and_as_often_as_asked() -> None:
    inputs = torch.cat([torch.full((1000, 3), 60), torch.full((1000, 20), 7)], dim=1)
    noisy = replace_tokens(inputs, 0.2, 50, seed=1)
    assert torch.equal(noisy[:, :3], inputs[:, :3])
    assert int(noisy.max()) <= 60
    assert int(noisy[:, 3:].max()) < 50
    changed = (noisy != inputs)[:, 3:].float().mean()
    assert 0.18 < changed < 0.21
    assert torch.equal(noisy, replace_tokens(inputs, 0.2, 50, seed=1))
    assert replace_tokens(inputs, 0.0, 50, seed=1) is inputs
