"""Designs and relaxations in programs that have set torch's modes for themselves."""

import multiprocessing
import os
from contextlib import contextmanager

import pytest
import torch

import smoacs
from smoacs.torch_modes import own_modes
from toys import PairEnergy, perovskite_crystal


@contextmanager
def double():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode, "float64": double}


def design():
    settings = {"n": 2, "steps": 2, "rest": "symmetry", "device": "cpu"}
    return smoacs.design(targets=["formation_energy < 5"], **settings).table


@pytest.fixture(scope="module")
def plain():
    return design()


@pytest.mark.parametrize("mode", MODES)
def test_a_design_is_the_same_in_any_mode(mode, plain):
    with MODES[mode]():
        assert design().equals(plain)


@pytest.mark.parametrize("mode", MODES)
def test_a_relaxation_is_the_same_in_any_mode(mode):
    expected = smoacs.relax_structures([perovskite_crystal()], PairEnergy(), max_steps=5)
    with MODES[mode]():
        found = smoacs.relax_structures([perovskite_crystal()], PairEnergy(), max_steps=5)
    assert found[0].energy == expected[0].energy
    assert found[0].structure == expected[0].structure


def test_the_modes_are_set_again_afterwards():
    with torch.inference_mode(), double():
        with own_modes():
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
            assert torch.get_default_dtype() == torch.float32
        assert not torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() == torch.float64


def child(connection):
    connection.send(design().to_csv())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_process_that_is_forked_after_a_design_can_design(plain):
    torch.set_num_threads(2)
    torch.randn(2_000, 2_000) @ torch.randn(2_000, 2_000)  # threads that a fork does not take over
    context = multiprocessing.get_context("fork")
    ours, its = context.Pipe()
    process = context.Process(target=child, args=(its,))
    process.start()
    try:
        assert ours.poll(120), "the forked process waits for threads that it does not have"
        assert ours.recv() == plain.to_csv()
    finally:
        process.kill()
        process.join()
        torch.set_num_threads(1)
