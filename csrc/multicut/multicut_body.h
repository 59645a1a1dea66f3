// On the host in all three modules, but for the rounds: a device's graphs come to the host (python/emfast/multicuts.py).
#pragma once

#include "multicut/contraction.h"
#include "multicut/cycles.h"
#include "multicut/kernighan_lin.h"
#include "multicut/rounds.h"

namespace emfast::multicut {

// Names parts, less than `limit`, by the order of their first nodes, from 1; returns their number.
inline int64_t number_parts(int64_t n, const uint32_t* parts, int64_t limit, uint32_t* labels) {
    std::vector<uint32_t> names(limit);
    uint32_t last = 0;
    for (int64_t i = 0; i < n; ++i) {
        uint32_t& name = names[parts[i]];
        if (!name) name = ++last;
        labels[i] = name;
    }
    return last;
}

int64_t greedy(const Problem& problem, bool fixation, uint32_t* labels) {
    Contraction graph(problem, fixation);
    graph.run();
    for (int64_t i = 0; i < problem.nodes; ++i) labels[i] = graph.root(static_cast<uint32_t>(i));
    return number_parts(problem.nodes, labels, problem.nodes, labels);
}

int64_t contract(Executor& ex, const Problem& problem, uint32_t* labels) {
    rounds::Contraction graph(ex, problem);
    graph.run();
    return graph.number_parts(labels);
}

int64_t kernighan_lin(Executor& ex, const Problem& problem, int64_t patience, uint32_t* labels) {
    KernighanLin search(ex, problem, patience, labels);
    search.run();
    return number_parts(problem.nodes, search.parts().of.data(), search.parts().members.size(), labels);
}

int64_t bound(Executor& ex, const Problem& problem, int64_t longest) {
    CyclePacking packing(problem);
    auto between = [&] { pause(ex); };
    for (int64_t length = 3; length <= longest && packing.pack(length, between); ++length) pause(ex);
    return packing.bound();
}

}  // namespace emfast::multicut
