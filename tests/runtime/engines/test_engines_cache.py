import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from coachc.runtime.engines.build_engine import (
    LEAST_BYTES,
    MOST_BYTES,
    available_bytes,
    build,
    find_or_build,
    workspace_bytes,
)
from coachc.runtime.engines.dialect import Settings, ShortOfMemory
from coachc.runtime.engines.engine_cache import EngineCache, EngineKey, make_key
from coachc.runtime.engines.load_dialect import dialect_of
from coachc.runtime.errors import EngineError
from tests.helpers.fake_tensorrt import fake_tensorrt

MIB = 1 << 20
KEY = make_key(b"model", "TensorRT 8.2.1.8", "NVIDIA Tegra X2", "6.2", Settings(fp16=True))


def test_what_an_engine_is_for_is_its_name():
    assert KEY == (
        hashlib.sha256(b"model").hexdigest(),
        "TensorRT 8.2.1.8",
        "NVIDIA Tegra X2",
        "6.2",
        "fp16",
    )
    others = [
        make_key(b"Model", *KEY[1:4], settings=Settings(fp16=True)),
        KEY._replace(builder="TensorRT 8.5.2.2"),
        KEY._replace(gpu="Xavier"),
        KEY._replace(compute_capability="7.2"),
        make_key(b"model", *KEY[1:4], settings=Settings(fp16=True, int8=True)),
        make_key(b"model", *KEY[1:4], settings=Settings()),
        # Fields do not run into one another.
        EngineKey(KEY[0], "a", "bc", "6.2", "fp16"),
        EngineKey(KEY[0], "ab", "c", "6.2", "fp16"),
    ]
    assert len({key.digest for key in [KEY] + others}) == 1 + len(others)
    assert make_key(b"model", *KEY[1:4], settings=Settings(fp16=True, workspace_bytes=5)) == KEY


def test_what_was_stored_is_found_and_nothing_else(tmp_path):
    cache = EngineCache(str(tmp_path / "new" / "folder"))
    assert cache.find(KEY) is None and cache.timing_cache(KEY) == b""
    path = cache.store(KEY, b"the plan", {"seconds": 1.5})
    assert path == cache.path(KEY) and cache.find(KEY) == b"the plan"
    assert cache.find(KEY._replace(gpu="another")) is None
    assert cache.describe(KEY) == {
        "key": list(KEY),
        "sha256": hashlib.sha256(b"the plan").hexdigest(),
        "seconds": 1.5,
    }
    cache.store_timing_cache(KEY, b"timings")
    cache.store_timing_cache(KEY, b"")
    assert cache.timing_cache(KEY._replace(model_sha256="0" * 64, flags="fp32")) == b"timings"
    assert cache.timing_cache(KEY._replace(builder="TensorRT 8.5")) == b""
    assert not [name for name in os.listdir(cache.folder) if name.endswith(".partial")]


@pytest.mark.parametrize("damage", ["plan", "missing", "not json", "another key", "a list"])
def test_a_damaged_entry_is_no_engine(tmp_path, damage):
    cache = EngineCache(str(tmp_path))
    cache.store(KEY, b"the plan", {})
    described = tmp_path / (KEY.digest + ".json")
    if damage == "plan":
        (tmp_path / (KEY.digest + ".engine")).write_bytes(b"the plum")
    elif damage == "missing":
        described.unlink()
    else:
        found = json.loads(described.read_text())
        found["key"][2] = "another"
        text = {"not json": "{", "another key": json.dumps(found), "a list": "[]"}[damage]
        described.write_text(text)
    assert cache.find(KEY) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = EngineCache(str(tmp_path / "file"))
    for use in (lambda: cache.store(KEY, b"", {}), lambda: cache.building(KEY).__enter__()):
        with pytest.raises(EngineError, match="cannot write the engine cache .*file") as caught:
            use()
        assert "--cache" in caught.value.hint


def counting(build_s=0.0, plan=b"a plan"):
    def answer(trt, *arguments):
        time.sleep(build_s)
        return plan

    return fake_tensorrt("8.2", Builder_build_serialized_network=answer)


def find(trt, cache, model=b"model", say=lambda text: None, **settings):
    return find_or_build(
        dialect_of(trt), model, Settings(fp16=True, workspace_bytes=64 * MIB, **settings), cache, "GPU", "6.2", say
    )


def builds(trt):
    return [name for name, _ in trt.calls].count("Builder.build_serialized_network")


def test_an_engine_is_built_once(tmp_path):
    cache, trt = EngineCache(str(tmp_path)), counting()
    first, second = find(trt, cache), find(trt, cache)
    assert (first.built, first.plan, first.workspace_bytes) == (True, b"a plan", 64 * MIB)
    assert (second.built, second.plan, second.path) == (False, b"a plan", first.path)
    assert builds(trt) == 1
    find(trt, cache, model=b"another")
    find(fake_tensorrt("8.6"), cache)
    assert builds(trt) == 2
    # The second build began with what the first one had timed.
    calls = [arguments for name, arguments in trt.calls if name == "IBuilderConfig.create_timing_cache"]
    assert calls == [(b"",), (b"timings",)]


