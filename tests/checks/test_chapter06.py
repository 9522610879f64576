"""The checks of chapter 06: more is caught than what is listed, and no sentence is false.

`python tests/checks/test_chapter06.py` prints what a learner reads for every wrong answer.
"""

import itertools
import math
from dataclasses import replace

import numpy
import pytest
import torch
from torch.nn.functional import conv2d, cross_entropy, mse_loss, nll_loss, pad

from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch06_alice import truth_alice
from simplex_lib.checks.ch06_drawn import TEXTS, too_far
from simplex_lib.checks.ch06_generator import draw, redrawn
from simplex_lib.checks.ch06_haystack import hide, repeated, stretched
from simplex_lib.checks.ch06_needles_chance import _starting
from simplex_lib.checks.ch06_step import Reader
from simplex_lib.checks.engine import examine
from simplex_lib.tasks import BlockTask, NeedleTask, exact_match_error

IDS = ("6.1", "6.2", "6.3", "6.4", "6.5", "6.6")


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "06"
    assert len(found.wrong) >= 6 and len(found.right) >= 2


@pytest.mark.parametrize("exercise", IDS)
def test_every_wrong_answer_is_named_by_a_sentence_of_its_own(exercise):
    reports = confusion(exercises()[exercise])
    assert all(name == report.cause for name, report in reports.items())
    assert all("raised" not in report.says for report in reports.values())
    sentences = [report.says for report in reports.values()]
    assert len(set(sentences)) == len(sentences)
    assert not any(says.startswith("Refused") for says in sentences)


# what the truths stand for -----------------------------------------------------------------------


def test_the_example_of_the_page_comes_out_and_the_honest_limit_ties():
    text = "alice saw the rabbit . the rabbit ran away ."
    kernel, logits = truth_alice(text.split(), ["?", "alice", "rabbit"])
    assert logits.tolist() == [0, 1, 1, 1, 4, 1, 1, 2, 1, 3] and kernel.sum() == 10
    double = truth_alice("alice liked alice most .".split(), ["?", "alice", "rabbit"])[1]
    assert double[-1] == 4


def library_blocks(b, blocks, n, question, alphabet, generator):
    task = BlockTask("last", blocks, n, question, alphabet)
    return tuple(task.draw(b, generator))


def library_needles(b, context, needles, asked, generator):
    return tuple(NeedleTask(context, needles, asked).draw(b, generator))


def of_library(exercise, answer):
    """The check of an answer that may call the library's tasks."""
    uses = ("BlockTask", "NeedleTask", "exact_match_error")
    return examine(replace(exercises()[exercise], uses=uses), answer)


def test_the_generators_of_the_library_pass():
    assert of_library("6.2", library_blocks).passed
    assert of_library("6.6", library_needles).passed


def test_the_library_measures_the_error_that_the_metric_leaves():
    assert of_library("6.3", lambda mine, want: 1 - exact_match_error(mine, want)).passed


@pytest.mark.parametrize("size", [(4, 2), (7, 3), (9, 2), (6, 1)])
def test_chances_of_needles_equal_counting_all_arrangements(size):
    length, k = size
    ways = [
        at
        for at in itertools.combinations(range(length - 1), k)
        if all(b - a > 1 for a, b in itertools.pairwise(at))
    ]
    assert len(ways) == math.comb(length - k, k)
    counts = [sum(place in at for at in ways) / len(ways) for place in range(length - 1)]
    torch.testing.assert_close(_starting(length, k), torch.tensor(counts, dtype=torch.float64))


def test_counts_are_too_far_only_beyond_what_chance_allows():
    chances = torch.tensor([0.5, 0.5, 0.0])
    at = TEXTS / 2
    assert too_far(torch.tensor([at + 100, at - 100, 0.0]).double(), chances, TEXTS) is None
    assert too_far(torch.tensor([at + 150, at - 150, 0.0]).double(), chances, TEXTS) == 0
    assert too_far(torch.tensor([at, at - 1, 1.0]).double(), chances, TEXTS) == 2


# answers that are on no list ---------------------------------------------------------------------


