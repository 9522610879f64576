# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
r"""
# 06 &nbsp; Alice and the rabbit

*Where did Alice see the rabbit?* In chapter 02 a head of ordinary attention gave the right one of seven sentences a quarter of its attention, and a head over pairs found it. Chapter 05 built a third way: a kernel that adds up neighbouring logits. Here it has to prove itself, first by hand, in whole numbers, then in training, live in this notebook and side by side with ordinary attention.

After this chapter you can

* write a head by hand that finds two words, prove what one dot-product head cannot, and name the case in which a sum of clues fails too,
* build a task for a model: its texts, its floors of guessing, a strict metric, a training step,
* compare two models honestly, by seeds and budgets,
* open a trained head and read what it has learned.

The six exercises take 4 to 15 minutes each. Two questions on chapter 05 first.
"""

# %% tags=["shared"]
import torch
from torch.nn.functional import conv2d, cross_entropy, pad

from simplex_lib.course import check, hint, predict, symptoms

# %% tags=["predict"]
predict(
    "A kernel with c_q = 2 and c_k = 3 is 0 but for a single 1 in its upper row, left column. Which raw logit becomes the new logit of query 7 and key 4?",
    {
        "Query 8, key 3": "No kernel of ours reads a later query; that would be the leak of chapter 05. The *last* row is the query itself.",
        "Query 6, key 3": (
            "right",
            "The row above the last belongs to the query before, the column left of the middle to the key before. Both will be needed at once.",
        ),
        "Query 6, key 5": "The row is right. But the kernel lies as on the page and is not flipped: its left column reads the key *before*.",
        "Query 7, key 3": "That would be the left column of the *last* row.",
    },
)

# %% tags=["predict"]
predict(
    "Before the convolution the logits of the future are set to 0, after it to −∞. What if −∞ were used both times?",
    {
        "Nothing changes: the softmax ignores the future anyway": "The softmax comes last. The convolution comes before it, and reads what the first mask has written.",
        "The future leaks into the past": "It would with no first mask at all. −∞ tells nothing of what stood there, but it does other harm.",
        "Visible logits near the diagonal become −∞ or NaN": (
            "right",
            "A tap of 0 times −∞ is NaN, and any other tap carries the infinity to its neighbours. With 0, what is hidden adds nothing.",
        ),
        "The rows no longer sum to 1": "The softmax still comes last and still divides by its sum.",
    },
)

# %%
from importlib.resources import files

from safetensors.torch import load_file

from simplex_lib.attention import dot_product_attention, multi_token_maps
from simplex_lib.data import load
from simplex_lib.tasks.alice import TEXT, TWICE, alice_heads, read_story
from simplex_lib.tasks.blocks import BlockTask, guessing_floors
from simplex_lib.training.blocks import groups
from simplex_lib.training.blocks_run import attention_layer, block_training
from simplex_lib.widgets import find_alice, train_blocks, watch_mechanism

torch.set_num_threads(1)  # models as small as these are as fast, and a core stays free

# %% [markdown]
r"""
## Three rows, nine columns

The seven sentences of chapter 02, and behind them the question:

> alice met the queen . the rabbit ran away . **alice saw the rabbit** . a cat saw alice . one rabbit was late . alice drank the tea . the white rabbit slept . &nbsp; ? alice rabbit

Every token is a query and a key, and knows nothing but its own word: the raw logit is 1 where two words agree, and 0 elsewhere. One exception: the `?` asks for the dot. Over the right sentence the last three queries score

| query | alice | saw | the | rabbit | . |
|:--|:-:|:-:|:-:|:-:|:-:|
| ? | 0 | 0 | 0 | 0 | **1** |
| alice | **1** | 0 | 0 | 0 | 0 |
| rabbit | 0 | 0 | 0 | **1** | 0 |

Both words have been found, each in a row of its own, and neither row knows of the other. Ordinary attention takes the softmax of every row by itself, so that is where it ends. A kernel reads several rows and several columns at once. Let it put together, for each key,

* **2** if the key is a dot,
* **1** for every alice and every rabbit among the **four tokens before** the key.

At the dot of the right sentence that makes 2 + 1 + 1 = 4.
"""

# %% tags=["predict"]
predict(
    "And at the dot behind *one rabbit was late*?",
    {
        "2": "That is the dot alone. One of the two words is among the four tokens before it.",
        "3": (
            "right",
            "2 for the dot and 1 for the rabbit. One clue is missing, and so is one point.",
        ),
        "4": "That would take an alice too. The last one stands six tokens back, in the sentence before.",
        "1": "That is the rabbit alone. The key itself is a dot.",
    },
)

# %%
WORDS, QUESTION = TEXT.split(), ["?", "alice", "rabbit"]


def count(words):
    """At each token: 2 if it is a dot, plus the alices and rabbits among the four before it."""
    clues = [sum(w in QUESTION[1:] for w in words[max(0, n - 4) : n]) for n in range(len(words))]
    return torch.tensor(clues).double() + torch.tensor([2 * (w == ".") for w in words])


logits = count(WORDS + QUESTION)
for n in range(0, 35, 5):
    print(f"{' '.join(WORDS[n : n + 5]):25}", *logits[n : n + 5].int().tolist())
for beta in (1, 4, 12):
    share = (beta * logits).softmax(0)[10:15].sum()
    print(f"sharpness {beta:2}: the right sentence gets {share:.5f}")
assert logits.argmax() == 14 and logits.sort().values[-2] == 3 and share > 0.9999

