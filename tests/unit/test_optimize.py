"""Facts about one kernel's story, with stand-ins for the model and the judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hipopt.errors import DeviceError, HipoptError, ModelRefused, ModelUnavailable, SourceError
from hipopt.llm.interface import Message, ModelReply, PromptRefused
from hipopt.optimize import Optimizer
from hipopt.records import Judgement, KernelTask, Record, ResultRow, Verdict, Workload
from hipopt.resultrow import task_sha256
from hipopt.settings import Settings
from hipopt.source.capsule import Capsule
from hipopt.source.splice import SpliceFailure

TASK = KernelTask(id=7, name="k", code_body="__global__ void k() {}", hip_file="a.hip", shard=3)
CAPSULE = Capsule(source=TASK.code_body, kernel="k", parameters=(), kernel_text=TASK.code_body)

Reply = ModelReply | PromptRefused | HipoptError


def code(mark: str) -> str:
    return f"__global__ void k() {{ /* {mark} */ }}"


def reply(mark: str, thinking: str | None = None, **more: Any) -> ModelReply:
    thought = f"```thinking\n{thinking}\n```\n" if thinking else ""
    text = f"{thought}```hip\n{code(mark)}\n```"
    return ModelReply(text=text, prompt_tokens=10, completion_tokens=2, **more)


class Script:
    """A proposer that gives its replies in order and keeps what it was asked."""

    model = "script"

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[int, str]] = []

    def ask(
        self, task: KernelTask, attempt: int, messages: Sequence[Message]
    ) -> ModelReply | PromptRefused | None:
        assert task is TASK
        self.asked.append((attempt, messages[-1].content))
        answer = self.replies.pop(0) if self.replies else None
        if isinstance(answer, HipoptError):
            raise answer
        return answer


class Ready(Record, frozen=True, kw_only=True):
    workloads: tuple[Workload, ...] = ()


class Bench:
    """A judge that knows each candidate's verdict and speedup by the mark in its code."""

    def __init__(self, **verdicts: tuple[Verdict, float | None]) -> None:
        self.verdicts = verdicts
        self.judged: list[str] = []
        self.prepared: Ready | Judgement = Ready()

    def prepare(self, reference: Capsule, workloads: tuple[Workload, ...]) -> Ready | Judgement:
        assert reference is CAPSULE
        assert workloads == TASK.workloads
        return self.prepared

    def judge(self, prepared: Any, candidate: Capsule) -> Judgement:
        assert prepared is self.prepared
        self.judged.append(candidate.source)
        mark = candidate.source.split("/* ")[1].split(" */")[0]
        if mark not in self.verdicts:
            raise DeviceError("the GPU fell off the bus")
        verdict, speedup = self.verdicts[mark]
        return Judgement(verdict=verdict, speedup=speedup, reason=f"{mark} is {verdict}")


def slicer(source: str | None, name: str, *, code_body: str | None) -> Capsule:
    assert (source, name, code_body) == (TASK.hip_source, TASK.name, TASK.code_body)
    return CAPSULE


def broken_slicer(source: str | None, name: str, *, code_body: str | None) -> Capsule:
    raise SourceError(f"no kernel {name} in {code_body or source!r}")


def splicer(reference: Capsule, text: str) -> Capsule | SpliceFailure:
    if "unparsable" in text:
        return SpliceFailure(verdict=None, reason="line 1 is no C++")
    if "host" in text:
        return SpliceFailure(verdict=Verdict.REJECTED, reason="other arguments")
    return Capsule(source=text, kernel=reference.kernel, parameters=(), kernel_text=text)


def optimizer(script: Script, bench: Bench, **settings: Any) -> Optimizer:
    given = Settings(**settings)
    return Optimizer(given, proposer=script, judge=bench, slicer=slicer, splicer=splicer)


def outcome(script: Script, bench: Bench, **settings: Any) -> ResultRow:
    return optimizer(script, bench, **settings).optimize(TASK)


FASTER, SAME, SLOWER = Verdict.FASTER, Verdict.SAME, Verdict.SLOWER


def test_the_best_candidate_keeps_its_own_speedup_and_thinking() -> None:
    """Code, thinking, speedup, verdict and evidence of the row are of one candidate."""
    script = Script(reply("a", "one"), reply("b", "two"), reply("c", "three"))
    bench = Bench(a=(FASTER, 1.2), b=(FASTER, 1.9), c=(FASTER, 1.5))
    row = outcome(script, bench)
    assert row.status == "success"
    assert (row.opt_kernel, row.opt_think, row.speedup) == (code("b"), "two", 1.9)
    assert row.verdict is FASTER
    assert row.judgement is not None
    assert row.judgement.speedup == 1.9
    assert row.error_message is None
    assert row.failure_kind is None
    assert row.opt_kernel_sha256 == row.attempts[1].candidate_sha256


