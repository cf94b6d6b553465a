"""Second, naive implementations, for tests and benchmarks to compare with. They need nothing but Python."""


def naive_graph(lengths, speakers, wp, wf, num_speakers):
    edges, relations, start = [], [], 0
    for length in lengths:
        for j in range(length):
            for i in range(length):
                if (wp >= 0 and i < j - wp) or (wf >= 0 and i > j + wf):
                    continue
                source, target = start + i, start + j
                edges.append((source, target))
                relation = num_speakers * speakers[source] + speakers[target]
                relations.append(2 * relation + (0 if i < j else 1))
        start += length
    return edges, relations