# %% [markdown]
r"""
Whole numbers, up to the softmax: 4 at the end of the right sentence, 3 at the other ends, at most 2 elsewhere. How sharply the softmax chooses between 4 and 3 is a matter of the length of queries and keys; a factor $\beta$ on all logits stands for it.

Why the 2 for a dot? Look at *was* in the fifth line: it has a 2 as well. The four tokens before it are *alice . one rabbit*, both words, **from two sentences**. A kernel counts in a window and does not know where a sentence begins; only at a dot is the window exactly one sentence. Without the row of `?`, that *was* would tie with the right dot.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 6.1: The hand-built head &nbsp; (12 minutes)

The loop above only says what is wanted. Now do it with a kernel over raw logits. Return `(kernel, logits)`.

* `words` is a list of strings, sentences of exactly four words, each followed by `"."`: $t$ tokens. `question` is `"?"` and any two different words; it stands behind the text.
* A raw logit is 1 where the words of query and key agree, else 0. But `"?"` as a query asks for `"."`.
* `kernel` is (3, 9), laid out as in chapter 05: the last row is the query itself, above it the queries before; the middle column is the key itself, left of it the keys before. No mask is needed, since the taps that are not 0 read keys of the past.
* `logits` is (t,): the convolved logits of the *last* token as the query, at the tokens of the text. Each must be 2 for a dot (else 0), plus how often the two words asked for stand among the four tokens before. Tokens before the text count as 0.

Integers or floats, but exact, and without `simplex_lib.attention`; `torch.nn.functional` has `conv2d` and `pad`. Example: *alice saw the rabbit . the rabbit ran away .* with the question *? alice rabbit* gives 0 1 1 1 4 1 1 2 1 3.
"""


# %% tags=["exercise"]
def alice_head(words, question):
    """The kernel (3, 9) of the head, and its convolved logits (t,) from the last question token."""
    ### BEGIN SOLUTION
    query = ["." if word == "?" else word for word in question]
    key = words + question
    raw = torch.tensor([[float(a == b) for b in key] for a in query])  # (3, t + 3)
    kernel = torch.zeros(3, 9)
    kernel[0, 4] = 2  # "?" asks for a dot, at the key itself
    kernel[1:, :4] = 1  # the two words, at the four keys before
    logits = conv2d(pad(raw, (4, 4))[None, None], kernel[None, None])[0, 0, 0]
    return kernel, logits[: len(words)]
    ### END SOLUTION


# %% tags=["exercise"]
check("6.1", alice_head)

# %% [markdown]
r"""
## A quarter, and no more

Ordinary attention gave a quarter in chapter 02. Here is why, in two lines, for *every* query that scores the two words and nothing else, whatever its weights. After the exponential let each alice weigh $a$, each rabbit $r$, and each of the 27 other tokens $w$. The right sentence holds one
of four alices, one of four rabbits and three of the others:

$$\frac{a + r + 3w}{4a + 4r + 27w} \;=\; \frac{\tfrac14\cdot 4a \;+\; \tfrac14\cdot 4r \;+\; \tfrac19\cdot 27w}{4a + 4r + 27w} \;\le\; \frac14 .$$

The share is a mean of $\tfrac14$, $\tfrac14$ and $\tfrac19$ with positive weights, and no mean exceeds its largest member. Sharpness does not help, nor another balance of the words.

Know what the proof assumes: *one* look, with one query, at keys that know their own word only. A second layer is not bound by it. The kernel escapes in another way: it asks with three queries, and adds where their answers lie close together.

## One and one, or two and nothing

Now a harder text. We add:

> alice liked alice most .
"""

# %% tags=["predict"]
predict(
    "Eight sentences now, and high sharpness. How much attention does the head by hand give to *alice saw the rabbit*?",
    {
        "Nearly all, as before": "Work out the number at the end of the new sentence, by the two rules above.",
        "Nothing: the new sentence wins": "For that it would need more than 4 points. It has 2 for the dot and 1 for each alice.",
        "Half": (
            "right",
            "The new sentence gets 2 + 1 + 1 = 4 as well. To a sum, two alices and no rabbit are as good as one of each.",
        ),
        "A quarter": "That was ordinary attention. Here only the sentences with the largest number survive; count them.",
    },
)

# %% [markdown]
r"""
Can better taps save it? Let every place in the window have its own weight, and even a separate one for each word: an alice at place $p$ brings $A_p$, a rabbit $R_p$. Take four sentences with their words at the places 1 and 4:

| sentence | its sum |
|:--|:--|
| **alice** … **rabbit** | $A_1 + R_4$ |
| **rabbit** … **alice** | $R_1 + A_4$ |
| alice … alice | $A_1 + A_4$ |
| rabbit … rabbit | $R_1 + R_4$ |

The first two sums make together $A_1 + R_4 + R_1 + A_4$, and so do the last two. So the right sentences cannot both be above both of the wrong ones, whatever the taps. It is the diagonal argument of chapter 02: **a sum of clues is no AND**.

A score of *pairs* is one. Give the pair of a first key $j$ and a second key $k$ one point if $j$ is alice, one if $k$ is rabbit, and one if both stand in the same sentence. Three points need all three.
"""

# %%
story = read_story(TWICE)
heads = alice_heads(story, beta=12)  # the head by hand, and the pairs, as chapter 02 wrote them
for n in (2, 7):
    words, by_kernel = story.words[5 * n : 5 * n + 5], heads.multi_token[5 * n : 5 * n + 5].sum()
    print(f"{' '.join(words):25} kernel {by_kernel:.4f}, pairs {heads.pairs[n]:.4f}")
