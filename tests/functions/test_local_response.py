import pytest
import torch

from netc.functions.local_response import LocalResponse, window_sum


@pytest.mark.parametrize("size", [1, 3, 7, 11])
def test_window_sum_along_two_axes(size):
    x = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    found = window_sum(x, size, (1, 3))
    for c in range(3):
        for w in range(5):
            channels = slice(max(c - size // 2, 0), c + size // 2 + 1)
            window = x[:, channels, :, max(w - size // 2, 0) : w + size // 2 + 1]
            torch.testing.assert_close(found[:, c, :, w], window.sum((1, 3)), rtol=0, atol=0)


def test_agrees_with_torch():
    x = torch.randn(2, 7, 3, 4, generator=torch.Generator().manual_seed(2))
    expected = torch.nn.functional.local_response_norm(x, 5, 0.3, 0.75, 2.0)
    torch.testing.assert_close(LocalResponse.apply(x, 5, (1,), 0.3 / 5, 0.75, 2.0), expected)
