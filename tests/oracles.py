"""Second, naive implementations, for tests and benchmarks to compare with. They need nothing but Python."""


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
