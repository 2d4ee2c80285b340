"""What a stage asks for reaches the batches: spliced utterances, recorded noise, balance.

They are the same each time, and with any number of loader workers.
"""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch.utils.data import DataLoader

from rojak.config.load import load_config
from rojak.config.schema import TrainConfig
from rojak.data.dataset import Dataset
from rojak.model.whisper import load_whisper
from rojak.train.batch import Batch
from rojak.train.stages import Curriculum, StepPlan

SPAWNED: dict[bool, dict[str, Any]] = {False: {}, True: {"multiprocessing_context": "forkserver"}}


class Built(torch.utils.data.Dataset[Batch]):
    """The batches of a curriculum, to be built in loader workers."""

    def __init__(self, curriculum: Curriculum) -> None:
        self.curriculum = curriculum

    def __getitem__(self, job: tuple[StepPlan, int]) -> Batch:
        return self.curriculum.build(*job)


def test_spliced_and_augmented_batches(data_dir: Path, tiny_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "noise").mkdir()
    soundfile.write(tmp_path / "noise" / "hiss.wav", np.random.default_rng(1).normal(0, 0.1, 16_000), 16_000)
    stages = [
        {
            "name": "mixed",
            "mixture": [
                {"select": 'language != "mixed"', "balance": "language"},
                {"select": "true", "spliced": 6, "weight": 1.0},
            ],
            "augment": {
                "noise_share": 1.0,
                "noise_kinds": ["recorded"],
                "noise_dirs": [str(tmp_path / "noise")],
                "channel_share": 0.5,
                "clean_share": 0.2,
            },
            "max_steps": 3,
        }
    ]
    config = load_config(
        TrainConfig, None, dataset_path=str(data_dir), output_dir=str(tmp_path / "run"), batch_size=8, stages=stages
    )
    tokens = load_whisper(str(tiny_dir)).tokens

    def batches(workers: int = 0) -> list[tuple[tuple[tuple[str, ...], ...], torch.Tensor, torch.Tensor]]:
        data = Dataset(data_dir, ("train",))
        curriculum = Curriculum(config, data, tokens)
        assert "spliced" in curriculum.stages[0].describe() and "language ms" in curriculum.stages[0].describe()
        jobs = [(plan, n) for plan in curriculum.steps_from(0, 0) for n in range(len(plan.micro_batches))]
        built = DataLoader(
            Built(curriculum), sampler=jobs, batch_size=None, num_workers=workers, **SPAWNED[workers > 0]
        )
        return [(batch.audio_ids, batch.waveforms, batch.labels) for batch in built]

    first, second, third = batches(), batches(), batches(workers=2)
    ids = [audio_id for batch in first for window in batch[0] for audio_id in window]
    assert 0 < sum(audio_id.startswith("spliced-mixed-1-") for audio_id in ids) < len(ids)
    for one, other in (*zip(first, second, strict=True), *zip(first, third, strict=True)):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1]) and torch.equal(one[2], other[2])
