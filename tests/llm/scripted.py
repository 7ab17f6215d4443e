"""Rounds and responses that are written down beforehand: the same however many processes there are."""

import numpy as np
from transformers import PrinterCallback

from cerolab import Allocation, BaseAllocator, seeding
from cerolab.allocator import NoOptions
from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer


class Rounds(BaseAllocator):
    """Plays rounds in turn; a round is one wave or two, a wave is {prompt: units}. One prompt is not trained on."""

    name = "rounds"

    def __init__(self, problem, rounds, untrained):
        super().__init__(problem, 0, NoOptions())
        self.rounds, self.untrained, self.wave = rounds, untrained, 0

    def _select(self):
        waves = self.rounds[self.round_index % len(self.rounds)]
        groups = waves[self.wave]
        return Allocation(list(groups), list(groups.values()), last_wave=self.wave == len(waves) - 1)

    def _learn(self, allocation, feedback):
        self.wave = 0 if allocation.last_wave else self.wave + 1

    def training_mask(self, round_feedback):
        return np.concatenate([wave.allocation.prompts for wave in round_feedback]) != self.untrained

    def _arrays(self):
        return {}

    def _load_arrays(self, arrays):
        pass


class ScriptedTrainer(AllocatedGRPOTrainer):
    """Its responses depend on round, wave, prompt and place in the wave, by ``luck``; ``made`` counts them."""

    made = 0

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.remove_callback(PrinterCallback)

    def _generate_and_score_completions(self, inputs):
        self.first = self.accelerator.process_index * len(inputs)
        return super()._generate_and_score_completions(inputs)

    def luck(self, prompts):
        """Random numbers for a response to each prompt."""
        self.made += len(prompts)
        names = self._view.index, len(self._view.waves)
        return [
            seeding.generator("response", *names, place, str(prompt))
            for place, prompt in enumerate(prompts, start=self.first)
        ]