def test_the_row_tells_whose_kernel_it_is_and_what_it_cost() -> None:
    """Identity, tokens, model, times and hashes stand in every row."""
    row = outcome(Script(reply("a"), reply("b")), Bench(a=(SAME, 1.0), b=(SAME, 1.0)))
    assert (row.id, row.name, row.hip_file, row.shard) == (7, "k", "a.hip", 3)
    assert (row.model, row.prompt_tokens, row.completion_tokens) == ("script", 20, 4)
    assert row.task_sha256 == task_sha256(TASK)
    assert row.started_at is not None
    assert row.finished_at is not None
    assert row.started_at <= row.finished_at
    assert row.started_at.endswith("+00:00")
    assert [a.number for a in row.attempts] == [1, 2]


def test_proven_faster_beats_a_higher_but_unproven_speedup() -> None:
    """An inconclusive 3x loses against a proven 1.1x."""
    bench = Bench(a=(Verdict.INCONCLUSIVE, 3.0), b=(FASTER, 1.1))
    row = outcome(Script(reply("a"), reply("b")), bench)
    assert (row.status, row.opt_kernel, row.speedup) == ("success", code("b"), 1.1)


def test_correct_but_not_faster_is_a_failure_that_keeps_the_candidate() -> None:
    """The best correct candidate is recorded with its own speedup, as no_speedup."""
    bench = Bench(a=(SLOWER, 0.5), b=(SAME, 1.01), c=(Verdict.MISMATCH, None))
    row = outcome(Script(reply("a"), reply("b"), reply("c")), bench)
    assert (row.status, row.failure_kind) == ("failure", "no_speedup")
    assert (row.opt_kernel, row.speedup, row.verdict) == (code("b"), 1.01, SAME)
    assert row.error_message is not None
    assert "number 2: same, 1.01" in row.error_message


def test_without_a_correct_candidate_the_last_outcome_is_the_kind() -> None:
    """The kind, the message and the evidence are of the last attempt."""
    bench = Bench(a=(Verdict.COMPILE_ERROR, None), b=(Verdict.MISMATCH, None))
    row = outcome(Script(reply("a"), reply("b")), bench)
    assert (row.failure_kind, row.verdict) == ("mismatch", Verdict.MISMATCH)
    assert row.opt_kernel is row.speedup is row.opt_think is None
    assert row.error_message == (
        "no candidate was correct in 2 attempts; the last: mismatch: b is mismatch"
    )


def test_no_more_attempts_than_the_settings_allow() -> None:
    """The model is asked `attempts` times and not once more."""
    script = Script(*(reply(mark) for mark in "abcdef"))
    outcome(script, Bench(**dict.fromkeys("abcdef", (SAME, 1.0))), attempts=3)
    assert [number for number, _ in script.asked] == [1, 2, 3]


def test_attempts_go_on_after_a_success_by_default() -> None:
    """The best of all attempts is what the data set wants."""
    script = Script(*(reply(mark) for mark in "abcd"))
    row = outcome(script, Bench(**dict.fromkeys("abcd", (FASTER, 2.0))))
    assert len(row.attempts) == 4


def test_a_speedup_that_is_enough_ends_the_attempts() -> None:
    """`stop_at_speedup` saves the tokens of attempts after it."""
    script = Script(*(reply(mark) for mark in "abcd"))
    bench = Bench(a=(FASTER, 1.2), b=(FASTER, 2.0), c=(FASTER, 9.0))
    row = outcome(script, bench, stop_at_speedup=2.0)
    assert (len(row.attempts), row.speedup) == (2, 2.0)


def test_the_next_prompt_tells_what_came_of_the_last_attempts() -> None:
    """The latest code, its fault and the best code so far are all in the prompt."""
    script = Script(reply("first"), reply("second"), reply("third"))
    bench = Bench(first=(FASTER, 1.2), second=(Verdict.MISMATCH, None), third=(SAME, 1.0))
    outcome(script, bench)
    prompts = [text for _, text in script.asked]
    assert "earlier attempts" not in prompts[0]
    assert code("first") in prompts[1]
    for told in (code("first"), code("second"), "second is mismatch", "1.2 times"):
        assert told in prompts[2]


def test_a_malformed_reply_is_an_attempt_with_feedback() -> None:
    """Tokens are counted, nothing is judged, and the model hears what was wrong."""
    script = Script(ModelReply(text="sorry", prompt_tokens=5), reply("a"))
    bench = Bench(a=(FASTER, 2.0))
    row = outcome(script, bench)
    assert [a.outcome for a in row.attempts] == ["malformed_reply", "faster"]
    assert row.attempts[0].candidate_sha256 is None
    assert row.prompt_tokens == 15
    assert "begins with ```hip" in script.asked[1][1]


def test_a_reply_that_was_cut_off_says_so() -> None:
    """The model hears that it ran into the limit of tokens."""
    script = Script(ModelReply(text="```hip\n__global__ void k(", cut_off=True))
    row = outcome(script, Bench())
    assert "cut off" in row.attempts[0].reason
    assert "most tokens allowed" in row.attempts[0].reason
    assert row.failure_kind == "malformed_reply"


