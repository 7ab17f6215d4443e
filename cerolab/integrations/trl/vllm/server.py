"""A vLLM server in a process of its own, which takes new weights from files."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType

from cerolab.errors import CerolabError

WORKER = "cerolab.integrations.trl.vllm.worker.WeightFileWorker"
KV_CACHE_BYTES = 2**30
_HOST = "127.0.0.1"  # development mode lets anyone who can connect call the workers: not to be opened to a network


class ServerError(CerolabError):
    """The vLLM server died, did not start in time, or cannot do what it is needed for."""


class VLLMServer:
    """An OpenAI-compatible vLLM server for ``GRPOConfig(vllm_mode="server", vllm_server_base_url=server.url)``.

    Starts when entered (about 25 s), stops when left; ``start`` and ``stop`` do the same by hand.

    Args:
        model: folder or name of the model and its tokenizer.
        dtype: of the weights; the learner's, or small updates are lost in rounding.
        max_model_len: longest prompt and response together, in tokens; by default the model's.
        kv_cache_bytes: memory for keys and values.
        port: where to listen; by default any free one.
        timeout: seconds until the server must be healthy.
        log: file for the server's output; by default a temporary one, kept only if the server fails.
        options: further arguments of ``vllm.entrypoints.openai.api_server``.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        dtype: str = "float32",
        max_model_len: int | None = None,
        kv_cache_bytes: int = KV_CACHE_BYTES,
        port: int | None = None,
        timeout: float = 300.0,
        log: str | Path | None = None,
        options: Sequence[str] = (),
    ):
        self._port = port or _free_port()
        self.url = f"http://{_HOST}:{self._port}"
        self._model, self._timeout = model, timeout
        self._log = None if log is None else Path(log)
        self._keep_log = log is not None
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
        self._command += ["--model", str(model), "--host", _HOST, "--port", str(self._port)]
        self._command += ["--dtype", dtype, "--enforce-eager", "--kv-cache-memory-bytes", str(kv_cache_bytes)]
        self._command += ["--worker-extension-cls", WORKER]
        self._command += ["--logprobs-mode", "processed_logprobs", "--max-logprobs", "-1"]  # what TRL asks for
        if max_model_len is not None:
            self._command += ["--max-model-len", str(max_model_len)]
        self._command += options

    def start(self) -> VLLMServer:
        """Start the server and wait until it is healthy.

        Raises:
            ServerError: it died or was too slow; with the end of its output. Nothing is left running.
        """
        if self._process is not None:
            raise ServerError(f"the vLLM server at {self.url} was started already; stop() it first")
        if self._log is None:
            with NamedTemporaryFile(prefix="cerolab-vllm-", suffix=".log", delete=False) as file:
                self._log = Path(file.name)
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                env={**os.environ, "VLLM_SERVER_DEV_MODE": "1"},  # /collective_rpc, /reset_prefix_cache
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # the server's own processes are stopped with it
            )
        atexit.register(self.stop)
        try:
            self._wait_until_healthy()
        except BaseException:
            self._keep_log = True
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server and all its processes; nothing happens if it is not running."""
        if self._process is not None:
            for ending in (signal.SIGTERM, signal.SIGKILL):  # the second for what outlived the server
                try:
                    os.killpg(self._process.pid, ending)
                    self._process.wait(timeout=20)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue
            self._process = None
        if self._log is not None and not self._keep_log:
            self._log.unlink(missing_ok=True)
            self._log = None

    def __enter__(self) -> VLLMServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_healthy(self) -> None:
        assert self._process is not None
        start = time.monotonic()
        told = 0
        print(f"vLLM server: loading {self._model}; output in {self._log}", file=sys.stderr, flush=True)
        while True:
            waited = time.monotonic() - start
            if self._process.poll() is not None:
                raise ServerError(
                    f"the vLLM server died after {waited:.0f} s with exit status {self._process.returncode}; "
                    f"the end of {self._log}:\n{self._tail()}"
                )
            if _is_healthy(self.url):
                print(f"vLLM server: ready at {self.url} after {waited:.0f} s", file=sys.stderr, flush=True)
                return
            if waited > self._timeout:
                raise ServerError(
                    f"the vLLM server was not healthy after {self._timeout:.0f} s; raise timeout, or see the end of "
                    f"{self._log}:\n{self._tail()}"
                )
            if waited >= told + 10:
                told += 10
                print(f"vLLM server: not ready after {told} s", file=sys.stderr, flush=True)
            time.sleep(0.5)

    def _tail(self, lines: int = 30) -> str:
        assert self._log is not None
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])


def _is_healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
