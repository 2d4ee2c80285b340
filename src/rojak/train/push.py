"""Hand the best model of a run over, with a card: to the Hugging Face hub, or to a folder.

Reads RUN/best; writes the folder, or uploads it. The hub's token comes from the environment or `hf auth login`.
"""

import shutil
from pathlib import Path

from rojak.config.schema import TrainConfig
from rojak.errors import InputError
from rojak.train.rundir import replace_folder

CARD = """---
base_model: {base}
library_name: {library}
pipeline_tag: automatic-speech-recognition
language: [ms, en, zh, ta]
tags: [rojak, code-switching, whisper]
---

# {name}

{what} of `{base}`, trained with Rojak on {hours}`{data}`.

{result}, decoded with the run's own settings on a sample of the validation split; `rojak evaluate` measures it on the
test split, with intervals and beside the base model.

    rojak transcribe recording.wav --model {name}
"""


def push(run: Path, config: TrainConfig, result: str) -> str:
    """Copy or upload the best model and its card to `config.push_to`; say where it is.

    Args:
        run: Run directory with a `best/` folder.
        config: Of the run.
        result: What was measured, for the card.

    Raises:
        InputError: The hub cannot be reached or refuses.
    """
    assert config.push_to is not None
    folder = run / ".handover"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.copytree(run / "best", folder)
        (folder / "README.md").write_text(_card(config, result), encoding="utf-8")
        if is_folder_name(config.push_to):
            target = Path(config.push_to).expanduser()
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_folder(folder, target)
            return f"The best model and its card are in {target}."
        return _upload(folder, config.push_to)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_folder_name(target: str) -> bool:
    """Tell a folder from a hub id: it starts with a slash, a dot or a tilde."""
    return target.startswith(("/", "./", "../", "~"))


def _upload(folder: Path, repo_id: str) -> str:
    from httpx import HTTPError
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repo_id, private=True, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Add the best model of a Rojak run")
    except (OSError, ValueError, HTTPError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"The run is done, but its model could not be pushed to {repo_id!r} ({reason}); "
            "log in with `hf auth login` and give the same command again, or set push_to to a folder."
        ) from error
    return f"The best model and its card are at {address} (private)."


def _card(config: TrainConfig, result: str) -> str:
    kind = "A QLoRA adapter" if config.use_4bit else "A LoRA adapter"
    return CARD.format(
        base=config.model_name,
        library="peft" if config.adapter == "lora" else "transformers",
        name=(config.push_to or "").rstrip("/").split("/")[-1],
        what=kind if config.adapter == "lora" else "A full fine-tune",
        hours=f"{config.max_hours:g} hours of " if config.max_hours else "",
        data=Path(config.dataset_path).name,
        result=result,
    )