assert abs(by_kernel - 0.5) < 1e-4 and heads.pairs[2] > 0.9995

# %% [markdown]
r"""
The pairs decide it, 0.9996 to 0.0001. The price: 1,600 scores for one query where the kernel has 40, and we *told* them which words share a sentence. The kernel measures nearness by itself.

**Now you.** Below are all three heads on a text that you may edit. Try the text with two alices. Then write one that fools the kernel in another way: what does it take for granted about a sentence?
"""

# %%
find_alice()

# %% [markdown]
r"""
You should have found that the kernel ties as soon as one word stands twice (with four it is beaten), that it loses words of a sentence longer than its window, and that in short sentences its window reaches into the neighbour. The pairs fall for none of these.

## A task that can be trained

A head by hand shows that a solution exists. Does training find it? For that the authors of Multi-Token Attention made a task that is Alice's in its purest form (Section 4.1). Blocks of letters take the place of sentences, and behind a `#` stand two letters, the question:

```
hjnvt.qfjgt.whftb.bjtpq.qoiax.#pb   ->   bjtpq
```

**Exactly one block holds both letters.** The answer is the whole block ("all"), its "first" letter or its "last". The letters of a block all differ, so no block holds a letter twice: the task spares the kernel the one case in which a sum is no AND.

The paper has some 50 blocks and 26 letters. We take 8 blocks of 5 letters and an alphabet of 12: texts of 51 tokens, and a vocabulary of 14 with the dot and the `#`. There is no training set: every step draws fresh texts.
"""

# %%
task = BlockTask("last")
tokens, answers, target = task.draw(3, torch.Generator().manual_seed(1))
for text, answer, block in zip(tokens, answers, target, strict=True):
    print(f"{task.text(text)}   ->   {task.text(answer)}   (block {block})")
assert tokens.shape == (3, task.length) == (3, 51) and task.vocabulary == 14

# %% [markdown] tags=["exercise"]
r"""
### Exercise 6.2: The generator &nbsp; (15 minutes)

Draw `b` texts of the variant "last". Return `(tokens, answers, target)`, all int64: tokens (b, t) with t = `blocks` · (`n` + 1) + 1 + `question`, answers (b, 1), target (b,).

* Letters are 0 to `alphabet` − 1, the dot is `alphabet`, and # is `alphabet` + 1. A text is `blocks` blocks of `n` different letters, a dot behind each (the last too), then #, then `question` different letters of the right block. The answer is not in the text.
* `target` is the index of the right block, `answers` its last letter. **Only the right block holds the whole question**; wrong ones may hold a part of it, and may be equal.
* All that is left open is uniform and independent: which block is right, its letters and their order, which of them are asked and in which order, and each wrong block among all that do not hold the whole question.

All chance comes from `generator`, a `torch.Generator`, and a second call goes on with it. Loops are fine: some thousand texts in 10 seconds. Example with blocks = 2, n = 3, question = 2, alphabet = 6: `cde.efc.#de` is [2, 3, 4, 6, 4, 5, 2, 6, 7, 3, 4], target 0, answer 4.
"""


# %% tags=["exercise"]
def draw_blocks(b, blocks, n, question, alphabet, generator):
    """tokens (b, t), answers (b, 1) and target (b,) of b fresh texts."""

    ### BEGIN SOLUTION
    def letters(*shape, of, take):  # take different ones out of `of`
        return torch.rand(*shape, of, generator=generator).argsort(-1)[..., :take]

    text = letters(b, blocks, of=alphabet, take=n)
    target = torch.randint(blocks, (b,), generator=generator)
    row = torch.arange(b)
    right = text[row, target]
    asked = right.gather(1, letters(b, of=n, take=question))
    while True:  # draw the wrong blocks that hold the question anew
        holds = (text[..., None] == asked[:, None, None]).any(2).all(-1)  # (b, blocks)
        holds[row, target] = False
        if not holds.any():
            break
        text[holds] = letters(int(holds.sum()), of=alphabet, take=n)
    text = torch.cat([text, torch.full((b, blocks, 1), alphabet)], -1).flatten(1)
    tokens = torch.cat([text, torch.full((b, 1), alphabet + 1), asked], 1)
    return tokens, right[:, -1:], target
    ### END SOLUTION


# %% tags=["exercise"]
check("6.2", draw_blocks)

# %% [markdown]
r"""
### What guessing achieves

An error means nothing until you know what guessing gives. So before any model: a guesser takes one of the 8 blocks at random and names its last letter.
"""

# %% tags=["predict"]
predict(
    "In how many cases is this guesser wrong?",
    {
        "87.5 %, seven of eight": "That is how often the *block* is wrong. But the last letter of a wrong block is now and then the right one.",
        "91.7 %, eleven of twelve": "That is a guess among all letters of the alphabet. The right letter is more likely than others to end a block of this text: it does so at least once.",
        "About 80 %": (
            "right",
            "One block in eight is right, and a wrong block ends with the same letter in about one of twelve cases. Below is the count.",
        ),
        "50 %": "Right or wrong are two outcomes, but not two equally likely ones.",
    },
)

# %%
for answer in ("last", "first", "all"):
    floors = guessing_floors(BlockTask(answer)).items()
    print(f"{answer:6}" + ", ".join(f"{name}: {100 * error:.0f} % wrong" for name, error in floors))

