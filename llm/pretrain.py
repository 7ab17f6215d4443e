"""``python -m llm.pretrain``: warm-start the tiny model on worked questions, once; later runs take it from the cache.

Supervised learning on fresh questions of ``llm.tasks.arithmetic``, stopped early on purpose: easy kinds are learned,
hard ones hardly begun. The answers contain slips: some characters are replaced by random ones. So the model knows more
than it says, as pretrained language models do; reinforcement learning can teach it to say what it knows, and success
rates spread from 0 to 1.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from cyclopts import Parameter
from pydantic import Field

from cerolab import seeding
from cerolab.tools.command_line import launch
from cerolab.tools.settings import Seed, Settings
from llm.models.cache import made_once
from llm.models.cpu import keep_freed_memory
from llm.models.tiny import fresh_tiny_model, tiny_config, tiny_tokenizer
from llm.tasks.arithmetic import DIGITS, LETTERS, WARM_START, draw

if TYPE_CHECKING:
    import torch

HELP = """Warm-start the tiny model: about 0.8 M parameters, one token a character, some two minutes on two cores.

The result depends on these settings only and is kept in the cache (CEROLAB_CACHE, by default ~/.cache/cerolab);
`python -m llm.train` makes it on first use.
"""
_RECIPE = 4  # raise it when the code below changes what comes out
_THREADS = 1  # always, so that sums are made in one order: the same weights on every run


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(Settings):
    """Settings of the warm start.

    Parameters
    ----------
    steps
        Supervised steps.
    batch_size
        Questions a step.
    learning_rate
        Peak learning rate; rises over 100 steps, then falls to a tenth by a cosine.
    slips
        Share of the characters of the answers that are replaced by random ones.
    seed
        Of the weights and the questions.
    """

    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 1600
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    slips: Annotated[float, Field(ge=0, le=1)] = 0.1
    seed: Seed = 0

    @property
    def folder_name(self) -> str:
        """Name of the cached model: a digest of everything that it depends on."""
        text = json.dumps([_RECIPE, asdict(self), tiny_config().to_diff_dict(), WARM_START], sort_keys=True)
        return f"tiny-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def tiny_path(settings: PretrainSettings = PretrainSettings(), quiet: bool = False) -> Path:
    """Folder of the warm-started model with its tokenizer, made on first use."""
    return made_once(settings.folder_name, lambda folder: _pretrain(settings, folder, quiet))


def _pretrain(settings: PretrainSettings, folder: Path, quiet: bool) -> None:
    import torch
    from tqdm import tqdm
    from transformers import get_cosine_with_min_lr_schedule_with_warmup

    keep_freed_memory()
    tokenizer, model = tiny_tokenizer(), fresh_tiny_model(settings.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = get_cosine_with_min_lr_schedule_with_warmup(
        optimizer, num_warmup_steps=100, num_training_steps=settings.steps, min_lr_rate=0.1
    )
    rng = seeding.generator("pretrain", settings.seed)
    vocabulary = tokenizer.get_vocab()
    kinds, shares = list(WARM_START), np.array(list(WARM_START.values()))
    model.train()
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        for _ in tqdm(range(settings.steps), desc="warm start of the tiny model", unit="step", disable=quiet):
            chosen = rng.choice(len(kinds), settings.batch_size, p=shares / shares.sum())
            questions = [draw(kinds[kind], rng) for kind in chosen]
            pairs = [(question.prompt, _with_slips(question.answer, settings.slips, rng)) for question in questions]
            batch, labels = _padded(pairs, vocabulary, tokenizer.eos_token_id)
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(**batch, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _with_slips(answer: str, share: float, rng: np.random.Generator) -> str:
    kinds = {character: DIGITS if character in DIGITS else LETTERS for character in answer}
    return "".join(rng.choice(list(kinds[c])) if rng.random() < share else c for c in answer)


def _padded(
    pairs: list[tuple[str, str]], token_of: dict[str, int], end: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Prompt, answer and end of text, padded on the right; labels on the answer only."""
    import torch

    width = max(len(prompt) + len(answer) + 1 for prompt, answer in pairs)
    ids = torch.zeros(len(pairs), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, (prompt, answer) in enumerate(pairs):
        tokens = torch.tensor([*(token_of[character] for character in prompt + answer), end])
        ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
        labels[row, len(prompt) : len(tokens)] = tokens[len(prompt) :]
    return {"input_ids": ids, "attention_mask": mask}, labels


def pretrain(settings: Annotated[PretrainSettings, Parameter(name="*")] = PretrainSettings()) -> None:
    """Make the model unless it is there, and print where."""
    print(tiny_path(settings))


if __name__ == "__main__":
    launch(pretrain, "python -m llm.pretrain", HELP)