def head(kernel=None, *, change=lambda x: x, mode="constant", ones=False):
    def answer(words, question):
        seen = torch.tensor(
            [[float(a == b) for b in words + question] for a in [".", *question[1:]]]
        )
        if ones:
            seen[0] = 1
        used = torch.zeros(3, 9)
        used[0, 4], used[1:, :4] = 2, 1
        used = kernel(used) if kernel else used
        padded = pad(seen[None, None], (4, 4, 0, 0), mode=mode)
        logits = conv2d(padded, used[None, None])[0, 0, 0, : len(words)]
        return used, change(logits)

    return answer


def setting(row, column, value):
    def change(kernel):
        kernel = kernel.clone()
        kernel[row, column] = value
        return kernel

    return change


def bonus_of_three(words, question):
    return head(setting(0, 4, 3))(words, question)


def words_worth_two(words, question):
    return head(lambda kernel: 2 * kernel)(words, question)


def dot_one_early(words, question):
    return head(lambda kernel: torch.cat([kernel[:1].roll(-1, 1), kernel[1:]]))(words, question)


def dot_one_late(words, question):
    return head(lambda kernel: torch.cat([kernel[:1].roll(1, 1), kernel[1:]]))(words, question)


def two_on_each_side(words, question):
    return head(lambda kernel: torch.cat([kernel[:1], kernel[1:].roll(2, 1)]))(words, question)


def bonus_for_all(words, question):
    return head(ones=True)(words, question)


def padded_in_a_circle(words, question):
    return head(mode="circular")(words, question)


def padded_with_the_edge(words, question):
    return head(mode="replicate")(words, question)


def with_beta(words, question):
    return head(change=lambda logits: 12 * logits)(words, question)


def only_ends(words, question):
    ends = torch.tensor([word == "." for word in words])
    return head(change=lambda logits: logits.masked_fill(~ends, -math.inf))(words, question)


def all_before(words, question):
    counts = [sum(w in question[1:] for w in words[:j]) for j in range(len(words))]
    ends = [2 * (word == ".") for word in words]
    kernel, _ = head()(words, question)
    return kernel, torch.tensor(counts) + torch.tensor(ends)


def both_or_nothing(words, question):
    kernel, _ = head()(words, question)
    both = [all(w in words[max(0, j - 4) : j] for w in question[1:]) for j in range(len(words))]
    return kernel, torch.tensor(both) * 2.0 + torch.tensor([2.0 * (w == ".") for w in words])


def in_reverse(words, question):
    return head(change=lambda logits: logits.flip(0))(words, question)


def nothing_found(words, question):
    return head(change=torch.zeros_like)(words, question)


def tap_on_the_right(words, question):
    return head(setting(2, 5, 1))(words, question)


def one_row_a_word(words, question):
    kernel, logits = head()(words, question)
    return kernel[1:], logits


def kernel_of_a_head(words, question):
    kernel, logits = head()(words, question)
    return kernel[None], logits


def negative_dots(words, question):
    return head(setting(0, 4, -2))(words, question)


def without_dots(words, question):
    kernel, logits = head()(words, question)
    return kernel, logits[torch.tensor([word != "." for word in words])]


def one_block_left(text, asked, right, letters):
    """Draws the wrong blocks anew once, and does not look again."""
    holds = (text[..., None] == asked[:, None, None]).any(2).all(-1) & ~right
    text[holds] = letters(int(holds.sum()))
    return text


def asked_letters_only_once(text, asked, right, letters):
    """Wrong blocks hold one letter of the question at most."""
    if asked.shape[1] < 3:
        return redrawn(text, asked, right, letters)
    while True:
        bad = ((text[..., None] == asked[:, None, None]).any(2).sum(-1) > 1) & ~right
        if not bad.any():
            return text
        text[bad] = letters(int(bad.sum()))


def right_redrawn_too(text, asked, right, letters):
    return redrawn(text, asked, right & False, letters) if text.shape[1] > 1 else text


def last_two_swapped(numbers, take):
    found = numbers.argsort(-1)[..., :take]
    return torch.cat([found[..., :-2].sort(-1).values, found[..., -2:]], -1)


def first_letter_of_block_asked(numbers, take):
    later = 1 + numbers[..., 1:].argsort(-1)
    return torch.cat([torch.zeros_like(later[..., :1]), later], -1)[..., :take]


def text_then_cut(b, blocks, n, question, alphabet, generator):
    """All letters are drawn and the first b texts without clashes are kept, however few."""
    tokens, answers, target = draw()(2 * b, blocks, n, question, alphabet, generator)
    return tokens[: b - 1], answers[: b - 1], target[: b - 1]