# %% [markdown]
r"""
The second guesser takes only blocks with *at least one* of the two letters. Whoever ends there has understood half of the question. For "all", four right letters of five are a wrong answer. Strict, and deliberately so: a share of right letters would praise a model that never once got an answer right.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 6.3: The metric &nbsp; (4 minutes)

`predicted` and `answers` are (b, a), int64. Return the share of texts whose letters are all right, a number from 0 to 1. Example: predicted `[[1, 2], [3, 4], [5, 5]]` and answers `[[1, 2], [3, 0], [5, 5]]` give 2/3. (The share of right letters would be 5/6.)
"""


# %% tags=["exercise"]
def exact_match(predicted, answers):
    """The share of texts whose whole answer is right."""
    ### BEGIN SOLUTION
    return (predicted == answers).all(1).double().mean().item()
    ### END SOLUTION


# %% tags=["exercise"]
check("6.3", exact_match)

# %% [markdown]
r"""
## One layer or two?

The model is a small decoder of width 64, with two heads, rotary positions and an MLP. Its answer is read at the last token, the second letter of the question. With Multi-Token Attention **one layer** can express the solution: two query taps, $c_q = 2$, reach both letters of the question, and $c_k = 2 \cdot 5 - 1 = 9$ key taps reach a whole block from each of its letters.

And the opponent, the same decoder with ordinary attention?
"""

# %% tags=["predict"]
predict(
    "One layer of ordinary attention, read at the last token, the b of #pb. What does it know when it chooses where to look?",
    {
        "Both letters: attention sees all tokens": "It *collects* from all tokens. But the query that decides where is made before that, from its own token alone.",
        "The b and nothing else": (
            "right",
            "The p arrives in the same moment as everything else, too late to choose by. Two recorded runs end at 75 and 77 % errors, near the floor of half the question.",
        ),
        "Neither letter": "The query is made from its own token, and that is the b.",
        "The p and the b, since rotary positions tell neighbours apart": "They tell how far apart two tokens stand, not what the neighbour is.",
    },
)

# %% [markdown]
r"""
To beat that model would prove little. So the opponent gets **two layers**: in the first the last token can learn of the p, in the second look for both. It has 68,032 parameters; the model with the kernels has 34,980, of which 36 are the kernels. The training step is the same code for both.
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 6.4: The training step &nbsp; (12 minutes)

`model(tokens)` gives logits (b, t, v). `tokens` is (b, t) and `answers` (b, a), int64; the logits at the **last a positions** are the predictions of the a letters, in order. Do one step:

* in training mode;
* the loss is the cross-entropy of the answer's letters alone, the mean over all b · a of them;
* gradients that were left from before, by whomever, do not count;
* the norm of all gradients together is brought down to at most 1 (`torch.nn.utils.clip_grad_norm_`);
* one step of `optimizer`. Return the loss before it, a number.

Example: with a vocabulary of 4 and logits all 0 the loss is ln 4 = 1.386.
"""


