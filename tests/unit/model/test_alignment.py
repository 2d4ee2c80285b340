import torch

from rojak.model.alignment import position_targets


def test_positions_name_the_token_spoken_there_and_silence_elsewhere() -> None:
    labels = torch.tensor([[900, 5, 6, 7]])
    times = torch.tensor([[[-1.0, -1.0], [0.02, 0.06], [0.06, 0.08], [-1.0, -1.0]]])
    assert position_targets(labels, times, 6, silence=42).tolist() == [[42, 5, 5, 6, 42, 42]]