def question_sorted(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    asked = tokens[:, -question:].sort(1).values
    return torch.cat([tokens[:, :-question], asked], 1), answers, target


def answer_shifted_by_a_block(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    return tokens, answers, (target + 1) % blocks


def half_of_them_twice(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    half = b // 2
    return (
        torch.cat([tokens[:half], tokens[: b - half]]),
        torch.cat([answers[:half], answers[: b - half]]),
        torch.cat([target[:half], target[: b - half]]),
    )


def letters_from_one(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    return tokens + 1, answers + 1, target


def spaces_for_dots(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    return torch.where(tokens == alphabet, alphabet + 2, tokens), answers, target


def with_python_randomness(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    order = torch.randperm(b)
    return tokens[order], answers[order], target[order]


def all_as_lists(*sizes):
    return tuple(x.tolist() for x in draw()(*sizes))


def one_hot_target(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    return tokens, answers, torch.eye(blocks, dtype=torch.int64)[target]


def target_of_place(b, blocks, n, question, alphabet, generator):
    tokens, answers, target = draw()(b, blocks, n, question, alphabet, generator)
    return tokens, answers, target * (n + 1)


def two_places_only(b, blocks, generator):
    return torch.randint(min(blocks, 2), (b,), generator=generator)


def middle_letter(b, blocks, n, question, alphabet, generator):
    tokens, _, target = draw()(b, blocks, n, question, alphabet, generator)
    place = target[:, None] * (n + 1) + n // 2
    return tokens, tokens.gather(1, place), target


def seen(predicted, answers):
    return (predicted == answers).double()


METRICS = (
    lambda p, a: seen(p, a)[:, :2].amin(1).mean().item(),
    lambda p, a: seen(p, a).mean(1).square().mean().item(),
    lambda p, a: seen(p, a).mean(0).prod().item(),
    lambda p, a: seen(p, a).mean().item() ** a.shape[1],
    lambda p, a: seen(p, a).cumprod(1).mean().item(),
    lambda p, a: round(seen(p, a).amin(1).mean().item(), 2),
    lambda p, a: seen(p, a)[1:].amin(1).sum().item() / len(a),
    lambda p, a: seen(p, a).amin(1).sum().item() / (len(a) + 1),
    lambda p, a: float((p == a).any()),
    lambda p, a: ((p - a).abs() <= 1).all(1).double().mean().item(),
    lambda p, a: ((p - a).abs().sum(1) <= 2).double().mean().item(),
    lambda p, a: ((p - a).sum(1) == 0).double().mean().item() * 0.5,
    lambda p, a: len({*map(tuple, p.tolist())} & {*map(tuple, a.tolist())}) / len(a),
    lambda p, a: seen(p, a).amin(1).mean().item() + 1e-4,
    lambda p, a: seen(p, a)[:, ::2].amin(1).mean().item(),
    lambda p, a: seen(p, a)[:, 1:].amin(1).mean().item() if a.shape[1] > 1 else 1.0,
    lambda p, a: -seen(p, a).amin(1).mean().item(),
    lambda p, a: (seen(p, a).sum(1) >= a.shape[1] - 1).double().mean().item(),
)


def stepping(
    measure=lambda logits, answers: cross_entropy(logits.mT, answers),
    *,
    limit=1.0,
    kind=2.0,
    mode="train",
    after=lambda model, optimizer, loss: None,
    result=lambda loss: loss.item(),
    gradients=lambda model: None,
    pick=lambda logits, a: logits[:, -a:],
):
    def answer(model, optimizer, tokens, answers):
        getattr(model, mode)()
        loss = measure(pick(model(tokens), answers.shape[1]), answers)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), limit, norm_type=kind)
        gradients(model)
        optimizer.step()
        after(model, optimizer, loss)
        return result(loss)

    return answer


def halved(model):
    for p in model.parameters():
        p.grad *= 0.5


def signs(model):
    for p in model.parameters():
        p.grad.sign_()


def first_only(model):
    next(model.parameters()).grad.zero_()


def decayed(model, optimizer, loss):
    with torch.no_grad():
        for p in model.parameters():
            p *= 0.999


def forget_speed(model, optimizer, loss):
    optimizer.state.clear()


def smaller_rate(model, optimizer, loss):
    for group in optimizer.param_groups:
        group["lr"] *= 0.5


def perplexity(loss):
    return math.exp(loss.item())


def one_text_after_another(model, optimizer, tokens, answers):
    losses = [
        stepping()(model, optimizer, x[None], y[None]) for x, y in zip(tokens, answers, strict=True)
    ]
    return sum(losses) / len(losses)


def accuracy(model, optimizer, tokens, answers):
    stepping()(model, optimizer, tokens, answers)
    guessed = model(tokens)[:, -answers.shape[1] :].argmax(-1)
    return (guessed == answers).double().mean().item()


def one_fresh_optimizer(model, optimizer, tokens, answers):
    lr = optimizer.param_groups[0]["lr"]
    return stepping()(model, torch.optim.SGD(model.parameters(), lr=lr), tokens, answers)


def smoothed(logits, answers):
    return cross_entropy(logits.mT, answers, label_smoothing=0.1)


def squared(logits, answers):
    hit = torch.nn.functional.one_hot(answers, logits.shape[-1]).double()
    return mse_loss(logits.softmax(-1), hit)


def no_log(logits, answers):
    return nll_loss(logits.softmax(-1).mT, answers)


def log_twice(logits, answers):
    return nll_loss(logits.log_softmax(-1).mT / math.log(2), answers)


def weighed(logits, answers):
    each = cross_entropy(logits.mT, answers, reduction="none")
    return (each * torch.arange(1, each.shape[1] + 1)).mean()


def answers_reversed(logits, answers):
    return cross_entropy(logits.mT, answers.flip(1))


def returns_all(model, optimizer, tokens, answers):
    stepping()(model, optimizer, tokens, answers)
    return [0.0, 1.0]


def twice(model, optimizer, tokens, answers):
    stepping()(model, optimizer, tokens, answers)
    return stepping()(model, optimizer, tokens, answers)


def share(weights, target, n, *, row=lambda w: w[:, :, -1], at=None, finish=lambda x: x):
    places = target[:, None] * (n + 1) + torch.arange(n) if at is None else at
    rows = row(weights)
    places = places.clamp(0, rows.shape[-1] - 1)
    found = rows.gather(2, places[:, None].expand(*rows.shape[:2], -1))
    return finish(found.sum(-1))


SHARES = (
    lambda w, target, n: share(w, target, n, finish=lambda x: 1 - x),
    lambda w, target, n: share(w, target, n, finish=lambda x: 100 * x),
    lambda w, target, n: share(w, target, n, finish=lambda x: x.flip(1)),
    lambda w, target, n: share(w, target.flip(0), n),
    lambda w, target, n: share(w, target, n, finish=torch.log),
    lambda w, target, n: share(w, target, n, finish=lambda x: x / x.sum(1, keepdim=True)),
    lambda w, target, n: share(w, target, n, finish=lambda x: x * w.shape[-1] / n),
    lambda w, target, n: share(w, target, n, row=lambda w: w[:, :, -1].square()),
    lambda w, target, n: share(w, target, n, row=lambda w: w[:, :, -3:].mean(2)),
    lambda w, target, n: share(w, target, n, row=lambda w: w[:, :, w.shape[2] // 2]),
    lambda w, target, n: share(w, target, n, at=target[:, None] * (n + 2) + torch.arange(n)),
    lambda w, target, n: share(w, target, n, finish=lambda x: x.round()),
    lambda w, target, n: share(w, target, n, row=lambda w: w[:, :, -1].flip(-1)),
    lambda w, target, n: (
        share(w, target, n, row=lambda w: w.transpose(0, 1)[:, :, -1])
        if w.shape[0] == w.shape[1]
        else share(w, target, n, finish=lambda x: x.mean(1, keepdim=True).expand_as(x))
    ),
    lambda w, target, n: w[:, :, -1, : n * (int(target.max()) + 1)].sum(-1),
)


def between(w, target, n):
    """A slice for each text; start may lie below 0."""
    starts = (target * (n + 1)).tolist()
    return torch.stack([x[:, -1, at : at + n].sum(-1) for x, at in zip(w, starts, strict=True)])


NAMED_SHARES = {
    "block 0 always": lambda w, target, n: w[:, :, -1, :n].sum(-1),
    "another softmax": lambda w, target, n: between(w.softmax(-1), target, n),
    "keys from the end": lambda w, target, n: between(w, -target, n),
    "without signs": lambda w, target, n: between(w.abs(), target, n),
    "negatives cut off": lambda w, target, n: between(w.relu(), target, n),
    "made to sum to 1": lambda w, target, n: between(w / w.sum(-1, keepdim=True), target, n),
}


def needles_anywhere_even(b, length, k, generator):
    """The second half of the text is used twice as often."""
    at = stretched(b, length, k, generator)
    again = stretched(b, length, k, generator)
    return torch.where((at[:, :1] > 1), at, again)


def packed(b, length, k, generator):
    """All needles together, somewhere."""
    first = torch.randint(length - 2 * k + 1, (b, 1), generator=generator)
    return first + 2 * torch.arange(k)


def in_equal_parts(b, length, k, generator):
    part = length // k
    return part * torch.arange(k) + torch.randint(part - 1, (b, k), generator=generator)


def mirrored_values(b, of, take, generator):
    value = repeated(b, of, take, generator)
    return torch.cat([value[:, :1], value[:, :1], value[:, 2:]], 1)[:, :take]


def skewed(b, of, take, generator):
    return torch.minimum(repeated(b, of, take, generator), repeated(b, of, take, generator))


def neighbours_asked(b, of, take, generator):
    return (repeated(b, of, 1, generator) + torch.arange(take)) % of


def never_the_first(b, of, take, generator):
    if of == take:
        return torch.rand(b, of, generator=generator).argsort(-1)
    return 1 + torch.rand(b, of - 1, generator=generator).argsort(-1)[:, :take]


def runs_of_fillers(b, of, take, generator):
    found = repeated(b, of, take, generator)
    return torch.where(torch.arange(take) % 2 == 1, found.roll(1, 1), found)


def fillers_for_values(tokens, context):
    """Values drawn from 24 on: no tokens of values are left."""
    return torch.where((tokens >= 12) & (tokens < 22), tokens + 12, tokens)


def changed(change):
    """The right texts, spoiled afterwards."""

    def answer(b, context, needles, asked, generator):
        return change(*hide()(b, context, needles, asked, generator), context, asked)

    return answer


NEEDLES = (
    (hide(where=packed), {"places not uniform"}),
    (hide(where=in_equal_parts), {"places not uniform", "last place never used"}),
    (hide(where=needles_anywhere_even), {"places not uniform"}),
    (hide(values=mirrored_values), {"values tied together"}),
    (hide(values=skewed), {"values not uniform"}),
    (hide(fillers=skewed), {"fillers not uniform"}),
    (hide(fillers=runs_of_fillers), {"fillers tied together"}),
    (hide(which=neighbours_asked), {"pairs of the question not uniform"}),
    (hide(which=never_the_first), {"question not uniform"}),
    (hide(filler=0), {"stray keys or values"}),
    (changed(lambda x, a, p, c, n: (x, a, p + 100)), {"other places"}),
    (changed(lambda x, a, p, c, n: (x, a, p.argsort(1).argsort(1))), {"numbers of the needles"}),
    (changed(lambda x, a, p, c, n: (x, a - 12, p)), {"other answers"}),
    (changed(lambda x, a, p, c, n: (x.int(), a, p)), {"dtype"}),
    (changed(lambda x, a, p, c, n: (x, a, p[:, 0])), {"shape of places"}),
    (changed(lambda x, a, p, c, n: (fillers_for_values(x, c), a + 12, p)), {"no such value"}),
    (changed(lambda x, a, p, c, n: (x + 1, a, p)), {"no such token", "? elsewhere"}),
    (changed(lambda x, a, p, c, n: (x[:, 1:], a, p)), {"length"}),
    (changed(lambda x, a, p, c, n: (x.roll(1, 1), a, p)), {"? elsewhere"}),
    (
        changed(lambda x, a, p, c, n: (torch.cat([x[:, : c + 1 + n], a[:, 1:] * 0], 1), a, p)),
        {"other tokens behind the question"},
    ),
    (changed(lambda x, a, p, c, n: (x[:-1], a[:-1], p[:-1])), {"shape of tokens"}),
)

BLOCKS = (
    (draw(wrongs=one_block_left), {"several blocks hold the question"}),
    (draw(wrongs=asked_letters_only_once), {"shared letters"}),
    (draw(wrongs=right_redrawn_too), {"question from elsewhere"}),
    (draw(pick=last_two_swapped), {"letters not uniform"}),
    (draw(of_block=first_letter_of_block_asked), {"question in the block's order"}),
    (draw(where=two_places_only), {"target not uniform"}),
    (text_then_cut, {"shape of tokens"}),
    (question_sorted, {"question in the order of the alphabet"}),
    (answer_shifted_by_a_block, {"question from elsewhere"}),
    (letters_from_one, {"dots elsewhere"}),
    (spaces_for_dots, {"dots elsewhere"}),
    (with_python_randomness, {"other randomness"}),
    (all_as_lists, {"type"}),
    (one_hot_target, {"shape of target"}),
    (target_of_place, {"target outside", "question from elsewhere"}),
    (middle_letter, {"another letter"}),
    (half_of_them_twice, {"texts repeated"}),
)

GENERAL = {
    "other",
    "part",
    "axis",
    "constant",
    "factor",
    "nan",
    "precision",
    "inf",
    "offset",
    "flipped",
    "shifted",
    "sign",
}
HEADS = (
    bonus_of_three,
    words_worth_two,
    dot_one_early,
    dot_one_late,
    two_on_each_side,
    bonus_for_all,
    padded_in_a_circle,
    padded_with_the_edge,
    with_beta,
    only_ends,
    all_before,
    both_or_nothing,
    in_reverse,
    nothing_found,
    tap_on_the_right,
    negative_dots,
)
STEPS = (
    stepping(smoothed),
    stepping(squared),
    stepping(log_twice),
    stepping(weighed),
    stepping(limit=0.5),
    stepping(limit=2.0),
    stepping(kind=1.0),
    stepping(kind=math.inf),
    stepping(gradients=halved),
    stepping(gradients=signs),
    stepping(gradients=first_only),
    stepping(after=decayed),
    stepping(after=forget_speed),
    stepping(after=smaller_rate),
    stepping(answers_reversed),
    accuracy,
)
UNLISTED = (
    *(("6.1", answer, GENERAL) for answer in HEADS),
    ("6.1", one_row_a_word, {"shape"}),
    ("6.1", kernel_of_a_head, {"shape"}),
    ("6.1", without_dots, {"shape"}),
    *(("6.2", answer, causes) for answer, causes in BLOCKS),
    *(("6.3", answer, GENERAL) for answer in METRICS),
    *(("6.4", answer, GENERAL) for answer in STEPS),
    ("6.4", one_text_after_another, {"more than one step", *GENERAL}),
    ("6.4", stepping(no_log), {"no logarithm"}),
    ("6.4", stepping(result=perplexity), {"perplexity"}),
    ("6.4", stepping(pick=lambda logits, a: logits[:, :a]), {"first positions"}),
    ("6.4", one_fresh_optimizer, {"by hand"}),
    ("6.4", returns_all, {"type"}),
    ("6.4", twice, {"more than one step"}),
    *(("6.5", answer, GENERAL) for answer in SHARES),
    *(("6.5", answer, {name}) for name, answer in NAMED_SHARES.items()),
    *(("6.6", answer, causes) for answer, causes in NEEDLES),
)


@pytest.mark.parametrize(("exercise", "answer", "causes"), UNLISTED)
def test_unlisted_wrong_answers_are_rejected_and_not_misnamed(exercise, answer, causes):
    report = check(exercise, answer)
    assert not report.passed and report.cause in causes, report.message


# what a check of one exercise alone must do -------------------------------------------------------


def test_any_two_words_of_the_text_are_asked_for():
    cases = [
        exercises()["6.1"].case(dict(sentences=1 + n % 5), seed=n).arguments for n in range(60)
    ]
    asked = [tuple(case["question"][1:]) for case in cases]
    assert all(a != b and "." not in (a, b) for a, b in asked) and len(set(asked)) > 20
    assert sum(set(pair) <= set(c["words"]) for pair, c in zip(asked, cases, strict=True)) >= 59
    those = {tuple(case.arguments["question"][1:]) for case in exercises()["6.1"].cases()}
    assert len(those) >= 5 and any({"alice", "rabbit"}.isdisjoint(pair) for pair in those)


@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("right", [True, False])
def test_arrays_of_numpy_are_refused_by_a_sentence(which, right):
    def answer(words, question):
        found = head(change=lambda logits: logits if right else logits + 1)(words, question)
        return tuple(x.numpy() if so else x for x, so in zip(found, which, strict=True))

    report = check("6.1", answer)
    assert not report.passed
    if which[0] or right:
        assert "should be a tensor; yours is an array of numpy." in report.message


@pytest.mark.parametrize("exercise", IDS)
def test_no_array_of_numpy_breaks_a_check(exercise):
    n = len(exercises()[exercise].outputs)
    for shape in ((), (1,), (2, 3)):
        for found in (numpy.zeros(shape), (numpy.ones(shape),) * n, [numpy.zeros(shape, int)] * 3):
            assert not check(exercise, lambda *_, found=found: found).passed


def test_weights_of_the_share_are_no_probabilities():
    for case in exercises()["6.5"].cases():
        last = case.arguments["weights"][:, :, -1].double()
        assert ((last.sum(-1) - 1).abs() > 1e-3).all()
    assert (last < 0).any()


def test_a_kernel_and_logits_may_be_lists():
    def listed(words, question):
        kernel, logits = head()(words, question)
        return kernel.tolist(), [int(x) for x in logits.tolist()]

    assert check("6.1", listed).passed


def test_clipping_before_backward_is_told_where_it_belongs():
    def early(model, optimizer, tokens, answers):
        model.train()
        loss = cross_entropy(model(tokens, last=answers.shape[1]).mT, answers)
        optimizer.zero_grad()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        loss.backward()
        optimizer.step()
        return loss.item()

    report = check("6.4", early)
    assert report.cause == "no clipping" and "between backward and the step" in report.says


def test_a_step_with_a_closure_is_right_too():
    def closed(model, optimizer, tokens, answers):
        model.train()

        def closure():
            optimizer.zero_grad()
            loss = cross_entropy(model(tokens, last=answers.shape[1]).mT, answers)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            return loss

        return optimizer.step(closure).item()

    assert check("6.4", closed).passed


def test_a_loss_may_be_a_tensor_without_a_graph():
    assert check("6.4", stepping(result=lambda loss: loss.detach())).passed
    assert check("6.4", stepping(result=lambda loss: loss)).cause == "graph"


def test_some_steps_of_the_check_are_clipped_and_some_are_not():
    long, short = 0, 0
    for case in exercises()["6.4"].cases():
        x = case.arguments
        model = Reader(x["embedding"].clone(), x["head"].clone()).train()
        logits = model(x["tokens"][0], last=x["answers"].shape[2])
        cross_entropy(logits.mT, x["answers"][0]).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        long, short = long + (norm > 1.05), short + (norm < 0.98)
    assert long and short


@pytest.mark.parametrize("kind", [float, torch.tensor, lambda x: torch.tensor([x])])
def test_a_share_may_be_a_number_or_a_tensor(kind):
    assert check("6.3", lambda p, a: kind((p == a).all(1).double().mean().item())).passed


def test_blocks_may_be_drawn_by_multinomial():
    def answer(b, blocks, n, question, alphabet, generator):
        def some(rows, of, take):
            return torch.multinomial(torch.ones(rows, of), take, generator=generator)

        target = torch.randint(blocks, (b,), generator=generator)
        text = some(b * blocks, alphabet, n).view(b, blocks, n)
        right = text[torch.arange(b), target]
        asked = right.gather(1, some(b, n, question))
        here = torch.arange(blocks) == target[:, None]
        text = redrawn(text, asked, here, lambda m: some(m, alphabet, n))
        dots = torch.full((b, blocks, 1), alphabet)
        context = torch.cat([text, dots], 2).flatten(1)
        tokens = torch.cat([context, torch.full((b, 1), alphabet + 1), asked], 1)
        return tokens, right[:, -1:], target

    assert check("6.2", answer).passed


if __name__ == "__main__":
    for name in IDS:
        for wrong, report in confusion(exercises()[name]).items():
            print(name, wrong, report.cause, report.says, sep=" | ")
    for n, (name, answer, causes) in enumerate(UNLISTED):
        report = check(name, answer)
        flag = "" if not report.passed and report.cause in causes else " <<<<"
        print(n, name, answer.__name__, report.cause, report.says, report.details[:1], flag)
