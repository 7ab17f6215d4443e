"""Questions asked by several processes together: each answer is graded against its own question."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trl.generation import vllm_generation
from trl.generation.vllm_generation import VLLMGeneration

from cerolab.integrations.trl.processes.shares import even_share
from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
from llm.evaluation.evaluator import Evaluator
from llm.models.tiny import tiny_tokenizer
from llm.tasks import load_task
from tests.llm.small import small_model


@given(count=st.integers(0, 40), processes=st.integers(1, 9))
def test_shares_are_even_and_cover_the_list_once(count, processes):
    shares = [even_share(count, process, processes) for process in range(processes)]
    assert {len(indices) for indices, _ in shares} == {-(-count // processes)}
    own = [index for indices, true in shares for index in indices[:true]]
    assert sorted(own) == list(range(count))
    assert all(0 <= index < count for indices, _ in shares for index in indices)


class World:
    """Processes as threads: each calls a collective, all go on when the last one has."""

    def __init__(self, processes, monkeypatch):
        self.processes, self.barrier = processes, threading.Barrier(processes, timeout=20)
        self.rank, self.slots = threading.local(), [None] * processes
        monkeypatch.setattr("accelerate.PartialState", self.state)
        monkeypatch.setattr("accelerate.utils.gather_object", self.gather_object)
        monkeypatch.setattr(vllm_generation, "gather_object", self.gather_object)
        monkeypatch.setattr(vllm_generation, "broadcast_object_list", self.broadcast)
        monkeypatch.setattr(torch.distributed, "all_gather_object", self.all_gather_object)
        monkeypatch.setattr(torch.distributed, "get_rank", lambda group: self.rank.value)

    def state(self):
        return SimpleNamespace(process_index=self.rank.value, num_processes=self.processes)

    def all(self, value):
        self.slots[self.rank.value] = value
        self.barrier.wait()
        found = list(self.slots)
        self.barrier.wait()
        return found

    def gather_object(self, values):
        return [value for part in self.all(values) for value in part]

    def broadcast(self, values, from_process):
        values[:] = self.all(list(values))[from_process]

    def all_gather_object(self, out, value, group):
        out[:] = self.all(value)

    def run(self, work):
        results, errors = [None] * self.processes, []

        def process(rank):
            self.rank.value = rank
            try:
                results[rank] = work(rank)
            except BaseException as error:
                errors.append(error)
                self.barrier.abort()

        threads = [threading.Thread(target=process, args=(rank,)) for rank in range(self.processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results


class Perfect:
    """Gives the right answer to every prompt: as vLLM's client, as vLLM's engine, and as a function."""

    def __init__(self, tokenizer, questions):
        self.answers = {
            tuple(tokenizer(question.prompt)["input_ids"]): tokenizer(question.answer)["input_ids"]
            for question in questions
        }

    def generate(self, prompts, temperature=1.0, limit=0, **settings):
        made = [self.answers[tuple(prompt["prompt_token_ids"] if isinstance(prompt, dict) else prompt)]
                for prompt in prompts]  # fmt: skip
        if "sampling_params" in settings:  # as the engine in the process
            return [
                SimpleNamespace(prompt_token_ids=[], outputs=[SimpleNamespace(token_ids=ids, logprobs=None)])
                for ids in made
            ]
        if "n" in settings:  # as the server's client
            return {"prompt_ids": prompts, "completion_ids": made, "logprobs": None}
        return made


def trls_engine(mode, rank, processes, perfect):
    """TRL's own way from prompts of a process to its responses, with another model behind it."""
    engine = object.__new__(VLLMGeneration)
    engine.accelerator = SimpleNamespace(process_index=rank, is_main_process=rank == 0)
    for name in ("top_p", "top_k", "min_p", "repetition_penalty", "structured_outputs_regex"):
        setattr(engine, name, None)
    engine.temperature, engine.max_completion_length, engine.logprobs, engine.generation_kwargs = 1.0, 5, None, {}
    engine.enable_sleep_mode, engine.tensor_parallel_size, engine.tp_group = False, processes, None
    engine.mode, engine.vllm_client, engine.llm, engine.model = mode, perfect, perfect, torch.nn.Linear(1, 1)
    engine.sync_weights = lambda: None
    trainer = SimpleNamespace(vllm_generation=engine, state=SimpleNamespace(global_step=0))
    return lambda *given: AllocatedGRPOTrainer.generate_with_vllm(trainer, *given)


@pytest.mark.parametrize("engine", ["server", "colocate", "transformers"])
@pytest.mark.parametrize(("questions", "processes"), [(5, 2), (30, 4), (2, 3), (1, 4), (6, 3)])
def test_a_perfect_model_gets_every_question_right(engine, questions, processes, monkeypatch):
    monkeypatch.setattr(vllm_generation, "SamplingParams", lambda **_: None, raising=False)
    tokenizer, task = tiny_tokenizer(), load_task("arithmetic", 4, questions)
    assert len({question.answer for question in task.heldout}) > questions // 2  # an answer to another one is wrong
    perfect, model = Perfect(tokenizer, task.heldout), small_model()

    def work(rank):
        generate = perfect.generate if engine == "transformers" else trls_engine(engine, rank, processes, perfect)
        evaluator = Evaluator(task, task.heldout, tokenizer, "{prompt}", 0, 5)
        return evaluator.rewards(model, generate, 3, 1.0, "test")

    for rewards in World(processes, monkeypatch).run(work):
        assert rewards.shape == (questions, 3)
        assert np.array_equal(rewards, np.ones((questions, 3)))
