"""Second, naive implementations, for tests and benchmarks to compare with."""

import torch


def naive_graph(lengths, speakers, wp, wf, num_speakers, relations="speakers"):
    edges, types, start = [], [], 0
    for length in lengths:
        for j in range(length):
            for i in range(length):
                if (wp >= 0 and i < j - wp) or (wf >= 0 and i > j + wf):
                    continue
                source, target = start + i, start + j
                edges.append((source, target))
                if relations == "same_other":
                    pair = 1 if speakers[source] == speakers[target] else 0
                elif relations == "time":
                    pair = 0
                else:
                    pair = num_speakers * speakers[source] + speakers[target]
                types.append(2 * pair + (0 if i < j else 1))
        start += length
    return edges, types


def naive_masked_attention(network, parts, speakers, wp, wf):
    """(L, E) log-probabilities of the improved network for one dialogue, turn by turn: `parts` (L, D) by modality."""
    a, w, turns = network.architecture, network.state_dict(), range(len(speakers))

    def normal(x, name=None):
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x if name is None else x * w[f"{name}.weight"][k, 0] + w[f"{name}.bias"][k, 0]

    def linear(x, name):
        return x @ w[f"{name}.weight"][k] + w[f"{name}.bias"][k, 0]

    def sees(i, j, kind):
        near = (wp < 0 or i - j <= wp) and (wf < 0 or j - i <= wf)
        seen = {"own": speakers[i] == speakers[j], "other": speakers[i] != speakers[j], "near": near, "all": True}[kind]
        return (seen or i == j) and not (a.online and j > i)

    total = 0
    for k in range(a.members):
        x = sum(normal(part) @ w[f"inputs.{name}.weight"][k] for name, part in parts.items()) / len(parts)
        x = x + sum(w[f"inputs.{name}.bias"][k, 0] for name in parts)
        for number in range(a.seqcontext_nlayer):
            layer = f"layers.{number}"
            query, key, value = linear(normal(x, f"{layer}.norm1"), f"{layer}.qkv").chunk(3, dim=1)
            size = query.shape[1] // len(a.heads.split())
            attended = torch.zeros_like(x)
            for head, kind in enumerate(a.heads.split()):
                own = slice(head * size, (head + 1) * size)
                for i in turns:
                    seen = [j for j in turns if sees(i, j, kind)]
                    bias = [w[f"{layer}.distance"][k, head, max(-10, min(10, j - i)) + 10] for j in seen]
                    scores = torch.stack([query[i, own] @ key[j, own] / size**0.5 for j in seen]) + torch.stack(bias)
                    attended[i, own] = scores.softmax(0) @ value[seen, own]
            x = x + linear(attended, f"{layer}.out")
            hidden = torch.nn.functional.gelu(linear(normal(x, f"{layer}.norm2"), f"{layer}.linear1"))
            x = x + linear(hidden, f"{layer}.linear2")
        total = total + linear(normal(x, "norm"), "clf").softmax(1)
    return (total / a.members).log()
