# SPDX-License-Identifier: MPL-2.0
"""Sound in WAV files: making it, reading what was recorded, comparing the two."""
import struct
import wave

import numpy as np


def write(path, samples, rate):
    """samples: frames x channels (or frames alone), floats in -1..1 -> 16 bit."""
    samples = np.atleast_2d(np.asarray(samples, dtype=np.float64).T).T
    data = np.clip(np.round(samples * 32768.0), -32768, 32767).astype('<i2')
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), 'wb') as f:
        f.setnchannels(data.shape[1])
        f.setsampwidth(2)
        f.setframerate(rate)
        f.writeframes(data.tobytes())
    return data


def read(path, raw=False):
    """(frames x channels, rate); floats in -1..1, or the integers of the file if raw. Takes files whose header has not
    been finished yet: what is there is what counts."""
    blob = path.read_bytes()
    assert blob[:4] in (b'RIFF', b'RF64') and blob[8:12] == b'WAVE', f'{path} is not a WAV file: {blob[:16]!r}'
    at, code, data = 12, None, b''
    while at + 8 <= len(blob):
        kind, size = blob[at:at + 4], struct.unpack_from('<I', blob, at + 4)[0]
        body = blob[at + 8:at + 8 + size]
        if kind == b'fmt ':
            code, channels, rate, _, block, bits = struct.unpack_from('<HHIIHH', body)
            if code == 0xFFFE:
                code = struct.unpack_from('<H', body, 24)[0]
        elif kind == b'data':
            data = body if 0 < size < 0xFFFFFFF0 and len(body) == size else blob[at + 8:]
            break
        at += 8 + size + size % 2
    assert code is not None, f'{path} has no format'
    data = data[:len(data) - len(data) % block]
    if code == 3:
        values = np.frombuffer(data, dtype='<f4' if bits == 32 else '<f8').astype(np.float64)
    elif bits == 16:
        values = np.frombuffer(data, dtype='<i2')
        values = values if raw else values / 32768.0
    elif bits == 24:
        parts = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3).astype(np.int32)
        values = ((parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24) >> 8)
        values = values if raw else values / 8388608.0
    elif bits == 32:
        values = np.frombuffer(data, dtype='<i4')
        values = values if raw else values / 2147483648.0
    else:
        raise AssertionError(f'{path}: {bits} bits of format {code}')
    return values.reshape(-1, channels), rate


def seconds(path):
    """How much sound the file holds by now; 0 while it is not there."""
    try:
        samples, rate = read(path)
    except (FileNotFoundError, AssertionError, struct.error):
        return 0.0
    return len(samples) / rate


def telltale(rate, length_s, seed=1):
    """Two channels in which a gap and a shift both show: never near zero for longer than a moment, and noise that is like
    itself at one place only."""
    rng = np.random.default_rng(seed)
    n = int(rate * length_s)
    t = np.arange(n) / rate
    base = 0.25 + 0.15 * np.sin(2 * np.pi * 440 * t)
    # Slow noise (below 2 kHz), which no resampler on the way takes away.
    def noise():
        kernel = np.hanning(25)
        return np.convolve(rng.standard_normal(n + 24), kernel / np.sqrt((kernel ** 2).sum()), 'valid') * 0.02
    return np.stack([base + noise(), base + noise()], axis=1)


def is_silent(samples, floor=1.5 / 32768):
    return np.abs(samples).max(axis=1) <= floor


def runs(flags):
    """[(start, length)] of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2])]


def zero_runs(samples, at_least=8):
    """Holes: runs of silence inside the sound, without the silence before and after it."""
    silent = is_silent(samples)
    sounding = np.flatnonzero(~silent)
    if len(sounding) == 0:
        return [(0, len(samples))]
    first, last = sounding[0], sounding[-1]
    return [(first + a, n) for a, n in runs(silent[first:last + 1]) if n >= at_least]


def sound(samples):
    """Without the silence at both ends."""
    sounding = np.flatnonzero(~is_silent(samples))
    return samples[sounding[0]:sounding[-1] + 1] if len(sounding) else samples[:0]


def best_lag(window, reference):
    """(lag, correlation): where in the reference the window fits best. One channel each, means taken away."""
    window = window - window.mean()
    n = len(window)
    size = 1 << int(np.ceil(np.log2(len(reference) + n)))
    product = np.fft.irfft(np.fft.rfft(reference, size) * np.conj(np.fft.rfft(window, size)), size)
    product = product[:len(reference) - n + 1]
    sums = np.concatenate([[0], np.cumsum(reference)])
    squares = np.concatenate([[0], np.cumsum(reference ** 2)])
    energy = squares[n:] - squares[:-n] - (sums[n:] - sums[:-n]) ** 2 / n
    score = product / np.sqrt(np.maximum(energy, 1e-12) * max((window ** 2).sum(), 1e-12))
    lag = int(np.argmax(score))
    return lag, float(score[lag])


def correlations(recorded, reference, window=4096, loop=False, skip=0):
    """Correlation of each window of the recording with where it fits best in the reference."""
    reference = np.concatenate([reference, reference]) if loop else reference
    return [best_lag(recorded[at:at + window], reference)[1]
            for at in range(skip, len(recorded) - window + 1, window)]


# ---- a sine without a hole ----

def is_sine(samples, rate, pitch, level):
    """One channel: a sine of this pitch and level and nothing else, neither silence nor a jump. Looked at in pieces of 20 ms,
    because clocks differ a little, and receivers adjust their rate all the time."""
    piece = rate // 50
    t = np.arange(piece) / rate
    basis = np.stack([np.cos(2 * np.pi * pitch * t), np.sin(2 * np.pi * pitch * t)], axis=1)
    pieces = samples[:len(samples) // piece * piece].reshape(-1, piece).astype(np.float64)
    parts, *_ = np.linalg.lstsq(basis, pieces.T, rcond=None)
    left = np.abs(pieces.T - basis @ parts).max(axis=0)
    phases = np.angle(parts[0] - 1j * parts[1])
    turns = np.angle(np.exp(1j * (np.diff(phases) - 2 * np.pi * pitch * piece / rate)))
    return bool((left < 0.05 * level).all() and (np.abs(np.hypot(*parts) / level - 1) < 0.03).all() and
                (np.abs(turns) < 0.5).all())


def longest_sine_s(samples, rate, pitch, level):
    """The longest stretch in which every channel is one, in steps of a quarter of a second."""
    step = rate // 4
    best = now = 0
    for at in range(0, len(samples) - step + 1, step):
        whole = all(is_sine(samples[at:at + step, channel], rate, pitch, level) for channel in range(samples.shape[1]))
        now = now + 1 if whole else 0
        best = max(best, now)
    return best * step / rate