def test_two_threads_build_one_engine(tmp_path):
    trt, results, said = counting(build_s=0.3), [], []
    threads = [
        threading.Thread(target=lambda: results.append(find(trt, EngineCache(str(tmp_path)), say=said.append)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds(trt) == 1
    assert sorted(found.built for found in results) == [False, False, True]
    assert any("another process builds this engine" in text for text in said)


PROCESS = """
import sys, time
from coachc.runtime.engines.build_engine import find_or_build
from coachc.runtime.engines.dialect import Settings
from coachc.runtime.engines.load_dialect import dialect_of
from coachc.runtime.engines.engine_cache import EngineCache
from tests.helpers.fake_tensorrt import fake_tensorrt
def answer(trt, *arguments):
    time.sleep(0.5)
    return b"a plan"
trt = fake_tensorrt("8.2", Builder_build_serialized_network=answer)
print("ready", flush=True)
sys.stdin.readline()
found = find_or_build(dialect_of(trt), b"model", Settings(), EngineCache(sys.argv[1]), "GPU", "6.2")
print(found.built, found.plan.decode())
"""


def test_two_processes_build_one_engine(tmp_path):
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    environment = dict(os.environ, PYTHONPATH=here)
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, cwd=here) for _ in range(2)]
    for process in both:
        assert process.stdout.readline() == b"ready\n"
    outputs = []
    for process in both:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in both:
        outputs.append(process.communicate(timeout=60)[0].strip())
    assert sorted(outputs) == [b"False a plan", b"True a plan"]


def test_a_lock_that_is_held_too_long_is_an_error(tmp_path):
    cache = EngineCache(str(tmp_path), wait_s=0.0)
    with cache.building(KEY):
        with pytest.raises(EngineError, match="another process has been building this engine for 0 s") as caught:
            cache.building(KEY).__enter__()
        assert "--cache" in caught.value.hint
        with cache.building(KEY._replace(gpu="another")):
            pass
    with cache.building(KEY):  # let go of
        pass


def short_of_memory(fits_bytes):
    """A build that needs a workspace of at most that much."""

    def answer(trt, *arguments):
        asked = [arguments[0] for name, arguments in trt.calls if name == "IBuilderConfig.max_workspace_size"][-1]
        if asked <= fits_bytes:
            return b"a plan"
        logger = next(arguments for name, arguments in trt.calls if name == "Builder.__init__")[0]
        trt.calls = [call for call in trt.calls if call[0] != "Builder.__init__"]
        logger.log(trt.Severity.ERROR, "Cuda Runtime (out of memory)")
        return None

    return fake_tensorrt("8.2", Builder_build_serialized_network=answer)


def test_a_build_without_enough_memory_is_tried_with_less():
    said = []
    trt = short_of_memory(100 * MIB)
    built, workspace = build(dialect_of(trt), b"m", Settings(workspace_bytes=512 * MIB), say=said.append)
    assert built.plan == b"a plan" and workspace == 64 * MIB
    assert [text for text in said if "trying" in text] == [
        f"not enough memory with a workspace of {tried} MiB; trying {tried // 2} MiB" for tried in (512, 256, 128)
    ]


@pytest.mark.parametrize(("start", "tried"), [(2048, "2048 MiB, 1024 MiB, 512 MiB, 256 MiB, 128 MiB"), (20, "20 MiB")])
def test_a_build_that_never_has_enough_memory_says_what_was_tried(start, tried):
    with pytest.raises(ShortOfMemory, match="out of memory") as caught:
        build(dialect_of(short_of_memory(0)), b"m", Settings(workspace_bytes=start * MIB))
    assert caught.value.context[0] == "tried with a workspace of " + tried


def test_another_failure_is_not_tried_again():
    trt = fake_tensorrt("8.2", Builder_build_serialized_network=None)
    with pytest.raises(EngineError, match="built no engine: it does not say why"):
        build(dialect_of(trt), b"m", Settings(workspace_bytes=512 * MIB))
    assert builds(trt) == 1


def test_a_build_that_failed_leaves_nothing(tmp_path):
    trt = fake_tensorrt("8.2", Builder_build_serialized_network=None)
    with pytest.raises(EngineError):
        find(trt, EngineCache(str(tmp_path)))
    assert [name for name in os.listdir(str(tmp_path)) if not name.endswith(".lock")] == []
    assert find(counting(), EngineCache(str(tmp_path))).built


def test_the_workspace_is_half_of_what_is_free():
    assert workspace_bytes(1000 * MIB) == 500 * MIB
    assert workspace_bytes(1000 * MIB, 300 * MIB) == 150 * MIB
    assert workspace_bytes(None, 301 * MIB) == 150 * MIB
    assert workspace_bytes(1 << 40) == MOST_BYTES
    assert workspace_bytes(0) == LEAST_BYTES
    assert workspace_bytes(None) == 256 * MIB


def test_free_memory_is_what_the_kernel_calls_available(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:        8045632 kB\nMemFree:          102400 kB\nMemAvailable:    4194304 kB\n")
    assert available_bytes(str(meminfo)) == 4 << 30
    meminfo.write_text("MemFree:          102400 kB\n")
    assert available_bytes(str(meminfo)) is None
    meminfo.write_text("MemAvailable: many kB\n")
    assert available_bytes(str(meminfo)) is None
    assert available_bytes(str(tmp_path / "nothing")) is None
    assert available_bytes() is None or available_bytes() > 0
