"""word2vec's two forms, the loop one can read and the fast one: the same gradients, which are also autograd's."""

import pytest
import torch

from stablediff_edu.models.word2vec import (
    Batch,
    Word2Vec,
    batch_loss,
    extract_windows,
    pair_loss,
    sgd_step,
    sgd_step_batched,
)

V, D, SPAN, WINDOW = 9, 5, 4, 3


@pytest.fixture
def lists() -> tuple[torch.Tensor, torch.Tensor]:
    """Two lists of vectors in double precision, neither of them zero."""
    rng = torch.Generator().manual_seed(0)
    return tuple(torch.randn(V, D, dtype=torch.float64, generator=rng) for _ in range(2))


def a_batch(negatives: int, per_pair: int) -> Batch:
    """Two pieces of a text in which many words stand more than once, some of them among the negatives as well."""
    rng = torch.Generator().manual_seed(1)
    text = torch.randint(V, (2 * SPAN,), generator=rng)
    pieces = extract_windows(text, SPAN, WINDOW)
    reach = torch.randint(1, WINDOW + 1, (2, SPAN), generator=rng)
    return Batch(pieces, reach, torch.randint(V, (2, negatives), generator=rng), per_pair)


def pairs_of(batch: Batch) -> list[tuple[int, int, list[int]]]:
    """What the batch means, said with three loops: (center, context, negatives) of every pair."""
    found = []
    for piece, reach, negatives in zip(
        batch.pieces.tolist(), batch.reach.tolist(), batch.negatives.tolist(), strict=True
    ):
        for place in range(SPAN):
            for step in range(-reach[place], reach[place] + 1):
                if step != 0:
                    found.append((piece[WINDOW + place], piece[WINDOW + place + step], negatives))
    return found


def gradients(loss: torch.Tensor, *of: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(loss, of)


@pytest.fixture
def leaves(lists) -> list[torch.Tensor]:
    """The same lists, for autograd."""
    return [numbers.clone().requires_grad_() for numbers in lists]


def test_the_loop_follows_autograds_gradient(lists, leaves):
    wanted = gradients(pair_loss(*leaves, 3, 5, [1, 2]), *leaves)
    after = [numbers.clone() for numbers in lists]
    sgd_step(*after, 3, 5, [1, 2], learning_rate=0.1)
    for new, old, gradient in zip(after, lists, wanted, strict=True):
        torch.testing.assert_close(new, old - 0.1 * gradient)
    assert pair_loss(*after, 3, 5, [1, 2]) < pair_loss(*lists, 3, 5, [1, 2])


@pytest.mark.parametrize(("negatives", "per_pair"), [(3, 3), (7, 2), (1, 5)])
def test_the_fast_form_follows_autograds_gradient(lists, leaves, negatives, per_pair):
    batch = a_batch(negatives, per_pair)
    wanted = gradients(batch_loss(*leaves, batch) * len(pairs_of(batch)), *leaves)
    after = [numbers.clone() for numbers in lists]
    sgd_step_batched(*after, batch, learning_rate=0.1)
    for new, old, gradient in zip(after, lists, wanted, strict=True):
        torch.testing.assert_close(new, old - 0.1 * gradient)


def test_the_fast_form_means_the_pairs_that_three_loops_find(lists):
    batch = a_batch(negatives=3, per_pair=3)
    each = [pair_loss(*lists, *pair) for pair in pairs_of(batch)]
    torch.testing.assert_close(batch_loss(*lists, batch), torch.stack(each).mean())


def test_many_shared_negatives_weigh_as_much_as_a_few_of_ones_own(lists):
    few, many = a_batch(negatives=2, per_pair=2), a_batch(negatives=2, per_pair=2)
    many = Batch(many.pieces, many.reach, many.negatives.repeat(1, 5), per_pair=2)  # each five times, a fifth as much
    torch.testing.assert_close(batch_loss(*lists, few), batch_loss(*lists, many))


def test_the_fast_form_and_the_loop_take_the_same_step(lists):
    batch, rate = a_batch(negatives=3, per_pair=3), 1e-6  # so small that the loop's later pairs meet the same vectors
    fast, slow = ([numbers.clone() for numbers in lists] for _ in range(2))
    sgd_step_batched(*fast, batch, rate)
    for pair in pairs_of(batch):
        sgd_step(*slow, *pair, rate)
    for one, other, old in zip(fast, slow, lists, strict=True):
        assert (one - old).abs().max() > rate
        torch.testing.assert_close((one - old) / rate, (other - old) / rate, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("length", "span", "window"), [(40, 8, 3), (41, 8, 5), (2, 4, 3), (5, 16, 5)])
def test_every_word_is_a_centre_with_its_neighbours_around_it(length, span, window):
    pieces = extract_windows(torch.arange(length), span, window)
    assert pieces.shape == (-(-length // span), span + 2 * window)
    assert (pieces.diff(dim=1) % length == 1).all()  # neighbors in the text are neighbors in the piece, around the ring
    centres = pieces[:, window : window + span].flatten()
    assert torch.equal(centres[:length], torch.arange(length))


def test_the_lists_begin_small_by_lot_and_at_zero():
    torch.manual_seed(0)
    model = Word2Vec(1000, 20)
    assert model.words.shape == model.contexts.shape == (1000, 20)
    assert 0.024 < model.words.abs().max() <= 0.025 and not model.contexts.any()
