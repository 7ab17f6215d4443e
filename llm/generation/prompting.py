"""From a question to what the model reads: plain text, or a user's turn where the tokenizer has a chat template."""

from __future__ import annotations

from typing import Any

from cerolab.errors import InvalidValueError
from llm.tasks import Question


def check_template(template: str) -> None:
    """Refuse a template without its place.

    Raises:
        InvalidValueError: ``{prompt}`` does not stand in it.
    """
    if "{prompt}" not in template:
        raise InvalidValueError("prompt_template", template, "lacks {prompt}", "write {prompt} where the question goes")


def prompt_of(question: Question, template: str, tokenizer: Any) -> Any:
    """Text, or a list of chat messages: what a TRL dataset holds as ``prompt``."""
    text = template.replace("{prompt}", question.prompt)
    return text if tokenizer.chat_template is None else [{"role": "user", "content": text}]


def prompt_ids(question: Question, template: str, tokenizer: Any) -> list[int]:
    """Tokens of the prompt, the chat template applied."""
    prompt = prompt_of(question, template, tokenizer)
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    return list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)["input_ids"])


def prompt_length(question: Question, template: str, tokenizer: Any, task: str, model: str) -> int:
    """Tokens of the prompt; names the task and the model where the tokenizer cannot read it.

    Raises:
        InvalidValueError: a character that the tokenizer does not know, or a chat template that fails.
    """
    try:
        return len(prompt_ids(question, template, tokenizer))
    except Exception as error:  # each tokenizer and each chat template has its own
        problem = f"has a prompt that the model {model} cannot read ({' '.join(str(error).split())[:100]})"
        raise InvalidValueError("task", task, problem, "give another --model, or another prompt template") from None
