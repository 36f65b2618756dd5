"""The parts of Bayesian optimization; they import numpy and scipy, so oracles import them when they propose."""