@pytest.mark.parametrize(
    ("mark", "kind"), [("unparsable", "malformed_reply"), ("host", "rejected")]
)
def test_code_that_does_not_splice_is_told_apart(mark: str, kind: str) -> None:
    """What is no C++ is malformed; what may not take the kernel's place is rejected."""
    bench = Bench()
    row = outcome(Script(reply(mark)), bench)
    assert row.failure_kind == row.attempts[0].outcome == kind
    assert row.attempts[0].candidate_sha256 is not None
    assert bench.judged == []


def test_the_same_code_is_not_judged_twice() -> None:
    """A repeated candidate has its earlier outcome, and the model is told to write another."""
    script = Script(reply("a"), reply("a"), reply("a"), reply("b"))
    bench = Bench(a=(SAME, 1.0), b=(FASTER, 1.5))
    row = outcome(script, bench)
    assert bench.judged == [code("a"), code("b")]
    assert [a.outcome for a in row.attempts] == ["same", "same", "same", "faster"]
    assert row.attempts[1].seconds == 0.0
    assert row.prompt_tokens == 40
    assert "same code as in attempt 1" in script.asked[3][1]


def test_reasoning_beside_the_text_stands_in_for_thinking() -> None:
    """A block in the text comes first, the endpoint's reasoning second."""
    bench = Bench(a=(FASTER, 1.5))
    row = outcome(Script(reply("a", reasoning="because")), bench)
    assert row.opt_think == "because"
    row = outcome(Script(reply("a", "block", reasoning="because")), Bench(a=(FASTER, 1.5)))
    assert row.opt_think == "block"


def test_no_reply_at_all_is_a_failure_of_its_own() -> None:
    """A file without this kernel gives a row without attempts."""
    row = outcome(Script(), Bench())
    assert (row.status, row.failure_kind, row.attempts) == ("failure", "no_reply", ())


def test_a_kernel_that_can_not_be_sliced_costs_no_question() -> None:
    """The row says why, and the model was never asked."""
    script = Script(reply("a"))
    row = Optimizer(
        Settings(), proposer=script, judge=Bench(), slicer=broken_slicer, splicer=splicer
    ).optimize(TASK)
    assert row.failure_kind == "source_error"
    assert row.error_message is not None
    assert "no kernel k" in row.error_message
    assert script.asked == []


@pytest.mark.parametrize("verdict", [Verdict.UNVERIFIABLE, Verdict.REFERENCE_ERROR])
def test_a_kernel_that_can_not_be_judged_costs_no_question(verdict: Verdict) -> None:
    """The judge's finding is the row's kind and evidence."""
    script, bench = Script(reply("a")), Bench()
    bench.prepared = Judgement(verdict=verdict, reason="why not")
    row = outcome(script, bench)
    assert (row.failure_kind, row.verdict) == (verdict.value, verdict)
    assert (row.error_message, row.judgement) == ("why not", bench.prepared)
    assert script.asked == []


def test_a_refused_prompt_is_sent_once_more_with_less_history() -> None:
    """Where the history was too long, the attempt still takes place."""
    long = "x" * 10_000
    script = Script(reply(long), PromptRefused(reason="too long"), reply("b"))
    row = outcome(script, Bench(**{long: (SAME, 1.0), "b": (FASTER, 1.5)}), attempts=2)
    (_, first), (_, full), (again, short) = script.asked
    assert again == 2
    assert len(first) < len(short) < len(full)
    assert row.status == "success"


def test_a_prompt_that_stays_refused_ends_the_attempts() -> None:
    """The kernel fails with a kind of its own, at once."""
    script = Script(PromptRefused(reason="too long"), reply("a"))
    row = outcome(script, Bench())
    assert row.failure_kind == "prompt_refused"
    assert len(script.asked) == 1


def test_a_success_survives_a_prompt_that_is_refused_later() -> None:
    """What was found before is not lost."""
    refused = PromptRefused(reason="too long")
    row = outcome(Script(reply("a"), refused, refused), Bench(a=(FASTER, 1.5)))
    assert (row.status, row.speedup) == ("success", 1.5)
    assert [a.outcome for a in row.attempts] == ["faster", "prompt_refused"]


@pytest.mark.parametrize("error", [ModelUnavailable("down"), ModelRefused("wrong key")])
def test_trouble_with_the_model_is_no_result(error: HipoptError) -> None:
    """It leaves unchanged, so that the kernel is tried again."""
    with pytest.raises(type(error)) as caught:
        outcome(Script(reply("a"), error), Bench(a=(SAME, 1.0)))
    assert caught.value is error


def test_trouble_with_the_device_is_no_result() -> None:
    """A sick GPU is never blamed on a kernel."""
    with pytest.raises(DeviceError, match="fell off the bus"):
        outcome(Script(reply("a")), Bench())


def test_ids_of_other_types_have_other_hashes() -> None:
    """Kernel 1 and kernel "1" are different rows of the manifest."""
    one, text = (KernelTask(id=i, name="k", code_body="\ud800") for i in (1, "1"))
    assert task_sha256(one) != task_sha256(text)