# %% tags=["exercise"]
def training_step(model, optimizer, tokens, answers):
    """One step; the loss before it."""
    ### BEGIN SOLUTION
    model.train()
    logits = model(tokens)[:, -answers.shape[1] :]
    loss = cross_entropy(logits.flatten(0, 1), answers.flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %% tags=["exercise"]
check("6.4", training_step)

# %% [markdown]
r"""
## Side by side

Both models are tested every 25 steps on 1,000 texts apart. Before you press *Start*:
"""

# %% tags=["predict"]
predict(
    "How will the error of the model with the kernels fall?",
    {
        "Evenly, a little with every step": "So it often is when every small improvement pays at once. Here half of the solution, one letter without the other, is worth almost nothing.",
        "Fast at first, then ever more slowly": "The first fast fall, from 90 to 80 %, is only the discovery that blocks have last letters. Wait for what comes then.",
        "First it stays at about 80 %, then it falls off a cliff": (
            "right",
            "How long it stays depends on the seed, for 50 steps or for 300. Matching letters, the right taps, and reading the answer off are worth little one by one. Once all three have begun, each makes the others pay.",
        ),
        "Not at all within 600 steps": "One layer is enough to express the solution, and it is found. The question is how.",
    },
)

# %%
train_blocks()

# %% [markdown]
r"""
It trains on your processor: about ten seconds for the kernels, half a minute for the dot products, more if the machine is busy. A stopped run loses nothing.

You should see one curve fall off a cliff, from about 80 % to below 10 within 50 or 100 steps, and the other creep from 80 to about 70. The thin lines are recorded seeds, the dotted ones the two guessers.

## Five seeds

One run is an anecdote. Here are five of each, recorded with the errors on 4,000 further texts that had no say in when to stop.
"""

# %%
recorded = load("block_training")["runs"]  # with machine, date, versions and command of each


def show(group):
    """Of each model: the longest run, and the errors of all seeds in percent."""
    for name in groups()[group]:
        runs = [r for r in recorded if (r["group"], r["name"]) == (group, name)]
        steps, seconds = ([r["curve"]["step"][-1] for r in runs], [r["cpu_seconds"] for r in runs])
        row = f"{name:27} {runs[0]['parameters']:,} parameters, at most {max(steps)} steps"
        errors = " ".join(f"{r['final_error_percent']:4.1f}" for r in runs)
        print(f"{row}, {max(seconds):2.0f} s:  {errors}")


for answer in ("last", "first", "start"):
    print(answer)
    show(answer)
runs = [r for r in recorded if r["group"] in ("last", "first")]
assert all((r["final_error_percent"] <= 1) == ("multi-token" in r["name"]) for r in runs)

# %% [markdown]
r"""
With the kernels, in one layer or in two, **every one of five seeds is below 1 %**, for "last" and for "first". The two-layer dot-product model makes 67 to 71 % errors after its 600 steps, better than both guessers and far from done.

Choose the words with care. It did not learn the task *within this budget*. Not: it cannot. Its curve was still falling, and you will meet larger dot-product models that get there. What the runs show is how much *easier* the kernels make it.

The last line shows a choice of ours. The paper starts its kernels as the identity, which is ordinary attention, and then it takes up to 500 steps. Ours start at the constant $1/\sqrt{c_q c_k}$.

Repeat any of them with a seed of your own: write `watch(mine)` into a new cell.
"""


# %%
def watch(run):
    """Train to the end, a line a measurement. Interrupt it when you like: the call goes on."""
    for step, error, _ in run.run():
        print(f"step {step:4} {error:6.1f} %", "▇" * int(error / 2))


mine = block_training(groups()["last"]["multi-token, 1 layer"], seed=7)

# %% [markdown]
r"""
## Kernels that are too small

Two taps in the query, nine in the keys: does it need them all? Take some away.
"""

# %% tags=["predict"]
predict(
    "c_q = 1: the kernel reads the row of the last token only, nine keys wide. Where does the error end?",
    {
        "Near 0: nine key taps still see a whole block": "They see the block, but only with the eyes of the second letter. The first letter asks in the row above.",
        "Between 50 and 55 %": (
            "right",
            "The last letter of *a block that holds the b* can be found now, and on average three of the eight blocks hold it, though often fewer, and some of those end in the same letter: a little better than one in three. Half of the question, asked of whole blocks.",
        ),
        "Near 80 %, a random block": "It knows one of the two letters, and most blocks do not hold it.",
        "At 75 %, as one layer of ordinary attention": "That one can find a b, but not the end of the block in which it stands: keys know only their own letter. Nine taps find the end.",
    },
)

# %% tags=["predict"]
predict(
    "c_q = 2, but c_k = 5: two keys on either side. The answer is the last letter of the block. Where does the error end?",
    {
        "Near 0: a block has five letters, so five taps": "From the *middle* of the block five taps see all of it. But the answer stands at its end, and it is there that the weight must lie.",
        "Between 40 and 45 %": (
            "right",
            "From its last letter the kernel sees two letters back: three of the five. Both letters of the question are among them in 3 of 10 cases, one of them in 6 of 10.",
        ),
        "Between 50 and 55 %, as with c_q = 1": "Here both letters of the question count, though not everywhere. That is worth more.",
        "Near 80 %": "That would be a kernel that sees nothing. It sees three letters of five.",
    },
)

# %%
show("too small")

# %% [markdown]
r"""
Both go as far as their kernel sees, and stay there. That is why the paper takes $c_k = 2N - 1$ for blocks of $N$ letters, and not $N$.

## Read the mechanism

Now open trained models; their weights ship with the course. Try a text of your own, with letters from a to l.
"""


# %%
def trained(group, name, file):
    """A recorded model with its trained weights."""
    model = block_training(groups()[group][name]).model.eval()
    weights = files("simplex_lib.data") / f"{file}.safetensors"
    model.load_state_dict(load_file(str(weights)))
    return model.requires_grad_(False)


models = {x: trained(x, "multi-token, 1 layer", f"blocks_{x}") for x in ("last", "first")}
models["all"] = trained("all", "multi-token, 2 layers", "blocks_all")
typed = "abcde.fghij.kalbg.cdfeh.lkjia.gbdfl.#gd"
for answer, model in models.items():
    batch = BlockTask(answer).read(typed)
    guess = model(batch.tokens, last=batch.answers.shape[1]).argmax(-1)
    print(f"{answer:5} {task.text(guess[0])}")

# %% [markdown]
r"""
Where do they look? For 500 texts, the mean attention of the last token on the five letters and the dot of the *right block* (a head that knows nothing gives every token 1/51 = 0.02). Below it the taps of head 0 for "last": rows for query $i-1$ and $i$, columns from key $j-4$ to $j+4$.
"""


# %%
def look(answer, blocks=8):
    """Maps of the trained layer on 500 fresh texts, and these texts."""
    texts = BlockTask(answer, blocks=blocks).draw(500, torch.Generator().manual_seed(3))
    block = models[answer].blocks[0]
    q, k, _ = block.attention.project(block.attention_norm(models[answer].embedding(texts.tokens)))
    return multi_token_maps(q, k, pre_kernel=block.attention.pre_kernel), texts


for answer in ("first", "last"):
    maps, texts = look(answer)
    rows = maps.weights[:, :, -1, :48].unflatten(2, (8, 6))  # (b, h, block, place)
    for h, places in enumerate(rows[torch.arange(500), :, texts.target].mean(0).tolist()):
        print(f"{answer:5} head {h}:", *(f"{p:6.2f}" for p in places))
for row in models["last"].blocks[0].attention.pre_kernel[0].tolist():
    print("its taps    ", *(f"{tap:6.2f}" for tap in row))
raw, same = maps.raw[:, 0, -2:, :48], texts.tokens[:, -2:, None] == texts.tokens[:, None, :48]
print(f"raw logits: {raw[same].mean():.1f} at matches, {raw[..., 5::6].mean():.1f} at dots")


# %% [markdown]
r"""
One head does it all in this seed, with 0.97 on the last letter of the right block, or 0.96 on the first. The other is idle. (In other seeds both grow a box: step through them.) And you have seen this kernel before: you wrote it. Five equal taps, from $j-4$ to $j$, in the rows of both letters: *how many of the two are among the five letters that end here?* Training found the count of the head by hand, from nothing but right answers.

What became of the `?` that lifted the dots? Look at the tap of $j+1$, which is negative. The raw logits at dots are negative too, −6.6 where a matching letter has 8.9. So a dot *behind* the key adds $(0.70 + 1.05) \cdot 6.6 \approx 12$ points, and one *inside* the window costs nearly as many. **Only a window that is exactly one block gets the one and is spared the other.**
"""

# %% tags=["predict"]
predict(
    'And the kernel of the model for "first"? Which taps will be large?',
    {
        "The same ones, j−4 to j: the block is the same": "The weight must lie on the *first* letter of the block. From there, where are its other letters?",
        "j to j+4": (
            "right",
            "From the first letter the block lies ahead. The future of the key is not the future of the query, so the kernel may look there.",
        ),
        "All nine": "A window of nine letters holds parts of two blocks, and it counts what they hold together.",
        "j alone": "That is the identity, ordinary attention.",
    },
)

# %%
watch_mechanism()

# %% [markdown]
r"""
Step back and forth through the recorded training, also of the model with the identity start. You should see that **the cliff falls when the box appears**. Below, one row over a text with its block borders: the raw logits, single spikes where a letter matches; the sums, highest at one end of one block; the softmax, a single bar. (That row belongs to the weights that ship: seed 0, last or first letter, at the end of training.)
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 6.5: How much weight falls on the right block &nbsp; (8 minutes)

Put a number on it. `weights` is (b, h, t, t), attention weights with the query axis before the key axis, and `target` (b,), int64, the index of the right block. The texts are those of exercise 6.2: blocks of `n` letters, a dot behind each, then # and the question.

Return (b, h): what the **last** token gives to the `n` letters of the right block together. The dot is no letter. No average over texts or heads; the weights are taken as they are: they may have been convolved, and then some are negative and a row need not sum to 1. Example: `ab.cd.#d` with n = 2 and one head, where the last row of the weights is (.1, .1, 0, .3, .2, .1, .1, .1): target 1 gives 0.5, target 0 gives 0.2.
"""


# %% tags=["exercise"]
def share_on_block(weights, target, n):
    """(b, h): what the last token gives to the letters of the right block."""
    ### BEGIN SOLUTION
    letters = target[:, None] * (n + 1) + torch.arange(n)  # (b, n)
    last = weights[:, :, -1]  # (b, h, t)
    return last.gather(2, letters[:, None].expand(-1, last.shape[1], -1)).sum(-1)
    ### END SOLUTION


# %% tags=["exercise"]
check("6.5", share_on_block)

# %% [markdown]
r"""
### Longer texts

The model has met texts of eight blocks and no others.
"""

# %% tags=["predict"]
predict(
    "What will its error be on texts of 32 blocks?",
    {
        "As small as before: the kernel is the same everywhere": "The kernel is. But the numbers that it adds up come from queries and keys, and something in these changes with the distance.",
        "Near 80 %, a guess": "It still finds many. See below which.",
        "Some 35 to 40 %": (
            "right",
            "And not evenly: blocks at a distance it was trained on are found almost always, far ones seldom. Nothing taught the rotary positions to match letters across larger offsets.",
        ),
        "100 %": "Then it would have to avoid the right answer.",
    },
)

# %%
maps, texts = look("last", blocks=32)
found = (maps.logits[:, 0, -1].argmax(-1) // 6 == texts.target).double()
print(f"largest logit in a wrong block: {1 - found.mean():.0%}. In the right one, if that stands")
for far in (0, 8, 16, 24):
    print(
        f"{far:2} to {far + 7} blocks back: {found[(31 - texts.target) // 8 == far // 8].mean():.0%}"
    )

# %% [markdown]
r"""
A tempting story is that a softmax over more keys thins out. But for far blocks the *largest logit* is already wrong.

## A layer of your own

Look at the box once more. Its taps are equal, so it is a column times a row: $(1, 1)$ in the queries, $(1, 1, 1, 1, 1)$ in the keys. Such a sum can be taken apart (exercise 5.7; exact where no key lies in the future of its query):

$$\sum_{a=0}^{1}\sum_{b=0}^{4} q_{i-a}\cdot k_{j-b} \;=\; (q_i + q_{i-1})\cdot(k_j + k_{j-1} + k_{j-2} + k_{j-3} + k_{j-4})$$

The right side is an **ordinary dot product**, of sums of neighbouring queries and keys. No map is convolved. `block_training` and the widget take any module from (b, t, 64) to the same shape, so write that layer, with the box given and not learned. Will it do?
"""


# %%
class NeighbourSums(torch.nn.Module):
    """Ordinary attention with q_i + q_(i-1) and k_j + ... + k_(j-4): (b, s, 64) -> the same."""

    def __init__(self):
        super().__init__()
        self.inner = attention_layer(groups()["last"]["dot product, 2 layers"])

    def forward(self, x):
        q, k, v = self.inner.project(x)  # (b, h, s, d), turned by their positions
        q = pad(q, (0, 0, 1, 0)).unfold(2, 2, 1).sum(-1)
        k = pad(k, (0, 0, 4, 0)).unfold(2, 5, 1).sum(-1)
        out = dot_product_attention(q, k, v)
        return self.inner.wo(out.transpose(1, 2).flatten(2))


own = block_training(groups()["last"]["multi-token, 1 layer"], seed=0, attention=NeighbourSums)
watch(own)
assert own.curve[-1].error_percent < 5

# %% [markdown]
r"""
It does, in one layer, as fast as the kernels. So it was never the *dot product* that failed. It was the single token on either side of it; chapter 12 builds a fast kernel on that. (Why learn a kernel then? Because here you knew the length of a block, and a model of language does not.)

Now put a layer of your own in its place. `train_blocks(attention=NeighbourSums)` trains it beside the others.

## The whole block

For "all" the model predicts five letters, each from the text and the right letters before. With every letter the question moves one token further back, out of the sight of two query taps. We gave it four, and a second layer.
"""

# %%
show("all")

# %% [markdown]
r"""
Within 800 steps 0.7, 0.8 and 2.3 % errors with the kernels, 84 to 89 % without. Below 1 % it does not come reliably: one of three seeds misses it. Try it, a minute a run: `watch(block_training(groups()["all"]["multi-token, 2 layers"], seed=3))`. With `dataclasses.replace(settings, c_q=2)` it has two taps; what do you expect?

### And attention over pairs?

Pairs were the clear winner by hand. On this task they are not:
"""

# %%
for r in load("block_pairs")["runs"]:
    print(f"{r['name']:34} seed {r['seed']}: {r['final_error_percent']:.1f} % wrong")

# %% [markdown]
r"""
The same 600 steps, no tuning, and the same slow slope as two layers of dot products. A pair could express the match, one letter each in the same block. But the query must know both letters first, which takes a layer, and the keys must know *which block* they are in: by hand we told them. The two methods solve different problems: **kernels join clues that lie close together; pairs join clues wherever they lie, if something marks them as
belonging together.** This task is made for the first.

## The paper's own size

52 blocks, 26 letters, four layers of width 256, 3.4 million parameters, 100,000 steps. Table 1 prints the mean and the standard deviation of the error over three seeds, in percent:

| | N=5 all | first | last | N=8 all | first | last |
|:--|:-:|:-:|:-:|:-:|:-:|:-:|
| Transformer | 51.6 ± 43.1 | 78.2 ± 1.5 | 1.3 ± 0.4 | 31.2 ± 50.3 | 28.9 ± 24.9 | 58.4 ± 46.8 |
| Multi-Token Attention | 0.1 ± 0.1 | 0.0 ± 0.0 | 0.0 ± 0.0 | 0.1 ± 0.0 | 0.0 ± 0.0 | 0.0 ± 0.0 |
"""

# %% tags=["predict"]
predict(
    "31.2 ± 50.3, three seeds (N = 8, all). What do the three runs of the Transformer look like?",
    {
        "All three near 31 %": "Then the standard deviation would be small. It is larger than the mean.",
        "Evenly spread, such as 10, 31 and 52": "Their standard deviation is 21. For 50 the values must lie at least 87 points apart, and an error cannot be below 0.",
        "Two have learned the task and one has failed": (
            "right",
            "With errors between 0 and 100, only two values below 5 and one near 89 give these two figures. A mean of two outcomes describes neither. For N = 5, all, the README of the released code lists the three: 77.7, 75.3 and 1.9.",
        ),
        "It cannot be said": "Not from a mean alone. But these two figures together leave no other choice. (51.6 ± 43.1 would leave some: 9, 50 and 96, say.)",
    },
)

# %% [markdown]
r"""
A Transformer *can* learn this task: for "last" with N = 5 all three seeds do. The honest sentence is that kernels do every time. Our own runs at this size, on an H100 and a smaller budget, so that they stop early:
"""

# %%
print("                      N     steps   % wrong every 4,000 steps, and at the end")
for r in load("paper_blocks")["runs"]:
    chosen, step, error = r["settings"], r["curve"]["step"], r["curve"]["error_percent"]
    every = [f"{e:.0f}" for n, e in zip(step, error, strict=True) if not n % 4000]
    name = f"{chosen['kind']}, {chosen['answer']}"
    print(f"{name:20} {chosen['block_letters']:2} {step[-1]:9,}  ", *every, f" {error[-1]}")

# %% [markdown]
r"""
Multi-Token Attention is at 0.5 % after 19,500 steps, a fifth of the paper's schedule. Of two dot-product runs one stays at 85 % up to step 28,000, where it was stopped; the other, with products in bfloat16 and no token before the text, is down to 15 % at step 20,000. Two outcomes, as in the paper. Fresh texts, whole blocks and no dropout are ours, so these figures stand beside Table 1 and do not repeat it. With a GPU you can go on:

```
python -m simplex_lib.training.paper_blocks --kind multi-token --answer all
```

## Needles

The last task is nearer to what a language model meets: several facts in one text. A *needle* is a key with its value behind it; the rest is filler; the question asks for some of the keys.

```
C5aH8bcb?HC   ->   85
```

Which kind of attention should find that easy?
"""

# %% [markdown] tags=["exercise"]
r"""
### Exercise 6.6: Several needles &nbsp; (15 minutes)

Draw `b` texts. Return `(tokens, answers, places)`, all int64: tokens (b, t) with t = `length` + 1 + `asked` + `asked` − 1, answers and places (b, `asked`).

* Keys are 0 to 11, values 12 to 21, fillers 22 to 35, and ? is 36. A text is `length` tokens of context, ?, the keys asked for, and all answers but the last (each answer is predicted from all before it).
* The context holds `needles` needles, each a key and right behind it its value, and fillers elsewhere. Needles do not overlap. The keys of a text all differ; two needles may have the same value.
* `answers` are the values of the keys asked for, in the order of the question, `places` the positions of these keys in the context.
* Uniform and independent: the arrangement of the needles among all without overlap (they may touch), keys and their order, values, fillers, which needles are asked (all different) and in which order.

All chance comes from `generator`. `asked` ≤ `needles` ≤ 12 and 2 · `needles` ≤ `length`. Example with length 8, needles 2, asked 2: `C5aH8bcb?HC8` is [2, 17, 22, 7, 20, 23, 24, 23, 36, 7, 2, 20], answers [20, 17], places [3, 0].
"""


# %% tags=["exercise"]
def needle_text(b, length, needles, asked, generator):
    """tokens (b, t), answers (b, asked) and places (b, asked) of b fresh texts."""

    ### BEGIN SOLUTION
    def pick(of, take):  # (b, take), all different in a row
        return torch.rand(b, of, generator=generator).argsort(-1)[:, :take]

    # each needle drawn as one place of a text that is shorter by one for each, then stretched
    at = pick(length - needles, needles).sort(-1).values + torch.arange(needles)
    keys = pick(12, needles)
    values = 12 + torch.randint(10, (b, needles), generator=generator)
    context = 22 + torch.randint(14, (b, length), generator=generator)
    context.scatter_(1, at, keys).scatter_(1, at + 1, values)
    which = pick(needles, asked)
    question, answers, places = (x.gather(1, which) for x in (keys, values, at))
    mark = torch.full((b, 1), 36)
    return torch.cat([context, mark, question, answers[:, :-1]], 1), answers, places
    ### END SOLUTION


# %% tags=["exercise"]
check("6.6", needle_text)

# %% [markdown]
r"""
### Who finds them?

Recorded: two layers of width 48, the first of ordinary attention, the second of each kind, at most 800 steps, three seeds. Of six needles in 32 tokens 2 or 4 are asked for. In brackets the 95 % interval of each trained model's error, from 4,000 texts.
"""

# %%
for r in load("needle_training")["runs"]:
    low, high = r["interval_percent"]
    name = f"{r['asked']} needles, {r['kind']}, seed {r['seed']}"
    print(f"{name:34} {r['final_error_percent']:5.1f} % wrong ({low:.1f} to {high:.1f})")
    assert (high < 1) == (r["kind"] == "multi-token")

# %% [markdown]
r"""
A kernel that looks one key back, and far enough back in the queries to see the key that is due, finds a value *by the key before it*, in one look. The others would first have to move each key onto its value, and have the layer for it. Within these steps they hardly do. Again: not "cannot".

## What the papers say, what we measured

*Multi-Token Attention*, [arXiv:2504.00927](https://arxiv.org/abs/2504.00927):

* One query for both words is not enough, joined maps are (Section 3): [`mta-alice-two-maps`](../claims/README.md#mta-alice-two-maps). But a sum is no AND: [`mta-alice-tie`](../claims/README.md#mta-alice-tie).
* The task and its taps (Section 4.1) come out as described: [`mta-task-example`](../claims/README.md#mta-task-example), [`mta-task-kernel`](../claims/README.md#mta-task-kernel), [`mta-task-model`](../claims/README.md#mta-task-model). "Up to 50 blocks" are 52 in the released script, [`mta-task-fifty`](../claims/README.md#mta-task-fifty), which for N = 8 also cuts the last block off, in 1 of 35 texts the one asked for: [`mta-task-cut`](../claims/README.md#mta-task-cut). Ours keeps blocks whole.
* Table 1 is quoted, [`mta-table1`](../claims/README.md#mta-table1). That its Transformer has two outcomes follows from the widest of its own figures, [`mta-table1-bimodal`](../claims/README.md#mta-table1-bimodal), and they change with the kind of GPU, [`mta-table1-machines`](../claims/README.md#mta-table1-machines). The metric also counts the end token, ours only letters: [`mta-metric`](../claims/README.md#mta-metric).
* Needles (Figures 3 and 8) are in figures only, for models of 880 million parameters: [`mta-needles`](../claims/README.md#mta-needles).

The small sizes, the constant start, the test of longer texts and `NeighbourSums` are ours. All recorded runs stand in `simplex_lib/data`, each with its command, machine, date and versions.

## In half a page

* One look, with one query, at keys that know only themselves gives the right sentence at most a quarter here: a mean does not exceed its largest member.
* A kernel asks with several queries, and counts where their answers lie close together.
* A sum of clues is no AND: one and one ties with two and nothing. A score of pairs tells them apart, if it knows what belongs together.
* Before a model, the floors of guessing and a strict metric.
* Half a solution pays nothing, so the error has a plateau and a cliff. All seeds, not one; *not within this budget*, not *cannot*; a mean of two outcomes describes neither.
* The trained kernel is a box of one block, with dots as its borders. A box is a column times a row: ordinary attention on summed queries and keys does the same.

**Further reading.** [arXiv:2504.00927](https://arxiv.org/abs/2504.00927), Sections 3 and 4.1 and Appendix C, and the README of its `toy_task` in the repository facebookresearch/RAM, which lists every seed. On pairs: [arXiv:2507.02754](https://arxiv.org/abs/2507.02754).

**Next:** chapter 07, transformers with triangles, where these layers become language models.
"""
