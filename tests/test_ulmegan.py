"""ULME-GAN: sequences of action units, laws of its networks, and its training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from megbench.baselines.ulmegan import model as ulmegan
from megbench.baselines.ulmegan.action_units import fitted, recoded, split_table, top_frame
from megbench.baselines.ulmegan.training import UlmeTrainer, gan_loss, gradient_penalty, total_variation
from megbench.core.openface_units import OPENFACE, column, shares
from megbench.training.plan import StagePlan, learning_rate
from tests.test_tps import pictures

SMALL = ulmegan.UlmeConfig(image_size=64, width=4, residual_blocks=1, discriminator_width=4)


def sequence(seed, count=12):
    return np.random.default_rng(seed).uniform(0, 1, (count, len(OPENFACE)))


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 30), st.data())
def test_a_fitted_sequence_starts_peaks_and_ends_where_it_should(seed, count, data):
    units = sequence(seed, count)
    top = data.draw(st.integers(0, count - 1))
    linear = fitted(units, "linear", top)
    assert np.allclose(linear[0], units[0])
    assert np.allclose(linear[top], units[top])
    assert np.allclose(linear[-1], units[-1]) or top == count - 1
    template = sequence(seed + 1, 1)[0]
    apex = fitted(units, "apex", top, template)
    assert np.allclose(apex[top], units[top])
    if top:
        assert np.allclose(apex[0], template)
    assert np.isfinite(linear).all()
    assert np.isfinite(apex).all()


def test_the_published_slope_never_arrives_and_an_early_apex_stands_still():
    units = sequence(0)
    published = fitted(units, "linear", 4, as_published=True)
    assert np.allclose(published[:5], fitted(units, "linear", 4)[:5])
    assert not np.allclose(published[-1], units[-1])
    assert np.allclose(fitted(units, "linear", 0, as_published=True), units[:1])


def test_units_present_in_less_than_half_of_the_frames_go():
    intensity, presence = sequence(1), np.ones((12, 17))
    presence[:7, 2] = 0
    presence[:6, 5] = 0  # present in exactly half, so kept
    kept = recoded(intensity, presence)
    assert not kept[:, 2].any()
    assert np.array_equal(np.delete(kept, 2, axis=1), np.delete(intensity, 2, axis=1))
    assert top_frame(np.zeros((3, 17))) == 0


def test_a_published_table_is_split_at_au28():
    table = np.arange(2 * 37, dtype=float).reshape(2, 37)
    intensity, presence = split_table(table)
    assert intensity[0].tolist() == list(range(2, 19))
    assert presence[0].tolist() == [*range(19, 35), 36]


def test_units_openface_does_not_know_go_to_their_neighbours():
    assert column("AU43") == column(45) == 16
    assert column("AU24") == column("AU23")
    assert column("AU28") is None
    found = shares({"AU43": np.array([0.5, 1.0]), "AU12": 0.25, "AU23": 0.1, "AU24": 0.2})
    assert found.shape == (2, 17)
    assert found[1, column(45)] == 1
    assert found[0, column(12)] == 0.25
    assert found[0, column(23)] == pytest.approx(0.3)
    assert shares({}).shape == (17,)


def test_full_attention_keeps_the_source_and_none_shows_the_colour():
    network = ulmegan.UlmeGenerator(SMALL).eval()
    source, units = 2 * pictures(0) - 1, torch.rand(2, 17)
    painted = network(source, units)
    assert torch.allclose(painted.picture, painted.attention * source + (1 - painted.attention) * painted.colour)
    for bias, expected in ((40.0, source), (-40.0, painted.colour)):
        head = torch.nn.Sequential(torch.nn.Conv2d(4, 1, 7, padding=3), torch.nn.Sigmoid())
        torch.nn.init.zeros_(head[0].weight)
        torch.nn.init.constant_(head[0].bias, bias)
        network.au_top = head
        assert torch.allclose(network(source, units).picture, expected, atol=1e-5)


def test_a_batch_of_one_stays_a_batch():
    patch, units = ulmegan.UlmeDiscriminator(SMALL)(pictures(0, 1))
    assert patch.shape == (1, 1, 1)
    assert units.shape == (1, 17)


def test_published_sizes():
    with torch.device("meta"):
        nets = ulmegan.networks(ulmegan.UlmeConfig())
    counted = {name: sum(parameter.numel() for parameter in net.parameters()) for name, net in nets.items()}
    assert counted == {"gen": 8_467_584, "dis": 44_860_352}


@pytest.mark.parametrize(("schedule", "falls_at", "last"), [("intended", 20, 1 / 11), ("published", 19, 0.0)])
def test_the_last_epoch_learns_unless_it_is_as_published(schedule, falls_at, last):
    spec = UlmeTrainer(replace(SMALL, schedule=schedule)).optimisers("main")["gen"]
    rates = [learning_rate(spec, StagePlan(steps_per_epoch=1), epoch) / spec.lr for epoch in range(30)]
    assert rates[:falls_at] == [1.0] * falls_at
    assert rates[falls_at] < 1
    assert rates[-1] == pytest.approx(last)
    assert rates == sorted(rates, reverse=True)


def batch():
    units = torch.rand(3, 17, generator=torch.Generator().manual_seed(0))
    return {"source": pictures(1, 3, 128), "action_units_source": units}


def test_the_generator_steps_with_every_fifth_of_the_discriminator():
    trainer = UlmeTrainer(SMALL)
    rounds = [list(trainer.step("main", batch(), 0, index, np.random.default_rng(index))) for index in range(6)]
    assert [[phase.optimisers for phase in phases] for phases in rounds] == [
        [("dis",), ("gen",)],
        *[[("dis",)]] * 4,
        [("dis",), ("gen",)],
    ]
    assert set(rounds[0][1].losses) >= {"gen_GAN", "gen_fake_aus", "gen_rec"}


def test_both_players_learn_and_the_generator_faces_the_updated_judge():
    torch.manual_seed(0)
    trainer = UlmeTrainer(replace(SMALL, critic_steps=1))
    nets = trainer.networks()
    optimisers = {name: torch.optim.Adam(net.parameters(), 1e-3, (0.5, 0.999)) for name, net in nets.items()}
    read = []
    for index in range(25):
        for phase in trainer.step("main", batch(), 0, index, np.random.default_rng(0)):
            (name,) = phase.optimisers
            optimisers[name].zero_grad()
            torch.stack(list(phase.losses.values())).sum().backward()
            optimisers[name].step()
            if name == "dis":
                read.append(float(phase.losses["dis_real_aus"].detach()))
    assert read[-1] < 0.5 * read[0]


def test_validation_asks_for_units_and_reconstruction_only():
    with torch.no_grad():
        (phase,) = UlmeTrainer(SMALL).step("main", batch(), 0, 0, np.random.default_rng(0))
    assert set(phase.losses) == {"gen_fake_aus", "gen_rec"}


def test_the_penalty_is_nothing_for_a_slope_of_one():
    class Slope(torch.nn.Module):
        def forward(self, picture):
            return picture.flatten(1).mean(1) * picture[0].numel() ** 0.5, None

    assert float(gradient_penalty(Slope(), pictures(0))) == pytest.approx(0, abs=1e-6)
    assert float(total_variation(torch.ones(2, 1, 5, 5))) == 0
    assert float(gan_loss("lsgan", torch.ones(2, 1, 1), True)) == 0
    assert float(gan_loss("wgan-gp", torch.ones(2, 1, 1), True)) == -1


def test_eight_bits_are_rounded_and_as_published_truncated():
    value = torch.full((1, 3, 2, 2), 2 * (100.7 / 255) - 1)
    assert ulmegan.outside(value)[0, 0, 0].tolist() == [101] * 3
    assert ulmegan.outside(value, as_published=True)[0, 0, 0].tolist() == [100] * 3
    frame = np.full((8, 8, 3), 90, np.uint8)
    assert ulmegan.enlarged(frame, 16).shape == (16, 16, 3)
    assert np.abs(ulmegan.through_jpeg(frame).astype(int) - 90).max() <= 2
