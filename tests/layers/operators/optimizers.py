"""Caffe2's optimizers, element by element in float64: written from `caffe2/sgd`, for comparison with the layers."""

from __future__ import annotations

import math

import numpy as np

Arrays = tuple[np.ndarray, ...]


def each(function, *arrays: np.ndarray) -> Arrays:
    """Apply a function of numbers to the elements of arrays; one array for each of its results."""
    results = [function(*(float(a.flat[i]) for a in arrays)) for i in range(arrays[0].size)]
    return tuple(np.array(column).reshape(arrays[0].shape) for column in zip(*results))


def momentum_sgd(g, m, lr, momentum, nesterov):
    new = lr * g + momentum * m
    return ((1 + momentum) * new - momentum * m if nesterov else new), new


def adagrad(p, h, g, lr, epsilon, decay):
    h = decay * h + g * g
    rate = lr / (math.sqrt(h) + epsilon)
    return p + rate * g, h, rate, rate * g


def adam(p, m, v, g, lr, iteration, beta1, beta2, epsilon):
    t = iteration + 1
    factor = math.sqrt(1 - beta2**t) / (1 - beta1**t)
    m = m * beta1 + g * (1 - beta1)
    v = v * beta2 + g * g * (1 - beta2)
    change = factor * m / (math.sqrt(v) + epsilon)
    return p + lr * change, m, v, change


def rms_prop(g, s, m, lr, decay, momentum, epsilon):
    s = s + (1 - decay) * (g * g - s)
    m = m * momentum + lr * g / math.sqrt(epsilon + s)
    return m, s, m


def adadelta(p, h, d, g, lr, epsilon, decay):
    h = decay * h + (1 - decay) * g * g
    change = math.sqrt(d + epsilon) / math.sqrt(h + epsilon) * g
    return p + lr * change, h, decay * d + (1 - decay) * change * change


def ftrl(w, n, z, g, alpha, beta, lambda1, lambda2):
    new = n + g * g
    z = z + g - (math.sqrt(new) - math.sqrt(n)) / alpha * w
    sign = (z > 0) - (z < 0)
    w = (lambda1 * sign - z) / ((beta + math.sqrt(new)) / alpha + lambda2) if abs(z) > lambda1 else 0.0
    return w, new, z


def sparse(parameter, states, indices, gradient, update) -> Arrays:
    """Apply `update(row, states' rows, row of the gradient)` for one index after the other."""
    parameter, states = parameter.copy(), [state.copy() for state in states]
    for index, row in zip(indices.flatten(), gradient.reshape(indices.size, -1)):
        results = update(parameter[index], [state[index] for state in states], row)
        parameter[index] = results[0]
        for state, value in zip(states, results[1:]):
            state[index] = value
    return parameter, *states
