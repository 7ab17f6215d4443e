"""Questions of an evaluation that are trained on as well: a score on them says nothing of others."""

from __future__ import annotations

from cerolab.errors import InvalidValueError
from llm.tasks import Task


def contamination(task: Task, evaluation: Task) -> str:
    """What to say of held-out questions that are in the pool too; empty where there are none.

    Two questions are the same where their prompts differ in white space at most.

    Args:
        task: whose pool is trained on.
        evaluation: whose held-out questions are asked.

    Raises:
        InvalidValueError: all of them are in the pool.
    """
    pool = {_plainly(question.prompt) for question in task.train}
    both = [question for question in evaluation.heldout if _plainly(question.prompt) in pool]
    if not both:
        return ""
    remedy = (
        "give another eval_task, or none and both files in the task, gsm8k(train.jsonl, test.jsonl) say: what is held "
        "out is then left out of the pool"
    )
    if len(both) == len(evaluation.heldout):
        problem = f"has {len(both):,} questions, all of them among those that {task.name} trains on"
        raise InvalidValueError("eval_task", evaluation.name, problem, remedy)
    return (
        f"{len(both):,} of the {len(evaluation.heldout):,} held-out questions of {evaluation.name} are among those "
        f"that {task.name} trains on ({both[0].id}, say), so that the accuracy is too good; {remedy}"
    )


def _plainly(prompt: str) -> str:
    return " ".join(prompt.split())
